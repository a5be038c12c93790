"""The days on which SEPA credit transfers are settled: those on which TARGET2 is open.

Source: the ECB's long-term calendar of TARGET2 closing days, as the `holidays` package has it (XECB).
"""

from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import holidays

SATURDAY: Final = 5
ZONE: Final = ZoneInfo("Europe/Berlin")
"""TARGET2 works by Frankfurt's time."""

_closed = holidays.financial_holidays("XECB")


def is_banking_day(day: date) -> bool:
    """Whether TARGET2 is open."""
    return day.weekday() < SATURDAY and day not in _closed


def next_banking_day(day: date) -> date:
    """`day` itself where TARGET2 is open then, else the first day after it on which it is."""
    while not is_banking_day(day):
        day += timedelta(days=1)
    return day


def add_banking_days(day: date, count: int) -> date:
    """The banking day that is `count` (>= 0) banking days after `day`, or after the first one from `day` on."""
    day = next_banking_day(day)
    for _ in range(count):
        day = next_banking_day(day + timedelta(days=1))
    return day


def execution_date(at: datetime, *, cutoff: time) -> date:
    """The date to ask for in a file that is handed in at the instant `at`: that day where it is a banking day and the
    bank's cut-off (Frankfurt's time) has not passed, else the next one.
    """
    local = at.astimezone(ZONE)
    is_late = local.time() >= cutoff
    return next_banking_day(local.date() + timedelta(days=1 if is_late else 0))
