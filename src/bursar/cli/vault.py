"""The vault's keys: rotate, retire, and the key that card data is encrypted for on its way in."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bursar.cli import fail
from bursar.cli.database import database
from bursar.infra import entrykeys, keyfiles, rewrap
from bursar.infra.db import connect
from bursar.kit.clock import SystemClock
from bursar.settings import Settings


def rotate(settings: Settings) -> None:
    """Re-wrap every record under a new key, or go on with a rotation that was stopped."""
    path = _keys(settings)

    async def work(connection: Any) -> str:
        count = await rewrap.rotate(connection, path, say=print)
        return f"{count} records re-wrapped"

    print(_with_connection(settings, work))


def retire(settings: Settings) -> None:
    """Take the key versions that wrap nothing any more out of the key file."""
    path = _keys(settings)

    async def work(connection: Any) -> str:
        try:
            retired = await rewrap.retire(connection, path, now=SystemClock().now())
        except rewrap.TooEarly as error:
            fail(str(error))
        return f"retired: {', '.join(map(str, retired))}" if retired else "nothing to retire"

    print(_with_connection(settings, work))


def show(settings: Settings) -> None:
    """How many records each key version wraps."""

    async def work(connection: Any) -> str:
        counted = await rewrap.versions(connection)
        return "\n".join(f"version {version}: {count} records" for version, count in counted) or "the vault is empty"

    print(_with_connection(settings, work))


def renew_entry_key(settings: Settings, *, overlap_hours: int) -> None:
    """Hand out a new key for `card.jwe` from now on; the one before still opens what was encrypted for it."""
    path, now = settings.keys_path / keyfiles.ENTRY_KEYS, SystemClock().now()
    entrykeys.EntryKeys(path, now)
    print(entrykeys.renew(path, now, overlap=timedelta(hours=overlap_hours)))


def _keys(settings: Settings) -> Path:
    path = Path(settings.vault_keys or settings.keys_path / keyfiles.VAULT_KEYS)
    if not path.is_file():
        fail(f"there are no vault keys at {path}: the service makes them at its first start")
    return path


def _with_connection(settings: Settings, work: Callable[[Any], Awaitable[str]]) -> str:
    async def run(url: str) -> str:
        connection = await connect(url, role=settings.vault_role or None)
        try:
            return await work(connection)
        finally:
            await connection.close()

    with database(settings) as url:
        return asyncio.run(run(url))
