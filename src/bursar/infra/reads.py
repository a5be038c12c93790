"""Coalesced reads: while one query is away, the ids that are asked for gather, and the next query takes them all."""

import asyncio
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
import structlog

from bursar.infra.db import UNREACHABLE, Query, Table, connect_lane
from bursar.kit.clock import Clock
from bursar.kit.errors import DatabaseUnavailable, Overloaded

log = structlog.get_logger()
R = TypeVar("R", bound=msgspec.Struct)

WAITING_MAX: Final = 4_000
QUERY_SIZE: Final = 128


class Reader:
    """Reads rows by id, and queries by key, on a lane of its own. Always the committed state, never a cache."""

    def __init__(self, url: str, role: str | None, clock: Clock) -> None:
        self._url = url
        self._role = role
        self._clock = clock
        self._connection: Any = None
        self._waiting: dict[str, dict[str, list[asyncio.Future[Any]]]] = {}
        self._sources: dict[str, Table[Any] | Query] = {}
        self._count = 0
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._connection = await connect_lane(self._url, role=self._role)

    async def stop(self) -> None:
        if self._running is not None:
            await self._running
        if self._connection is not None:
            await self._connection.close()

    async def get(self, table: Table[R], row_id: str) -> R | None:
        """The row as last committed, or None. Raises Overloaded, DatabaseUnavailable."""
        rows: list[R] = await self._ask(table, row_id)
        return rows[0] if rows else None

    async def query(self, query: Query, key: str) -> list[Any]:
        """The rows of `query` for `key`. Raises Overloaded, DatabaseUnavailable."""
        rows: list[Any] = await self._ask(query, key)
        return rows

    async def _ask(self, source: Table[Any] | Query, key: str) -> Any:
        if self._count >= WAITING_MAX:
            raise Overloaded(retry_after=1)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._sources[source.name] = source
        self._waiting.setdefault(source.name, {}).setdefault(key, []).append(future)
        self._count += 1
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                name = next(iter(self._waiting))  # who asked first: what is asked for all the time delays no other
                waiting = self._waiting.pop(name)
                taken = {key: waiting.pop(key) for key in list(waiting)[:QUERY_SIZE]}
                if waiting:
                    self._waiting[name] = waiting
                self._count -= sum(map(len, taken.values()))
                try:
                    found = await self._fetch(self._sources[name], list(taken))
                except Exception as error:  # whatever it is, nobody may wait for good
                    if not isinstance(error, (*UNREACHABLE, asyncpg.PostgresError)):
                        log.exception("reader.broken", source=name)
                    _fail(taken, error)
                    self._leave_connection(error)
                else:
                    _hand_out(taken, found)
        finally:
            self._running = None

    def _leave_connection(self, error: Exception) -> None:
        """Have the next query open another connection, unless this one only refused a statement."""
        if self._connection is not None and not isinstance(error, asyncpg.PostgresError):
            self._connection.terminate()

    async def _fetch(self, source: Table[Any] | Query, keys: list[str]) -> dict[str, list[Any]]:
        if self._connection is None or self._connection.is_closed():
            await self.start()
        found: dict[str, list[Any]] = {}
        if isinstance(source, Query):
            for record in await self._connection.fetch(source.sql, keys, self._clock.now()):
                found.setdefault(record["key"], []).append(record)
        else:
            for record in await self._connection.fetch(source.by_ids, keys):
                found[record["id"]] = [source.from_record(record)]
        return found


def _hand_out(taken: dict[str, list[asyncio.Future[Any]]], found: dict[str, list[Any]]) -> None:
    for key, futures in taken.items():
        for future in futures:
            if not future.done():
                future.set_result(found.get(key, []))


def _fail(taken: dict[str, list[asyncio.Future[Any]]], error: Exception) -> None:
    for futures in taken.values():
        for future in futures:
            if not future.done():
                problem = DatabaseUnavailable(retry_after=1)
                problem.__cause__ = error
                future.set_exception(problem)
