"""Leases of jobs: held while the job runs, over soon after its worker has died."""

import asyncio
from typing import Any

import pytest

from bursar.infra import jobs
from bursar.infra.jobs import JobType, Worker
from tests.support.service import Service, eventually

LEASE_SECONDS = 3
"""Short, and yet longer than a busy machine may keep a renewal waiting."""

RUN_SECONDS = LEASE_SECONDS * 1.5


@pytest.fixture(autouse=True)
def _short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LEASE_SECONDS", LEASE_SECONDS)


async def defer(service: Service) -> None:
    async with service.app.database.transaction(now=service.clock.now()) as tx:
        jobs.defer(tx, "test", {})


class TestLease:
    async def test_of_a_job_that_runs_long_is_renewed(self, private: Service) -> None:
        began: list[float] = []

        async def run(_: Any, args: dict[str, Any]) -> None:
            began.append(0)
            await asyncio.sleep(RUN_SECONDS)

        workers = [Worker(private.app, {"test": JobType("test", run)}, []) for _ in range(2)]
        await defer(private)
        first = asyncio.create_task(workers[0].run_due())
        await eventually(lambda: bool(began))
        while not first.done():
            assert await workers[1].run_due() == 0
            await asyncio.sleep(0.05)
        assert (await first, began) == (1, [0])
        assert not await private.fetch("select from jobs")

    async def test_of_a_worker_that_died_is_over_soon(self, private: Service) -> None:
        runs: list[asyncio.Event] = []

        async def run(_: Any, args: dict[str, Any]) -> None:
            runs.append(asyncio.Event())
            if len(runs) == 1:
                await runs[0].wait()

        worker = Worker(private.app, {"test": JobType("test", run)}, [])

        async def not_renewed(*_: object) -> None:
            return

        worker._renew = not_renewed  # type: ignore[method-assign]
        await defer(private)
        dead = asyncio.create_task(worker.run_due())
        await eventually(lambda: bool(runs))
        other = Worker(private.app, worker.types, [])
        assert await other.run_due() == 0
        private.clock.advance(seconds=LEASE_SECONDS)
        assert await other.run_due() == 1
        runs[0].set()
        await dead
        assert len(runs) == 2

    async def test_is_kept_though_the_end_of_another_job_cannot_be_written(self, private: Service) -> None:
        began: list[str] = []

        async def short(_: Any, args: dict[str, Any]) -> None:
            return

        async def long(_: Any, args: dict[str, Any]) -> None:
            began.append("long")
            await asyncio.sleep(RUN_SECONDS)

        await private.fetch(
            """create trigger jobs_keep before delete on jobs for each row when (old.kind = 'short')
               execute function refuse_change()"""
        )
        types = {"short": JobType("short", short), "long": JobType("long", long)}
        workers = [Worker(private.app, types, []) for _ in range(2)]
        async with private.app.database.transaction(now=private.clock.now()) as tx:
            jobs.defer(tx, "long", {})
            jobs.defer(tx, "short", {})
        first = asyncio.create_task(workers[0].run_due())
        await eventually(lambda: bool(began))
        while not first.done():
            await workers[1].run_due()
            await asyncio.sleep(0.05)
        assert await first == 2
        assert began == ["long"]
        assert [row[0] for row in await private.fetch("select kind from jobs")] == ["short"]
