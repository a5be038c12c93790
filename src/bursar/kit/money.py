"""Money: integers in minor units beside their currency. No floats, and division only by `split`."""

from collections.abc import Sequence
from typing import Final

import msgspec
from iso4217 import Currency as _IsoCurrency

from bursar.kit.errors import Problem

AMOUNT_MAX: Final = 10**12
"""The largest single amount, in minor units."""

EXPONENTS: Final[dict[str, int]] = {
    currency.code: currency.exponent for currency in _IsoCurrency if currency.exponent is not None
}
"""Digits after the point by currency code (ISO 4217): JPY 0, USD 2, KWD 3. Funds, metals and test codes have none."""


class MixedCurrencies(Problem):
    status, code, title = 422, "mixed_currencies", "Amounts of two currencies cannot be combined"


class NothingToSplit(Problem):
    status, code, title = 422, "nothing_to_split", "All weights are zero"


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units of one currency; arithmetic across currencies raises MixedCurrencies."""

    amount: int
    currency: str

    def __add__(self, other: "Money") -> "Money":
        self._refuse_other_currency(other)
        return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        self._refuse_other_currency(other)
        return Money(self.amount - other.amount, self.currency)

    def __str__(self) -> str:
        return f"{display(self.amount, self.currency)} {self.currency}"

    def _refuse_other_currency(self, other: "Money") -> None:
        if self.currency != other.currency:
            raise MixedCurrencies(f"{self.currency} and {other.currency}")


def is_currency(code: str) -> bool:
    """Whether `code` is an upper-case ISO 4217 code of a currency in which money is counted."""
    return code in EXPONENTS


def display(amount: int, currency: str) -> str:
    """Write `amount` with its decimal point: (1234, "USD") is 12.34, (-5, "KWD") is -0.005. For people, not for
    arithmetic.
    """
    exponent = EXPONENTS[currency]
    sign, digits = ("-" if amount < 0 else ""), str(abs(amount)).rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `weights`, losing nothing.

    total: minor units, >= 0. weights: n integers >= 0, not all 0. Returns n integers in the order of `weights`, whose
    sum is `total`; spare units go to the largest remainders, ties to the first. Raises NothingToSplit when all weights
    are 0. Source: largest-remainder (Hamilton) method.
    """
    whole = sum(weights)
    if whole == 0:
        raise NothingToSplit
    parts = [total * weight // whole for weight in weights]
    spare = total - sum(parts)
    by_remainder = sorted(range(len(weights)), key=lambda index: -(total * weights[index] % whole))
    for index in by_remainder[:spare]:
        parts[index] += 1
    return parts
