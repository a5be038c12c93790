"""What must hold of payment methods."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "payment_methods: nothing is left of a removed one": """
        select 'payment method ' || id from payment_methods
        where status = 'REMOVED' and (vault_record_id is not null or provider_tokens <> '{}' or is_default)""",
    "payment_methods: a customer's default is one of his active methods": """
        select 'customer ' || customer_id from payment_methods
        group by customer_id
        having count(*) filter (where is_default) > 1 or bool_or(is_default and status <> 'ACTIVE')""",
    "payment_methods: each can be used by somebody": """
        select 'payment method ' || id from payment_methods
        where status <> 'REMOVED' and vault_record_id is null and provider_tokens = '{}' and wallet is null""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
