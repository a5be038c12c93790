"""Events of other services from the bus: a durable pull consumer on `platform.>`, shared by all workers.

A message is acknowledged after the commit of what it led to, so each is taken in at least once, and its (source, id)
makes the repeat harmless. One that can never be taken in, or could not TRIES_MAX times though the database was there,
is kept as failed and terminated: it delays nobody else's.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import structlog
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import JetStreamContext, api
from nats.js.errors import NotFoundError

from bursar.infra.bus import Inbound, Message, Poison
from bursar.infra.db import UNREACHABLE
from bursar.kit.errors import Problem

log = structlog.get_logger()

SUBJECT: Final = "platform.>"
STREAM: Final = "PLATFORM"
"""The stream that is made where none holds SUBJECT."""

DURABLE: Final = "bursar"
FETCH_SIZE: Final = 50
FETCH_SECONDS: Final = 1
ACK_WAIT_SECONDS: Final = 30
TRIES_MAX: Final = 10
NOT_NOW: Final = (*UNREACHABLE, Problem)
"""What says nothing of a message: the database is away or overloaded, however long."""

BACKOFF_MAX_SECONDS: Final = 60
KEPT_SECONDS: Final = 7 * 86_400
WAIT_SECONDS: Final = 1


class Listener:
    """Hands what comes in to `inbound`, until `stopping` is set."""

    def __init__(
        self, app: Any, jetstream: JetStreamContext, inbound: Inbound, is_connected: Callable[[], bool]
    ) -> None:
        self.app = app
        self._jetstream = jetstream
        self._inbound = inbound
        self._is_connected = is_connected
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                await self.advance()
            except (Error, OSError, TimeoutError) as error:  # the bus is away, or the consumer is: begin anew
                log.warning("bus.listen_failed", error=repr(error))
                self._subscription = None
                with suppress(TimeoutError):
                    async with asyncio.timeout(WAIT_SECONDS):
                        await stopping.wait()

    async def advance(self) -> int:
        """Take in what has come within FETCH_SECONDS. Returns how many messages there were."""
        if not self._is_connected():
            await asyncio.sleep(WAIT_SECONDS)
            return 0
        if self._subscription is None:
            self._subscription = await self._subscribe()
        try:
            messages = await self._subscription.fetch(FETCH_SIZE, timeout=FETCH_SECONDS)
        except TimeoutError:
            await self._subscription.consumer_info()  # who was deleted would wait for good
            return 0
        await asyncio.gather(*(self._take(message) for message in messages))
        return len(messages)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        try:
            stream = await self._jetstream.find_stream_name_by_subject(SUBJECT)
        except NotFoundError:
            stream = STREAM
            kept = api.StreamConfig(name=STREAM, subjects=[SUBJECT], storage=api.StorageType.FILE, max_age=KEPT_SECONDS)
            await self._jetstream.add_stream(kept)
        config = api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_SECONDS, max_deliver=-1)
        return await self._jetstream.pull_subscribe(SUBJECT, durable=DURABLE, stream=stream, config=config)

    async def _take(self, raw: Msg) -> None:
        try:
            await self._settle(raw)
        except Exception as error:  # neither taken in nor kept: it comes again
            log.warning("bus.message_not_settled", subject=raw.subject, error=repr(error))

    async def _settle(self, raw: Msg) -> None:
        """Take a message in and acknowledge it; or have it come again later; or keep it as failed and end it."""
        place, tries = raw.metadata.sequence.stream, raw.metadata.num_delivered
        message = Message(document_of(raw), f"nats:{raw.metadata.stream}", str(place), tries)
        try:
            await self._inbound.take(self.app, message)
        except Poison as error:
            await self._give_up(raw, message, str(error))
        except Exception as error:
            log.warning("bus.message_failed", subject=raw.subject, place=place, tries=tries, error=repr(error))
            if tries < TRIES_MAX or isinstance(error, NOT_NOW):
                await raw.nak(delay=min(BACKOFF_MAX_SECONDS, 2**tries))
            else:
                await self._give_up(raw, message, type(error).__name__)
        else:
            await raw.ack()

    async def _give_up(self, raw: Msg, message: Message, error: str) -> None:
        await self._inbound.refuse(self.app, message, error)
        await raw.term()


def document_of(raw: Msg) -> bytes:
    """The CloudEvents document of a message; one in binary mode, with its attributes in headers, is put together."""
    attributes = {
        name.lower().removeprefix("ce-"): unquote(value)
        for name, value in (raw.headers or {}).items()
        if name.lower().startswith("ce-")
    }
    if not attributes:
        return raw.data
    try:
        return msgspec.json.encode(attributes | ({"data": msgspec.json.decode(raw.data)} if raw.data else {}))
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested without end
        return raw.data
