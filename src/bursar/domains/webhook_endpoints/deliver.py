"""The part of a worker that tells endpoints of events: fans events out into deliveries, and runs lanes.

Any number of workers run it side by side: one at a time moves the cursor, one at a time holds each lane.
"""

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from bursar.domains.context import App
from bursar.domains.webhook_endpoints import store
from bursar.domains.webhook_endpoints.lane import POLL_SECONDS, Lane
from bursar.domains.webhook_endpoints.model import ENDPOINTS_MAX, parties, wants
from bursar.infra.db import UNREACHABLE, Origin
from bursar.infra.events import MOVE, Event, follow, read_after
from bursar.kit import ids

log = structlog.get_logger()

NAME: Final = "webhook-endpoints"
"""The cursor's."""


class Deliverer:
    """Fans out and delivers until it is stopped; a stop lets what is under way end."""

    def __init__(self, app: App) -> None:
        self.app = app
        self._stopping = asyncio.Event()
        self._lanes: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        await asyncio.gather(follow(self.app, self._stopping, NAME, self.fan_out), self._run_lanes())

    async def fan_out(self) -> int:
        """Make deliveries of the next events and move the cursor, in one transaction. Returns how many events were
        passed.
        """
        database, now = self.app.database, self.app.clock.now()
        if not await store.anybody_listens(database, NAME):
            return 0
        async with database.transaction(now=now, origin=Origin(f"relay:{NAME}", "")) as tx:
            cursor = await store.lock_cursor(tx.connection, NAME, now)
            if cursor is None:
                return 0
            events, (tx_after, position_after) = await read_after(tx.connection, cursor)
            if events:
                rows = await _wanted(tx.connection, events)
                await store.insert_deliveries(
                    tx.connection, [(ids.new(now), endpoint_id, event) for endpoint_id, event in rows], now
                )
            await tx.connection.execute(MOVE, NAME, tx_after, position_after)
        if events:
            self._wake.set()
        return len(events)

    async def _run_lanes(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                await self.claim()
            except UNREACHABLE as error:
                log.warning("webhooks.database_unreachable", error=repr(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
        await asyncio.gather(*self._lanes)

    async def claim(self) -> int:
        """Run the lanes where there is something to send and that nobody holds. Returns how many were taken."""
        held = await store.claim(self.app.database, self.app.clock.now(), limit=ENDPOINTS_MAX)
        for one in held:
            task = asyncio.create_task(Lane(self.app, one, self._stopping).run())
            self._lanes.add(task)
            task.add_done_callback(self._lanes.discard)
        return len(held)


async def _wanted(connection: object, events: list[Event]) -> list[tuple[str, Event]]:
    """Who is told of what: (endpoint's id, event), in the order of the events.

    The endpoints are read after the events: one that was made before an event is seen.
    """
    listeners = await store.listeners(connection)
    concerned: dict[str, frozenset[tuple[str, str]]] = {}
    if any(listener.endpoint.is_narrowed for listener in listeners):
        streams = {event.stream for event in events} | {event.about for event in events}
        first = await store.beginnings(connection, sorted(streams))
        concerned = {
            event.id: parties((event.data, first.get(event.stream, {}), first.get(event.about, {}))) for event in events
        }
    return [
        (listener.endpoint.id, event)
        for event in events
        for listener in listeners
        if event.tx > listener.since_tx and wants(listener.endpoint, event, concerned.get(event.id, frozenset()))
    ]
