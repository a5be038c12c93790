"""Money: nothing is lost when it is divided, nothing is mixed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit.money import AMOUNT_MAX, EXPONENTS, MixedCurrencies, Money, NothingToSplit, display, is_currency, split

amounts = st.integers(0, AMOUNT_MAX)
weights = st.lists(st.integers(0, 10**9), min_size=1, max_size=40).filter(any)


class TestSplit:
    @given(amounts, weights)
    def test_loses_nothing(self, total: int, parts: list[int]) -> None:
        shares = split(total, parts)
        assert sum(shares) == total and len(shares) == len(parts)

    @given(amounts, weights)
    def test_is_within_one_unit_of_the_exact_share(self, total: int, parts: list[int]) -> None:
        whole = sum(parts)
        for share, weight in zip(split(total, parts), parts, strict=True):
            assert share >= 0 and abs(share * whole - total * weight) < whole
            assert share == 0 if weight == 0 else True

    @given(amounts, weights)
    def test_gives_a_larger_weight_no_less(self, total: int, parts: list[int]) -> None:
        pairs = sorted(zip(parts, split(total, parts), strict=True))
        for (one, smaller), (other, larger) in pairwise(pairs):
            assert one == other or smaller <= larger

    @given(st.integers(0, 10**6), st.integers(1, 50))
    def test_gives_spare_units_to_the_first_of_equals(self, total: int, count: int) -> None:
        shares = split(total, [1] * count)
        assert shares == sorted(shares, reverse=True) and shares[0] - shares[-1] <= 1

    @pytest.mark.parametrize(
        "total, parts, shares",
        [
            (100, [1, 1, 1], [34, 33, 33]),
            (1, [1, 1], [1, 0]),
            (5, [3, 7], [2, 3]),
            (0, [1, 2], [0, 0]),
            (7, [0, 5], [0, 7]),
            (10, [1], [10]),
        ],
    )
    def test_by_example(self, total: int, parts: list[int], shares: list[int]) -> None:
        assert split(total, parts) == shares

    def test_refuses_weights_of_zero(self) -> None:
        for parts in ([], [0], [0, 0]):
            with pytest.raises(NothingToSplit):
                split(1, parts)


class TestMoney:
    @given(amounts, amounts)
    def test_adds_and_subtracts(self, one: int, other: int) -> None:
        assert Money(one, "EUR") + Money(other, "EUR") - Money(other, "EUR") == Money(one, "EUR")

    def test_is_not_mixed(self) -> None:
        for mix in (lambda: Money(1, "EUR") + Money(1, "USD"), lambda: Money(1, "EUR") - Money(1, "JPY")):
            with pytest.raises(MixedCurrencies):
                mix()


class TestDisplay:
    @pytest.mark.parametrize(
        "amount, currency, text",
        [
            (1234, "USD", "12.34"),
            (-5, "KWD", "-0.005"),
            (0, "EUR", "0.00"),
            (7, "JPY", "7"),
            (-1, "EUR", "-0.01"),
            (100_000, "BHD", "100.000"),
        ],
    )
    def test_by_example(self, amount: int, currency: str, text: str) -> None:
        assert display(amount, currency) == text
        assert str(Money(amount, currency)) == f"{text} {currency}"

    @given(st.integers(-AMOUNT_MAX, AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
    def test_keeps_every_digit(self, amount: int, currency: str) -> None:
        text = display(amount, currency)
        assert int(text.replace(".", "")) == amount
        assert len(text.partition(".")[2]) == EXPONENTS[currency]


class TestCurrency:
    def test_knows_those_that_count_money(self) -> None:
        exponents = {code: EXPONENTS[code] for code in ("EUR", "JPY", "KWD", "CLF", "ISK", "HUF", "TND")}
        assert exponents == {"EUR": 2, "JPY": 0, "KWD": 3, "CLF": 4, "ISK": 0, "HUF": 2, "TND": 3}

    @pytest.mark.parametrize("code", ["eur", "XBA", "XAU", "XTS", "", "EURO", "DEM"])
    def test_knows_no_other(self, code: str) -> None:
        assert not is_currency(code)
