"""Rotating the vault's key-encryption key: a new version in the key file, then every record re-wrapped under it, in
small transactions, while the service runs. It can be stopped at any point and gone on with.
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from bursar.infra import keyfiles
from bursar.infra.personal import KeyEncryptionKeys
from bursar.infra.vault import KEYS_SEEN_SECONDS

LOCK: Final = 0x7661756C  # "vaul"
CHUNK: Final = 500
QUIET_ROUNDS: Final = 2
RETIRE_AFTER_SECONDS: Final = 600

OLDER = "select count(*) from vault.records where kek_version < $1 and wrapped_key is not null"
TAKE = """
select id, wrapped_key, kek_version from vault.records where kek_version < $1 and wrapped_key is not null
order by kek_version, id limit $2 for update skip locked
"""
PUT = """
update vault.records r set wrapped_key = n.wrapped_key, kek_version = $3
from unnest($1::uuid[], $2::text[]) as n(id, wrapped_key) where r.id = n.id and r.id = any ($1)
"""
VERSIONS = "select kek_version, count(*) from vault.records where wrapped_key is not null group by 1 order by 1"


async def rotate(connection: Any, path: Path, *, say: Callable[[str], None]) -> int:
    """Make a new key, unless a rotation is unfinished, and re-wrap every record under it. Returns how many.

    connection: as the vault's role. Running processes take the new key within KEYS_SEEN_SECONDS; so the last round
    begins later than that, and finds what they wrapped under the old one meanwhile.
    """
    async with _alone(connection):
        return await _rotate(connection, path, say)


async def _rotate(connection: Any, path: Path, say: Callable[[str], None]) -> int:
    keys = keyfiles.key_encryption_keys(path)
    if await connection.fetchval(OLDER, keys.current):
        say(f"going on with the rotation to version {keys.current}")
    else:
        keys = _with_new_version(keys)
        keyfiles.replace(path, msgspec.json.encode(keys))
        say(f"version {keys.current} is made; re-wrapping")
    done = quiet = 0
    while quiet < QUIET_ROUNDS:
        count = await _rewrap_some(connection, keys)
        done += count
        if count:
            quiet = 0
        else:  # a record that somebody holds was passed over, and counts
            quiet = 0 if await connection.fetchval(OLDER, keys.current) else quiet + 1
            await asyncio.sleep(KEYS_SEEN_SECONDS + 0.5)
    return done


class TooEarly(Exception):  # noqa: N818  to be tried again
    """What a process wrapped under an old version may not be committed yet."""


async def retire(connection: Any, path: Path, *, now: datetime) -> list[int]:
    """Take the versions out of the key file under which nothing is wrapped any more. Returns them. Raises TooEarly
    within RETIRE_AFTER_SECONDS of the file's last change.
    """
    if now.timestamp() - keyfiles.changed_at(path) < RETIRE_AFTER_SECONDS:
        raise TooEarly(f"the key file changed less than {RETIRE_AFTER_SECONDS} seconds ago")
    async with _alone(connection):
        return await _retire(connection, path)


async def _retire(connection: Any, path: Path) -> list[int]:
    keys = keyfiles.key_encryption_keys(path)
    used = {record[0] for record in await connection.fetch(VERSIONS)} | {keys.current}
    retired = [version for version in keys.keys if version not in used]
    if retired:
        kept = {version: key for version, key in keys.keys.items() if version in used}
        keyfiles.replace(path, msgspec.json.encode(KeyEncryptionKeys(keys.current, kept)))
    return retired


@asynccontextmanager
async def _alone(connection: Any) -> AsyncIterator[None]:
    """One at a time changes the key file: two that made a version of one number would lose what the other wrapped."""
    await connection.execute("select pg_advisory_lock($1)", LOCK)
    try:
        yield
    finally:
        await connection.execute("select pg_advisory_unlock($1)", LOCK)


async def versions(connection: Any) -> list[tuple[int, int]]:
    """How many records each version wraps."""
    return [(record[0], record[1]) for record in await connection.fetch(VERSIONS)]


def _with_new_version(keys: KeyEncryptionKeys) -> KeyEncryptionKeys:
    version = max(keys.keys) + 1
    return KeyEncryptionKeys(version, {**keys.keys, version: base64.b64encode(secrets.token_bytes(32)).decode()})


async def _rewrap_some(connection: Any, keys: KeyEncryptionKeys) -> int:
    async with connection.transaction():
        records = await connection.fetch(TAKE, keys.current, CHUNK)
        wrapped = [
            keys.wrap(keys.unwrap(record["wrapped_key"], record["id"], record["kek_version"]), record["id"])
            for record in records
        ]
        await connection.execute(PUT, [record["id"] for record in records], wrapped, keys.current)
    return len(records)
