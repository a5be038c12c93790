"""The HTTP sink: every event posted to one configured address, as CloudEvents batches, in order, at least once.

The cursor is leased, not locked: no transaction is open while the sink is asked. It is moved only from where it was
read. The answer counts by its status; its body is not read.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec

from bursar.infra.events import LEASE, MOVE_FROM, Event, envelope, follow, read_after

NAME: Final = "http-sink"
TIMEOUT_SECONDS: Final = 10
LEASE_SECONDS: Final = 30


class Sink:
    """Posts events to `url` until it is stopped. One worker at a time holds the lease."""

    def __init__(self, app: Any, url: str) -> None:
        self.app = app
        self.url = url
        self._stopping = asyncio.Event()
        self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        async with self._client:
            await follow(self.app, self._stopping, NAME, self.advance)

    async def advance(self) -> int:
        """Post the next events and move the cursor. Returns how many were taken by the sink."""
        database = self.app.database
        cursor = await database.pool.fetchrow(LEASE, NAME, self.app.clock.now(), LEASE_SECONDS)
        if cursor is None:
            return 0
        events, (tx, position) = await read_after(database.pool, cursor)
        if events:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await self._post(events)
        await database.execute(MOVE_FROM, NAME, tx, position, cursor["tx"], cursor["position"])
        return len(events)

    async def _post(self, events: Sequence[Event]) -> None:
        body = msgspec.json.encode([envelope(event) for event in events])
        headers = {"content-type": "application/cloudevents-batch+json"}
        async with self._client.stream("POST", self.url, content=body, headers=headers) as answer:
            answer.raise_for_status()
