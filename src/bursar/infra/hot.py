"""Small tables that every request looks at, kept in process: read at the start, and what has changed of them again when
PostgreSQL says so (NOTIFY bursar_changed), with polling behind it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from bursar.infra.db import Database, Table

log = structlog.get_logger()
R = TypeVar("R", bound=msgspec.Struct)
Index = TypeVar("Index")

CHANNEL: Final = "bursar_changed"
POLL_SECONDS: Final = 5.0
GATHER_SECONDS: Final = 0.02
"""Changes that come together are read together."""

ROWS_MAX: Final = 10_000
CHUNK: Final = 500


class Rows(Generic[R]):
    """The rows of a table as last read. where: the rest of the statement that reads them.

    Every change of a row adds one to its version, and no row is ever deleted; so where the sum of all versions is the
    same, nothing has changed, and of what has changed only the rows of another version are read.
    """

    def __init__(self, table: Table[R], where: str, *, rows_max: int = ROWS_MAX) -> None:
        self.table = table
        self.where = where
        self.rows_max = rows_max
        self.rows: Sequence[R] = ()
        self._known: dict[str, tuple[int, R]] = {}
        self._sum: int | None = None

    async def read(self, database: Database) -> None:
        """Read what has changed."""
        name = self.table.name
        async with (
            database.pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            total = int(await connection.fetchval(f"select coalesce(sum(version), 0) from {name}"))  # noqa: S608
            if total == self._sum:
                return
            wanted = await connection.fetch(
                f"select id, version from {name} {self.where} limit {self.rows_max + 1}"  # noqa: S608  no input in it
            )
            if len(wanted) > self.rows_max:
                log.critical("hot.too_many_rows", table=name, rows_max=self.rows_max)
            known = {row_id: kept for row_id, version in wanted if (kept := self._kept(row_id, version)) is not None}
            missing = [row_id for row_id, _ in wanted if row_id not in known]
            for start in range(0, len(missing), CHUNK):
                for record in await connection.fetch(self.table.by_ids, missing[start : start + CHUNK]):
                    known[record["id"]] = (record["version"], self.table.from_record(record))
        has_changed = bool(missing) or len(known) != len(self._known)
        self._known, self._sum = known, total
        if has_changed:
            self.put([known[row_id][1] for row_id, _ in wanted])

    def put(self, rows: Sequence[R]) -> None:
        """Take `rows` in the place of those before."""
        self.rows = tuple(rows)

    def _kept(self, row_id: str, version: int) -> tuple[int, R] | None:
        kept = self._known.get(row_id)
        return kept if kept is not None and kept[0] == version else None


class IndexedRows(Rows[R], Generic[R, Index]):
    """Rows, and what `build` makes of them, always of the same reading."""

    def __init__(
        self, table: Table[R], where: str, build: Callable[[Sequence[R]], Index], *, rows_max: int = ROWS_MAX
    ) -> None:
        super().__init__(table, where, rows_max=rows_max)
        self._build = build
        self.index = build(())

    def put(self, rows: Sequence[R]) -> None:
        """Take `rows` in the place of those before, and index them."""
        self.index = self._build(rows)
        super().put(rows)


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
            except Exception as error:  # whatever it is, what changes later has to be seen
                log.warning("hot.not_followed", error=repr(error))
            await asyncio.sleep(1)

    async def _read_while_open(self, connection: Any) -> None:
        while not connection.is_closed():
            for rows in self._tables.values():
                await rows.read(self._database)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._changed.wait()
                    await asyncio.sleep(GATHER_SECONDS)
            self._changed.clear()

    def _note(self, *_: object) -> None:
        self._changed.set()
