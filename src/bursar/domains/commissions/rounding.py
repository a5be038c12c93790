"""Shares of an amount as whole minor units: integers only, and the direction of rounding is in the function's name."""

from decimal import Decimal
from typing import Final

MILLION: Final = 1_000_000


def millionths(rate: Decimal) -> int:
    """The rate as an integer: 0.125 is 125,000 millionths. Exact: rates have six decimals at the most."""
    scaled = rate * MILLION
    whole = int(scaled)
    assert whole == scaled, f"{rate} has more than six decimal places"
    return whole


def units_half_up(share: int) -> int:
    """Millionths of a minor unit, >= 0, as whole minor units; half a unit goes up."""
    return (2 * share + MILLION) // (2 * MILLION)
