"""Queries on routing_rules."""

from bursar.domains.routing.model import Rule
from bursar.infra.db import Database, Table, Tx, found
from bursar.infra.hot import Rows

TABLE = Table("routing_rules", Rule)

RULES_MAX = 1_000


async def lock(tx: Tx, rule_id: str) -> Rule:
    return found(await tx.lock(TABLE, rule_id), "routing rule")


async def page(database: Database) -> list[Rule]:
    """All rules, in the order in which they count."""
    return await database.page(TABLE, f"order by priority, id limit {RULES_MAX}")


def in_process() -> Rows[Rule]:
    """The active rules, kept in process."""
    return Rows(TABLE, "where status = 'ACTIVE' order by priority, id")
