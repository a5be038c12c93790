"""What must hold of rules and their versions together."""

from typing import Any, Final

CHECKS: Final[dict[str, str]] = {
    "commission rules: each is its last version, and none is missing": """
        select 'commission rule ' || coalesce(r.id, v.id)
        from commission_rules r
        full join (
            select distinct on (id) id, to_jsonb(w) as was, count(*) over (partition by id) as versions
            from commission_rule_versions w order by id, version desc) v on v.id = r.id
        where to_jsonb(r) is distinct from v.was or r.version <> v.versions""",
    "commission rules: nobody activated what he wrote": """
        select 'commission rule ' || id || ' version ' || version from commission_rule_versions
        where status = 'ACTIVE' and authors ? changed_by""",
}
"""Each answers one text for each fault."""


async def faults(connection: Any) -> dict[str, list[str]]:
    """Run every check on `connection`. Returns the faults of each."""
    return {name: [record[0] for record in await connection.fetch(sql)] for name, sql in CHECKS.items()}
