"""What must hold of webhooks."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "webhooks: one that has ended was tried, unless nobody handles its type": """
        select 'webhook ' || w.id || ' is ' || w.status || ' after no attempt'
        from webhooks w where w.attempts = 0 and w.status <> all ('{RECEIVED,IGNORED}')""",
    "webhooks: what one is about is a payment": """
        select 'webhook ' || w.id || ' of ' || w.provider || ' is about payment ' || w.payment_id
        from webhooks w left join payments p on p.id = w.payment_id
        where w.payment_id is not null and p.id is null""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
