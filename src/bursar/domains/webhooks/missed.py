"""What a provider has told and what never reached us: found in its own log of events, taken in as a webhook would be.

Its webhooks are repeated for days, but not for ever, and not where they were acknowledged by a database that has since
been restored from an older copy.
"""

import time
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bursar.domains.context import App
from bursar.domains.webhooks import handlers, store
from bursar.domains.webhooks.change import defer_fetching
from bursar.domains.webhooks.reading import NoEvent, read
from bursar.domains.webhooks.receive import receive
from bursar.infra import observe
from bursar.infra.db import Origin
from bursar.infra.verdict import Verified
from bursar.providers import port
from bursar.providers.port import EventLog, Logged, ReportUnavailable

log = structlog.get_logger()

SETTLED: Final = timedelta(minutes=5)
"""Younger events may be on their way, or not be in the log yet."""

RANGE_MIN: Final = timedelta(minutes=5)
RANGE_MAX: Final = timedelta(hours=6)
"""Of a log that is read at once, twice as much each time while little is in it; how far it has been read is noted after
each.
"""

LITTLE: Final = 100
"""Events."""

FORGOTTEN_BEFORE: Final = timedelta(hours=1)
"""How long before its time a provider may forget an event: clocks differ, and reading takes a while."""

RUN_SECONDS: Final = 60.0
RANGE_SECONDS: Final = 240.0


async def look(app: App) -> None:
    """Have each provider's log read where it was not for `webhook_fetch_minutes`. A log is read from when we first knew
    the provider.
    """
    minutes = app.settings.webhook_fetch_minutes
    names = [name for name, provider in app.providers.items() if isinstance(port.adapter_of(provider), EventLog)]
    if not minutes or not names:
        return
    now = app.clock.now()
    until = await store.begin_logs(app.database, names, now)
    if due := [name for name in names if until[name] <= now - SETTLED - timedelta(minutes=minutes)]:
        async with app.database.transaction(now=now) as tx:
            for name in due:
                defer_fetching(tx, name)


async def fetch(app: App, args: dict[str, Any]) -> None:
    """Read a provider's log up to what has settled, or for RUN_SECONDS, and take in what is missing here. Safe to
    repeat: an event is taken in once. A provider that does not show its log is asked again later.
    """
    name = args["provider"]
    shown = port.adapter_of(app.providers[name]) if name in app.providers else None
    if not isinstance(shown, EventLog):
        return
    began, end = time.monotonic(), app.clock.now() - SETTLED
    since, at_once = await _from(app, name, shown), RANGE_MIN
    while since < end and time.monotonic() - began < RUN_SECONDS:
        until = min(since + at_once, end)
        try:
            count = await _read(app, name, shown, since, until)
        except ReportUnavailable as error:
            log.warning("webhook.log_unavailable", provider=name, reason=str(error))
            return
        await store.note_log_read(app.database, name, since, until)
        since, at_once = until, min(2 * at_once, RANGE_MAX) if count <= LITTLE else RANGE_MIN


async def _from(app: App, name: str, shown: EventLog) -> datetime:
    """Where to read on in a provider's log. What it has forgotten since is passed over, and said."""
    since = await store.log_read_until(app.database, name)
    begins = app.clock.now() - shown.events_kept + FORGOTTEN_BEFORE
    if since >= begins:
        return since
    log.error("webhook.log_forgotten", provider=name, since=since.isoformat(), until=begins.isoformat())
    await store.note_log_read(app.database, name, since, begins)
    return begins


async def _read(app: App, name: str, shown: EventLog, since: datetime, until: datetime) -> int:
    """Take in what is missing of a part of the log. Returns how many events are in that part."""
    count = 0
    async for page in shown.events(since=since, until=until):
        count += len(page)
        told = [event for event in page if handlers.find(name, event.type).handle is not None]
        known = await store.known_events(app.database, name, [event.id for event in told])
        missing = [event for event in told if event.id not in known]
        for event in missing:
            await _take_in(app, name, event)
        if missing:
            log.warning("webhook.missed", provider=name, count=len(missing))
            observe.WEBHOOKS_MISSED.labels(name).inc(len(missing))
    return count


async def _take_in(app: App, name: str, logged: Logged) -> None:
    try:
        event = read(name, {}, logged.body)
    except NoEvent as error:
        log.error("webhook.log_unreadable", provider=name, event_id=logged.id, reason=str(error))
        return
    verified = Verified(name, event.id, event.type, event.occurred_at, event.named, headers={})
    await receive(app, Origin(f"webhook-log:{name}", ""), verified, logged.body)
