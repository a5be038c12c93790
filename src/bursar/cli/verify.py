"""`bursar ledger verify`: every invariant over the whole database."""

import asyncpg
from rich.console import Console

from bursar import wiring
from bursar.domains.ledger import verify as ledger
from bursar.infra import keyfiles, seal
from bursar.infra.db import prepare_connection
from bursar.settings import Settings

SHOWN_MAX = 10


async def verify(settings: Settings, url: str, console: Console | None = None) -> int:
    """Print each check and its faults. Returns 0 where nothing is wrong, else 1."""
    console = console or Console(soft_wrap=True, highlight=False)
    connection = await asyncpg.connect(url)
    try:
        await prepare_connection(connection)
        found: dict[str, list[str]] = {}
        for check in wiring.INVARIANTS:
            found |= await check(connection)
        found["seals fit their rows"] = await seal.faults(
            connection, keyfiles.seal_key(settings.keys_path).public_key()
        )
        counts = await ledger.counts(connection)
    finally:
        await connection.close()
    for name, faults in found.items():
        console.print(f"[{'green' if not faults else 'red'}]{'ok  ' if not faults else 'FAULT'}[/] {name}")
        for fault in faults[:SHOWN_MAX]:
            console.print(f"      {fault}", markup=False)
        if len(faults) > SHOWN_MAX:
            console.print(f"      and {len(faults) - SHOWN_MAX} more")
    is_sound = not any(found.values())
    console.print(
        f"{'ledger verified' if is_sound else 'LEDGER NOT VERIFIED'}: "
        + ", ".join(f"{count} {name}" for name, count in counts.items())
    )
    return 0 if is_sound else 1
