"""Amounts as Stripe counts them, where that is not as ISO 4217 does.

Source: docs.stripe.com/currencies (zero-decimal, three-decimal, special cases).
"""

from typing import Final

from bursar.kit.money import EXPONENTS

ZERO_DECIMAL: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905  a list to be read
)
"""Counted in whole units. MGA has two digits in ISO 4217; the others have none there either."""

TWO_DECIMAL: Final = frozenset({"ISK", "UGX"})
"""Counted in hundredths although ISO 4217 gives them no digits: Stripe kept its old way, and the hundredths are 00."""

THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Counted in thousandths, of which the last digit is 0."""

WHOLE_PAYOUTS: Final = frozenset({"HUF", "TWD"})
"""Charged in hundredths, paid out in whole units only."""

ACCEPTED: Final = (
    frozenset(
        """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BWP BYN BZD CAD CDF CHF CNY COP CRC CVE CZK
        DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD KES KGS KHR KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
        QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD SZL THB TJS TOP TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER
        ZAR ZMW
        """.split()  # noqa: SIM905
    )
    | ZERO_DECIMAL
    | TWO_DECIMAL
    | THREE_DECIMAL
)
"""What cards can be charged in. An account may be allowed fewer: then Stripe declines."""

_UNITS: Final = (1, 10, 100, 1_000, 10_000)
"""By digits after the point."""


class NotCountable(Exception):  # noqa: N818  the amount's fault, answered by a decline
    """The amount cannot be said to Stripe, or what Stripe says cannot be said in our minor units."""


def to_stripe(amount: int, currency: str, *, is_payout: bool = False) -> int:
    """`amount` (minor units of ISO 4217) in Stripe's unit. Raises NotCountable: nothing is ever rounded."""
    if currency not in ACCEPTED:
        raise NotCountable(f"Stripe does not take {currency}")
    ours, theirs = EXPONENTS[currency], exponent(currency)
    counted, rest = divmod(amount * _UNITS[theirs], _UNITS[ours])
    step = _step(currency, is_payout=is_payout)
    if rest or counted % step:
        raise NotCountable(
            f"Stripe takes {currency} in steps of {max(step * _UNITS[ours] // _UNITS[theirs], 1)} minor units"
        )
    return counted


def from_stripe(amount: int, currency: str) -> int:
    """What Stripe counted, in minor units of ISO 4217. Raises NotCountable."""
    if currency not in EXPONENTS:
        raise NotCountable(f"{currency} is no currency")
    counted, rest = divmod(amount * _UNITS[EXPONENTS[currency]], _UNITS[exponent(currency)])
    if rest:
        raise NotCountable(f"{amount} is no whole number of minor units of {currency}")
    return counted


def exponent(currency: str) -> int:
    """Digits after the point in Stripe's amounts."""
    if currency in ZERO_DECIMAL:
        return 0
    return 2 if currency in TWO_DECIMAL else EXPONENTS[currency]


def _step(currency: str, *, is_payout: bool) -> int:
    """In Stripe's unit."""
    if currency in TWO_DECIMAL or (is_payout and currency in WHOLE_PAYOUTS):
        return 100
    return 10 if currency in THREE_DECIMAL else 1
