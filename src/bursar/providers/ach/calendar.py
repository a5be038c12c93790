"""Banking days by the calendar of the Federal Reserve Banks, and the hours of Same Day ACH.

A holiday on a Sunday is kept on Monday; on a Saturday it is not moved, so that the Friday before is a banking day: the
`XFED` calendar of `holidays`, unlike its `US` one, which closes that Friday.
"""

from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import holidays

NEW_YORK: Final = ZoneInfo("America/New_York")
SAME_DAY_AMOUNT_MAX: Final = 1_000_000_00
"""Cents, for each entry."""

_HOLIDAYS: Final = holidays.financial_holidays("XFED")
_DAYS_MAX: Final = 366


class Window(NamedTuple):
    """A window of Same Day ACH in New York's time: files in by `deadline` are settled at `settles_at`."""

    deadline: time
    settles_at: time


SAME_DAY_WINDOWS: Final = (
    Window(time(10, 30), time(13, 0)),
    Window(time(14, 45), time(17, 0)),
    Window(time(16, 45), time(18, 0)),
)


def is_banking_day(day: date) -> bool:
    """Whether the Federal Reserve settles on this day."""
    return day.weekday() < 5 and day not in _HOLIDAYS


def next_banking_day(day: date) -> date:
    """The first banking day after `day`."""
    return add_banking_days(day, 1)


def add_banking_days(day: date, count: int) -> date:
    """The banking day that lies `count` (0 to 366) banking days after `day`; with 0, `day` or the next one if it is
    none.
    """
    assert 0 <= count <= _DAYS_MAX, count
    if count == 0:
        return day if is_banking_day(day) else next_banking_day(day)
    for _ in range(count):
        day += timedelta(days=1)
        while not is_banking_day(day):
            day += timedelta(days=1)
    return day


def effective_date(now: datetime, *, cutoff: time, same_day: bool) -> date:
    """The day on which a file handed over at `now` can take effect.

    cutoff: New York's time by which the bank takes files; at the cutoff it is too late. A file in time on a banking day
    takes effect on that day where `same_day`, on the next banking day else; any other as if it came on the next banking
    day in time. For same day the last window's deadline counts where the cutoff lies after it.
    """
    assert now.tzinfo is not None, "now has to be aware"
    local = now.astimezone(NEW_YORK)
    last = min(cutoff, SAME_DAY_WINDOWS[-1].deadline) if same_day else cutoff
    is_in_time = is_banking_day(local.date()) and local.time() < last
    taken_on = local.date() if is_in_time else next_banking_day(local.date())
    return taken_on if same_day else next_banking_day(taken_on)


def same_day_window(now: datetime) -> Window | None:
    """The window that a file handed over at `now` still reaches today; None where there is none."""
    assert now.tzinfo is not None, "now has to be aware"
    local = now.astimezone(NEW_YORK)
    if not is_banking_day(local.date()):
        return None
    return next((window for window in SAME_DAY_WINDOWS if local.time() < window.deadline), None)
