"""Our events to the bus: each once, in the order in which every consumer sees them.

Each is one message in the stream, its subject made of its type (`bursar.payment.captured`), its body the CloudEvents
document that the API and the HTTP sink show: structured mode, so that a consumer reads one form wherever an event comes
from, and no header has to be escaped. `Nats-Msg-Id` is the event's id.

Order: a batch is sent at once and its acknowledgements are awaited together; each message names the one that has to be
the stream's last (`Nats-Expected-Last-Msg-Id`; the first of a batch, its sequence), so a lost or late one makes the
server refuse all behind it. No loss: the cursor moves only after the acknowledgements. No repeat: what was sent before,
as the stream's last message says, is left out, however long ago it was; within the duplicate window the server does so
too.
The cursor is leased, as the HTTP sink's is, and moved only from where it was read: a worker that slept through its
lease can neither send out of order nor move it back.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from nats.errors import Error
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from bursar.infra.events import LEASE, MOVE_FROM, Event, envelope, read_after

log = structlog.get_logger()

NAME: Final = "nats"
"""Of the cursor in event_cursors."""

PREFIX: Final = "bursar"
LEASE_SECONDS: Final = 10
"""How long a killed worker's cursor waits for another one."""

SEND_SECONDS: Final = 7
ACK_SECONDS: Final = 3
ROUNDS_MAX: Final = 5
KEPT_SECONDS: Final = 7 * 86_400
KEPT_MAX: Final = 20_000_000
DUPLICATE_WINDOW_SECONDS: Final = 600
REFUSED_OUT_OF_ORDER: Final = frozenset({10070, 10071})
"""JetStream's codes for a wrong last message id and a wrong last sequence."""


class Publisher:
    """Publishes the outbox to one stream of JetStream."""

    def __init__(self, app: Any, jetstream: JetStreamContext, stream: str) -> None:
        self.app = app
        self.stream = stream
        self._jetstream = jetstream

    async def advance(self) -> int:
        """Publish the next events and move the cursor. Returns how many were published."""
        database = self.app.database
        cursor = await database.pool.fetchrow(LEASE, NAME, self.app.clock.now(), LEASE_SECONDS)
        if cursor is None:
            return 0
        async with asyncio.timeout(SEND_SECONDS):
            events, (tx, position) = await read_after(database.pool, cursor)
            if events:
                await self._send(events)
        await database.execute(MOVE_FROM, NAME, tx, position, cursor["tx"], cursor["position"])
        return len(events)

    async def _send(self, events: Sequence[Event]) -> None:
        for _ in range(ROUNDS_MAX):
            last_sequence, last_id = await self._tail()
            waiting = _after(events, last_id)
            if not waiting:
                return
            before = [None, *(event.id for event in waiting)]
            sending = (
                self._publish(event, last_sequence, previous) for event, previous in zip(waiting, before, strict=False)
            )
            answers = await asyncio.gather(*sending, return_exceptions=True)
            failures = [answer for answer in answers if isinstance(answer, BaseException)]
            if not failures:
                return
            for failure in failures:
                if not (isinstance(failure, APIError) and failure.err_code in REFUSED_OUT_OF_ORDER):
                    raise failure
        raise Error("somebody else publishes to the stream")

    async def _publish(self, event: Event, last_sequence: int, previous: str | None) -> None:
        """Publish an event right after `previous`; after the message of `last_sequence`, where that is None."""
        headers: dict[str, Any] = {
            "Content-Type": "application/cloudevents+json",
            api.Header.MSG_ID.value: event.id,
            api.Header.EXPECTED_STREAM.value: self.stream,
        }
        if previous is not None:
            headers[api.Header.EXPECTED_LAST_MSG_ID.value] = previous
        else:
            headers[api.Header.EXPECTED_LAST_SEQUENCE.value] = str(last_sequence)
        body = msgspec.json.encode(envelope(event))
        await self._jetstream.publish(f"{PREFIX}.{event.type}", body, timeout=ACK_SECONDS, headers=headers)

    async def _tail(self) -> tuple[int, str | None]:
        """The stream's last sequence, and the id of the event there, where it is kept still. Makes a missing stream."""
        try:
            info = await self._jetstream.stream_info(self.stream)
        except NotFoundError:
            await self._make_stream()
            return 0, None
        last = info.state.last_seq
        if not info.state.messages:
            return last, None
        try:
            message = await self._jetstream.get_msg(self.stream, last)
        except NotFoundError:
            return last, None
        return last, (message.headers or {}).get(api.Header.MSG_ID.value)

    async def _make_stream(self) -> None:
        log.info("bus.stream_made", stream=self.stream)
        await self._jetstream.add_stream(
            api.StreamConfig(
                name=self.stream,
                subjects=[f"{PREFIX}.>"],
                storage=api.StorageType.FILE,
                retention=api.RetentionPolicy.LIMITS,
                discard=api.DiscardPolicy.OLD,
                max_age=KEPT_SECONDS,
                max_msgs=KEPT_MAX,
                duplicate_window=DUPLICATE_WINDOW_SECONDS,
            )
        )


def _after(events: Sequence[Event], last_id: str | None) -> Sequence[Event]:
    """The events behind the one that was sent last; all, where it is none of them."""
    for index, event in enumerate(events):
        if event.id == last_id:
            return events[index + 1 :]
    return events
