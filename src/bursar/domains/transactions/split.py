"""How a capture is divided among the payment's splits. Pure."""

from collections.abc import Sequence

from bursar.kit import money


def captured_parts(amount: int, splits: Sequence[int], allocated: Sequence[int]) -> list[int]:
    """The part of each split in a capture: in proportion to what is left of each, by largest remainder.

    So no part is below zero or above what is left; and when all is captured, in however many captures, each split has
    just its amount. allocated: what earlier captures gave to each split. All in minor units.
    """
    left = [split - before for split, before in zip(splits, allocated, strict=True)]
    if sum(left) == amount:
        return left
    assert sum(left) > amount, "captures never exceed the splits"
    return money.split(amount, left)
