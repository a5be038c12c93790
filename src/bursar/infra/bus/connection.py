"""The part of a worker that is joined to the bus: one connection, on which events go out and come in.

While NATS is away nothing is tried and nothing is counted as a failure; the connection comes back by itself, and both
directions go on where they were.
"""

import asyncio
import contextlib
from typing import Any, Final

import structlog
from nats.aio.client import Client

from bursar.infra.bus import Inbound
from bursar.infra.bus.listen import Listener
from bursar.infra.bus.publish import NAME, Publisher
from bursar.infra.events import RELAY_SIZE, follow

log = structlog.get_logger()

CONNECT_SECONDS: Final = 2
RECONNECT_SECONDS: Final = 1
BACKLOG_PAUSE_SECONDS: Final = 0.15
"""After each RELAY_SIZE events: so a thousand a second go out at the most."""


class Bus:
    """Publishes events to `stream` at `url` and hands what comes in to `inbound`, until it is stopped."""

    def __init__(self, app: Any, url: str, stream: str, inbound: Inbound) -> None:
        self.app = app
        self.url = url
        self._stopping = asyncio.Event()
        self._client = Client()
        jetstream = self._client.jetstream()
        self.publisher = Publisher(app, jetstream, stream)
        self.listener = Listener(app, jetstream, inbound, lambda: self._client.is_connected)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        connecting = asyncio.create_task(self._connect())
        try:
            await asyncio.gather(
                follow(self.app, self._stopping, NAME, self._publish), self.listener.run(self._stopping)
            )
        finally:
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connecting
            await self._client.close()

    async def _publish(self) -> int:
        """Publish the next events, unless NATS is away. A backlog goes out in measured steps: payments come first."""
        if not self._client.is_connected:
            return 0
        count = await self.publisher.advance()
        if count == RELAY_SIZE:
            await asyncio.sleep(BACKLOG_PAUSE_SECONDS)
        return count

    async def _connect(self) -> None:
        """Connect; and anew whenever the client gave up for good, since the server had ended the connection itself."""
        ended = asyncio.Event()

        async def closed() -> None:
            ended.set()

        while True:
            await self._client.connect(
                self.url,
                name="bursar",
                connect_timeout=CONNECT_SECONDS,
                reconnect_time_wait=RECONNECT_SECONDS,
                max_reconnect_attempts=-1,
                error_cb=_log_error,
                closed_cb=closed,
            )
            await ended.wait()
            ended.clear()
            log.warning("bus.connection_ended", error=repr(self._client.last_error))
            await asyncio.sleep(RECONNECT_SECONDS)


async def _log_error(error: Exception) -> None:
    log.warning("bus.connection", error=repr(error))
