"""Queries on refunds and on batches of them: the only SQL on those tables."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from bursar.domains.refunds.model import Batch, Item, ItemStatus, NewBatch, Refund, Status
from bursar.infra.db import Database, LiveTx, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, id_after, page_of

TABLE = Table("refunds", Refund, private=frozenset({"asked_by"}))
BATCHES = Table("refund_batches", Batch)

ONCE: Final = "refunds_once"
"""The constraint that refuses a second refund of one source."""

OF_PAYMENT_MAX: Final = 1_000
"""Refunds of one payment that are read at once."""

BY_SOURCE = Query(
    name="refunds_by_source",
    sql="""select r.source as key, r.id from refunds r
           where r.source = any ($1::text[]) and $2::timestamptz is not null""",
)
"""The refund of each source."""

TAKEN = Query(
    name="refunds_taken",
    sql="""select payment_id::text as key, sum(amount)::bigint as taken from refunds
           where payment_id = any ($1::text[]::uuid[]) and $2::timestamptz is not null
             and status = any ('{PENDING_APPROVAL,APPROVED,PROCESSING,COMPLETED}')
           group by payment_id""",
)
"""What is asked back and refunded of each payment."""


async def lock(tx: Tx, refund_id: str) -> Refund:
    return found(await tx.lock(TABLE, refund_id), "refund")


async def find_by_source(tx: Tx, source: str) -> Refund | None:
    """The refund of a source, guarded; None where nobody asked for it yet."""
    rows = await tx.read(BY_SOURCE, source)
    return await lock(tx, rows[0]["id"]) if rows else None


async def find_by_number(database: Database, refund_number: str) -> Refund | None:
    rows = await database.page(TABLE, "where refund_number = $1", refund_number)
    return rows[0] if rows else None


async def find_by_attempt(database: Database, attempt_id: str) -> Refund | None:
    """The refund whose last step with its provider has that id."""
    rows = await database.page(TABLE, "where attempt_id = $1", attempt_id)
    return rows[0] if rows else None


async def find_by_reference(database: Database, provider: str, reference: str) -> Refund | None:
    """The refund of a provider's own id; the newest, should a provider have used one twice."""
    rows = await database.page(
        TABLE, "where provider_reference = $2 and provider = $1 order by id desc limit 1", provider, reference
    )
    return rows[0] if rows else None


async def of_sources(database: Database, sources: Collection[str]) -> list[Refund]:
    """The refunds of those sources that there are."""
    return await database.page(TABLE, "where source = any ($1)", list(sources))


async def of_ids(database: Database, refund_ids: Collection[str]) -> list[Refund]:
    """The refunds of those ids; in no order."""
    return await database.page(TABLE, "where id = any ($1)", list(refund_ids))


async def of_payment(database: Database, payment_id: str, statuses: Collection[Status]) -> list[Refund]:
    """The refunds of a payment in one of `statuses`, oldest first."""
    return await database.page(
        TABLE,
        "where payment_id = $1 and status = any ($2) order by id limit $3",
        payment_id,
        list(statuses),
        OF_PAYMENT_MAX,
    )


async def page(
    database: Database,
    query: PageQuery,
    *,
    payment_id: str | None = None,
    order_id: str | None = None,
    customer_id: str | None = None,
) -> Page[Refund]:
    """Refunds of a payment or an order, newest first; where a customer is named, its own."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = [
        "id >= $1",
        "id < $2",
        *narrowed(args, query, payment_id=payment_id, order_id=order_id, customer_id=customer_id),
    ]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_in(
    database: Database, query: PageQuery, status: Status, *, customer_id: str | None = None
) -> Page[Refund]:
    """Refunds in a status, newest first: a range of (status, id), so that the index of that pair serves it."""
    lowest, highest = id_range(query)
    args: list[Any] = [status, lowest, highest]
    conditions = [
        "(status, id) >= ($1, $2)",
        "(status, id) < ($1, $3)",
        *narrowed(args, query, customer_id=customer_id),
    ]
    where = f"where {' and '.join(conditions)} order by status desc, id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def processing_since(database: Database, moment: datetime, *, limit: int) -> list[Refund]:
    """Refunds in PROCESSING whose last change is older than `moment`, oldest first; behind all others those whose
    outcome was asked for in vain: a job asks on.
    """
    return await database.page(
        TABLE, "where status = 'PROCESSING' and updated_at < $1 order by is_unknown, id limit $2", moment, limit
    )


async def completed_between(
    database: Database, since: datetime, until: datetime, *, bucket: int, after: str, limit: int
) -> list[Refund]:
    """Refunds in one of 24 buckets that were completed in [since, until), by id, after that one."""
    return await database.page(
        TABLE,
        """where status = 'COMPLETED' and id > $4 and completed_at >= $1 and completed_at < $2
             and get_byte(uuid_send(id), 15) % 24 = $3
           order by id limit $5""",
        since,
        until,
        bucket,
        after,
        limit,
    )


async def lock_batch(tx: Tx, batch_id: str) -> Batch:
    return found(await tx.lock(BATCHES, batch_id), "batch of refunds")


def insert_batch(tx: Tx, batch: NewBatch) -> None:
    """Write a batch with its items, which are no part of its row."""
    tx.write("new_refund_batches", batch)


ITEM_COLUMNS: Final = "id, position, status, order_id, payment_id, amount, refund_ids, problem_code, problem_detail"


async def waiting_items(database: Database, batch_id: str, *, limit: int) -> list[Item]:
    """The first items of a batch that nobody looked at yet."""
    return await _items(database, "batch_id = $1 and status = 'WAITING' order by position limit $2", batch_id, limit)


async def page_items(
    database: Database, batch_id: str, *, status: ItemStatus | None, cursor: str | None, limit: int
) -> Page[Item]:
    """The items of a batch in the order in which they were asked for."""
    rows = await _items(
        database,
        """batch_id = $1 and id > $2 and ($3::refund_batch_item_status is null or status = $3)
           order by id limit $4""",
        batch_id,
        id_after(cursor) or "00000000-0000-0000-0000-000000000000",
        status,
        limit + 1,
    )
    return page_of(rows, limit)


async def note_items(tx: LiveTx, batch_id: str, items: Collection[Item]) -> list[str]:
    """Write what became of items that were waiting. Returns the ids of those that were."""
    noted = []
    for item in items:
        done = await tx.connection.execute(
            """update refund_batch_items
               set status = $3, refund_ids = $4, problem_code = $5, problem_detail = $6
               where batch_id = $1 and id = $2 and status = 'WAITING'""",
            batch_id,
            item.id,
            item.status,
            list(item.refund_ids),
            item.problem_code,
            item.problem_detail,
        )
        if done == "UPDATE 1":
            noted.append(item.id)
    return noted


async def refund_totals(database: Database, batch_id: str) -> list[tuple[Status, str, int, int]]:
    """How the refunds of a batch stand: status, currency, how many, minor units."""
    records = await database.fetch(
        """select status, currency, count(*) as count, sum(amount)::bigint as amount
           from refunds where batch_id = $1 group by status, currency order by currency, status""",
        batch_id,
    )
    return [(Status(r["status"]), r["currency"], r["count"], r["amount"]) for r in records]


async def _items(database: Database, where: str, *args: Any) -> list[Item]:
    records = await database.fetch(f"select {ITEM_COLUMNS} from refund_batch_items where {where}", *args)  # noqa: S608
    return [
        Item(**{**dict(record), "status": ItemStatus(record["status"]), "refund_ids": tuple(record["refund_ids"])})
        for record in records
    ]
