"""What must hold of payments and the ledger together."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "payments: refunded <= captured <= authorized <= amount": """
        select 'payment ' || id from payments
        where not (amount_refunded <= amount_captured and amount_captured + amount_capturing <= amount_authorized
            and amount_authorized <= amount)""",
    "payments: clearing moved exactly captured - refunded - disputed": """
        select 'payment ' || coalesce(p.id, l.about) || ' should have moved ' || coalesce(p.left_there, 0)
            || ', clearing moved ' || coalesce(l.moved, 0)
        from (select id, amount_captured - amount_refunded - amount_disputed as left_there
              from payments where amount_captured > 0) p
        full join (
            select about, sum(amount) as moved from postings
            where account like 'provider:%:clearing' and about in (select id from payments) group by about) l
            on l.about = p.id
        where coalesce(p.left_there, 0) <> coalesce(l.moved, 0)""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
