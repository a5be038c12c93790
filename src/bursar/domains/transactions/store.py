"""Queries on transactions and on whose they are: the only SQL on those tables."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from bursar.domains.transactions.model import Transaction
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("transactions", Transaction)

OF_PAYMENT_MAX: Final = 1_000
"""Transactions of one payment that are read at once."""

CHARGES = Query(
    name="transactions_charges",
    sql="""select payment_id::text as key, id from transactions
           where payment_id = any ($1::text[]::uuid[]) and type = 'CHARGE' and status = 'COMPLETED'
             and $2::timestamptz is not null
           order by id""",
)
"""The ids of the completed charges of a payment, oldest first."""

CAPTURED = Query(
    name="transactions_captured",
    sql="""select t.payment_id::text as key, (a ->> 'split')::int as split,
                  sum((a ->> 'grossAmount')::bigint)::bigint as gross
           from transactions t, jsonb_array_elements(t.allocations) a
           where t.payment_id = any ($1::text[]::uuid[]) and t.type = 'CHARGE' and a ? 'split'
             and $2::timestamptz is not null
           group by 1, 2""",
)
"""What the captures of a payment so far gave to each of its splits."""

SOLD = Query(
    name="transactions_sold",
    sql="""select w.key, coalesce((
               select sum(v.gross) from transaction_vendors v
               where v.vendor_id = split_part(w.key, ' ', 1) and v.currency = split_part(w.key, ' ', 2)
                 and v.completed_at >= split_part(w.key, ' ', 3)::timestamptz
                 and v.completed_at < split_part(w.key, ' ', 4)::timestamptz
                 and v.type = 'CHARGE' and v.status = 'COMPLETED'), 0)::bigint as sold
           from unnest($1::text[]) w(key) where $2::timestamptz is not null""",
)
"""What a vendor sold; its keys are made by `sold_key`."""


def sold_key(vendor_id: str, currency: str, since: datetime, until: datetime) -> str:
    """The key of SOLD for [since, until)."""
    return f"{vendor_id} {currency} {since.isoformat()} {until.isoformat()}"


async def sold(database: Database, keys: Sequence[str], now: datetime) -> dict[str, int]:
    """What SOLD says for each key."""
    records = await database.fetch(SOLD.sql, keys, now) if keys else ()
    return {record["key"]: record["sold"] for record in records}


async def lock(tx: Tx, transaction_id: str) -> Transaction:
    return found(await tx.lock(TABLE, transaction_id), "transaction")


async def of_payment(database: Database, payment_id: str) -> list[Transaction]:
    """All transactions of a payment, oldest first."""
    return await database.page(TABLE, f"where payment_id = $1 order by id limit {OF_PAYMENT_MAX}", payment_id)


async def find_by_external_id(
    database: Database, external_id: str, *, customer_id: str | None = None, vendor_id: str | None = None
) -> Transaction | None:
    """The transaction of an id that the provider or the caller has for it; the newest, should there be several. Where a
    customer or a vendor is named, the newest of theirs.
    """
    args: list[Any] = [external_id]
    theirs = "".join(f" and {condition}" for condition in _theirs(args, customer_id, vendor_id))
    branches = " union all ".join(
        f"(select id from {TABLE.name} where {column} = $1{theirs} order by id desc limit 1)"  # noqa: S608  no input in it
        for column in ("transaction_id", "gateway_reference")
    )
    rows = await database.page(TABLE, f"where id in ({branches}) order by id desc limit 1", *args)
    return rows[0] if rows else None


async def page(
    database: Database,
    query: PageQuery,
    *,
    order_id: str | None = None,
    customer_id: str | None = None,
    vendor_id: str | None = None,
) -> Page[Transaction]:
    """Transactions, newest first: of an order, of a customer, of which a vendor has a share; where both are named, of
    either.
    """
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2", *narrowed(args, query, order_id=order_id)]
    conditions += _theirs(args, customer_id, vendor_id)
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


def _theirs(args: list[Any], customer_id: str | None, vendor_id: str | None) -> list[str]:
    """The condition that a transaction is the customer's, or that the vendor has a share of it; none for neither."""
    either = []
    if customer_id is not None:
        args.append(customer_id)
        either.append(f"customer_id = ${len(args)}")
    if vendor_id is not None:
        args.append(vendor_id)
        either.append(
            f"exists (select from transaction_vendors v where v.vendor_id = ${len(args)} and v.transaction_id = id)"
        )
    return [f"({' or '.join(either)})"] if either else []


async def page_of_vendor(database: Database, query: PageQuery, *, vendor_id: str) -> Page[Transaction]:
    """Transactions that a vendor has a share of, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest, vendor_id]
    further = "".join(f" and t.{condition}" for condition in narrowed(args, query))
    columns = ", ".join(f"t.{name}" for name in TABLE.row.__struct_fields__)
    sql = f"""select {columns} from transaction_vendors v join {TABLE.name} t on t.id = v.transaction_id
              where v.vendor_id = $3 and v.transaction_id >= $1 and v.transaction_id < $2{further}
              order by v.transaction_id desc limit {query.limit + 1}"""  # noqa: S608  numbers of parameters
    return page_of([TABLE.from_record(record) for record in await database.fetch(sql, *args)], query.limit)


async def completed_charges(
    database: Database, *, since: datetime, until: datetime, after: tuple[datetime, str], limit: int
) -> list[Transaction]:
    """Completed charges of [since, until) behind `after`, in the order in which they were completed."""
    return await database.page(
        TABLE,
        """where type = 'CHARGE' and status = 'COMPLETED' and completed_at >= $1 and completed_at < $2
             and (completed_at, id) > ($3, $4::uuid)
           order by completed_at, id limit $5""",
        since,
        until,
        *after,
        limit,
    )
