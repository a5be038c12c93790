"""Small tables that every request looks at, kept in process: read at the start, and again when PostgreSQL says that one
has changed (NOTIFY bursar_changed), with polling behind it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from bursar.infra.db import UNREACHABLE, Database, Table

log = structlog.get_logger()
R = TypeVar("R", bound=msgspec.Struct)

CHANNEL: Final = "bursar_changed"
POLL_SECONDS: Final = 5.0
ROWS_MAX: Final = 10_000


class Rows(Generic[R]):
    """The rows of a table as last read. where: the rest of the statement that reads them."""

    def __init__(self, table: Table[R], where: str) -> None:
        self.table = table
        self.where = where
        self.rows: Sequence[R] = ()

    async def read(self, database: Database) -> None:
        """Read them anew."""
        self.rows = tuple(await database.page(self.table, f"{self.where} limit {ROWS_MAX}"))


class HotTables:
    """All that is kept in process."""

    def __init__(self, database: Database, tables: Sequence[Rows[Any]]) -> None:
        self._database = database
        self._tables = {rows.table.name: rows for rows in tables}
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read every table, and follow its changes from now on."""
        for rows in self._tables.values():
            await rows.read(self._database)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        self._is_stopping = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        while not self._is_stopping:  # a connection that broke may answer a cancellation with an error of its own
            try:
                async with self._database.pool.acquire() as connection:
                    await connection.add_listener(CHANNEL, self._note)
                    try:
                        await self._read_while_open(connection)
                    finally:
                        if not connection.is_closed():
                            await connection.remove_listener(CHANNEL, self._note)
            except UNREACHABLE as error:
                log.warning("hot.not_followed", error=repr(error))
            await asyncio.sleep(1)

    async def _read_while_open(self, connection: Any) -> None:
        while not connection.is_closed():
            for rows in self._tables.values():
                await rows.read(self._database)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._changed.wait()
            self._changed.clear()

    def _note(self, *_: object) -> None:
        self._changed.set()
