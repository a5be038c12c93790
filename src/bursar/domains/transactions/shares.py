"""How an amount that goes back is taken from the vendors and the platform. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from bursar.domains.transactions.model import Allocation, ShareUnavailable, Transaction
from bursar.kit import money


class Share(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What is taken back of one allocation, minor units: gross = commission + net.

    line: the allocation's index. commission: what the platform gives back; net: what the vendor does. commission_kept:
    what the platform would have given back, and keeps.
    """

    transaction_id: str
    line: int
    vendor_id: str
    gross: int
    commission: int
    net: int
    category_id: str | None = None
    commission_kept: int = 0


_Pool = tuple[Transaction, int, Allocation]


def available(charges: Sequence[Transaction], unallocated: int, *, transaction_id: str | None = None) -> int:
    """The most that `share_out` can take."""
    left = sum(allocation.left for _, _, allocation in _pools(charges, transaction_id))
    return left if transaction_id is not None else left + unallocated


def share_out(
    charges: Sequence[Transaction],
    unallocated: int,
    amount: int,
    *,
    keeps_commission: bool,
    wanted: Mapping[str, int] | None = None,
    transaction_id: str | None = None,
) -> tuple[tuple[Share, ...], int]:
    """Take `amount` from what is left of the allocations of `charges`, and of money that is in no transaction.

    charges: the payment's completed ones, oldest first. unallocated: the payment's. wanted: how much from each vendor;
    what these do not sum to comes from unallocated money. transaction_id: from this charge's allocations alone. Without
    either, from all in proportion to what is left of each, by largest remainder.

    The platform gives its commission back in proportion to all that was taken of an allocation so far, so that a whole
    refund in any number of parts gives back just what was charged; where it keeps its commission, the vendor gives all.

    Returns the shares, and what comes from unallocated money. Raises ShareUnavailable.
    """
    assert amount > 0, "nothing is no refund"
    pools = _pools(charges, transaction_id)
    if transaction_id is not None:
        unallocated = 0
    if wanted is not None:
        parts, rest = _as_wanted(pools, unallocated, amount, wanted)
    else:
        left = [allocation.left for _, _, allocation in pools]
        if amount > sum(left) + unallocated:
            raise _unavailable(amount, sum(left) + unallocated)
        *parts, rest = money.split(amount, [*left, unallocated])
    shares = (
        _share(pool, part, keeps_commission=keeps_commission) for pool, part in zip(pools, parts, strict=True) if part
    )
    return tuple(shares), rest


def _pools(charges: Sequence[Transaction], transaction_id: str | None) -> list[_Pool]:
    return [
        (charge, line, allocation)
        for charge in charges
        if transaction_id is None or charge.id == transaction_id
        for line, allocation in enumerate(charge.allocations)
    ]


def _as_wanted(
    pools: Sequence[_Pool], unallocated: int, amount: int, wanted: Mapping[str, int]
) -> tuple[list[int], int]:
    """The part of each pool: each vendor's amount in proportion to what is left of its own."""
    rest = amount - sum(wanted.values())
    assert rest >= 0, "what is wanted of vendors is not above the amount"
    if rest > unallocated:
        raise _unavailable(rest, unallocated)
    parts = [0] * len(pools)
    for vendor_id, part in wanted.items():
        own = [index for index, (_, _, allocation) in enumerate(pools) if allocation.vendor_id == vendor_id]
        left = [pools[index][2].left for index in own]
        if part > sum(left):
            raise _unavailable(part, sum(left), vendorId=vendor_id)
        for index, taken in zip(own, money.split(part, left), strict=True) if part else ():
            parts[index] = taken
    return parts, rest


def _share(pool: _Pool, gross: int, *, keeps_commission: bool) -> Share:
    charge, line, allocation = pool
    commission = _commission_of(allocation, gross)
    kept = commission if keeps_commission else 0
    return Share(
        transaction_id=charge.id,
        line=line,
        vendor_id=allocation.vendor_id,
        gross=gross,
        commission=commission - kept,
        net=gross - commission + kept,
        category_id=allocation.category_id,
        commission_kept=kept,
    )


def _commission_of(allocation: Allocation, gross: int) -> int:
    """The commission on `gross` of what is left: what its proportion of all that is taken grows by.

    Where refunds that failed gave back more of the one than of the other, it is held between nothing and all of
    `gross`, and such that what is left of the commission is never above what is left of the allocation.
    """
    before = allocation.commission_amount - allocation.commission_left
    target = _half_up(allocation.commission_amount * (allocation.taken + gross), allocation.gross_amount)
    lowest = max(0, allocation.commission_left - (allocation.left - gross))
    highest = min(gross, allocation.commission_left)
    return min(max(target - before, lowest), highest)


def _half_up(dividend: int, divisor: int) -> int:
    """The quotient of two integers >= 0, half a unit going up."""
    return (2 * dividend + divisor) // (2 * divisor)


def _unavailable(amount: int, available: int, **context: Any) -> ShareUnavailable:
    return ShareUnavailable(f"{amount} is more than the {available} that is left", amountAvailable=available, **context)


CHANGES: Final[dict[str, dict[str, int]]] = {
    # action: by how many times its gross a share changes each amount of the allocation
    "hold": {"refunding": 1},
    "release": {"refunding": -1},
    "settle": {"refunding": -1, "refunded": 1},
    "unsettle": {"refunded": -1},
    "dispute": {"disputed": 1},
    "undispute": {"disputed": -1},
}

_OF_COMMISSION: Final = {
    "refunding": "commission_refunding",
    "refunded": "commission_returned",
    "disputed": "commission_disputed",
}


def moved(allocation: Allocation, share: Share, action: str) -> Allocation:
    """The allocation after one of the actions of CHANGES on a share of it."""
    changes = {"commission_kept": allocation.commission_kept + sum(CHANGES[action].values()) * share.commission_kept}
    for name, times in CHANGES[action].items():
        changes[name] = getattr(allocation, name) + times * share.gross
        commission = _OF_COMMISSION[name]
        changes[commission] = getattr(allocation, commission) + times * share.commission
    after: Allocation = msgspec.structs.replace(allocation, **changes)
    assert min(changes.values()) >= 0 and after.left >= 0, f"{action}: no such share of this allocation"
    assert 0 <= after.commission_left <= after.left, f"{action}: the commission left is part of what is left"
    return after
