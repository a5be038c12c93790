"""Migrations: plain SQL files, forward only, each in a transaction of its own, one runner at a time."""

import hashlib
from importlib import resources
from typing import Any, Final

import asyncpg

LOCK: Final = 0x62757273  # "burs"
FOLDER: Final = "bursar.migrations"

GRANTS: Final = """
grant usage on schema public to {role};
grant select, insert, update, delete on all tables in schema public to {role};
grant usage on all sequences in schema public to {role};
grant execute on all functions in schema public to {role};
revoke update, delete, truncate on events, journals, postings, audit, seals, commission_rule_versions from {role};
"""


class MigrationError(Exception):
    """The one clear line about a database that cannot be brought up to date."""


def files() -> list[tuple[str, str]]:
    """Name and text of every migration, in order."""
    folder = resources.files(FOLDER)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text()) for name in names]


VAULT_GRANTS: Final = """
grant usage on schema vault to {role};
grant select, update on vault.records to {role};
"""


async def migrate(url: str, *, role: str, vault_role: str) -> list[str]:
    """Bring the database up to date and grant the two roles, made where they are missing, what the service and the
    vault may do. An empty role: the URL's user.

    Returns the names of what was applied. Raises MigrationError for a database that a newer or another Bursar migrated.
    """
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        applied = await _apply(connection)
        for name, grants in ((role, GRANTS), (vault_role, VAULT_GRANTS)):
            if name:
                await _grant(connection, name, grants)
        if applied:
            await connection.execute("analyze")
        return applied
    finally:
        await connection.close()


async def _apply(connection: Any) -> list[str]:
    version = int(await connection.fetchval("select current_setting('server_version_num')"))
    if version < 150_000:
        raise MigrationError(f"PostgreSQL 15 or newer is needed, this is {version // 10_000}")
    await connection.execute(
        """create table if not exists migrations (
               name text primary key, digest text not null, applied_at timestamptz not null default now())"""
    )
    done = {
        record["name"]: record["digest"] for record in await connection.fetch("select name, digest from migrations")
    }
    known = files()
    unknown = set(done) - {name for name, _ in known}
    if unknown:
        raise MigrationError(f"the database was migrated by a newer Bursar: {', '.join(sorted(unknown))}")
    applied = []
    for name, text in known:
        digest = hashlib.sha256(text.encode()).hexdigest()
        if name not in done:
            async with connection.transaction():
                await connection.execute(text)
                await connection.execute("insert into migrations (name, digest) values ($1, $2)", name, digest)
            applied.append(name)
        elif done[name] != digest:
            raise MigrationError(f"{name} was changed after it had been applied to this database")
    return applied


async def _grant(connection: Any, role: str, grants: str) -> None:
    if not role.replace("_", "").isalnum():
        raise MigrationError(f"{role!r} is no name for a role")
    try:
        if not await connection.fetchval("select 1 from pg_roles where rolname = $1", role):
            await connection.execute(f"create role {role} nologin")
        if not await connection.fetchval("select pg_has_role(current_user, $1, 'member')", role):
            await connection.execute(f"grant {role} to current_user")
        await connection.execute(grants.format(role=role))
    except (
        asyncpg.DuplicateObjectError,
        asyncpg.UniqueViolationError,
    ):  # another database's migration made it just now
        await connection.execute(grants.format(role=role))
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"the database's user may not make or grant the role {role}: make it, or leave BURSAR_DATABASE_ROLE "
            "and BURSAR_VAULT_ROLE empty"
        ) from error
