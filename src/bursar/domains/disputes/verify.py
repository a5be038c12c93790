"""What must hold of disputes, their payments, the vendors' shares and the ledger together."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "disputes: a payment's disputed amount is its disputes'": """
        select 'payment ' || p.id || ' says ' || p.amount_disputed || ', its disputes ' || coalesce(d.booked, 0)
        from payments p left join (
            select d.payment_id, sum(d.amount_booked) as booked
            from disputes d where d.status = any ('{NEEDS_RESPONSE,UNDER_REVIEW,ACCEPTED,LOST}') group by d.payment_id
        ) d on d.payment_id = p.id
        where p.amount_disputed <> coalesce(d.booked, 0)""",
    "disputes: a payment shows the one that asks most": """
        select 'payment ' || p.id || ' shows ' || coalesce(p.dispute_status, 'nothing') || ' instead of ' || d.worst
        from payments p join (
            select payment_id, (array_agg(status::text order by array_position(
                '{NEEDS_RESPONSE,UNDER_REVIEW,ALERT,LOST,ACCEPTED,WON,CLOSED}', status::text)))[1] as worst
            from disputes group by payment_id) d on d.payment_id = p.id
        where p.dispute_status is distinct from d.worst""",
    "disputes: what charges count as disputed is the disputes' shares": """
        with counted as (
            select t.id, (a.line - 1)::int as line, coalesce((a.of ->> 'disputed')::bigint, 0) as gross
            from transactions t, jsonb_array_elements(t.allocations) with ordinality a(of, line) where t.type = 'CHARGE'
        ), taken as (
            select (s ->> 'transactionId')::uuid as id, (s ->> 'line')::int as line,
                sum((s ->> 'gross')::bigint) as gross
            from disputes d, jsonb_array_elements(d.shares) s
            where d.status = any ('{NEEDS_RESPONSE,UNDER_REVIEW,ACCEPTED,LOST}') group by 1, 2
        )
        select 'transaction ' || coalesce(c.id, t.id) || ', allocation ' || coalesce(c.line, t.line) || ': '
            || coalesce(c.gross, 0) || ' disputed, by disputes ' || coalesce(t.gross, 0)
        from counted c full join taken t on t.id = c.id and t.line = c.line
        where coalesce(c.gross, 0) <> coalesce(t.gross, 0)""",
    "disputes: each has its CHARGEBACK, reversed where it was won": """
        select 'dispute ' || d.id || ' is ' || d.status || ', its CHARGEBACK ' || coalesce(t.status::text, 'missing')
        from disputes d left join transactions t on t.id = d.transaction_id and t.dispute_id = d.id
            and t.type = 'CHARGEBACK' and t.amount = d.amount
        where t.status::text is distinct from
            case when d.status = any ('{NEEDS_RESPONSE,UNDER_REVIEW,ACCEPTED,LOST}') then 'COMPLETED'
                 when d.status = 'WON' then 'FAILED' end""",
    "disputes: the ledger moved what the row says": """
        with rows as (
            select d.id, d.fee_amount, d.amount, d.amount_booked, d.amount_lost,
                case when d.status = any ('{NEEDS_RESPONSE,UNDER_REVIEW,ACCEPTED,LOST}') then 1 else 0 end as held,
                coalesce((select sum((s ->> 'net')::bigint) from jsonb_array_elements(d.shares) s), 0) as net,
                coalesce((select sum((s ->> 'commission')::bigint) from jsonb_array_elements(d.shares) s), 0) as given
            from disputes d
        ), moved as (
            select p.about as id,
                coalesce(sum(p.amount) filter (where p.account like 'vendor:%'), 0) as vendors,
                coalesce(sum(p.amount) filter (where p.account = 'dispute_losses'), 0) as losses,
                coalesce(sum(p.amount) filter (where p.account = 'dispute_fees'), 0) as fees,
                coalesce(sum(p.amount) filter (where p.account like 'provider:%:clearing'), 0) as clearing
            from postings p where p.about in (select id from disputes) group by p.about
        )
        select 'dispute ' || r.id || ': vendors ' || coalesce(m.vendors, 0) || ', losses ' || coalesce(m.losses, 0)
            || ', fees ' || coalesce(m.fees, 0) || ', clearing ' || coalesce(m.clearing, 0) || ' in the ledger'
        from rows r left join moved m on m.id = r.id
        where coalesce(m.vendors, 0) <> r.held * r.net
           or coalesce(m.losses, 0) <> r.held * (r.given + r.amount_lost)
           or coalesce(m.fees, 0) <> r.fee_amount
           or coalesce(m.clearing, 0) <> r.held * (r.amount_booked - r.amount) - r.fee_amount""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
