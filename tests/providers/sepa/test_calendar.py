"""TARGET2's days, against the ECB's published closing days."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.providers.sepa.calendar import add_banking_days, execution_date, is_banking_day, next_banking_day

DAYS = st.dates(date(2020, 1, 1), date(2035, 12, 31))
CUTOFF = time(14, 0)


class TestBankingDay:
    @pytest.mark.parametrize("year, friday, monday", [(2025, (4, 18), (4, 21)), (2026, (4, 3), (4, 6))])
    def test_target2_is_closed(self, year: int, friday: tuple[int, int], monday: tuple[int, int]) -> None:
        closed = {
            date(year, 1, 1) + timedelta(days=number)
            for number in range(365)
            if not is_banking_day(date(year, 1, 1) + timedelta(days=number))
        }
        fixed = {date(year, month, day) for month, day in [(1, 1), friday, monday, (5, 1), (12, 25), (12, 26)]}
        assert {day for day in closed if day.weekday() < 5} == {day for day in fixed if day.weekday() < 5}

    @pytest.mark.parametrize("day", [date(2026, 5, 25), date(2026, 10, 3), date(2026, 12, 24), date(2026, 12, 31)])
    def test_national_holidays_do_not_count(self, day: date) -> None:
        assert is_banking_day(day) == (day.weekday() < 5)

    @given(DAYS)
    def test_next_is_the_first_from_that_day_on(self, day: date) -> None:
        after = next_banking_day(day)
        assert is_banking_day(after) and day <= after <= day + timedelta(days=5)
        assert not any(is_banking_day(day + timedelta(days=number)) for number in range((after - day).days))

    @given(DAYS, st.integers(0, 10))
    def test_adding_counts_banking_days_only(self, day: date, count: int) -> None:
        start, end = next_banking_day(day), add_banking_days(day, count)
        between = [start + timedelta(days=number) for number in range(1, (end - start).days + 1)]
        assert sum(map(is_banking_day, between)) == count and is_banking_day(end)


class TestExecutionDate:
    @pytest.mark.parametrize(
        "at, expected",
        [
            (datetime(2026, 3, 2, 12, 59, tzinfo=UTC), date(2026, 3, 2)),
            (datetime(2026, 3, 2, 13, 0, tzinfo=UTC), date(2026, 3, 3)),
            (datetime(2026, 7, 1, 11, 59, tzinfo=UTC), date(2026, 7, 1)),
            (datetime(2026, 7, 1, 12, 0, tzinfo=UTC), date(2026, 7, 2)),
            (datetime(2026, 3, 1, 23, 30, tzinfo=UTC), date(2026, 3, 2)),
            (datetime(2026, 3, 6, 15, 0, tzinfo=UTC), date(2026, 3, 9)),
            (datetime(2026, 4, 2, 15, 0, tzinfo=UTC), date(2026, 4, 7)),
            (datetime(2026, 12, 24, 15, 0, tzinfo=UTC), date(2026, 12, 28)),
        ],
    )
    def test_by_frankfurts_time(self, at: datetime, expected: date) -> None:
        assert execution_date(at, cutoff=CUTOFF) == expected
