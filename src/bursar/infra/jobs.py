"""Jobs on PostgreSQL: born in the transaction of their cause, claimed with a lease and a fencing token, never
forgotten.

An attempt is counted when it is claimed, so a killed worker's attempt counts too. A job that ended is deleted by the
token of its claim; a worker that lost its lease can neither end nor repeat it. After its last attempt a job is DEAD
and is kept.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import structlog

from bursar.infra.answer import Answer, ok
from bursar.infra.commands import Command, run_alone
from bursar.infra.db import UNREACHABLE, Database, LiveTx, Origin, Tx
from bursar.infra.http.types import PageQuery
from bursar.infra.idempotency import Claim
from bursar.infra.pages import id_range, narrowed
from bursar.kit import ids
from bursar.kit.errors import NotFound
from bursar.kit.paging import Page, page_of

log = structlog.get_logger()

PLACES: Final = 20
"""Jobs that one worker runs at once."""

PLACES_FREE_MIN: Final = 5
GATHER_SECONDS: Final = 0.05
"""How long a claim waits for so many free places: a statement for each job would cost more than the wait."""

POLL_SECONDS: Final = 0.5
SCHEDULE_LATE_MAX: Final = 0.1
"""By which part of its time a schedule may be late, or by POLL_SECONDS: what rarely fires is rarely asked for."""

SCHEDULE_POLL_SECONDS_MAX: Final = 60

LEASE_SECONDS: Final = 10
"""How long a claim holds without renewal: a killed worker's jobs wait no longer for another one."""


class JobType(msgspec.Struct, frozen=True):
    """What a kind of job does and how often it is tried. run: takes the app and the job's args; safe to repeat."""

    kind: str
    run: Callable[[Any, dict[str, Any]], Awaitable[None]]
    attempts_max: int = 20
    timeout_seconds: float = 30
    backoff_seconds: float = 1
    backoff_max_seconds: float = 900

    def wait_seconds(self, attempts: int) -> float:
        """How long to wait after `attempts` tries: exponential with full jitter's upper half."""
        ceiling: float = min(self.backoff_max_seconds, self.backoff_seconds * 2 ** min(attempts - 1, 30))
        return ceiling * random.uniform(0.5, 1)  # noqa: S311  no secret


class Schedule(msgspec.Struct, frozen=True):
    """Work that recurs: fires once each `every_seconds`, whatever the number of workers."""

    name: str
    every_seconds: float
    run: Callable[[Any], Awaitable[None]]
    timeout_seconds: float = 3_600


class _JobRow(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    kind: str
    args: dict[str, Any]
    run_at: datetime
    key: str | None = None


def defer(tx: Tx, kind: str, args: dict[str, Any], *, run_at: datetime | None = None, key: str | None = None) -> None:
    """Have a job done after this transaction commits. key: at most one job has it; where one has it already, also one
    that is about to end, no other is put in, and a DEAD one gets its attempts back.
    """
    tx.write("jobs", _JobRow(ids.new(tx.now), kind, args, run_at or tx.now, key))


CLAIM = """
update jobs set
    status = 'RUNNING', attempts = attempts + 1, fence = fence + 1, lease_until = $1 + make_interval(secs => $3)
where id in (
    select id from jobs where (status = 'READY' and run_at <= $1) or (status = 'RUNNING' and lease_until < $1)
    order by run_at limit $2 for update skip locked)
returning id, kind, args, attempts, fence
"""
RENEW = """
update jobs set lease_until = $1::timestamptz + make_interval(secs => $4)
from unnest($2::uuid[], $3::bigint[]) as held(id, fence)
where jobs.id = held.id and jobs.fence = held.fence and jobs.status = 'RUNNING'
"""
FINISH = "delete from jobs where id = $1 and fence = $2 and status = 'RUNNING'"
FAIL = """
update jobs set status = $3, run_at = $4, last_error = $5, lease_until = null
where id = $1 and fence = $2 and status = 'RUNNING'
"""


FIRE = """
insert into schedules as s (name, next_run_at) values ($1, $3)
on conflict (name) do update set next_run_at = $3 where s.next_run_at <= $2 or s.next_run_at > $4 returning 1
"""
CLOCKS_APART: Final = timedelta(minutes=1)
"""A schedule that is to wait longer than its time and this was put off by a clock that went wrong, and fires."""


class Worker:
    """Runs jobs and schedules until it is stopped; a stop lets running jobs end."""

    def __init__(self, app: Any, types: Mapping[str, JobType], schedules: list[Schedule]) -> None:
        self.app = app
        self.database: Database = app.database
        self.types = types
        self.schedules = schedules
        self._stopping = asyncio.Event()
        self._wake = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._busy = 0
        self._freed = asyncio.Event()

    def wake(self) -> None:
        """There may be a job now."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Jobs and schedules side by side: a slow one delays no other."""
        await asyncio.gather(self._begin_jobs(), *(self._keep_firing(schedule) for schedule in self.schedules))
        if self._running:
            await asyncio.wait(self._running)

    async def _begin_jobs(self) -> None:
        while not self._stopping.is_set():
            try:
                begun = await self.begin_due()
            except Exception as error:  # whatever it is, the jobs have to go on
                _say(error)
                begun = 0
                await _wait(self._stopping, 1)
            if begun == 0:
                self._wake.clear()
                await _wait(self._wake, POLL_SECONDS)

    async def _keep_firing(self, schedule: Schedule) -> None:
        pause = min(max(POLL_SECONDS, SCHEDULE_LATE_MAX * schedule.every_seconds), SCHEDULE_POLL_SECONDS_MAX)
        while not self._stopping.is_set():
            try:
                await self._fire(schedule)
            except Exception as error:  # whatever it is, the schedule has to go on
                _say(error)
            await _wait(self._stopping, pause)

    async def run_due(self) -> int:
        """Claim what is due and run it to its end. Returns how many jobs were claimed."""
        records = await self._claim()
        if records:
            await self._run_all(records)
        return len(records)

    async def begin_due(self) -> int:
        """Claim what is due, as far as there are places for it, and begin it. Returns how many jobs were claimed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                while PLACES - self._busy < PLACES_FREE_MIN:
                    await self._one_ends()
        while self._busy == PLACES:
            await self._one_ends()
        records = await self._claim()
        if records:
            running = asyncio.create_task(self._run_all(records))
            self._running.add(running)
            running.add_done_callback(self._ended)
        return len(records)

    async def _one_ends(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    def _ended(self, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        if not running.cancelled() and (error := running.exception()) is not None:
            _say(error)

    async def _claim(self) -> list[Any]:
        records = await self.database.fetch(CLAIM, self.app.clock.now(), PLACES - self._busy, LEASE_SECONDS)
        self._busy += len(records)
        return records

    async def _run_all(self, records: list[Any]) -> None:
        """Run what was claimed, and keep its leases until all of it has ended."""
        ended = asyncio.Event()
        renewing = asyncio.create_task(self._renew(records, ended))
        try:
            await asyncio.gather(*(self._run_in_place(record) for record in records))
        finally:
            ended.set()
            await renewing

    async def _run_in_place(self, record: Any) -> None:
        try:
            await self._run_one(record)
        except Exception as error:  # its end could not be written: its lease runs out, and it is run again
            _say(error)
        finally:
            self._busy -= 1
            self._freed.set()

    async def _renew(self, records: list[Any], ended: asyncio.Event) -> None:
        """Keep the leases of these jobs until they have ended."""
        ids_held, fences = [record["id"] for record in records], [record["fence"] for record in records]
        while True:
            await _wait(ended, LEASE_SECONDS / 3)
            if ended.is_set():
                return
            try:
                await self.database.execute(RENEW, self.app.clock.now(), ids_held, fences, LEASE_SECONDS)
            except Exception as error:  # whatever it is, there may be time for another try
                log.warning("worker.leases_not_renewed", error=repr(error))

    async def fire_schedules(self) -> None:
        """Run each schedule whose time has come and that no other worker took."""
        for schedule in self.schedules:
            await self._fire(schedule)

    async def _fire(self, schedule: Schedule) -> None:
        now, every = self.app.clock.now(), timedelta(seconds=schedule.every_seconds)
        if not await self.database.fetchval(FIRE, schedule.name, now, now + every, now + 2 * every + CLOCKS_APART):
            return
        try:
            async with asyncio.timeout(schedule.timeout_seconds):
                await schedule.run(self.app)
        except Exception:  # a schedule fires again; what it does is safe to repeat
            log.exception("schedule.failed", schedule=schedule.name)

    async def _run_one(self, record: Any) -> None:
        job_type = self.types.get(record["kind"])
        try:
            if job_type is None:
                raise LookupError(f"no job type {record['kind']}")
            if record["attempts"] > job_type.attempts_max:
                raise LookupError("its last attempt never came back")
            async with asyncio.timeout(job_type.timeout_seconds):
                await job_type.run(self.app, record["args"])
        except Exception as error:  # recorded with the job, tried again or kept as DEAD
            await self._fail(record, job_type, error)
            return
        await self.database.execute(FINISH, record["id"], record["fence"])

    async def _fail(self, record: Any, job_type: JobType | None, error: Exception) -> None:
        attempts = record["attempts"]
        is_dead = job_type is None or attempts >= job_type.attempts_max
        wait = 0.0 if job_type is None else job_type.wait_seconds(attempts)
        status, run_at = ("DEAD" if is_dead else "READY"), self.app.clock.now() + timedelta(seconds=wait)
        text = f"{type(error).__name__}: {error}"[:500]
        await self.database.execute(FAIL, record["id"], record["fence"], status, run_at, text)
        (log.error if is_dead else log.info)("job.dead" if is_dead else "job.retried", kind=record["kind"], error=text)


def _say(error: BaseException) -> None:
    """Tell the log what kept the worker from its work."""
    if isinstance(error, UNREACHABLE):
        log.warning("worker.database_unreachable", error=repr(error))
    else:
        log.error("worker.broken", exc_info=error)


class NotYet(Exception):  # noqa: N818  not an error: the job has to be asked again
    """Raised by a job that has to be run again later."""


async def waiting(database: Database, keys: list[str]) -> set[str]:
    """Those of `keys` whose job is yet to be done."""
    records = await database.fetch("select key from jobs where key = any($1) and status <> 'DEAD'", keys)
    return {record["key"] for record in records}


class DeadJob(msgspec.Struct, frozen=True, rename="camel"):
    """A job that was given up, and why."""

    id: str
    kind: str
    args: dict[str, Any]
    attempts: int
    last_error: str | None
    created_at: datetime


async def dead(database: Database, query: PageQuery) -> Page[DeadJob]:
    """The jobs that were given up, newest first."""
    args: list[Any] = [*id_range(query)]
    conditions = ["status = 'DEAD'", "id >= $1", "id < $2", *narrowed(args, query)]
    records = await database.fetch(
        f"""select id, kind, args, attempts, last_error as "lastError", created_at as "createdAt"
            from jobs where {" and ".join(conditions)} order by id desc limit {query.limit + 1}""",  # noqa: S608
        *args,
    )
    return page_of([msgspec.convert(dict(record), DeadJob) for record in records], query.limit)


async def retry(app: Any, origin: Origin, claim: Claim | None, job_id: str) -> Answer:
    """Give a DEAD job its attempts back. Idempotent by the claim. Raises NotFound where there is no such dead job."""

    async def decide(tx: Tx) -> Answer:
        assert isinstance(tx, LiveTx)
        sql = "update jobs set status = 'READY', attempts = 0, run_at = $2 where id = $1 and status = 'DEAD'"
        if await tx.connection.execute(sql, job_id, tx.now) != "UPDATE 1":
            raise NotFound("no such dead job")
        return ok({"id": job_id, "status": "READY"})

    outcome, _ = await run_alone(app.database, Command("job.retry", job_id, decide, origin, claim), app.clock)
    if isinstance(outcome, Exception):
        raise outcome
    answer: Answer = outcome
    return answer


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
