"""The batcher: commands that arrive together are committed together.

A command is decided in Python when it arrives, unless one before it on the same aggregate is under way: on rows
from a cache of those written lately, or on rows that it waits for (the reader asks for all that wait with one
query a table). What is decided gathers while a batch is away; the next batch takes it all, BATCH_SIZE at the most,
as one statement (`write_batch`) that guards every changed row by its version. There is no timer: an idle service
sends a batch of one at once. A command that was refused there is decided again on fresh rows (STALE, KEPT) or goes
on by itself on a connection of its own (TAKEN), so that a row which is held elsewhere stalls nobody. See
docs/adr/0002-commands-in-batches.md.
"""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final

import asyncpg
import structlog

from bursar.infra import observe
from bursar.infra.answer import Answered
from bursar.infra.commands import BatchTx, Cache, Command, DecideAgain, T, perform, run_alone
from bursar.infra.db import UNREACHABLE, Database, Encoded, Load, Query, connect_lane, encode, write_units
from bursar.infra.reads import Reader
from bursar.kit.clock import Clock
from bursar.kit.errors import DatabaseUnavailable, Overloaded, Problem

log = structlog.get_logger()

BATCH_SIZE: Final = 64
WAITING_MAX: Final = 4_000
TRIES_IN_BATCH: Final = 4
SOLO_MAX: Final = 6
RECONNECT_SECONDS: Final = 0.25


class _Unit:
    """A command under way."""

    __slots__ = ("command", "coroutine", "encoded", "error", "future", "result", "tries", "tx")

    def __init__(self, command: Command[Any], future: asyncio.Future[Any]) -> None:
        self.command = command
        self.future = future
        self.tries = 0
        self.tx: BatchTx
        self.coroutine: Coroutine[Any, Any, Any]
        self.encoded: Encoded
        self.result: Any = None
        self.error: BaseException | None = None


class Batcher:
    """Runs commands. A lane (connection) of its own for batches, the reader for rows, the pool for those that go
    alone.
    """

    def __init__(self, database: Database, reader: Reader, clock: Clock, url: str, role: str | None) -> None:
        self._database = database
        self._reader = reader
        self._clock = clock
        self._url = url
        self._role = role
        self._lane: Any = None
        self._cache = Cache()
        self._lines: dict[str, deque[_Unit]] = {}  # by aggregate: who waits behind the one under way
        self._decided: deque[_Unit] = deque()
        self._count = 0
        self._wake = asyncio.Event()
        self._is_stopping = False
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._solo_slots = asyncio.Semaphore(SOLO_MAX)

    async def start(self) -> None:
        await self._connect()
        self._loop_task = asyncio.create_task(self._loop())

    async def stop(self) -> None:
        """Finish what was handed in, then end."""
        self._is_stopping = True
        self._wake.set()
        if self._loop_task is not None:
            await self._loop_task
        if self._lane is not None:
            await self._lane.close()

    async def run(self, command: Command[T]) -> T:
        """Have `command` decided and committed. Returns what it decided.

        Raises its Problem; Answered where the answer was kept before or is kept now; Overloaded when too many wait;
        DatabaseUnavailable when the connection broke and the outcome is not known.
        """
        if self._is_stopping or self._count >= WAITING_MAX:
            raise Overloaded(retry_after=1)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        unit = _Unit(command, future)
        self._count += 1
        line = self._lines.get(command.on)
        if line is None:
            self._lines[command.on] = deque()
            self._begin(unit)
        else:
            line.append(unit)
        return await future

    async def _loop(self) -> None:
        while True:
            if not self._decided:
                if self._is_stopping and not self._count:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            units = self._take()
            try:
                await self._write(units)
            except UNREACHABLE as error:
                await self._lose(units, error)
            except asyncpg.PostgresError as error:
                log.warning("batch.refused", size=len(units), error=str(error))
                for unit in units:
                    self._go_alone(unit)
            except Exception as error:  # whatever it is, nobody knows what was committed, nor how the connection stands
                log.exception("batch.broken")
                await self._lose(units, error)

    def _take(self) -> list[_Unit]:
        """The next batch; commands whose caller has gone are dropped."""
        units: list[_Unit] = []
        while self._decided and len(units) < BATCH_SIZE:
            unit = self._decided.popleft()
            if unit.future.cancelled():
                self._finish(unit)
            else:
                units.append(unit)
        return units

    async def _write(self, units: list[_Unit]) -> None:
        """Commit `units` and answer them.

        Answering only schedules the callers: they run when the next batch has been sent and the database works on it.
        """
        started = time.perf_counter()
        refused = await write_units(self._lane, [unit.encoded for unit in units])
        observe.BATCH_SECONDS.observe(time.perf_counter() - started)
        observe.BATCH_SIZE.observe(len(units))
        for index, unit in enumerate(units):
            reason = refused.get(index)
            if reason is None:
                self._cache.remember(unit.tx.changed)
                self._finish(unit)
            else:
                self._again(unit, reason)

    def _begin(self, unit: _Unit, *, is_fresh: bool = False) -> None:
        """Decide a command, on cached rows unless it has to be on fresh ones."""
        unit.error = None
        unit.tx = BatchTx(self._cache, is_fresh=is_fresh, now=self._clock.now(), origin=unit.command.origin)
        unit.coroutine = perform(unit.command, unit.tx)
        self._step(unit, None)

    def _step(self, unit: _Unit, rows: Any) -> None:
        """Go on with a decision until it needs rows or is made. rows: what it waited for; an exception is thrown
        at it.
        """
        try:
            wanted = unit.coroutine.throw(rows) if isinstance(rows, Exception) else unit.coroutine.send(rows)
        except StopIteration as stop:
            unit.result = stop.value
            self._hand_over(unit)
        except DecideAgain:
            self._begin(unit, is_fresh=True)
        except AssertionError:  # its rows were read at different moments, it may be: looked at again under their locks
            self._go_alone(unit)
        except Exception as error:  # told to the caller: nothing of this command is written
            unit.error = error
            self._finish(unit)
        else:
            if isinstance(wanted, Load):
                self._spawn(self._load(unit, wanted))
            else:
                unit.coroutine.close()
                unit.error = AssertionError(f"{unit.command.action} awaits something other than its tx: {wanted!r}")
                self._finish(unit)

    def _hand_over(self, unit: _Unit) -> None:
        """Give a decided command to the next batch."""
        try:
            unit.encoded = encode(unit.tx)
        except Exception as error:  # what it wrote is no row: told to the caller
            unit.error = error
            self._finish(unit)
            return
        self._decided.append(unit)
        self._wake.set()

    async def _load(self, unit: _Unit, wanted: Load) -> None:
        try:
            rows: Any
            if isinstance(wanted.source, Query):
                rows = await self._reader.query(wanted.source, wanted.key)
            else:
                rows = await self._reader.get(wanted.source, wanted.key)
        except Problem as error:
            rows = error
        self._step(unit, rows)

    def _again(self, unit: _Unit, reason: str) -> None:
        """A refused command: decided again on fresh rows; alone, where its row is held elsewhere or never stands
        still.
        """
        observe.BATCH_REFUSED.labels(reason).inc()
        unit.tries += 1
        if reason == "TAKEN" or unit.tries >= TRIES_IN_BATCH:
            self._go_alone(unit)
        else:
            self._begin(unit, is_fresh=True)

    def _go_alone(self, unit: _Unit) -> None:
        self._spawn(self._run_alone(unit))

    async def _run_alone(self, unit: _Unit) -> None:
        """One command in a transaction of its own: the same decision, with its rows locked."""
        observe.BATCH_ALONE.inc()
        unit.error = None
        try:
            async with self._solo_slots:
                unit.result, changed = await run_alone(self._database, unit.command, self._clock)
            self._cache.remember(changed)
        except UNREACHABLE as error:
            unit.error = DatabaseUnavailable(retry_after=1)
            unit.error.__cause__ = error
        except Exception as error:  # handed to the caller, who maps it
            unit.error = error
        self._finish(unit)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _lose(self, units: list[_Unit], error: BaseException) -> None:
        """The connection broke: what was under way may have been committed or not; its callers are told so."""
        log.error("batch.connection_lost", error=repr(error), under_way=len(units))
        self._end(units, DatabaseUnavailable(retry_after=1))
        self._lane.terminate()
        while True:
            try:
                await self._connect()
                return
            except (*UNREACHABLE, asyncpg.PostgresError) as failed:
                log.warning("batch.reconnect_failed", error=repr(failed))
                waiting = list(self._decided)
                self._decided.clear()
                self._end(waiting, DatabaseUnavailable(retry_after=1))
                if self._is_stopping:
                    return
                await asyncio.sleep(RECONNECT_SECONDS)

    def _end(self, units: list[_Unit], error: BaseException) -> None:
        for unit in units:
            unit.error = error
            self._finish(unit)

    def _finish(self, unit: _Unit) -> None:
        """Hand the outcome to the caller, if he still waits, and begin the next command of this aggregate."""
        self._count -= 1
        if not unit.future.done():
            if unit.error is not None:
                unit.future.set_exception(unit.error)
            elif isinstance(unit.result, Problem | Answered):
                unit.future.set_exception(unit.result)
            else:
                unit.future.set_result(unit.result)
        line = self._lines[unit.command.on]
        while line:
            following = line.popleft()
            if not following.future.cancelled():  # not called from here: a line of failures must not nest
                asyncio.get_running_loop().call_soon(self._begin, following)
                break
            self._count -= 1
        else:
            del self._lines[unit.command.on]
        self._wake.set()

    async def _connect(self) -> None:
        self._lane = await connect_lane(self._url, role=self._role)
