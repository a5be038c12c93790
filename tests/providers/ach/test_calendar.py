"""Banking days: the Federal Reserve's own list of holidays, year by year, and the hours of its windows."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.providers.ach.calendar import (
    NEW_YORK,
    SAME_DAY_WINDOWS,
    add_banking_days,
    effective_date,
    is_banking_day,
    next_banking_day,
    same_day_window,
)

CLOSED = {
    # weekdays on which the Reserve Banks are closed (federalreserve.gov/aboutthefed/k8.htm)
    2025: "01-01 01-20 02-17 05-26 06-19 07-04 09-01 10-13 11-11 11-27 12-25",
    2026: "01-01 01-19 02-16 05-25 06-19 09-07 10-12 11-11 11-26 12-25",
    2027: "01-01 01-18 02-15 05-31 07-05 09-06 10-11 11-11 11-25",
    2028: "01-17 02-21 05-29 06-19 07-04 09-04 10-09 11-23 12-25",
}
SATURDAY_HOLIDAYS = [date(2026, 7, 4), date(2027, 6, 19), date(2027, 12, 25), date(2028, 1, 1), date(2028, 11, 11)]
days = st.dates(date(2020, 1, 1), date(2035, 12, 31))


def at(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)


class TestBankingDays:
    @pytest.mark.parametrize("year", CLOSED)
    def test_is_the_list_of_the_federal_reserve(self, year: int) -> None:
        weekdays = [day for n in range(366) if (day := date(year, 1, 1) + timedelta(n)).year == year]
        closed = [f"{day:%m-%d}" for day in weekdays if day.weekday() < 5 and not is_banking_day(day)]
        assert " ".join(closed) == CLOSED[year]

    @pytest.mark.parametrize("holiday", SATURDAY_HOLIDAYS)
    def test_a_holiday_on_saturday_closes_no_friday(self, holiday: date) -> None:
        assert holiday.weekday() == 5
        assert is_banking_day(holiday - timedelta(days=1)) and not is_banking_day(holiday)
        assert is_banking_day(holiday + timedelta(days=2))

    def test_a_holiday_on_sunday_closes_monday(self) -> None:
        assert not is_banking_day(date(2027, 7, 5)) and next_banking_day(date(2027, 7, 2)) == date(2027, 7, 6)

    @given(days)
    def test_next_skips_no_banking_day(self, day: date) -> None:
        following = next_banking_day(day)
        assert following > day and is_banking_day(following)
        between = [day + timedelta(n) for n in range(1, (following - day).days)]
        assert not any(is_banking_day(one) for one in between) and len(between) <= 4

    @given(days, st.integers(0, 30), st.integers(1, 30))
    def test_adding_twice_is_adding_the_sum(self, day: date, first: int, second: int) -> None:
        once = add_banking_days(day, first + second)
        if first:
            assert add_banking_days(add_banking_days(day, first), second) == once
        assert is_banking_day(once)

    def test_adding_none_stays_or_moves_on(self) -> None:
        assert add_banking_days(date(2026, 7, 3), 0) == date(2026, 7, 3)
        assert add_banking_days(date(2026, 7, 4), 0) == date(2026, 7, 6)


class TestEffectiveDate:
    FRIDAY, SATURDAY, MONDAY, TUESDAY = date(2026, 7, 10), date(2026, 7, 11), date(2026, 7, 13), date(2026, 7, 14)

    @pytest.mark.parametrize(
        "now, same_day, expected",
        [
            (at(FRIDAY, 15, 59), False, MONDAY),
            (at(FRIDAY, 16, 0), False, TUESDAY),
            (at(SATURDAY, 9), False, TUESDAY),
            (at(FRIDAY, 15, 59), True, FRIDAY),
            (at(FRIDAY, 16, 0), True, MONDAY),
            (at(SATURDAY, 9), True, MONDAY),
            (at(date(2027, 12, 24), 9), True, date(2027, 12, 24)),
            (at(date(2026, 11, 25), 9), False, date(2026, 11, 27)),
        ],
    )
    def test_by_example(self, now: datetime, same_day: bool, expected: date) -> None:
        assert effective_date(now, cutoff=time(16), same_day=same_day) == expected

    def test_goes_by_the_clock_of_new_york(self) -> None:
        late_in_utc = datetime(2026, 7, 11, 1, 0, tzinfo=UTC)
        assert effective_date(late_in_utc, cutoff=time(23), same_day=False) == self.MONDAY
        winter, summer = datetime(2026, 1, 13, 20, 30, tzinfo=UTC), datetime(2026, 7, 14, 20, 30, tzinfo=UTC)
        assert effective_date(winter, cutoff=time(16), same_day=True) == date(2026, 1, 13)
        assert effective_date(summer, cutoff=time(16), same_day=True) == date(2026, 7, 15)

    def test_no_cutoff_is_later_than_the_last_window(self) -> None:
        assert effective_date(at(self.FRIDAY, 16, 44), cutoff=time(20), same_day=True) == self.FRIDAY
        assert effective_date(at(self.FRIDAY, 16, 45), cutoff=time(20), same_day=True) == self.MONDAY
        assert effective_date(at(self.FRIDAY, 16, 45), cutoff=time(20), same_day=False) == self.MONDAY

    def test_wants_an_aware_time(self) -> None:
        with pytest.raises(AssertionError, match="aware"):
            effective_date(datetime(2026, 7, 10), cutoff=time(16), same_day=False)  # noqa: DTZ001

    @pytest.mark.parametrize(
        "hour, minute, window", [(10, 29, 0), (10, 30, 1), (14, 44, 1), (14, 45, 2), (16, 44, 2), (16, 45, None)]
    )
    def test_windows(self, hour: int, minute: int, window: int | None) -> None:
        expected = None if window is None else SAME_DAY_WINDOWS[window]
        assert same_day_window(at(self.FRIDAY, hour, minute)) == expected
        assert same_day_window(at(self.SATURDAY, hour, minute)) is None
