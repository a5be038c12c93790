"""Amounts as PayPal writes them: decimal strings, in its own exponents. Source: PayPal's list of currency codes."""

from decimal import Decimal, InvalidOperation
from typing import Final

from bursar.kit.money import EXPONENTS
from bursar.providers.paypal.documents import Amount

CURRENCIES: Final = frozenset(
    {
        "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS",
        "JPY", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
    }
)  # fmt: skip
"""What PayPal takes. BRL, CNY and MYR only from accounts of their own country: it says so by declining."""

WHOLE: Final = frozenset({"HUF", "JPY", "TWD"})
"""Currencies that have no decimals at PayPal, whatever ISO 4217 says."""


class Inexpressible(Exception):  # noqa: N818  a fact about an amount
    """The amount has a fraction that PayPal has no digits for, or its currency is not PayPal's."""


def exponent(currency: str) -> int:
    """Digits after the point at PayPal."""
    return 0 if currency in WHOLE else EXPONENTS[currency]


def write(amount: int, currency: str) -> str:
    """`amount` (minor units) as PayPal's decimal string: (1234, "USD") is "12.34", (120000, "HUF") is "1200".

    Raises Inexpressible.
    """
    if currency not in CURRENCIES:
        raise Inexpressible(f"PayPal does not take {currency}")
    digits = exponent(currency)
    whole, rest = divmod(amount, 10 ** (EXPONENTS[currency] - digits))
    if rest:
        raise Inexpressible(f"PayPal takes whole {currency} only")
    text = str(whole).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text


def read(value: str, currency: str) -> int | None:
    """A decimal string in minor units; nothing where it is none, or is no whole number of them."""
    if currency not in EXPONENTS:
        return None
    try:
        minor = Decimal(value).scaleb(EXPONENTS[currency])
    except InvalidOperation:
        return None
    return int(minor) if minor.is_finite() and minor == int(minor) else None


def document(amount: int, currency: str) -> dict[str, str]:
    """`amount` as PayPal's `money`. Raises Inexpressible."""
    return {"currency_code": currency, "value": write(amount, currency)}


def minor(amount: Amount | None) -> int | None:
    """PayPal's `money` in minor units; nothing where it cannot be read."""
    return None if amount is None else read(amount.value, amount.currency_code)


def is_same(answered: Amount | None, amount: int, currency: str) -> bool:
    """Whether PayPal answered the amount that was asked for."""
    return answered is not None and answered.currency_code == currency and minor(answered) == amount
