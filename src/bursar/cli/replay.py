"""`bursar events replay`: every object rebuilt from its events in a shadow schema, then compared with what there is."""

from typing import Any

import asyncpg
import msgspec
from rich.console import Console

from bursar import wiring
from bursar.infra.db import Table, prepare_connection
from bursar.infra.events import camel

SCHEMA = "replay"
CHUNK = 2_000


async def replay(url: str) -> int:
    """Print, for each kind of object, how many were rebuilt and what differs. Returns 0 where nothing differs,
    else 1.
    """
    console = Console(soft_wrap=True, highlight=False)
    connection = await asyncpg.connect(url)
    differing = 0
    try:
        await prepare_connection(connection)
        for kind, (table, _) in wiring.AGGREGATES.items():
            await connection.execute(f"drop schema if exists {SCHEMA} cascade; create schema {SCHEMA}")
            await connection.execute(f"create table {SCHEMA}.{table.name} as table public.{table.name} with no data")
            rebuilt = await _rebuild(connection, kind, table)
            differences = await _differences(connection, kind, table)
            differing += len(differences)
            console.print(f"{table.name}: {rebuilt} rebuilt from their events, {len(differences)} differ")
            for row_id in differences[:10]:
                console.print(f"    {row_id}")
        await connection.execute(f"drop schema if exists {SCHEMA} cascade")
    finally:
        await connection.close()
    console.print("no difference" if not differing else f"{differing} objects differ from their history")
    return 1 if differing else 0


async def _rebuild(connection: Any, kind: str, table: Table[Any]) -> int:
    """Fold each stream's events, oldest first, into rows of the shadow schema."""
    fields = {camel(name): name for name in table.row.__struct_fields__}
    insert = (
        f"insert into {SCHEMA}.{table.name} select * from jsonb_populate_recordset(null::{SCHEMA}.{table.name}, $1)"
    )
    rows: list[dict[str, Any]] = []
    row: dict[str, Any] = {}
    count = 0
    async with connection.transaction():
        events = connection.cursor(
            "select stream, version, data, occurred_at from events where type like $1 order by stream, version",
            f"{kind}.%",
            prefetch=CHUNK,
        )
        async for event in events:
            if row and row["id"] != event["stream"]:
                rows.append(row)
                row = {}
            if len(rows) >= CHUNK:
                await connection.execute(insert, msgspec.json.encode(rows).decode())
                rows = []
            count += not row
            row |= {fields[name]: value for name, value in event["data"].items() if name in fields}
            row |= {"id": event["stream"], "version": event["version"], "updated_at": event["occurred_at"]}
        if row:
            rows.append(row)
        await connection.execute(insert, msgspec.json.encode(rows).decode())
    return count


async def _differences(connection: Any, kind: str, table: Table[Any]) -> list[str]:
    """The objects that are not what their events made of them, and those of which an event is missing in between."""
    name = table.name
    records = await connection.fetch(
        f"""select coalesce(a.id, b.id) as id from public.{name} a full join {SCHEMA}.{name} b on a.id = b.id
            where to_jsonb(a) - $1::text[] is distinct from to_jsonb(b) - $1::text[]
            union select stream from events where type like $2 group by stream having count(*) <> max(version)
            order by 1""",
        sorted(table.private),
        f"{kind}.%",
    )
    return [record["id"] for record in records]
