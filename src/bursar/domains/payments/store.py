"""Queries on payments: the only SQL on that table."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from bursar.domains.payments.model import Payment, Status
from bursar.infra.db import Database, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("payments", Payment, private=frozenset({"asked_by"}))


async def lock(tx: Tx, payment_id: str) -> Payment:
    return found(await tx.lock(TABLE, payment_id), "payment")


async def of_ids(database: Database, payment_ids: Collection[str]) -> list[Payment]:
    return await database.page(TABLE, "where id = any($1::uuid[])", list(payment_ids))


async def references(database: Database, payment_ids: Collection[str]) -> dict[str, str | None]:
    """The provider's reference of each payment."""
    records = await database.fetch(
        "select id, provider_transaction_id from payments where id = any($1::uuid[])", list(payment_ids)
    )
    return {record["id"]: record["provider_transaction_id"] for record in records}


async def known(database: Database, provider: str, references: Collection[str]) -> dict[str, str]:
    """The payment of each of a provider's references that is known."""
    records = await database.fetch(
        """select provider_transaction_id, id from payments
           where provider_transaction_id = any($1::text[]) and provider = $2 order by id""",
        list(references),
        provider,
    )
    return {record["provider_transaction_id"]: record["id"] for record in records}


async def find_by_number(database: Database, payment_number: str) -> Payment | None:
    rows = await database.page(TABLE, "where payment_number = $1", payment_number)
    return rows[0] if rows else None


async def find_by_provider_transaction(database: Database, transaction_id: str) -> Payment | None:
    """The payment of a provider's reference; the newest, should a provider have used one twice."""
    rows = await database.page(TABLE, "where provider_transaction_id = $1 order by id desc limit 1", transaction_id)
    return rows[0] if rows else None


async def find_by_open_attempt(database: Database, attempt_id: str) -> Payment | None:
    """The payment whose open attempt has that id. Few are open at any time."""
    rows = await database.page(
        TABLE,
        """where status = any ('{AUTHORIZING,CAPTURING,VOIDING}')
             and attempts @> jsonb_build_array(jsonb_build_object('id', $1::text)) limit 1""",
        attempt_id,
    )
    return rows[0] if rows else None


async def page(
    database: Database, query: PageQuery, *, order_id: str | None = None, customer_id: str | None = None
) -> Page[Payment]:
    """Payments of an order or a customer, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2", *narrowed(args, query, order_id=order_id, customer_id=customer_id)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_in(
    database: Database, query: PageQuery, statuses: Sequence[Status], *, customer_id: str | None = None
) -> Page[Payment]:
    """Payments in any of `statuses`, newest first.

    The range is one of (status, id), so that the index of that pair serves it and no other, however common the status.
    """
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    further = "".join(f" and {condition}" for condition in narrowed(args, query, customer_id=customer_id))
    limit = query.limit + 1
    branches = [
        f"""(select id from payments
             where (status, id) >= (${number}, $1) and (status, id) < (${number}, $2){further}
             order by status desc, id desc limit {limit})"""  # noqa: S608  numbers of parameters
        for number in range(len(args) + 1, len(args) + 1 + len(statuses))
    ]
    where = f"where id in ({' union all '.join(branches)}) order by id desc limit {limit}"
    return page_of(await database.page(TABLE, where, *args, *statuses), query.limit)


async def with_attempts_older_than(database: Database, moment: datetime, *, limit: int) -> list[Payment]:
    """Payments in PROCESSING whose last change is older than `moment`, oldest first; behind all others those of whose
    attempts every one was asked for in vain: jobs ask on.
    """
    return await database.page(
        TABLE,
        """where status in ('AUTHORIZING', 'CAPTURING', 'VOIDING') and updated_at < $1
           order by not jsonb_path_exists(attempts, '$[*] ? (!(exists (@.isUnknown ? (@ == true))))'), id limit $2""",
        moment,
        limit,
    )


async def at_rest_since(database: Database, moment: datetime, *, bucket: int, after: str, limit: int) -> list[Payment]:
    """Payments in one of 24 buckets with something left to capture whose last change is older than `moment`, by id,
    after that one.
    """
    return await database.page(
        TABLE,
        """where status = any ('{AUTHORIZED,PARTIALLY_CAPTURED}') and updated_at < $1 and id > $3
             and get_byte(uuid_send(id), 15) % 24 = $2
           order by id limit $4""",
        moment,
        bucket,
        after,
        limit,
    )


async def with_authorization_expired(
    database: Database, moment: datetime, *, tried_before: datetime, limit: int
) -> list[Payment]:
    """Payments whose authorization ran out before `moment` with something left to capture. What has changed since, as
    by an attempt to give it back that came to nothing, waits until that is older than `tried_before`.
    """
    return await database.page(
        TABLE,
        """where status = any ('{AUTHORIZED,PARTIALLY_CAPTURED}') and authorization_expires_at <= $1
             and (updated_at < authorization_expires_at or updated_at <= $2)
           order by authorization_expires_at limit $3""",
        moment,
        tried_before,
        limit,
    )
