"""PostgreSQL: connections, the table declarations, and the transaction that domains write through."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import asyncpg
import msgspec

from bursar.kit.errors import NotFound, RowBusy

R = TypeVar("R", bound=msgspec.Struct)

LOCK_TIMEOUT_MILLISECONDS = 3_000
STATEMENT_TIMEOUT_MILLISECONDS = 30_000

LANE_SETTINGS = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "lock_timeout": "500ms",
}
"""For the connections that run the same few statements for good: no plan made on empty tables may turn bad."""

LANE_SECONDS_MAX: Final = 30.0
"""How long a lane waits for an answer. Then it counts as lost: a server that is cut off says nothing at all."""


UNREACHABLE: Final = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # a query sent between the server's last word and the end of the connection
)
"""What a connection that broke, or a server that goes down or comes up, raises."""


class Table(msgspec.Struct, Generic[R], frozen=True):
    """A table whose rows are aggregates: `id`, `version`, and the columns of `row`.

    private: columns that are no part of the object's history: no event tells of them.
    """

    name: str
    row: type[R]
    private: frozenset[str] = frozenset()

    @property
    def columns(self) -> str:
        return ", ".join(self.row.__struct_fields__)

    @property
    def by_ids(self) -> str:
        return f"select {self.columns} from {self.name} where id = any($1::uuid[])"  # noqa: S608  no input in it

    def from_record(self, record: asyncpg.Record) -> R:
        """The one place where a row becomes a model."""
        return msgspec.convert(dict(record), self.row)


class Query(msgspec.Struct, frozen=True):
    """A read by key that many commands share: one statement answers it for all keys that wait.

    sql: takes $1 keys (text[]) and $2 now (timestamptz), returns rows with a column `key`.
    """

    name: str
    sql: str


class Origin(msgspec.Struct, frozen=True):
    """Who asked for a change, in which request."""

    actor: str
    request_id: str
    instance: str = ""


SYSTEM = Origin("system", "")
"""The origin of what nobody asked for: jobs and schedules."""


class Load(Awaitable[Any]):
    """What a command waits for in a batch: the batcher gathers all loads, runs one query for each source, and goes
    on.
    """

    __slots__ = ("key", "source")

    def __init__(self, source: "Table[Any] | Query", key: str) -> None:
        self.source = source
        self.key = key

    def __await__(self) -> Generator["Load", Any, Any]:
        return (yield self)


class Tx:
    """A unit of work: what is read through it is guarded, what is written through it is written together or not at all.

    Functions that take a `tx` await nothing but it, so no network call can happen inside a transaction.
    """

    def __init__(self, *, now: datetime, origin: Origin) -> None:
        self.now = now
        self.origin = origin
        self.writes: dict[str, list[Any]] = {}
        self.guards: dict[str, dict[str, int]] = {}
        self.presumed: list[tuple[str, str, int]] = []
        self.changed: dict[tuple[str, str], Any] = {}
        self.used_cache = False
        self.object_id: str | None = None  # for the audit line, where it is not the command's aggregate

    async def lock(self, table: Table[R], row_id: str) -> R | None:
        """The row. Where this transaction changes it and another one was faster, this one is decided again."""
        raise AssertionError("abstract")

    async def read(self, query: Query, key: str) -> list[Any]:
        """The rows of `query` for `key`, not guarded."""
        raise AssertionError("abstract")

    async def count(self, query: Query, key: str, *, presumed_below: int) -> int:
        """The `count` that `query` answers for `key`.

        A batch may presume that it is below a number, and say 0: its statement then checks that by the guard of the
        query's name, and the command is decided again where it is not so.
        """
        raise AssertionError("abstract")

    def insert(self, table: Table[R], row: R) -> None:
        """Write a new row."""
        self.writes.setdefault("new_" + table.name, []).append(row)
        self._remember(table, row)

    def update(self, table: Table[R], row: R, *, was: int) -> None:
        """Write a changed row; `was`: the version that it had when it was read in this transaction."""
        assert (table.name, self._id_of(row)) not in self.changed, "a row is written once in a transaction"
        self.guards.setdefault(table.name, {})[self._id_of(row)] = was
        self.writes.setdefault(table.name, []).append(row)
        self._remember(table, row)

    def write(self, kind: str, row: Any) -> None:
        """Write a row of one of the infrastructure's own tables: events, jobs, audit, keys, journals, postings."""
        self.writes.setdefault(kind, []).append(row)

    def discard(self) -> None:
        """Forget all that was written through this transaction, as if it had not been decided."""
        self.writes.clear()
        self.guards.clear()
        self.presumed.clear()
        self.changed.clear()

    def _remember(self, table: Table[Any], row: Any) -> None:
        self.changed[(table.name, self._id_of(row))] = row

    @staticmethod
    def _id_of(row: Any) -> str:
        row_id: str = row.id
        return row_id


class LiveTx(Tx):
    """A unit of work on an open transaction of its own: rows are locked at once, everything is written at the end."""

    def __init__(self, connection: Any, *, now: datetime, origin: Origin) -> None:
        super().__init__(now=now, origin=origin)
        self.connection = connection

    async def lock(self, table: Table[R], row_id: str) -> R | None:
        changed: R | None = self.changed.get((table.name, row_id))
        if changed is not None:
            return changed
        sql = f"select {table.columns} from {table.name} where id = $1 for update"  # noqa: S608  no input in it
        record = await self.connection.fetchrow(sql, row_id)
        return None if record is None else table.from_record(record)

    async def read(self, query: Query, key: str) -> list[Any]:
        async with self.connection.transaction():  # a query that breaks must not break what is decided without it
            return list(await self.connection.fetch(query.sql, [key], self.now))

    async def count(self, query: Query, key: str, *, presumed_below: int) -> int:
        return count_of(await self.read(query, key))

    async def flush(self) -> dict[int, str]:
        """Write what was gathered; see `write_units`. Raises Overtaking."""
        await self._refuse_overtaking()
        return await write_units(self.connection, [encode(self)])

    async def _refuse_overtaking(self) -> None:
        """Raise Overtaking where an event would be seen before the one before it in its stream: this transaction has
        its number from its first lock, and what it locked later may have changed under a higher one.
        """
        if rows := self.writes.get("events"):
            is_overtaking = await self.connection.fetchval(
                """select exists (
                       select from unnest($1::uuid[], $2::int[]) as w(stream, version)
                       join events e on e.stream = w.stream and e.version = w.version - 1
                       where e.tx > pg_current_xact_id())""",
                [row.stream for row in rows],
                [row.version for row in rows],
            )
            if is_overtaking:
                raise Overtaking


class Overtaking(Exception):  # noqa: N818  a transaction that has to be begun anew
    """An object changed after this transaction got its number."""


class Encoded(msgspec.Struct, frozen=True):
    """A unit of work as JSON, ready to be sent: rows and guards by table."""

    rows: dict[str, list[bytes]]
    guards: dict[str, list[bytes]]


def encode(tx: Tx) -> Encoded:
    """What was written through `tx`, as JSON."""
    to_json = msgspec.json.encode
    guards = {
        table: [b'"id":"%s","v":%d}' % (row_id.encode(), was) for row_id, was in wanted.items()]
        for table, wanted in tx.guards.items()
    }
    for name, key, below in tx.presumed:
        guards.setdefault(name, []).append(b'"key":%s,"below":%d,"at":%s}' % (to_json(key), below, to_json(tx.now)))
    return Encoded({table: [to_json(row) for row in rows] for table, rows in tx.writes.items()}, guards)


def count_of(rows: list[Any]) -> int:
    """The `count` in the answer of a query that counts."""
    return int(rows[0]["count"]) if rows else 0


async def write_units(connection: Any, units: Sequence[Encoded]) -> dict[int, str]:
    """Write several units of work as one statement. Returns the refused ones by index: STALE, TAKEN or KEPT."""
    tables: dict[str, list[bytes]] = {}
    guards: dict[str, list[bytes]] = {}
    for index, unit in enumerate(units):
        head = b'{"c":%d,' % index
        for table, rows in unit.rows.items():
            tables.setdefault(table, []).extend([head + b'"r":' + row + b"}" for row in rows])
        for table, wanted in unit.guards.items():
            guards.setdefault(table, []).extend([head + guard for guard in wanted])
    if not tables:
        return {}
    members = [b'"%s":[%s]' % (table.encode(), b",".join(rows)) for table, rows in tables.items()]
    if guards:
        inner = [b'"%s":[%s]' % (table.encode(), b",".join(rows)) for table, rows in guards.items()]
        members.append(b'"guards":{%s}' % b",".join(inner))
    refused = await connection.fetchval("select write_batch($1)", (b"{%s}" % b",".join(members)).decode())
    return {} if refused is None else dict(refused)


class Database:
    """The pool, and transactions on it."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._alone = asyncio.Lock()

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        """Whether nobody else, in any process, does now what goes by that name; until the end nobody will. One name at
        a time in a process: each holds a connection, without a transaction.
        """
        if self._alone.locked():
            yield False
            return
        async with self._alone, self.pool.acquire() as connection:
            is_taken: bool = await connection.fetchval("select pg_try_advisory_lock(hashtextextended($1, 0))", name)
            try:
                yield is_taken
            finally:
                if is_taken:
                    with suppress(*UNREACHABLE):  # a connection that broke has let go of it
                        await connection.execute("select pg_advisory_unlock(hashtextextended($1, 0))", name)

    @asynccontextmanager
    async def transaction(self, *, now: datetime, origin: Origin = SYSTEM) -> AsyncIterator[LiveTx]:
        """An ordinary transaction for set-based work, with the same `tx` as in a batch. Raises RowBusy after a lock's
        time-out, and where it has to be begun anew.
        """
        try:
            async with self.pool.acquire() as connection, connection.transaction():
                tx = LiveTx(connection, now=now, origin=origin)
                yield tx
                refused = await tx.flush()
                assert not refused, f"a guarded row changed under its lock: {refused}"
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, Overtaking) as error:
            raise RowBusy(retry_after=1) from error

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        return list(await self.pool.fetch(sql, *args))

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self.pool.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        return str(await self.pool.execute(sql, *args))

    async def page(self, table: Table[R], where: str, *args: Any) -> list[R]:
        """Rows of `table`; `where`: the rest of the statement, with $1 … for `args`."""
        records = await self.pool.fetch(f"select {table.columns} from {table.name} {where}", *args)  # noqa: S608
        return [table.from_record(record) for record in records]


def found(row: R | None, what: str) -> R:
    """`row`, or NotFound."""
    if row is None:
        raise NotFound(f"no such {what}")
    return row


async def prepare_connection(connection: Any) -> None:
    """Ids travel as text, JSON as Python values."""
    await connection.set_type_codec("uuid", schema="pg_catalog", encoder=str, decoder=str, format="text")
    await connection.set_type_codec("xid8", schema="pg_catalog", encoder=str, decoder=int, format="text")
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_to_text, decoder=msgspec.json.decode, format="text"
    )


def _to_text(document: Any) -> str:
    return document if isinstance(document, str) else msgspec.json.encode(document).decode()


async def connect(
    url: str, *, role: str | None, settings: dict[str, str] | None = None, seconds_max: float | None = None
) -> Any:
    """One connection as a role of ours. seconds_max: for each statement, after which it raises TimeoutError."""
    server_settings = {"application_name": "bursar", "timezone": "UTC", **(settings or {})}
    if role:
        server_settings["role"] = role
    connection = await asyncpg.connect(url, server_settings=server_settings, timeout=10, command_timeout=seconds_max)
    await prepare_connection(connection)
    return connection


async def connect_lane(url: str, *, role: str | None) -> Any:
    """A connection for a lane."""
    return await connect(url, role=role, settings=LANE_SETTINGS, seconds_max=LANE_SECONDS_MAX)


async def make_pool(url: str, *, role: str | None, size: int) -> Any:
    """The pool for everything that is not on a lane."""
    server_settings = {
        "application_name": "bursar",
        "timezone": "UTC",
        "jit": "off",
        "lock_timeout": str(LOCK_TIMEOUT_MILLISECONDS),
        "statement_timeout": str(STATEMENT_TIMEOUT_MILLISECONDS),
        "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT_MILLISECONDS),
    }
    if role:
        server_settings["role"] = role
    return await asyncpg.create_pool(
        url, min_size=1, max_size=size, server_settings=server_settings, init=prepare_connection, timeout=10
    )
