"""What must hold of refunds, their payments, the vendors' transactions and the ledger together."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "refunds: what is asked back and refunded is what the payments say": """
        select 'payment ' || coalesce(p.id, r.payment_id) || ' has ' || coalesce(p.amount_refunding, 0)
            || ' refunding, ' || coalesce(p.amount_refunded, 0) || ' refunded; its refunds '
            || coalesce(r.refunding, 0) || ', ' || coalesce(r.refunded, 0)
        from (select id, amount_refunding, amount_refunded from payments
              where amount_refunding > 0 or amount_refunded > 0) p
        full join (
            select payment_id,
                   coalesce(sum(amount) filter (where status = any ('{PENDING_APPROVAL,APPROVED,PROCESSING}')), 0)
                       as refunding,
                   coalesce(sum(amount) filter (where status = 'COMPLETED'), 0) as refunded
            from refunds group by payment_id) r on r.payment_id = p.id
        where coalesce(p.amount_refunding, 0) <> coalesce(r.refunding, 0)
            or coalesce(p.amount_refunded, 0) <> coalesce(r.refunded, 0)""",
    "refunds: each has its REFUND transaction, which stands as it does": """
        select 'refund ' || coalesce(r.id, t.refund_id) || ' is ' || coalesce(r.status::text, 'not there')
            || ', its transaction ' || coalesce(t.status::text, 'not there')
        from refunds r full join (select * from transactions where type = 'REFUND') t on t.id = r.refund_transaction_id
        where r.id is null or t.id is null or t.refund_id is distinct from r.id or t.amount <> r.amount
            or t.currency <> r.currency or t.payment_id <> r.payment_id
            or t.status::text <> case
                when r.status = 'COMPLETED' then 'COMPLETED'
                when r.status = any ('{PENDING_APPROVAL,APPROVED,PROCESSING}') then 'PENDING' else 'FAILED' end""",
    "refunds: what is asked back and refunded of each share is what its charge says": """
        select 'transaction ' || coalesce(a.id, s.id) || ' line ' || coalesce(a.line, s.line)
            || ': ' || coalesce(a.refunding, 0) || ' refunding, ' || coalesce(a.refunded, 0)
            || ' refunded; the refunds ' || coalesce(s.refunding, 0) || ', ' || coalesce(s.refunded, 0)
        from (select t.id, x.position - 1 as line, coalesce((x.allocation ->> 'refunding')::bigint, 0) as refunding,
                     coalesce((x.allocation ->> 'refunded')::bigint, 0) as refunded
              from transactions t, jsonb_array_elements(t.allocations) with ordinality x(allocation, position)
              where t.type = 'CHARGE') a
        full join (
            select (x ->> 'transactionId')::uuid as id, (x ->> 'line')::int as line,
                   sum((x ->> 'gross')::bigint)
                       filter (where status = any ('{PENDING_APPROVAL,APPROVED,PROCESSING}')) as refunding,
                   sum((x ->> 'gross')::bigint) filter (where status = 'COMPLETED') as refunded
            from refunds, jsonb_array_elements(shares) x group by 1, 2) s on s.id = a.id and s.line = a.line
        where coalesce(a.refunding, 0) <> coalesce(s.refunding, 0)
            or coalesce(a.refunded, 0) <> coalesce(s.refunded, 0)""",
    "refunds: what is owed to customers is what is PROCESSING": """
        select 'refund ' || coalesce(r.id, l.about) || ' owes ' || coalesce(r.amount, 0) || ', the ledger says '
            || coalesce(-l.balance, 0)
        from (select id, amount from refunds where status = 'PROCESSING') r
        full join (select about, sum(amount) as balance from postings where account = 'refunds'
                   group by about having sum(amount) <> 0) l on l.about = r.id
        where coalesce(r.amount, 0) <> coalesce(-l.balance, 0)""",
    "refunds: each vendor and the platform gave back its share": """
        select 'refund ' || coalesce(s.id, l.about) || ' takes ' || coalesce(s.amount, 0) || ' from '
            || coalesce(s.account, l.account) || ', the ledger says ' || coalesce(l.amount, 0)
        from (select id, account, sum(amount) as amount
              from (select id, 'vendor:' || (x ->> 'vendorId') || ':pending' as account, (x ->> 'net')::bigint as amount
                    from refunds, jsonb_array_elements(shares) x where status = any ('{PROCESSING,COMPLETED}')
                    union all
                    select id, 'commission_revenue', (x ->> 'commission')::bigint
                    from refunds, jsonb_array_elements(shares) x where status = any ('{PROCESSING,COMPLETED}')) each_one
              group by id, account having sum(amount) <> 0) s
        full join (select about, account, sum(amount) as amount from postings
                   where account <> 'refunds' and about in (select id from refunds)
                   group by about, account having sum(amount) <> 0) l on l.about = s.id and l.account = s.account
        where coalesce(s.amount, 0) <> coalesce(l.amount, 0)""",
    "refunds: nobody approved what he asked for, and nobody twice": """
        select 'refund ' || id from refunds
        where approvals <> '[]' and not are_refund_approvals(approvals, requested_by, content_digest)""",
    "refunds: batches count their items": """
        select 'batch ' || b.id || ' says ' || b.asked_count || ' asked, ' || b.refused_count || ' refused of '
            || b.item_count || '; there are ' || coalesce(i.asked, 0) || ', ' || coalesce(i.refused, 0) || ' of '
            || coalesce(i.total, 0)
        from refund_batches b left join (
            select batch_id, count(*) as total, count(*) filter (where status = 'ASKED') as asked,
                   count(*) filter (where status = 'REFUSED') as refused
            from refund_batch_items group by batch_id) i on i.batch_id = b.id
        where (b.item_count, b.asked_count, b.refused_count)
            is distinct from (coalesce(i.total, 0), coalesce(i.asked, 0), coalesce(i.refused, 0))""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
