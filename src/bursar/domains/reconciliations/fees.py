"""What a provider should keep of a charge, by `provider_fees` of the settings. Pure."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

import msgspec

NO_FEES: Final = ""


class FeesUnreadable(Exception):  # noqa: N818  a setting's fault
    """The one clear line about `provider_fees`."""


class Fee(msgspec.Struct, frozen=True):
    """rate of the gross amount, and a fixed amount in minor units on top."""

    rate: Decimal
    fixed: int

    def expected(self, gross: int) -> int:
        """The fee on a charge of `gross` minor units, rounded half up."""
        return int((gross * self.rate).quantize(Decimal(1), ROUND_HALF_UP)) + self.fixed

    def is_kept(self, gross: int, fee: int) -> bool:
        """Whether `fee` is this fee on `gross`, whichever way the provider rounds."""
        return abs(fee - self.fixed - gross * self.rate) < 1


@cache
def load(text: str) -> dict[tuple[str, str], Fee]:
    """The fees by provider and currency, of JSON such as {"stripe": {"EUR": {"rate": "0.015", "fixed": 25}}}.

    Raises FeesUnreadable.
    """
    if not text.strip():
        return {}
    try:
        document = msgspec.json.decode(text)
        return {
            (provider, currency): _fee(terms)
            for provider, currencies in document.items()
            for currency, terms in currencies.items()
        }
    except (msgspec.DecodeError, AttributeError, TypeError, KeyError, ValueError, InvalidOperation) as error:
        raise FeesUnreadable(f"provider_fees cannot be read: {error}") from error


def _fee(terms: dict[str, Any]) -> Fee:
    if not terms.keys() <= {"rate", "fixed"} or not terms:
        raise ValueError("a fee has a rate, a fixed amount, or both")
    rate, fixed = Decimal(str(terms.get("rate", "0"))), terms.get("fixed", 0)
    if not 0 <= rate <= 1 or not isinstance(fixed, int) or isinstance(fixed, bool) or fixed < 0:
        raise ValueError("a rate lies between 0 and 1, a fixed amount is a whole number of minor units")
    return Fee(rate, fixed)
