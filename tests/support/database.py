"""The PostgreSQL of a test run: one server for all workers, a migrated template, and clones of it."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from bursar.infra import embedded
from bursar.infra.migrate import files, migrate
from bursar.kit import ids
from bursar.kit.clock import SystemClock

ROLE = "bursar_app"
VAULT_ROLE = "bursar_vault"
SMALL = {"shared_buffers": "64MB", "min_wal_size": "64MB", "max_wal_size": "512MB", "max_connections": "150"}
TEMPLATE_LOCK = 0x74657374


class Server:
    """The server that BURSAR_TEST_DATABASE_URL names, or an embedded one that lives as long as this object."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._embedded: embedded.Embedded | None = None
        self.url = os.environ.get("BURSAR_TEST_DATABASE_URL", "")
        if not self.url:
            self._directory = Path(tempfile.mkdtemp(prefix="bursar-test-"))
            self._directory.chmod(0o755)  # as root, the server runs as another user
            self._embedded = embedded.start(self._directory / "data", settings=SMALL)
            self.url = self._embedded.url

    def stop(self) -> None:
        if self._embedded is not None:
            self._embedded.stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)


def url_of(server_url: str, name: str) -> str:
    """The address of a database of that server."""
    return urlsplit(server_url)._replace(path=f"/{name}").geturl()


async def make_template(server_url: str) -> str:
    """The name of a database that was migrated and holds nothing; made by whoever asks first.

    On a server that outlives this run it stays, for the next one.
    """
    digest = hashlib.sha256("".join(text for _, text in files()).encode()).hexdigest()[:12]
    name = f"bursar_template_{digest}"
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute("select pg_advisory_lock($1)", TEMPLATE_LOCK)
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            draft = f"{name}_draft"
            await connection.execute(f"drop database if exists {draft}")
            await connection.execute(f"create database {draft} template template0")
            await migrate(url_of(server_url, draft), role=ROLE, vault_role=VAULT_ROLE)
            await connection.execute(f"alter database {draft} rename to {name}")
    finally:
        await connection.close()
    return name


@asynccontextmanager
async def cloned(server_url: str, template: str) -> AsyncIterator[str]:
    """The address of a new database, dropped at the end whoever is still connected."""
    name = "bursar_test_" + ids.new(SystemClock().now()).replace("-", "")
    await _on_server(server_url, f"create database {name} template {template}")
    try:
        yield url_of(server_url, name)
    finally:
        await _on_server(server_url, f"drop database {name} with (force)")


async def _on_server(server_url: str, sql: str) -> Any:
    connection = await asyncpg.connect(server_url)
    try:
        return await connection.execute(sql)
    finally:
        await connection.close()
