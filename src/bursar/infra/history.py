"""Reading what happened: lists of events, and one by its id.

One index, (type, id), serves it all, since every change pays for an index on events: what is asked of several types is
asked of each of them and merged.
"""

from datetime import datetime
from typing import Any, Final

import msgspec

from bursar.infra.db import Database
from bursar.infra.events import SELECT, Event, from_record

COLUMNS: Final = SELECT.removeprefix("select ").removesuffix(" from events")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which events to list. event_type: `payment.captured`, or `payment.*`. lowest, highest: the ids among which they
    lie, the first inclusive. after: the id of the last one that was seen.
    """

    lowest: str
    highest: str
    subject: str | None = None
    about: str | None = None
    event_type: str | None = None
    time_from: datetime | None = None
    time_to: datetime | None = None
    after: str | None = None


TYPES: Final = """
with recursive every(type) as (
    (select type from events order by type limit 1)
    union all
    select (select e.type from events e where e.type > every.type order by e.type limit 1) from every
    where every.type is not null
), types as (
    select type from every where type is not null and ({condition})
)
"""
"""The types that there are: each is found by one look into the index."""


async def listed(database: Database, wanted: Wanted, *, limit: int) -> list[Event]:
    """Events, newest first: by their ids; those of one object or timeline as they were committed."""
    args: list[Any] = []
    conditions = []
    for condition, value in (
        ("stream = {}", wanted.subject),
        ("about = {}", wanted.about),
        ("occurred_at >= {}", wanted.time_from),
        ("occurred_at < {}", wanted.time_to),
    ):
        if value is not None:
            args.append(value)
            conditions.append(condition.format(f"${len(args)}"))
    if wanted.subject is not None or wanted.about is not None:
        records = await database.fetch(_of_one(wanted, args, conditions, limit), *args)
    else:
        records = await database.fetch(_of_all(wanted, args, conditions, limit), *args)
    return [from_record(record) for record in records]


async def find(database: Database, event_id: str) -> Event | None:
    """The event of an id."""
    sql = f"""{TYPES.format(condition="true")}
        select e.* from types cross join lateral (
            select {COLUMNS} from events where events.type = types.type and id = $1) e"""  # noqa: S608  no input in it
    records = await database.fetch(sql, event_id)
    return from_record(records[0]) if records else None


def _of_one(wanted: Wanted, args: list[Any], conditions: list[str], limit: int) -> str:
    if wanted.after is not None:
        args.append(wanted.after)
        scope = conditions[0]
        seen = f"(select tx, position from events where {scope} and id = ${len(args)})"  # noqa: S608  no input in it
        conditions.append(f"(tx, position) < {seen}")
    conditions.append(_of_type(wanted, args))
    return f"{SELECT} where {' and '.join(conditions)} order by tx desc, position desc limit {limit}"


def _of_all(wanted: Wanted, args: list[Any], conditions: list[str], limit: int) -> str:
    types = TYPES.format(condition=_of_type(wanted, args))
    args += [wanted.lowest, wanted.highest]
    inside = ["events.type = types.type", f"id >= ${len(args) - 1}", f"id < ${len(args)}", *conditions]
    return f"""{types}
        select e.* from types cross join lateral (
            select {COLUMNS} from events where {" and ".join(inside)} order by id desc limit {limit}) e
        order by id desc limit {limit}"""  # noqa: S608  no input in it


def _of_type(wanted: Wanted, args: list[Any]) -> str:
    if wanted.event_type is None:
        return "true"
    if wanted.event_type.endswith("*"):
        args.append(wanted.event_type.removesuffix("*"))
        return f"starts_with(type, ${len(args)})"
    args.append(wanted.event_type)
    return f"type = ${len(args)}"
