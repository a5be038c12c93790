"""Events: the outbox and the history in one table, and the relay that hands them to consumers in order.

Positions are given in insert order, not in commit order; so the order that consumers see is (transaction, position),
and they read only below the oldest running transaction. A change of a row is decided after the change before it has
committed (its version is guarded), so its transaction's number is higher: within a stream this order is the order of
versions. Where a transaction has its number before it looks at a row, `LiveTx.flush` sees to it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from typing import Any, Final

import msgspec
import structlog

from bursar.infra.db import UNREACHABLE, Database, LiveTx, Origin, Table, Tx
from bursar.kit import ids

log = structlog.get_logger()

RELAY_SIZE: Final = 200
POLL_SECONDS: Final = 0.2
TRICKLE_SECONDS: Final = 0.05
"""The pause while events come one by one: a transaction for each of them would cost payments more than the wait costs
consumers.
"""

BACKOFF_MAX_SECONDS: Final = 60


class _EventRow(msgspec.Struct, frozen=True):
    id: str
    stream: str
    version: int
    type: str
    about: str
    data: Any
    occurred_at: datetime


class Event(msgspec.Struct, frozen=True):
    """A change that was committed. stream and version: which object, and its version after the change."""

    id: str
    stream: str
    version: int
    type: str
    about: str
    data: dict[str, Any]
    occurred_at: datetime
    recorded_at: datetime
    tx: int
    position: int


def emit(tx: Tx, *, stream: str, version: int, event_type: str, about: str, data: Any) -> None:
    """Tell the world of a change, in its own transaction. about: the payment to whose timeline this belongs."""
    tx.write("events", _EventRow(ids.new(tx.now), stream, version, event_type, about, data, tx.now))


def public(table: Table[Any], row: msgspec.Struct, names: Iterable[str] | None = None) -> dict[str, Any]:
    """What an event tells of a row: the named fields, or all that are not None and not private, in camelCase."""
    if names is not None:
        return {camel(name): getattr(row, name) for name in names}
    return {shown: value for name, shown in _shown(table) if (value := getattr(row, name)) is not None}


@cache
def _shown(table: Table[Any]) -> list[tuple[str, str]]:
    return [(name, camel(name)) for name in table.row.__struct_fields__ if name not in table.private]


@cache
def camel(name: str) -> str:
    """`amount_captured` as `amountCaptured`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


SELECT = "select id, stream, version, type, about, data, occurred_at, recorded_at, tx, position from events"


async def of_timeline(database: Database, about: str, *, limit: int, after: str | None = None) -> list[Event]:
    """Every event that belongs to a payment's timeline, oldest first. after: the id of the last that was seen."""
    records = await database.fetch(
        f"""{SELECT} where about = $1 and ($3::uuid is null or (tx, position) > (
                select tx, position from events where about = $1 and id = $3))
            order by tx, position limit $2""",  # noqa: S608  no input in it
        about,
        limit,
        after,
    )
    return [from_record(record) for record in records]


def envelope(event: Event) -> dict[str, Any]:
    """The event as a CloudEvents 1.0 document."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": "/bursar",
        "type": event.type,
        "subject": event.stream,
        "time": event.occurred_at,
        "datacontenttype": "application/json",
        "sequence": event.version,
        "recordedat": event.recorded_at,
        "data": event.data,
    }


Reaction = Callable[[LiveTx, Event], Awaitable[None]]


class Consumer(msgspec.Struct, frozen=True):
    """Someone who is told of events, in order, at least once. `react` runs in the transaction that moves the cursor."""

    name: str
    types: frozenset[str]
    react: Reaction


class Relay:
    """Hands events to reactions, each at its own pace: one that fails waits and delays nobody else."""

    def __init__(self, app: Any, consumers: Sequence[Consumer]) -> None:
        self.app = app
        self.database: Database = app.database
        self.consumers = consumers
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        loops = (
            follow(self.app, self._stopping, consumer.name, partial(self.advance, consumer))
            for consumer in self.consumers
        )
        await asyncio.gather(*loops)

    async def advance(self, consumer: Consumer) -> int:
        """React to the next events and move the cursor, in one transaction. Returns how many events were passed.

        One transaction holds one event for each timeline at the most, since a row is written once in a transaction.
        """
        now = self.app.clock.now()
        async with self.database.transaction(now=now, origin=Origin(f"relay:{consumer.name}", "")) as tx:
            cursor = await tx.connection.fetchrow(
                """select tx, position from event_cursors where consumer = $1 and (retry_at is null or retry_at <= $2)
                   for update skip locked""",
                consumer.name,
                now,
            )
            if cursor is None:
                return 0
            events, (tx_after, position_after) = await read_after(tx.connection, cursor, consumer.types)
            touched = set[str]()
            for event in events:
                if event.about in touched:
                    tx_after, position_after = event.tx, event.position - 1
                    break
                touched.add(event.about)
                await consumer.react(tx, event)
            await tx.connection.execute(MOVE, consumer.name, tx_after, position_after)
        return len(touched)


MOVE: Final = """
update event_cursors set tx = $2, position = $3, failures = 0, retry_at = null, last_error = null, lease_until = null
where consumer = $1
"""

LEASE: Final = """
update event_cursors set lease_until = $2::timestamptz + make_interval(secs => $3)
where consumer = $1 and (lease_until is null or lease_until < $2) and (retry_at is null or retry_at <= $2)
returning tx, position
"""
"""For who holds no transaction open while others are asked: nobody else is told for so many seconds."""

MOVE_FROM: Final = MOVE.rstrip() + " and tx = $4 and position = $5"
"""Of a cursor that is leased: only from where it was read, so that a worker that slept cannot move it back."""


async def read_after(
    connection: Any, cursor: Any, types: frozenset[str] | None = None
) -> tuple[list[Event], tuple[int, int]]:
    """The next events after a cursor, of some types or all, that no running transaction can put anything before.

    Returns them and the cursor behind them: at the oldest running transaction where there are no more.
    """
    horizon = await connection.fetchval("select pg_snapshot_xmin(pg_current_snapshot())")
    records = await connection.fetch(
        f"""{SELECT} where (tx, position) > ($1, $2) and tx < $3 and ($4::text[] is null or type = any($4))
            order by tx, position limit $5""",
        cursor["tx"],
        cursor["position"],
        horizon,
        None if types is None else sorted(types),
        RELAY_SIZE,
    )
    events = [from_record(record) for record in records]
    if len(events) < RELAY_SIZE:
        return events, (horizon, 0)
    return events, (events[-1].tx, events[-1].position)


async def follow(app: Any, stopping: asyncio.Event, name: str, advance: Callable[[], Awaitable[int]]) -> None:
    """Call `advance`, which returns how many events it passed, until told to stop: at once after a full round, else
    after a pause; after a failure, ever later.
    """
    has_cursor = False
    while not stopping.is_set():
        try:
            if not has_cursor:
                await app.database.execute(
                    "insert into event_cursors (consumer) values ($1) on conflict do nothing", name
                )
                has_cursor = True
            passed = await advance()
            if passed >= RELAY_SIZE:
                continue
            pause = TRICKLE_SECONDS if passed else POLL_SECONDS
        except Exception as error:  # noted at the cursor, tried again after a wait
            log.warning("events.consumer_failed", consumer=name, error=repr(error))
            await _note_failure(app.database, name, error, app.clock.now())
            pause = POLL_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stopping.wait()


async def _note_failure(database: Database, name: str, error: Exception, now: datetime) -> None:
    try:
        await database.execute(
            """update event_cursors set failures = failures + 1, last_error = $2, lease_until = null,
                   retry_at = $4::timestamptz + make_interval(secs => least($3, 0.2 * 2 ^ least(failures + 1, 16)))
               where consumer = $1""",
            name,
            repr(error)[:500],
            float(BACKOFF_MAX_SECONDS),
            now,
        )
    except UNREACHABLE as unreachable:
        log.warning("events.database_unreachable", error=str(unreachable))


def from_record(record: Any) -> Event:
    """The one place where a row becomes an event."""
    return msgspec.convert(dict(record), Event)
