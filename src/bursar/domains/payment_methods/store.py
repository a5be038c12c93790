"""Queries on payment_methods: the only SQL on that table."""

from datetime import date, datetime
from typing import Any

from bursar.domains.payment_methods.model import PaymentMethod
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of
from bursar.providers.port import MethodType

TABLE = Table("payment_methods", PaymentMethod, private=frozenset({"provider_tokens", "verification"}))

OF_CUSTOMER_MAX = 200

BY_CUSTOMER = Query(
    name="payment_methods_by_customer",
    sql=f"""select w.key, m.* from unnest($1::text[]) w(key) cross join lateral (
                select {TABLE.columns} from payment_methods m
                where m.customer_id = w.key and m.status <> 'REMOVED' order by m.id limit {OF_CUSTOMER_MAX}) m
            where $2::timestamptz is not null""",  # noqa: S608  no input in it
)
"""A customer's methods that were not removed."""

BY_ID = Query(
    name="payment_methods_by_id",
    sql=f"""select id as key, {TABLE.columns} from payment_methods
            where id = any ($1::text[]::uuid[]) and $2::timestamptz is not null""",  # noqa: S608  no input in it
)
"""Methods, not guarded."""


async def lock(tx: Tx, method_id: str) -> PaymentMethod:
    return found(await tx.lock(TABLE, method_id), "payment method")


async def find(tx: Tx, method_id: str) -> PaymentMethod | None:
    """The method as last committed, not guarded."""
    rows = await tx.read(BY_ID, method_id)
    return TABLE.from_record(rows[0]) if rows else None


async def of_customer(tx: Tx, customer_id: str) -> list[PaymentMethod]:
    """A customer's methods that were not removed, oldest first, not guarded."""
    return [TABLE.from_record(row) for row in await tx.read(BY_CUSTOMER, customer_id)]


async def page(
    database: Database,
    query: PageQuery,
    *,
    customer_id: str,
    is_usable: bool = False,
    method_type: MethodType | None = None,
) -> Page[PaymentMethod]:
    """A customer's methods, newest first. is_usable: only those that are active and verified."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2", "status <> 'REMOVED'"]
    conditions += narrowed(args, query, customer_id=customer_id, type=method_type)
    if is_usable:
        conditions.append("status = 'ACTIVE' and verification_status = 'VERIFIED'")
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def find_default(database: Database, customer_id: str) -> PaymentMethod | None:
    rows = await database.page(TABLE, "where customer_id = $1 and is_default", customer_id)
    return rows[0] if rows else None


async def customers_without_default(database: Database, since: datetime, *, limit: int) -> list[str]:
    """Customers whose methods changed after `since`, and who have active ones and no default among them."""
    rows = await database.fetch(
        """select customer_id from payment_methods
           where status = 'ACTIVE' and customer_id = any (array(
               select distinct customer_id from payment_methods where updated_at > $1))
           group by customer_id having not bool_or(is_default) limit $2""",
        since,
        limit,
    )
    return [row["customer_id"] for row in rows]


async def by_provider_token(database: Database, provider: str, token: str) -> list[PaymentMethod]:
    """The methods behind which a provider's token stands."""
    return await database.page(TABLE, "where provider_tokens @> $1", {provider: token})


async def by_verification(database: Database, provider: str, reference: str) -> list[PaymentMethod]:
    """The methods that wait for a provider's verification."""
    condition = "where verification ->> 'reference' = $1 and verification ->> 'provider' = $2 and status <> 'REMOVED'"
    return await database.page(TABLE, condition, reference, provider)


async def expired(database: Database, day: date, *, limit: int) -> list[PaymentMethod]:
    """Methods that are expired on `day` and do not say so yet."""
    return await database.page(
        TABLE, "where status = any ('{ACTIVE,INACTIVE}') and expires_on <= $1 order by expires_on limit $2", day, limit
    )


async def expiring(
    database: Database, first: date, last: date, *, after: PaymentMethod | None, limit: int
) -> list[PaymentMethod]:
    """Cards behind a provider's token that expire in [first, last], or did, in the order of that day. after: the last
    one of the page before.
    """
    args: list[Any] = [first, last, limit]
    where = "where status = any ('{ACTIVE,EXPIRED}') and expires_on between $1 and $2 and provider_tokens <> '{}'"
    if after is not None:
        args += [after.expires_on, after.id]
        where += " and (expires_on, id) > ($4, $5)"
    return await database.page(TABLE, f"{where} order by expires_on, id limit $3", *args)
