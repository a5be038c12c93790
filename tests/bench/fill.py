"""Payments of the past year by set-based SQL: every contender begins with the same rows, ten million if need be.

Ids are UUIDv7 of the time of the payment and ascend with it, as they do in life; nine in ten payments are COMPLETED;
customers are 100,000, with one marketplace among them that has one payment in 400.
"""

import asyncio
from typing import Any

import asyncpg

CHUNK = 250_000
MARKETPLACE = "customer-marketplace"

COMMON = """
with numbers as (
    select n, $3::timestamptz - interval '365 days' * (($4 - n) / $4::float8) as at
    from generate_series($1::bigint, $2::bigint) n
), rows as (
    select n, at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as head, n % 1000 as share,
        md5(n || 'payment') as one, md5(n || 'check') as two, 100 + (hashint8(n)::bigint & 16383) as amount,
        case when n % 400 = 0 then '{marketplace}'
             else 'customer-' || lpad(((hashint8(n)::bigint & 2147483647) % 100000)::text, 6, '0') end as customer_id
    from numbers
), facts as (
    select *, (head || '7' || left(one, 3) || '8' || substr(one, 4, 15))::uuid as id,
        (head || '7' || left(two, 3) || '9' || substr(two, 4, 15))::uuid as check_id,
        case when share < 880 then 'COMPLETED' when share < 930 then 'FAILED' when share < 970 then 'CANCELLED'
             when share < 995 then 'EXPIRED' when share < 999 then 'CAPTURED' else 'PENDING'
        end::payment_status as status
    from rows
)
"""

FRAUD_CHECKS = (
    COMMON
    + """
insert into fraud_checks (id, version, payment_id, customer_id, amount, currency, risk_score, risk_level, decision,
    status, reasons, rules_version, latency_micros, created_at, updated_at)
select check_id, 1, id, customer_id, amount, 'EUR', 5, 'LOW', 'APPROVE',
    'COMPLETED', '[]', 'amount-velocity-1', 49, at, at
from facts order by n
"""
)

PAYMENTS = (
    COMMON
    + """
insert into payments (id, version, payment_number, order_id, customer_id, amount, currency, capture_method, status,
    payment_method_id, metadata, amount_authorized, amount_capturing, amount_captured, amount_refunded,
    is_capture_final, fraud_check_id, risk_level, provider, provider_transaction_id, attempts, created_at, updated_at,
    authorized_at, authorization_expires_at, captured_at, completed_at, failed_at, cancelled_at)
select id, case status when 'PENDING' then 1 else 6 end, 'PAY-' || lpad(to_hex(n), 14, '0'),
    'order-' || lpad(n::text, 16, '0'), customer_id, amount, 'EUR', 'MANUAL', status, 'pm_sandbox_visa', '{{}}',
    case when is_authorized then amount else 0 end, 0, case when is_captured then amount else 0 end, 0, is_captured,
    check_id, 'LOW', 'sandbox', case when is_authorized then 'sbx_' || id end, '[]', at, at,
    case when is_authorized then at end, case when is_authorized then at + interval '7 days' end,
    case when is_captured then at end, case when status = 'COMPLETED' then at end,
    case when status = 'FAILED' then at end, case when status = 'CANCELLED' then at end
from facts, lateral (select status in ('COMPLETED', 'CAPTURED') as is_captured,
    status in ('COMPLETED', 'CAPTURED', 'EXPIRED') as is_authorized) flags
order by n
"""
)

SESSION = (
    "set session_replication_role = replica",  # the foreign key holds by construction: not checked row by row
    "set synchronous_commit = off",
    "set maintenance_work_mem = '1GB'",
)

INDEXES = """
select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
from pg_index where indrelid = $1::text::regclass and not indisunique
"""


async def fill(url: str, rows: int) -> None:
    """Fill payments and their fraud checks, one connection each; secondary indexes are made anew at the end."""
    connection = await asyncpg.connect(url)
    now = await connection.fetchval("select now()")
    await connection.close()
    await asyncio.gather(
        _fill(url, "fraud_checks", FRAUD_CHECKS, rows, now), _fill(url, "payments", PAYMENTS, rows, now)
    )


async def _fill(url: str, table: str, statement: str, rows: int, now: Any) -> None:
    sql = statement.format(marketplace=MARKETPLACE)
    connection = await asyncpg.connect(url)
    try:
        for setting in SESSION:
            await connection.execute(setting)
        indexes = await connection.fetch(INDEXES, table)
        for index in indexes:
            await connection.execute(f"drop index {index['name']}")
        for first in range(1, rows + 1, CHUNK):
            await connection.execute(sql, first, min(first + CHUNK - 1, rows), now, rows)
        for index in indexes:
            await connection.execute(index["definition"])
        await connection.execute(f"vacuum (freeze, analyze) {table}")
    finally:
        await connection.close()
