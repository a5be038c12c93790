"""What vendors sold before many moments, one after another: only what came in and what fell out is counted anew."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from bursar.domains.context import App
from bursar.domains.transactions import store


class Window(NamedTuple):
    """So many days before `until`."""

    vendor_id: str
    currency: str
    days: int
    until: datetime

    @property
    def since(self) -> datetime:
        return self.until - timedelta(days=self.days)


class Volumes:
    """Remembers, for each vendor, currency and number of days, the last window that was read and its volume."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, int], tuple[Window, int]] = {}

    async def read(self, app: App, windows: Sequence[Window]) -> dict[Window, int]:
        """The volume of each window. They cost least in the order of time."""
        steps: list[tuple[Window, Window | None, str, str]] = []
        behind = {last[:3]: last for last, _ in self._last.values()}
        for window in windows:
            before = behind.get(window[:3])
            if before is not None and before.until > window.until:
                before = None
            steps.append((window, before, *_keys(window, before)))
            behind[window[:3]] = window
        sold = await store.sold(app.database, [key for step in steps for key in step[2:]], app.clock.now())
        found: dict[Window, int] = {}
        for window, before, came_in, fell_out in steps:
            volume = sold[came_in] - sold[fell_out]
            if before is not None:
                volume += found[before] if before in found else self._last[window[:3]][1]
            found[window] = volume
            self._last[window[:3]] = (window, volume)
        return found


def _keys(window: Window, before: Window | None) -> tuple[str, str]:
    """Of store.SOLD: what is in the window and not in the one before, and what is in that one and not in it."""
    vendor_id, currency, _, until = window
    if before is None:
        return store.sold_key(vendor_id, currency, window.since, until), store.sold_key(
            vendor_id, currency, until, until
        )
    return (
        store.sold_key(vendor_id, currency, before.until, until),
        store.sold_key(vendor_id, currency, before.since, window.since),
    )
