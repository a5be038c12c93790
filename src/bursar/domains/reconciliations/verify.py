"""What must hold of reconciliations, over the whole database."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "reconciliations: suspense is the sum of the open items": """
        select 'suspense ' || coalesce(a.currency, i.currency) || ' holds ' || coalesce(a.balance, 0)
            || ', open items say ' || coalesce(i.total, 0)
        from (select currency, balance from accounts where name = 'suspense') a
        full join (
            select s.key as currency, sum(s.value::bigint) as total
            from reconciliation_items t, jsonb_each_text(t.suspense) s where t.status = 'OPEN' group by s.key) i
            on i.currency = a.currency
        where coalesce(a.balance, 0) <> coalesce(i.total, 0)""",
    "reconciliations: what lies in suspense about an item is what it says": """
        select 'item ' || coalesce(i.id, p.about) || ' ' || coalesce(i.currency, p.currency) || ' says '
            || coalesce(i.amount, 0) || ', its postings ' || coalesce(p.total, 0)
        from (
            select t.id, s.key as currency, case when t.status = 'OPEN' then s.value::bigint else 0 end as amount
            from reconciliation_items t, jsonb_each_text(t.suspense) s) i
        full join (
            select about, currency, sum(amount) as total from postings
            where account = 'suspense' group by about, currency) p
            on p.about = i.id and p.currency = i.currency
        where coalesce(i.amount, 0) <> coalesce(p.total, 0)""",
    "reconciliations: their counts are their items'": """
        select 'reconciliation ' || coalesce(r.id, i.id) || ' ' || coalesce(r.kind, i.kind) || ' says '
            || coalesce(r.count, 0) || ', has ' || coalesce(i.count, 0)
        from (select r.id, c.key as kind, c.value::bigint as count
              from reconciliations r, jsonb_each_text(r.counts) c) r
        full join (
            select reconciliation_id as id, kind::text as kind, count(*) as count
            from reconciliation_items group by 1, 2) i on i.id = r.id and i.kind = r.kind
        where coalesce(r.count, 0) <> coalesce(i.count, 0)""",
    "reconciliations: each row of a completed one has its item": """
        select 'reconciliation ' || r.id || ' has ' || r.row_count || ' rows, with an item ' || count(i.id)
        from reconciliations r
        left join reconciliation_items i
            on i.reconciliation_id = r.id and i.row_id is not null
        where r.status = 'COMPLETED' group by r.id having r.row_count <> count(i.id)""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
