"""The conditions of a page of a list, newest first: ranges of ids, which carry the time."""

from datetime import timedelta
from typing import Any

from bursar.infra.http.types import PageQuery
from bursar.kit import ids
from bursar.kit.paging import id_after


def id_range(query: PageQuery) -> tuple[str, str]:
    """The ids among which a page lies: the first inclusive, the last exclusive."""
    lowest = ids.lowest(query.created_from) if query.created_from else ids.FIRST
    highest = ids.lowest(query.created_to + timedelta(milliseconds=1)) if query.created_to else ids.LAST
    return lowest, min(highest, id_after(query.cursor) or ids.LAST)


def narrowed(args: list[Any], query: PageQuery, **columns: str | None) -> list[str]:
    """The further conditions of a page; their values are added to `args`."""
    conditions = []
    for condition, value in (
        ("created_at >= {}", query.created_from),
        ("created_at < {}", query.created_to),
        *((f"{column} = {{}}", wanted) for column, wanted in columns.items()),
    ):
        if value is not None:
            args.append(value)
            conditions.append(condition.format(f"${len(args)}"))
    return conditions
