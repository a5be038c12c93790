"""Queries on webhook_endpoints, webhook_lanes and webhook_deliveries: the only SQL on them. What `deliver` and `lane`
need of events and their cursors stands here too.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from bursar.domains.webhook_endpoints.delivery import Delivery, Health
from bursar.domains.webhook_endpoints.delivery import Status as DeliveryStatus
from bursar.domains.webhook_endpoints.model import Endpoint, Status
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.events import Event
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("webhook_endpoints", Endpoint, private=frozenset({"secrets"}))
DELIVERIES = Table("webhook_deliveries", Delivery)

LEASE_SECONDS: Final = 10
"""How long a lane is held without renewal: a killed worker's deliveries wait no longer for another one."""

COUNT = Query(
    name="webhook_endpoints_count",
    sql="""select w.key, count(*) as count from unnest($1::text[]) w(key)
           join webhook_endpoints e on e.status <> 'REMOVED' where $2::timestamptz is not null group by w.key""",
)
"""How many endpoints there are, for any key."""


async def lock(tx: Tx, endpoint_id: str) -> Endpoint:
    return found(await tx.lock(TABLE, endpoint_id), "webhook endpoint")


async def lock_delivery(tx: Tx, delivery_id: str) -> Delivery:
    return found(await tx.lock(DELIVERIES, delivery_id), "delivery")


async def page(database: Database, query: PageQuery, *, status: Status | None) -> Page[Endpoint]:
    """Endpoints, newest first; those that were removed only where they are asked for."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2", *narrowed(args, query, status=status)]
    if status is None:
        conditions.append("status <> 'REMOVED'")
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_of_deliveries(
    database: Database, query: PageQuery, *, endpoint_id: str, status: DeliveryStatus | None, event_type: str | None
) -> Page[Delivery]:
    """The deliveries of an endpoint, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [endpoint_id, lowest, highest]
    conditions = ["(endpoint_id, id) >= ($1, $2)", "(endpoint_id, id) < ($1, $3)"]
    conditions += narrowed(args, query, status=status, event_type=event_type)
    where = f"where {' and '.join(conditions)} order by endpoint_id desc, id desc limit {query.limit + 1}"
    return page_of(await database.page(DELIVERIES, where, *args), query.limit)


# Fanning out: from events to deliveries.


class Listener(msgspec.Struct, frozen=True):
    """An active endpoint. since_tx: the transaction that made it; it is told of those with higher numbers."""

    endpoint: Endpoint
    since_tx: int


async def anybody_listens(database: Database, consumer: str) -> bool:
    """Whether an endpoint is active. Where none is, the cursor goes to where events can still come: one that is made
    later than that hears of all that follows.
    """
    return bool(
        await database.fetchval(
            """with listening as (select exists (select from webhook_endpoints where status = 'ACTIVE') as is_so),
               moved as (
                   update event_cursors set tx = pg_snapshot_xmin(pg_current_snapshot()), position = 0
                   where consumer = $1 and not (select is_so from listening)
                     and tx < pg_snapshot_xmin(pg_current_snapshot()))
               select is_so from listening""",
            consumer,
        )
    )


async def lock_cursor(connection: Any, consumer: str, now: datetime) -> Any:
    """Where a consumer of events stands; None where another worker moves it, or it has to wait."""
    return await connection.fetchrow(
        """select tx, position from event_cursors where consumer = $1 and (retry_at is null or retry_at <= $2)
           for update skip locked""",
        consumer,
        now,
    )


async def listeners(connection: Any) -> list[Listener]:
    records = await connection.fetch(
        f"""select {TABLE.columns}, l.since_tx from webhook_endpoints join webhook_lanes l on l.endpoint_id = id
            where status = 'ACTIVE' order by id"""  # noqa: S608  no input in it
    )
    return [Listener(TABLE.from_record(record), record["since_tx"]) for record in records]


async def beginnings(connection: Any, streams: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The data of the first event of each stream: it holds all fields of an object."""
    records = await connection.fetch(
        "select stream, data from events where stream = any($1::uuid[]) and version = 1", list(streams)
    )
    return {record["stream"]: record["data"] for record in records}


async def insert_deliveries(connection: Any, rows: Sequence[tuple[str, str, Event]], now: datetime) -> None:
    """Write (id, endpoint's id, event) as deliveries that are due, in their order, and wake their lanes."""
    await connection.execute(
        """with made as (
               insert into webhook_deliveries (
                   id, version, endpoint_id, status, event_id, event_type, stream, is_ordered, attempts, step, tries,
                   created_at, updated_at, next_attempt_at, event_tx, event_position)
               select w.id, 1, w.endpoint_id, 'PENDING', w.event_id, w.event_type, w.stream, true, 0, 0, '[]',
                   $1, $1, $1, w.event_tx, w.event_position
               from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::xid8[], $8::bigint[])
                   with ordinality as w(id, endpoint_id, event_id, event_type, stream, event_tx, event_position, n)
               order by w.n
               returning endpoint_id)
           update webhook_lanes set wake_at = least(wake_at, $1) where endpoint_id in (select endpoint_id from made)""",
        now,
        [row_id for row_id, _, _ in rows],
        [endpoint_id for _, endpoint_id, _ in rows],
        [event.id for _, _, event in rows],
        [event.type for _, _, event in rows],
        [event.stream for _, _, event in rows],
        [event.tx for _, _, event in rows],
        [event.position for _, _, event in rows],
    )


# Lanes: who sends to an endpoint.


class Held(msgspec.Struct, frozen=True):
    """A lane that this worker holds. fence: by which it is known that nobody else does."""

    endpoint_id: str
    fence: int
    health: Health


async def claim(database: Database, now: datetime, *, limit: int) -> list[Held]:
    """Take lanes where there may be something to send and that nobody holds."""
    records = await database.fetch(
        """update webhook_lanes set lease_until = $1::timestamptz + make_interval(secs => $2), fence = fence + 1
           where endpoint_id in (
               select l.endpoint_id from webhook_lanes l join webhook_endpoints e on e.id = l.endpoint_id
               where e.status = 'ACTIVE' and l.wake_at <= $1 and (l.paused_until is null or l.paused_until <= $1)
                 and (l.lease_until is null or l.lease_until < $1)
               order by l.wake_at limit $3 for update of l skip locked)
           returning endpoint_id, fence, failures, failing_since""",
        now,
        LEASE_SECONDS,
        limit,
    )
    return [
        Held(record["endpoint_id"], record["fence"], Health(record["failures"], record["failing_since"]))
        for record in records
    ]


class Due(msgspec.Struct, frozen=True):
    """A delivery whose turn it is, and its event."""

    delivery: Delivery
    event: Event | None


_HEADS: Final = f"""
select {", ".join(f"d.{name}" for name in Delivery.__struct_fields__)},
    e.about, e.data, e.version as event_version, e.occurred_at, e.recorded_at
from webhook_deliveries d left join events e on e.tx = d.event_tx and e.position = d.event_position
where d.endpoint_id = $1 and d.status = 'PENDING' and d.id <> all ($4::uuid[]) and {{condition}}
  and (not d.is_ordered or not exists (
      select from webhook_deliveries b
      where b.endpoint_id = $1 and b.stream = d.stream and b.status = 'PENDING' and b.is_ordered
        and b.position < d.position))
  and exists (select from webhook_lanes l where l.endpoint_id = $1 and l.fence = $2 and l.lease_until > $3)
order by {{order}} limit $5
"""  # noqa: S608  no input in it
_DUE: Final = _HEADS.format(condition="d.next_attempt_at <= $3", order="d.next_attempt_at, d.position")
_ANY: Final = _HEADS.format(condition="true", order="d.last_attempt_at nulls first, d.position")


async def due(database: Database, held: Held, now: datetime, *, besides: Sequence[str], limit: int) -> list[Due]:
    """What can be sent now: the first of each stream that is not over, where its time has come. besides: what is under
    way. Nothing where the lane was lost.
    """
    records = await database.fetch(_DUE, held.endpoint_id, held.fence, now, list(besides), limit)
    return [_due(record) for record in records]


async def to_probe(database: Database, held: Held, now: datetime) -> list[Due]:
    """The one that was tried longest ago, due or not."""
    return [_due(record) for record in await database.fetch(_ANY, held.endpoint_id, held.fence, now, [], 1)]


def _due(record: Any) -> Due:
    delivery = DELIVERIES.from_record(record)
    if delivery.content is not None:
        return Due(delivery, None)
    assert delivery.event_tx is not None and delivery.event_position is not None
    event = Event(
        delivery.event_id,
        delivery.stream,
        record["event_version"],
        delivery.event_type,
        record["about"],
        record["data"],
        record["occurred_at"],
        record["recorded_at"],
        delivery.event_tx,
        delivery.event_position,
    )
    return Due(delivery, event)


async def record(
    database: Database, held: Held, health: Health, tried: Sequence[Delivery], *, recovered_since: datetime | None
) -> bool:
    """Write what tries came to, and the endpoint's health; renew the lease. recovered_since: since when what failed is
    to be tried again at once. Returns whether the lane was still held; if not, nothing is written.
    """
    return bool(
        await database.fetchval(
            """with held as (
                   update webhook_lanes set failures = $4, failing_since = $5, paused_until = $6,
                       lease_until = $3::timestamptz + make_interval(secs => $7)
                   where endpoint_id = $1 and fence = $2 returning endpoint_id
               ), tried as (
                   update webhook_deliveries d set
                       version = d.version + 1, status = (x.r).status, attempts = (x.r).attempts, step = (x.r).step,
                       tries = (x.r).tries, updated_at = (x.r).updated_at, next_attempt_at = (x.r).next_attempt_at,
                       last_attempt_at = (x.r).last_attempt_at, last_status_code = (x.r).last_status_code,
                       last_error = (x.r).last_error, last_response_body = (x.r).last_response_body,
                       finished_at = (x.r).finished_at
                   from held, jsonb_to_recordset($8) as x(r webhook_deliveries)
                   where d.id = (x.r).id and d.id = any ($9::uuid[]) and d.status = 'PENDING'
               ), hastened as (
                   update webhook_deliveries d set version = d.version + 1, next_attempt_at = $3, updated_at = $3
                   from held
                   where d.endpoint_id = $1 and d.status = 'PENDING' and d.next_attempt_at > $3
                     and d.last_attempt_at >= $10 and d.id <> all ($9::uuid[])
               )
               select exists (select from held)""",
            held.endpoint_id,
            held.fence,
            max(delivery.updated_at for delivery in tried),
            health.failures,
            health.failing_since,
            health.paused_until,
            LEASE_SECONDS,
            msgspec.json.encode([{"r": delivery} for delivery in tried]).decode(),
            [delivery.id for delivery in tried],
            recovered_since,
        )
    )


async def renew(database: Database, held: Held, now: datetime) -> bool:
    """Hold a lane longer. Returns whether it was still held."""
    done = await database.execute(
        """update webhook_lanes set lease_until = $3::timestamptz + make_interval(secs => $4)
           where endpoint_id = $1 and fence = $2""",
        held.endpoint_id,
        held.fence,
        now,
        LEASE_SECONDS,
    )
    return done == "UPDATE 1"


async def release(database: Database, held: Held, now: datetime, *, soon: bool) -> bool:
    """Give a lane back, with the time when there is something to do again; soon: now, where anything waits at all.

    Returns False, and keeps it, where something is due now. What comes in meanwhile waits for the lane's lock, and
    wakes it after this.
    """
    async with database.transaction(now=now) as tx:
        is_held = await tx.connection.fetchval(
            "select true from webhook_lanes where endpoint_id = $1 and fence = $2 for update",
            held.endpoint_id,
            held.fence,
        )
        if not is_held:
            return True
        if not soon and await tx.connection.fetch(_DUE, held.endpoint_id, held.fence, now, [], 1):
            return False
        await tx.connection.execute(
            """update webhook_lanes set lease_until = null, wake_at = (
                   select case when $3 then $2 else d.next_attempt_at end from webhook_deliveries d
                   where d.endpoint_id = $1 and d.status = 'PENDING' and ($3 or d.next_attempt_at > $2)
                   order by d.next_attempt_at limit 1)
               where endpoint_id = $1""",
            held.endpoint_id,
            now,
            soon,
        )
    return True


async def give_up_removed(database: Database, now: datetime, *, limit: int) -> None:
    """End deliveries that wait for endpoints that were removed."""
    await database.execute(
        """update webhook_deliveries set status = 'FAILED', version = version + 1, next_attempt_at = null,
               last_error = 'the endpoint was removed', finished_at = $1, updated_at = $1
           where id in (
               select d.id from webhook_endpoints e join webhook_deliveries d on d.endpoint_id = e.id
               where e.status = 'REMOVED' and d.status = 'PENDING' order by d.position limit $2)""",
        now,
        limit,
    )


async def purge(database: Database, *, before: datetime, limit: int) -> None:
    """Forget deliveries that were over before a time."""
    await database.execute(
        """delete from webhook_deliveries where id = any(array(
               select id from webhook_deliveries where finished_at < $1 limit $2))""",
        before,
        limit,
    )
