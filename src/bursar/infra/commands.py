"""Commands: one change each, decided in Python, the same way in a batch and alone.

A decision is a coroutine that awaits nothing but its `tx`. In a batch it is driven by hand: what it awaits is a
`Load`, and anything else is refused, so no network call can happen inside a transaction.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

import asyncpg
import msgspec

from bursar.infra import audit, idempotency
from bursar.infra.answer import Answer, Answered, refusal
from bursar.infra.db import Database, LiveTx, Load, Origin, Overtaking, Query, R, Table, Tx, count_of
from bursar.infra.idempotency import Claim
from bursar.kit.clock import Clock
from bursar.kit.errors import Problem, RowBusy

T = TypeVar("T")

CACHE_MAX: Final = 50_000
TRIES_ALONE: Final = 3


class Command(msgspec.Struct, Generic[T], frozen=True):
    """One change, decided by `decide`, which awaits nothing but its tx and may be called again on fresh rows.

    on: the aggregate's key; commands on one key run one after another. claim: the caller's idempotency key: an Answer
    that `decide` returns is kept for it; anything else leaves it open for a later step to close.
    """

    action: str
    on: str
    decide: Callable[[Tx], Coroutine[Any, Any, T]]
    origin: Origin
    claim: Claim | None = None


class Cache:
    """Rows as this process wrote them last. Never trusted for a refusal; a success on a stale row fails its guard."""

    def __init__(self) -> None:
        self.rows: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def remember(self, rows: dict[tuple[str, str], Any]) -> None:
        for key, row in rows.items():
            self.rows[key] = row
            self.rows.move_to_end(key)
        while len(self.rows) > CACHE_MAX:
            self.rows.popitem(last=False)


class BatchTx(Tx):
    """A unit of work in a batch: rows come from the cache, unless it is fresh, or from a query shared with others.

    A row that was looked at stays what it was, whoever changes it meanwhile: its guard tells.
    """

    def __init__(self, cache: Cache, *, is_fresh: bool, **rest: Any) -> None:
        super().__init__(**rest)
        self._cache = cache
        self._seen: dict[tuple[str, str], Any] = {}
        self.is_fresh = is_fresh

    async def lock(self, table: Table[R], row_id: str) -> R | None:
        key = (table.name, row_id)
        row: R | None = self.changed.get(key) or self._seen.get(key)
        if row is None and not self.is_fresh:
            row = self._cache.rows.get(key)
            self.used_cache = self.used_cache or row is not None
        if row is None:
            row = await Load(table, row_id)
        self._seen[key] = row
        return row

    async def read(self, query: Query, key: str) -> list[Any]:
        rows: list[Any] = await Load(query, key)
        return rows

    async def count(self, query: Query, key: str, *, presumed_below: int) -> int:
        if self.is_fresh:
            return count_of(await self.read(query, key))
        self.presumed.append((query.name, key, presumed_below))
        return 0


class DecideAgain(Exception):  # noqa: N818  a signal to the batcher
    """What was decided rests on cached rows that no guard covers, or looked at the state before the key."""


async def perform(command: Command[Any], tx: Tx) -> Any:
    """Decide a command within `tx`: the key before the state, then the decision, the kept answer and the audit
    line.

    A refusal, and a decision to write nothing, are decided again unless they rest on fresh rows. A refusal comes
    back as a value, to be raised after commit: an Answered where it is kept for the key.
    """
    claim, is_fresh = command.claim, getattr(tx, "is_fresh", True)
    if claim is not None and is_fresh:
        await idempotency.refuse_known(tx, claim)
    try:
        result = await command.decide(tx)
    except Problem as problem:
        if not is_fresh and (tx.used_cache or claim is not None):
            raise DecideAgain from problem
        return _refused(command, tx, problem)
    if not is_fresh and tx.used_cache and not tx.guards:
        raise DecideAgain
    if claim is not None:
        idempotency.take(tx, claim, result if isinstance(result, Answer) else None)
    audit.record(tx, command.action, tx.object_id or command.on)
    return result


def _refused(command: Command[Any], tx: Tx, problem: Problem) -> Exception:
    tx.discard()
    audit.record(tx, command.action, command.on, outcome=problem.code)
    if command.claim is None or not idempotency.is_kept(problem):
        return problem
    answer = refusal(problem, request_id=command.origin.request_id, instance=command.origin.instance)
    idempotency.take(tx, command.claim, answer)
    return Answered(answer, is_replay=False)


async def run_alone(database: Database, command: Command[Any], clock: Clock) -> tuple[Any, dict[Any, Any]]:
    """Run a command in a transaction of its own, its rows locked. Returns its result and the rows that it changed.

    Raises RowBusy where another transaction held a row for longer than the lock's time-out.
    """
    for _ in range(TRIES_ALONE):
        try:
            async with database.pool.acquire() as connection, connection.transaction():
                tx = LiveTx(connection, now=clock.now(), origin=command.origin)
                result = await perform(command, tx)
                if await tx.flush():
                    raise _Refused
        except (_Refused, Overtaking, asyncpg.DeadlockDetectedError):  # somebody came in between: look again
            continue
        except asyncpg.LockNotAvailableError as error:
            raise RowBusy(retry_after=1) from error
        return result, tx.changed
    raise RowBusy(retry_after=1)


class _Refused(Exception):  # noqa: N818  a signal within this module
    """`write_batch` refused a command that runs alone."""
