"""Stripe's amounts against ISO 4217."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit.money import EXPONENTS
from bursar.providers.stripe.money import (
    ACCEPTED,
    THREE_DECIMAL,
    TWO_DECIMAL,
    ZERO_DECIMAL,
    NotCountable,
    exponent,
    from_stripe,
    to_stripe,
)


@pytest.mark.parametrize(
    "amount,currency,counted",
    [
        (1234, "USD", 1234),
        (500, "JPY", 500),
        (5, "ISK", 500),
        (5, "UGX", 500),
        (500, "MGA", 5),
        (5120, "KWD", 5120),
        (1045, "HUF", 1045),
        (1, "TWD", 1),
    ],
)
def test_counts_as_stripe_does(amount: int, currency: str, counted: int) -> None:
    assert to_stripe(amount, currency) == counted
    assert from_stripe(counted, currency) == amount


@pytest.mark.parametrize("amount,currency", [(5124, "KWD"), (550, "MGA"), (1, "BHD"), (100, "KPW"), (100, "XAU")])
def test_rounds_nothing(amount: int, currency: str) -> None:
    with pytest.raises(NotCountable):
        to_stripe(amount, currency)


@pytest.mark.parametrize("currency", ["HUF", "TWD"])
def test_pays_whole_units_out(currency: str) -> None:
    assert to_stripe(1000, currency, is_payout=True) == 1000
    with pytest.raises(NotCountable, match="steps of 100"):
        to_stripe(1045, currency, is_payout=True)


def test_refuses_what_has_no_minor_units_of_ours() -> None:
    with pytest.raises(NotCountable):
        from_stripe(550, "ISK")


def test_deviates_from_iso_4217_only_where_it_says_so() -> None:
    assert set(EXPONENTS) >= ACCEPTED
    differing = {currency for currency in ACCEPTED if exponent(currency) != EXPONENTS[currency]}
    assert differing == {"MGA"} | TWO_DECIMAL
    assert {currency for currency in ACCEPTED if exponent(currency) == 0} == ZERO_DECIMAL
    assert {currency for currency in ACCEPTED if exponent(currency) == 3} == THREE_DECIMAL


@given(st.sampled_from(sorted(ACCEPTED)), st.integers(0, 10**12))
def test_what_can_be_said_is_said_exactly(currency: str, amount: int) -> None:
    try:
        counted = to_stripe(amount, currency)
    except NotCountable:
        assert amount % 100 and currency in {"MGA"} | THREE_DECIMAL
    else:
        assert from_stripe(counted, currency) == amount
        assert counted * 10 ** EXPONENTS[currency] == amount * 10 ** exponent(currency)
