"""Queries on commission_rules and their versions: the only SQL on those tables."""

from collections.abc import Sequence
from typing import Any, Final

from bursar.domains.commissions.engine import Index
from bursar.domains.commissions.model import Rule, Status
from bursar.infra.db import Database, Table, Tx, found
from bursar.infra.hot import IndexedRows
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("commission_rules", Rule)
VERSIONS = Table("commission_rule_versions", Rule)

ACTIVE_MAX: Final = 20_000
"""How many rules can be active at once."""

VERSIONS_MAX: Final = 1_000
"""How many versions of a rule are shown, the latest ones."""


async def lock(tx: Tx, rule_id: str) -> Rule:
    return found(await tx.lock(TABLE, rule_id), "commission rule")


def in_process() -> IndexedRows[Rule, Index]:
    """The active rules and their index, kept in process. Some room is left: a moment's race lets a few more in."""
    return IndexedRows(TABLE, "where status = 'ACTIVE' order by id", Index, rows_max=2 * ACTIVE_MAX)


async def versions(database: Database, rule_id: str, *, status: Status | None) -> list[Rule]:
    """What a rule was, the latest version first; where a status is given, only versions that had it."""
    return await database.page(
        VERSIONS,
        "where id = $1 and ($2::commission_rule_status is null or status = $2) order by version desc limit $3",
        rule_id,
        status,
        VERSIONS_MAX,
    )


async def page_of_vendor(database: Database, query: PageQuery, *, vendor_id: str, status: Status | None) -> Page[Rule]:
    """The rules that can apply to a vendor: its own and those for all, newest first."""
    args, rest = _narrowed(query, vendor_id, status)
    selects = [
        f"(select {TABLE.columns} from {TABLE.name} where {scope} and {rest})"  # noqa: S608  no input in it
        for scope in ("vendor_id = $1", "vendor_id is null and $1::text is not null")
    ]
    sql = f"{' union all '.join(selects)} order by id desc limit {query.limit + 1}"
    return page_of([TABLE.from_record(record) for record in await database.fetch(sql, *args)], query.limit)


async def page_of_category(
    database: Database,
    query: PageQuery,
    *,
    category_id: str,
    status: Status | None,
    vendor_id: str | None,
) -> Page[Rule]:
    """The rules for a category, newest first. vendor_id: only those that can apply to this vendor."""
    args, rest = _narrowed(query, category_id, status)
    mine = "true"
    if vendor_id is not None:
        args.append(vendor_id)
        mine = f"(vendor_id is null or vendor_id = ${len(args)})"
    rows: Sequence[Rule] = await database.page(TABLE, f"where category_id = $1 and {mine} and {rest}", *args)
    return page_of(rows, query.limit)


def _narrowed(query: PageQuery, first: str, status: Status | None) -> tuple[list[Any], str]:
    """The arguments, `first` in front, and the rest of a select after its first condition."""
    lowest, highest = id_range(query)
    args: list[Any] = [first, lowest, highest]
    conditions = ["id >= $2", "id < $3", *narrowed(args, query, status=status)]
    return args, f"{' and '.join(conditions)} order by id desc limit {query.limit + 1}"
