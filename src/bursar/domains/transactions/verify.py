"""What must hold of transactions, payments and the ledger together."""

from typing import Any, Final

_LINES: Final = """
    (select t.id, t.payment_id, t.type, t.status, t.currency, a.line - 1 as line, a.value ->> 'vendorId' as vendor_id,
            (a.value ->> 'grossAmount')::bigint as gross, (a.value ->> 'commissionAmount')::bigint as commission,
            (a.value ->> 'netAmount')::bigint as net, coalesce((a.value ->> 'refunded')::bigint, 0) as refunded,
            coalesce((a.value ->> 'refunding')::bigint, 0) as refunding,
            coalesce((a.value ->> 'disputed')::bigint, 0) as disputed,
            coalesce((a.value ->> 'commissionReturned')::bigint, 0) as returned,
            coalesce((a.value ->> 'commissionDisputed')::bigint, 0) as commission_disputed,
            (a.value ->> 'chargeId')::uuid as charge_id, (a.value ->> 'chargeLine')::int as charge_line
     from transactions t, jsonb_array_elements(t.allocations) with ordinality a(value, line))"""

CHECKS: Final[dict[str, str]] = {
    "transactions: allocations are commission and net, and sum to the amount": f"""
        select 'transaction ' || t.id from transactions t
        left join (select id, sum(gross) as gross, sum(commission) as commission, sum(refunded) as refunded,
                          bool_or(gross <> commission + net or refunding + refunded + disputed > gross) as is_off
                   from {_LINES} l group by id) l on l.id = t.id
        where coalesce(l.is_off, false) or coalesce(l.commission, 0) <> t.commission_total
           or coalesce(l.refunded, 0) <> t.amount_refunded
           or coalesce(l.gross, 0) > t.amount or t.type = 'CHARGE' and l.gross is distinct from t.amount""",  # noqa: S608  a constant
    "transactions: what charges say was taken back is in refunds and chargebacks": f"""
        select 'transaction ' || c.id || ' line ' || c.line || ' refunded ' || c.refunded || ', disputed ' || c.disputed
            || ', its refunds took ' || coalesce(b.refunded, 0) || ', its chargebacks ' || coalesce(b.disputed, 0)
        from {_LINES} c
        left join (
            select charge_id, charge_line,
                   sum(gross) filter (where type = 'REFUND') as refunded,
                   sum(commission) filter (where type = 'REFUND') as returned,
                   sum(gross) filter (where type = 'CHARGEBACK') as disputed,
                   sum(commission) filter (where type = 'CHARGEBACK') as commission_disputed
            from {_LINES} l where status = 'COMPLETED' and charge_id is not null group by 1, 2) b
            on b.charge_id = c.id and b.charge_line = c.line
        where c.type = 'CHARGE' and (c.refunded, c.disputed, c.returned, c.commission_disputed) is distinct from (
            coalesce(b.refunded, 0), coalesce(b.disputed, 0), coalesce(b.returned, 0),
            coalesce(b.commission_disputed, 0))""",  # noqa: S608  a constant
    "transactions: the ledger has what completed charges allocate": f"""
        select 'transaction ' || coalesce(c.id, l.about) || ' ' || coalesce(c.account, l.account)
            || ' should have ' || coalesce(c.earned, 0) || ', has ' || coalesce(l.posted, 0)
        from (
            select id, 'vendor:' || vendor_id || ':pending' as account, currency, sum(net) as earned
            from {_LINES} v where type = 'CHARGE' and status = 'COMPLETED' group by 1, 2, 3 having sum(net) > 0
            union all
            select id, 'commission_revenue', currency, commission_total
            from transactions where type = 'CHARGE' and status = 'COMPLETED' and commission_total > 0) c
        full join (
            select p.about, p.account, p.currency, -sum(p.amount) as posted
            from postings p join transactions t on t.id = p.about and t.type = 'CHARGE'
            where p.account = 'commission_revenue' or p.account like 'vendor:%:pending'
            group by 1, 2, 3) l
            on l.about = c.id and l.account = c.account and l.currency = c.currency
        where coalesce(c.earned, 0) <> coalesce(l.posted, 0)""",  # noqa: S608  a constant
    "transactions: unallocated money is the payments' and the pending charges'": """
        select 'payment ' || p.id || ' has ' || p.amount_unallocated || ' unallocated, pending charges have '
            || coalesce(c.pending, 0) || ', the ledger has ' || coalesce(l.balance, 0)
        from payments p
        left join (select payment_id, sum(amount) as pending from transactions
                   where type = 'CHARGE' and status = 'PENDING' group by 1) c on c.payment_id = p.id
        left join (select about, -sum(amount) as balance from postings where account = 'unallocated' group by 1) l
            on l.about = p.id
        where coalesce(l.balance, 0) - p.amount_unallocated - coalesce(c.pending, 0)
            not between 0 and p.amount_refunding""",
    "transactions: lists by vendor have what the allocations say": f"""
        select 'transaction ' || coalesce(t.id, v.transaction_id) || ' vendor ' || coalesce(t.vendor_id, v.vendor_id)
        from (select l.id, l.vendor_id, l.currency, l.type, l.status, sum(l.gross) as gross, w.completed_at
              from {_LINES} l join transactions w on w.id = l.id group by 1, 2, 3, 4, 5, w.completed_at) t
        full join transaction_vendors v on v.transaction_id = t.id and v.vendor_id = t.vendor_id
        where (t.currency, t.type, t.status, t.gross, t.completed_at)
            is distinct from (v.currency, v.type, v.status, v.gross, v.completed_at)""",  # noqa: S608  a constant
}
"""Each answers one text for each fault. In the ledger, money set aside for a refund is unallocated until it is sent."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
