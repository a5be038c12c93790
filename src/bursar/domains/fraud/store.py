"""Queries on fraud_checks."""

from bursar.domains.fraud.model import FraudCheck
from bursar.infra.db import Database, Query, Table, Tx, found

TABLE = Table("fraud_checks", FraudCheck)

RECENT_COUNT_MAX = 10_000

RECENT_COUNT = Query(
    name="fraud_recent_count",
    sql=f"""select w.key, (
                select count(*) from (
                    select 1 from fraud_checks c
                    where c.customer_id = w.key and c.created_at > $2::timestamptz - interval '1 hour'
                    limit {RECENT_COUNT_MAX}) recent) as count
            from unnest($1::text[]) w(key)""",  # noqa: S608  a constant
)
"""How many checks a customer had within the last hour."""


async def lock(tx: Tx, check_id: str) -> FraudCheck:
    return found(await tx.lock(TABLE, check_id), "fraud check")


async def of_payment(database: Database, payment_id: str) -> list[FraudCheck]:
    """All checks of a payment, newest first."""
    return await database.page(TABLE, "where payment_id = $1 order by id desc limit 100", payment_id)
