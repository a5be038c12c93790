"""Jobs and schedules: counted, leased, fenced, given up in the end, never forgotten."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from bursar.infra import jobs
from bursar.infra.jobs import PLACES, JobType, Schedule, Worker
from tests.support.api import json_of, problem_of, unique
from tests.support.service import Service, eventually

NOBODY = "00000000-0000-7000-8000-000000000000"
Run = Callable[[Any, dict[str, Any]], Awaitable[None]]


class Trade:
    """One kind of job of a test's own, and workers that know it."""

    def __init__(self, service: Service, run: Run, **policy: Any) -> None:
        self.service = service
        self.kind = unique("test.job")
        self.type = JobType(self.kind, run, **policy)

    def worker(self) -> Worker:
        return Worker(self.service.app, {self.kind: self.type}, [])

    async def defer(self, *, key: str | None = None, **args: Any) -> None:
        async with self.service.app.database.transaction(now=self.service.clock.now()) as tx:
            jobs.defer(tx, self.kind, args, key=key)

    async def rows(self) -> list[dict[str, Any]]:
        rows = await self.service.fetch("select * from jobs where kind = $1 order by id", self.kind)
        return [dict(row) for row in rows]


class TestRun:
    async def test_does_each_job_once_and_forgets_it(self, private: Service) -> None:
        done: list[int] = []

        async def run(app: Any, args: dict[str, Any]) -> None:
            await asyncio.sleep(0.001)
            done.append(args["n"])

        trade = Trade(private, run)
        for number in range(60):
            await trade.defer(n=number)
        workers = [trade.worker(), trade.worker(), trade.worker()]
        while sum(await asyncio.gather(*(worker.run_due() for worker in workers))):
            pass

        assert sorted(done) == list(range(60))
        assert await trade.rows() == []

    async def test_that_is_slow_delays_no_other(self, private: Service) -> None:
        over, done = asyncio.Event(), list[int]()

        async def run(app: Any, args: dict[str, Any]) -> None:
            if args["n"] < PLACES - 1:
                await over.wait()
            done.append(args["n"])

        trade = Trade(private, run)
        worker = trade.worker()
        running = asyncio.create_task(worker.run())
        for number in range(PLACES + 10):
            await trade.defer(n=number)
            worker.wake()
        await eventually(lambda: sorted(done) == list(range(PLACES - 1, PLACES + 10)), 60)
        assert len(await trade.rows()) == PLACES - 1
        worker.stop()
        over.set()
        await running
        assert sorted(done) == list(range(PLACES + 10))
        assert await trade.rows() == []

    async def test_waits_until_it_is_due(self, private: Service) -> None:
        trade = Trade(private, _succeed)
        async with private.app.database.transaction(now=private.clock.now()) as tx:
            jobs.defer(tx, trade.kind, {}, run_at=private.clock.now().replace(year=2100))
        assert await trade.worker().run_due() == 0
        assert len(await trade.rows()) == 1

    async def test_of_one_key_waits_once(self, private: Service) -> None:
        trade = Trade(private, _succeed)
        for _ in range(3):
            await trade.defer(key="only-one")
        assert len(await trade.rows()) == 1
        await trade.worker().run_due()
        await trade.defer(key="only-one")
        assert len(await trade.rows()) == 1

    async def test_is_born_with_its_cause_or_not_at_all(self, private: Service) -> None:
        trade = Trade(private, _succeed)

        async def breaks() -> None:
            async with private.app.database.transaction(now=private.clock.now()) as tx:
                jobs.defer(tx, trade.kind, {})
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await breaks()
        assert await trade.rows() == []

    async def test_stops_when_told_and_lets_running_jobs_end(self, private: Service) -> None:
        started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def run(app: Any, args: dict[str, Any]) -> None:
            started.set()
            await may_end.wait()
            ended.set()

        trade = Trade(private, run)
        await trade.defer()
        worker = trade.worker()
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(started.wait(), 30)
        worker.stop()
        may_end.set()
        await asyncio.wait_for(task, 30)
        assert ended.is_set() and await trade.rows() == []

    async def test_survives_a_lost_connection(self, private: Service) -> None:
        done: list[int] = []

        async def run(app: Any, args: dict[str, Any]) -> None:
            done.append(args["n"])

        trade = Trade(private, run)
        worker = trade.worker()
        task = asyncio.create_task(worker.run())
        for number in range(5):
            await private.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bursar' "
                "and datname = current_database() and pid <> pg_backend_pid()"
            )
            await asyncio.sleep(0.02 * number)
        async with private.connection() as connection:
            await connection.execute(
                "insert into jobs (id, kind, args, run_at) values ($1, $2, $3, now())", NOBODY, trade.kind, {"n": 7}
            )
        await eventually(lambda: done == [7], 60)
        worker.stop()
        await asyncio.wait_for(task, 30)


async def _succeed(app: Any, args: dict[str, Any]) -> None:
    return


async def _fail(app: Any, args: dict[str, Any]) -> None:
    raise ConnectionResetError("no luck")


class TestAttempts:
    async def test_are_counted_when_claimed(self, private: Service) -> None:
        seen: list[int] = []

        async def run(app: Any, args: dict[str, Any]) -> None:
            seen.extend(row["attempts"] for row in await trade.rows())

        trade = Trade(private, run)
        await trade.defer()
        await trade.worker().run_due()
        assert seen == [1]

    async def test_are_repeated_ever_later(self, private: Service) -> None:
        trade = Trade(private, _fail, attempts_max=4, backoff_seconds=10, backoff_max_seconds=25)
        await trade.defer()
        for attempts, least, most in ((1, 4, 10), (2, 9, 20), (3, 12, 25)):
            before = private.clock.now()
            assert await trade.worker().run_due() == 1
            row, after = (await trade.rows())[0], private.clock.now()
            assert before + timedelta(seconds=least) < row["run_at"] <= after + timedelta(seconds=most)
            assert (row["status"], row["attempts"]) == ("READY", attempts)
            assert row["last_error"] == "ConnectionResetError: no luck"
            assert await trade.worker().run_due() == 0
            private.clock.advance(seconds=30)

    async def test_that_take_too_long_count_as_failed(self, private: Service) -> None:
        async def run(app: Any, args: dict[str, Any]) -> None:
            await asyncio.sleep(60)

        trade = Trade(private, run, timeout_seconds=0.05)
        await trade.defer()
        await trade.worker().run_due()
        assert (await trade.rows())[0]["last_error"].startswith("TimeoutError")

    async def test_end_with_a_dead_job_that_can_be_retried(self, private: Service) -> None:
        trade = Trade(private, _fail, attempts_max=2)
        admin = private.api.as_("admin")
        await trade.defer(paymentId="p-1")
        for _ in range(2):
            await trade.worker().run_due()
            private.clock.advance(seconds=30)
        row = (await trade.rows())[0]
        assert (row["status"], row["attempts"]) == ("DEAD", 2)
        private.clock.advance(days=30)
        assert await trade.worker().run_due() == 0

        dead = json_of(await admin.get("/api/v1/jobs/dead"), 200)["data"]
        assert [(job["id"], job["kind"], job["args"]) for job in dead] == [
            (row["id"], trade.kind, {"paymentId": "p-1"})
        ]
        assert json_of(await admin.call("POST", f"/api/v1/jobs/{row['id']}/retry", {}), 200)
        problem_of(await admin.call("POST", f"/api/v1/jobs/{row['id']}/retry", {}), 404, "not_found")
        problem_of(await admin.call("POST", f"/api/v1/jobs/{NOBODY}/retry", {}), 404, "not_found")
        problem_of(await admin.call("POST", "/api/v1/jobs/nonsense/retry", {}), 404, "not_found")
        assert await trade.worker().run_due() == 1
        assert (await trade.rows())[0]["attempts"] == 1

    async def test_are_given_back_when_the_cause_of_a_dead_job_comes_again(self, private: Service) -> None:
        trade = Trade(private, _fail, attempts_max=1)
        await trade.defer(key="again", n=1)
        await trade.worker().run_due()
        (dead,) = await trade.rows()
        assert dead["status"] == "DEAD"
        await trade.defer(key="another", n=3)
        await trade.defer(key="again", n=2)
        rows = {row["key"]: row for row in await trade.rows()}
        assert (rows["again"]["id"], rows["again"]["status"], rows["again"]["attempts"]) == (dead["id"], "READY", 0)
        assert rows["again"]["args"] == {"n": 2} and len(rows) == 2
        assert await trade.worker().run_due() == 2

    async def test_of_a_kind_that_nobody_knows_are_kept(self, private: Service) -> None:
        trade = Trade(private, _succeed)
        await trade.defer()
        await Worker(private.app, {}, []).run_due()
        assert (await trade.rows())[0]["status"] == "DEAD"


class TestLease:
    async def test_that_ran_out_is_taken_over_and_the_late_worker_is_fenced_off(self, private: Service) -> None:
        begun, may_end, runs = asyncio.Event(), asyncio.Event(), list[int]()

        async def run(app: Any, args: dict[str, Any]) -> None:
            runs.append(len(runs))
            if len(runs) == 1:
                begun.set()
                await may_end.wait()
            else:
                raise ConnectionResetError("the second one fails")

        trade = Trade(private, run, timeout_seconds=60)
        await trade.defer()
        late = asyncio.create_task(trade.worker().run_due())
        await asyncio.wait_for(begun.wait(), 30)
        assert await trade.worker().run_due() == 0
        private.clock.advance(seconds=121)
        assert await trade.worker().run_due() == 1
        before = await trade.rows()
        assert (before[0]["status"], before[0]["attempts"], before[0]["fence"]) == ("READY", 2, 2)

        may_end.set()
        await late

        assert await trade.rows() == before

    async def test_of_a_killed_worker_counts_its_attempt(self, private: Service) -> None:
        begun = asyncio.Event()

        async def run(app: Any, args: dict[str, Any]) -> None:
            begun.set()
            await asyncio.sleep(60)

        trade = Trade(private, run, attempts_max=3)
        await trade.defer()
        for attempts in (1, 2, 3):
            begun.clear()
            killed = asyncio.create_task(trade.worker().run_due())
            await asyncio.wait_for(begun.wait(), 30)
            killed.cancel()
            assert (await trade.rows())[0]["attempts"] == attempts
            private.clock.advance(seconds=121)
        await trade.worker().run_due()
        assert (await trade.rows())[0]["status"] == "DEAD"


class TestSchedule:
    async def test_fires_once_for_all_workers(self, private: Service) -> None:
        fired: list[str] = []

        async def run(app: Any) -> None:
            await asyncio.sleep(0.005)
            fired.append("x")

        schedule = Schedule("test.often", 10, run)
        workers = [Worker(private.app, {}, [schedule]) for _ in range(4)]
        for expected in (1, 2, 3):
            for _ in range(3):
                await asyncio.gather(*(worker.fire_schedules() for worker in workers))
            assert len(fired) == expected
            private.clock.advance(seconds=11)

    async def test_that_breaks_fires_again_and_stops_no_other(self, private: Service) -> None:
        fired: list[str] = []

        async def breaks(app: Any) -> None:
            fired.append("breaks")
            raise ZeroDivisionError

        async def works(app: Any) -> None:
            fired.append("works")

        worker = Worker(private.app, {}, [Schedule("test.breaks", 1, breaks), Schedule("test.works", 1, works)])
        for _ in range(2):
            await worker.fire_schedules()
            private.clock.advance(seconds=2)
        assert fired == ["breaks", "works", "breaks", "works"]

    async def test_that_hangs_delays_no_other_and_no_job(self, private: Service) -> None:
        fired, over = list[str](), asyncio.Event()

        async def hangs(app: Any) -> None:
            await over.wait()

        async def works(app: Any) -> None:
            fired.append("works")

        worker = Worker(private.app, {}, [Schedule("test.hangs", 1, hangs), Schedule("test.works", 1, works)])
        running = asyncio.create_task(worker.run())
        await eventually(lambda: fired == ["works"], 30)
        private.clock.advance(seconds=2)
        await eventually(lambda: fired == ["works", "works"], 30)
        worker.stop()
        over.set()
        await asyncio.wait_for(running, 30)

    async def test_that_never_ends_is_ended_and_fires_again(self, private: Service) -> None:
        fired: list[str] = []

        async def hangs(app: Any) -> None:
            fired.append("hangs")
            await asyncio.sleep(60)

        worker = Worker(private.app, {}, [Schedule("test.never_ends", 1, hangs, timeout_seconds=0.05)])
        for _ in range(2):
            await asyncio.wait_for(worker.fire_schedules(), 30)
            private.clock.advance(seconds=2)
        assert fired == ["hangs", "hangs"]

    async def test_that_a_wrong_clock_put_off_fires_when_the_clock_is_right(self, private: Service) -> None:
        fired: list[str] = []

        async def run(app: Any) -> None:
            fired.append("x")

        worker = Worker(private.app, {}, [Schedule("test.clock", 10, run)])
        private.clock.advance(days=365)
        await worker.fire_schedules()
        private.clock.advance(days=-365)
        for _ in range(2):
            await worker.fire_schedules()
        assert fired == ["x", "x"]
        private.clock.advance(seconds=11)
        await worker.fire_schedules()
        assert fired == ["x", "x", "x"]
