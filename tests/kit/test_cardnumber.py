"""Card numbers: the check digit, the ranges edge by edge, and finding numbers in free text."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit import ids
from bursar.kit.cardnumber import (
    LENGTH_MAX,
    LENGTH_MIN,
    RANGES,
    Brand,
    brand_of,
    contains_card_number,
    has_valid_check_digit,
    is_card_number,
)
from tests.support.methods import with_check_digit

VISA = "4242424242424242"
LENGTHS = {
    "VISA": {13, 16, 18, 19},
    "MASTERCARD": {16},
    "AMEX": {15},
    "DISCOVER": {16, 17, 18, 19},
    "JCB": {16, 17, 18, 19},
    "UNIONPAY": {16, 17, 18, 19},
    "MAESTRO": set(range(12, 20)),
    "MIR": {16, 17, 18, 19},
    "ELO": {16},
}
"""Said here once more, so that a change is meant; Diners' depend on the range."""


def luhn(number: str) -> bool:
    """The sum as the standard tells it."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + place % 2)
        total += value // 10 + value % 10
    return total % 10 == 0


def numbers(brand: Brand) -> st.SearchStrategy[str]:
    """Whole numbers of a range, without those of a narrower one within it."""
    width = len(str(brand.first))

    def of_length(length: int) -> st.SearchStrategy[str]:
        rest = st.text("0123456789", min_size=length - width - 1, max_size=length - width - 1)
        return st.tuples(st.integers(brand.first, brand.last), rest).map(lambda n: with_check_digit(f"{n[0]}{n[1]}"))

    whole = st.sampled_from(sorted(brand.lengths)).flatmap(of_length)
    return whole.filter(lambda number: brand_of(number) == brand)


any_number = st.sampled_from([brand for brand in RANGES if max(brand.lengths) >= LENGTH_MIN]).flatmap(numbers)
long_number = any_number.filter(lambda number: len(number) >= LENGTH_MIN)


class TestCheckDigit:
    @given(st.text("0123456789", min_size=1, max_size=25))
    def test_is_the_standards(self, digits: str) -> None:
        assert has_valid_check_digit(digits) is luhn(digits)

    @given(long_number, st.data())
    def test_finds_every_wrong_digit(self, number: str, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(number) - 1))
        other = data.draw(st.sampled_from("0123456789").filter(lambda digit: digit != number[place]))
        assert not is_card_number(number[:place] + other + number[place + 1 :])


class TestBrand:
    @pytest.mark.parametrize("brand", RANGES, ids=lambda brand: f"{brand.name}-{brand.first}-{brand.last}")
    def test_reaches_from_its_first_to_its_last_prefix(self, brand: Brand) -> None:
        for prefix in (brand.first, brand.last):
            found = brand_of(f"{prefix}".ljust(19, "0"))
            assert found is not None and found.name == brand.name
        width = len(str(brand.first))
        for prefix in (brand.first - 1, brand.last + 1):
            beside = brand_of(f"{prefix:0{width}d}".ljust(19, "0"))
            assert beside is None or beside != brand

    @pytest.mark.parametrize("brand", RANGES, ids=lambda brand: f"{brand.name}-{brand.first}-{brand.last}")
    def test_takes_its_lengths_alone(self, brand: Brand) -> None:
        expected = LENGTHS.get(brand.name, {14, 15, 16, 17, 18, 19} if brand.first == 36 else {14, 16, 17, 18, 19})
        assert brand.lengths == expected and brand.cvc == (4 if brand.name == "AMEX" else 3)
        for length in range(12, 21):
            number = with_check_digit(f"{brand.first}".ljust(length - 1, "0"))
            assert is_card_number(number) is (length in expected)

    @pytest.mark.parametrize(
        "prefix, name",
        [
            ("222099", None), ("222100", "MASTERCARD"), ("272099", "MASTERCARD"), ("272100", None),
            ("50", "MAESTRO"), ("51", "MASTERCARD"), ("55", "MASTERCARD"), ("56", "MAESTRO"), ("59", None),
            ("33", None), ("34", "AMEX"), ("3527", None), ("3528", "JCB"), ("3589", "JCB"), ("3590", None),
            ("643", None), ("644", "DISCOVER"), ("650484", "DISCOVER"), ("650485", "ELO"), ("650538", "ELO"),
            ("650539", "DISCOVER"), ("6010", None), ("6011", "DISCOVER"), ("6012", None), ("2199", None),
            ("2200", "MIR"), ("2204", "MIR"), ("2205", None), ("401177", "VISA"), ("401178", "ELO"), ("401180", "VISA"),
            ("306", None), ("305", "DINERS"), ("3095", "DINERS"), ("3094", None), ("35", None), ("1", None),
            ("9", None),
        ],
    )  # fmt: skip
    def test_edges_between_two(self, prefix: str, name: str | None) -> None:
        found = brand_of(prefix.ljust(16, "0"))
        assert (found.name if found else None) == name


class TestInText:
    @given(
        long_number,
        st.sampled_from(["", " ", "-", ".", "/", "  ", " -", "\t", "\n", "\u00a0", "\u2013"]),
        st.data(),
    )
    def test_is_found_in_groups(self, number: str, separator: str, data: st.DataObject) -> None:
        sizes = data.draw(st.lists(st.integers(1, 6), min_size=19, max_size=19))
        groups, rest = [], number
        for size in sizes:
            groups.append(rest[:size])
            rest = rest[size:]
        text = separator.join(group for group in groups if group)
        for around in ("{}", "pay {} now", "x{}y", "({})", "é {}", "a:{}"):
            assert contains_card_number(around.format(text))

    @given(long_number)
    def test_is_found_behind_a_uuid(self, number: str) -> None:
        for uuid in ("019b7966-e200-7000-8000-0000000000e1", "00000000-0000-7000-8000-000000000000"):
            for text in (
                f"{uuid} {number}",
                f"{uuid}-{number}",
                f"{number} {uuid}",
                f"{uuid}/{number[:4]} {number[4:]}",
            ):
                assert contains_card_number(text)

    @pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u0966", "\U0001d7ce"])
    def test_is_found_in_the_digits_of_any_script(self, zero: str) -> None:
        assert contains_card_number("".join(chr(ord(zero) + int(digit)) for digit in VISA))

    @given(st.text(max_size=80))
    def test_survives_any_text(self, text: str) -> None:
        assert contains_card_number(text) in (True, False)

    @given(st.text("0123456789 -./", max_size=60))
    def test_is_never_found_where_none_is(self, text: str) -> None:
        digits = "".join(char for char in text if char.isdigit())
        parts = {
            digits[first : first + size] for first in range(len(digits)) for size in range(LENGTH_MIN, LENGTH_MAX + 1)
        }
        if contains_card_number(text):
            assert any(luhn(part) and brand_of(part) for part in parts)

    @given(st.uuids())
    def test_is_no_uuid(self, uuid: UUID) -> None:
        for text in (str(uuid), str(uuid).upper(), f"pm:{uuid}", f"{uuid} {uuid}", f"{uuid}:{uuid}.pdf"):
            assert not contains_card_number(text)

    @given(st.datetimes(), st.integers(0, 10**6))
    def test_is_none_of_our_own_ids(self, moment: object, number: int) -> None:
        from datetime import UTC, datetime

        assert isinstance(moment, datetime)
        made = ids.new(moment.replace(year=2000 + number % 100, tzinfo=UTC))
        assert not contains_card_number(made) and not contains_card_number(f"order-{made}-{number}")

    @pytest.mark.parametrize(
        "text",
        [
            "", "4242", "4242424242424241", "1234567890123456", "424242424242", "+43 664 1234567",
            "2026-01-02 03:04:05",
            "4242-4242x4242-4242", "42424242 and 42424242", "14242424242424242424",
        ],
    )  # fmt: skip
    def test_is_not_what_looks_like_it(self, text: str) -> None:
        assert not contains_card_number(text)
