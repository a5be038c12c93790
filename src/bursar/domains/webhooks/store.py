"""Queries on webhooks: the only SQL on that table."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from bursar.domains.webhooks import model
from bursar.domains.webhooks.model import Received, Webhook
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("webhooks", Webhook)

UNIQUE_EVENT = "webhooks_of_event"
"""The constraint that refuses a second row of one event."""

BY_EVENT = Query(
    name="webhooks_by_event",
    sql="""select w.name as key, t.id from unnest($1::text[]) w(name) join webhooks t
             on t.event_id = substr(w.name, strpos(w.name, ' ') + 1) and t.provider = split_part(w.name, ' ', 1)
           where $2::timestamptz is not null""",
)
"""The row of each event by `key_of`."""

IN_ERROR = Query(
    name="webhooks_in_error",
    sql="""select w.name as key, e.id from unnest($1::text[]) w(name) cross join lateral (
               select t.id from webhooks t
               where t.status = any ('{FAILED,DEAD_LETTER}')
                 and (split_part(w.name, ' ', 2) = '' or t.provider = split_part(w.name, ' ', 2))
               order by t.updated_at, t.id limit split_part(w.name, ' ', 1)::int) e
           where $2::timestamptz is not null""",
)
"""Who failed or was given up longest ago, by `limit provider`: who is taken up and fails again comes last."""


def key_of(provider: str, event_id: str) -> str:
    """An event as one text; no provider's name holds a space."""
    return f"{provider} {event_id}"


def error_key(limit: int, provider: str | None) -> str:
    """The key of IN_ERROR. provider: all where None."""
    return f"{limit} {provider or ''}"


async def lock(tx: Tx, webhook_id: str) -> Webhook:
    return found(await tx.lock(TABLE, webhook_id), "webhook")


async def find_known(tx: Tx, provider: str, event_id: str) -> Webhook | None:
    """The row of an event, if it has come before.

    A batch presumes that it has not, and guard_webhooks refuses the command where it has, which is then decided again
    on a fresh look: so what comes for the first time costs no query.
    """
    key = key_of(provider, event_id)
    if getattr(tx, "is_fresh", True):
        rows = await tx.read(BY_EVENT, key)
        if rows:
            return await lock(tx, rows[0]["id"])
    tx.guards.setdefault(TABLE.name, {})[key] = 0
    return None


def insert(tx: Tx, webhook: Received) -> None:
    """Write a new row. It is not remembered among the rows of this process: its body is long, and read once at most."""
    tx.write(f"new_{TABLE.name}", webhook)


async def page_of_payment(database: Database, query: PageQuery, payment_id: str) -> Page[Webhook]:
    """The webhooks about a payment, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [payment_id, lowest, highest]
    conditions = ["payment_id = $1", "id >= $2", "id < $3", *narrowed(args, query)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_waiting(database: Database, query: PageQuery, *, provider: str | None = None) -> Page[Webhook]:
    """Webhooks that are to be processed, newest first: all that wait are looked through."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["next_attempt_at is not null", "id >= $1", "id < $2", *narrowed(args, query, provider=provider)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_in_error(database: Database, query: PageQuery, *, provider: str | None = None) -> Page[Webhook]:
    """Webhooks that failed or were given up, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    further = "".join(f" and {condition}" for condition in narrowed(args, query, provider=provider))
    limit = query.limit + 1
    branches = [
        f"""(select id from webhooks
             where status = any ('{{FAILED,DEAD_LETTER}}')
               and (status, id) >= ('{status}', $1) and (status, id) < ('{status}', $2){further}
             order by status desc, id desc limit {limit})"""  # noqa: S608  names of statuses
        for status in model.IN_ERROR
    ]
    where = f"where id in ({' union all '.join(branches)}) order by id desc limit {limit}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def due(database: Database, now: datetime, *, apart_from: Sequence[str], limit: int) -> list[Webhook]:
    """Webhooks whose next attempt is due, who waits longest first."""
    return await database.page(
        TABLE,
        "where next_attempt_at <= $1 and id <> all ($2::uuid[]) order by next_attempt_at limit $3",
        now,
        list(apart_from),
        limit,
    )


async def in_error(database: Database, *, limit: int, provider: str | None) -> list[Webhook]:
    """Who failed or was given up longest ago."""
    return await database.page(
        TABLE,
        """where status = any ('{FAILED,DEAD_LETTER}') and ($2::text is null or provider = $2)
           order by updated_at, id limit $1""",
        limit,
        provider,
    )


async def count_in_error(database: Database, *, provider: str | None) -> int:
    """How many failed or were given up."""
    count: int = await database.fetchval(
        """select count(*) from webhooks
           where status = any ('{FAILED,DEAD_LETTER}') and ($1::text is null or provider = $1)""",
        provider,
    )
    return count


async def count_of_run(database: Database, run_id: str) -> dict[str, int]:
    """How many of a bulk retry's webhooks are in each status."""
    records = await database.fetch("select status, count(*) from webhooks where run_id = $1 group by status", run_id)
    return {record["status"]: record["count"] for record in records}


class Body(msgspec.Struct, frozen=True):
    """A body as it is stored, and the key that it is under."""

    body_ciphertext: str
    wrapped_key: str
    kek_version: int


async def body_of(database: Database, webhook_id: str) -> Body | None:
    """None where it was forgotten. Raises NotFound."""
    records = await database.fetch(
        "select body_ciphertext, wrapped_key, kek_version from webhooks where id = $1", webhook_id
    )
    record = found(records[0] if records else None, "webhook")
    return None if record["wrapped_key"] is None else msgspec.convert(dict(record), Body)


async def forget_bodies(database: Database, *, before: datetime, limit: int) -> int:
    """Forget bodies that came before a time, the oldest first, with their keys. Returns how many."""
    done: str = await database.execute(
        """update webhooks set body_ciphertext = null, wrapped_key = null where id = any (array(
               select id from webhooks where received_at < $1 and wrapped_key is not null
               order by received_at limit $2 for update skip locked))""",
        before,
        limit,
    )
    return int(done.rpartition(" ")[2])


# The providers' own logs.


async def begin_logs(database: Database, providers: Sequence[str], now: datetime) -> dict[str, datetime]:
    """Up to when each provider's log has been read: up to now, where this is the first time."""
    await database.execute(
        "insert into provider_event_logs select name, $2 from unnest($1::text[]) name on conflict do nothing",
        list(providers),
        now,
    )
    records = await database.fetch(
        "select provider, read_until from provider_event_logs where provider = any ($1)", list(providers)
    )
    return {record["provider"]: record["read_until"] for record in records}


async def log_read_until(database: Database, provider: str) -> datetime:
    """Up to when a provider's log has been read; it was begun."""
    until: datetime = await database.fetchval(
        "select read_until from provider_event_logs where provider = $1", provider
    )
    return until


async def note_log_read(database: Database, provider: str, since: datetime, until: datetime) -> None:
    """A provider's log has been read on from `since`; nothing where somebody else has read it further."""
    await database.execute(
        "update provider_event_logs set read_until = $3 where provider = $1 and read_until = $2",
        provider,
        since,
        until,
    )


async def known_events(database: Database, provider: str, event_ids: Sequence[str]) -> set[str]:
    """Those of a provider's events that have come."""
    records = await database.fetch(
        "select event_id from webhooks where event_id = any ($2) and provider = $1", provider, list(event_ids)
    )
    return {record["event_id"] for record in records}
