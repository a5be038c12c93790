"""What must hold of the subjects of KYC."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "kyc: a subject's status is what its last event says": """
        select 'subject ' || k.id || ' is ' || k.status || ', its last event is ' || coalesce(e.type, 'missing')
        from kyc_subjects k left join events e on e.stream = k.id and e.version = k.version
        where e.type is distinct from 'kyc.' || lower(k.status::text)
          and not (k.status = 'PENDING' and coalesce(e.type in ('kyc.requested', 'kyc.in_progress'), false))""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
