"""Queries on routing_rules."""

from typing import Any

from bursar.domains.routing.model import Rule
from bursar.infra.db import Database, Table, Tx, found
from bursar.infra.hot import Rows
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("routing_rules", Rule)


async def lock(tx: Tx, rule_id: str) -> Rule:
    return found(await tx.lock(TABLE, rule_id), "routing rule")


async def page(database: Database, query: PageQuery) -> Page[Rule]:
    """Rules, newest first."""
    args: list[Any] = [*id_range(query)]
    conditions = ["id >= $1", "id < $2", *narrowed(args, query)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


def in_process() -> Rows[Rule]:
    """The active rules, kept in process."""
    return Rows(TABLE, "where status = 'ACTIVE' order by priority, id")
