"""Queries on integration_events: the only SQL on that table."""

from typing import Any

from bursar.domains.integration.model import IntegrationEvent, Status
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("integration_events", IntegrationEvent)

ONCE = "integration_events_once"
"""The constraint that refuses a second row of one event."""

BY_SOURCE = Query(
    name="integration_events_by_source",
    sql="""select w.name as key, e.id
           from unnest($1::text[]) w(name) join integration_events e
             on e.source = split_part(w.name, ' ', 1) and e.event_id = substr(w.name, strpos(w.name, ' ') + 1)
           where $2::timestamptz is not null""",
)
"""The row of each event by `key_of`."""


def key_of(source: str, event_id: str) -> str:
    """An event as one text; a source holds no space."""
    return f"{source} {event_id}"


async def lock(tx: Tx, row_id: str) -> IntegrationEvent:
    return found(await tx.lock(TABLE, row_id), "integration event")


async def find_locked(tx: Tx, source: str, event_id: str) -> IntegrationEvent | None:
    """The row of an event, guarded; None where it never came."""
    rows = await tx.read(BY_SOURCE, key_of(source, event_id))
    return await lock(tx, rows[0]["id"]) if rows else None


async def page(database: Database, query: PageQuery, *, status: Status | None = None) -> Page[IntegrationEvent]:
    """Events of other services, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2"]
    order = "id desc"
    if status is not None:  # a range of (status, id), so that the index of that pair serves it
        args.append(status)
        conditions = ["(status, id) >= ($3, $1)", "(status, id) < ($3, $2)"]
        order = "status desc, id desc"
    conditions += narrowed(args, query)
    where = f"where {' and '.join(conditions)} order by {order} limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)
