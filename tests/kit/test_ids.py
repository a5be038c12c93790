"""Ids: sorted by time, and numbers whose typing errors show."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.kit import ids
from bursar.kit.ids import ALPHABET

SINCE = datetime(2025, 1, 2, tzinfo=UTC)
moments = st.timedeltas(timedelta(), timedelta(days=12_000)).map(lambda passed: SINCE + passed)
PREFIX = "PAY"


class TestNew:
    @given(moments)
    def test_is_a_uuid_of_version_7_that_carries_its_time(self, moment: datetime) -> None:
        text = ids.new(moment)
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, text)
        assert parsed.int >> 80 == int(moment.timestamp() * 1000)
        assert ids.is_uuid(text)

    @given(moments, st.lists(st.integers(0, 5_000_000), min_size=2, max_size=40))
    def test_sorts_by_time(self, moment: datetime, steps: list[int]) -> None:
        made = []
        for step in steps:
            moment += timedelta(microseconds=step)
            made.append(ids.new(moment))
        assert made == sorted(made) and len(set(made)) == len(made)

    def test_sorts_within_a_millisecond(self) -> None:
        moment = datetime(2026, 5, 4, tzinfo=UTC)
        made = [ids.new(moment) for _ in range(4_000)]
        assert made == sorted(made) and len(set(made)) == 4_000

    @given(moments)
    def test_lies_above_the_lowest_of_its_millisecond(self, moment: datetime) -> None:
        lowest, above = ids.lowest(moment), ids.lowest(moment + timedelta(milliseconds=1))
        assert lowest <= ids.new(moment) < above
        assert ids.is_uuid(lowest)


class TestIsUuid:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            "00000000-0000-7000-8000-00000000000",
            "00000000-0000-7000-8000-0000000000000",
            "00000000-0000-7000-8000-00000000000G",
            "00000000-0000-7000-8000-00000000000A",
            "00000000_0000-7000-8000-000000000000",
            "0000000-00000-7000-8000-000000000000",
            "00000000-0000-7000-8000-0000000-0000",
            "{0000000-0000-7000-8000-000000000000",
        ],
    )
    def test_takes_the_canonical_form_only(self, text: str) -> None:
        assert not ids.is_uuid(text)

    @given(st.text(max_size=40))
    def test_agrees_with_the_standard_library(self, text: str) -> None:
        try:
            is_one = str(uuid.UUID(text)) == text
        except ValueError:
            is_one = False
        assert ids.is_uuid(text) == is_one


class TestNumber:
    @given(moments)
    def test_is_short_and_without_look_alikes(self, moment: datetime) -> None:
        number = ids.number(PREFIX, moment)
        assert ids.is_number(PREFIX, number) and len(number) == 18
        assert not set(number.removeprefix("PAY-")) & set("01IOLSU")

    @given(moments, st.integers(0, 13), st.sampled_from(ALPHABET))
    def test_shows_any_wrong_character(self, moment: datetime, place: int, other: str) -> None:
        head, _, body = ids.number(PREFIX, moment).partition("-")
        wrong = body[:place] + other + body[place + 1 :]
        assert ids.is_number(PREFIX, f"{head}-{wrong}") == (wrong == body)

    @given(moments, st.integers(0, 13), st.integers(0, 13))
    def test_shows_any_two_characters_exchanged(self, moment: datetime, one: int, other: int) -> None:
        _, _, body = ids.number(PREFIX, moment).partition("-")
        letters = list(body)
        letters[one], letters[other] = letters[other], letters[one]
        wrong = "".join(letters)
        neighbours_or_body = abs(one - other) <= 1 or (one < 13 and other < 13)
        if neighbours_or_body:
            assert ids.is_number(PREFIX, f"PAY-{wrong}") == (wrong == body)

    @given(moments)
    def test_sorts_by_time(self, moment: datetime) -> None:
        later = ids.number(PREFIX, moment + timedelta(seconds=1))
        assert ids.number(PREFIX, moment)[4:11] < later[4:11]

    @pytest.mark.parametrize(
        "text", ["", "PAY", "PAY-", "PAY-2222222222222", "RFD-22222222222222", "pay-22222222222222"]
    )
    def test_of_another_form_is_none(self, text: str) -> None:
        assert not ids.is_number(PREFIX, text)
