"""Workers that die half-way, and reconciliations that run at once: every row is booked once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bursar.domains.context import App
from bursar.domains.reconciliations import book
from bursar.domains.reconciliations import run as work
from bursar.domains.reconciliations.matching import Finding
from bursar.domains.reconciliations.model import Reconciliation, Status
from bursar.domains.reconciliations.model import Row as StatementRow
from bursar.infra.jobs import NotYet
from tests.conftest import Serve
from tests.crash.harness import ground
from tests.support.api import json_of
from tests.support.reconciliations import (
    FEES,
    Bookkeeper,
    Row,
    captured,
    counts,
    fee_of,
    net_of,
    payout,
    row_of,
    stripe_csv,
    verify_books,
)
from tests.support.service import eventually

CHUNK = 7
CAPTURES = 60
RESUMED_SECONDS_MAX = 120


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "CHUNK", CHUNK)


@pytest.fixture
async def ann(serve: Serve) -> AsyncIterator[Bookkeeper]:
    async with serve(provider_fees=FEES) as service:
        yield Bookkeeper(service)
        await verify_books(service)


async def some(ann: Bookkeeper) -> list[Row]:
    """Rows of which some differ, of captures of which some are missing, and a payout."""
    at = (ann.service.clock.now() - timedelta(days=1)).replace(hour=12)
    captures = await captured(ann.service, [1000 + number for number in range(CAPTURES)], at=at)
    rows = [row_of(capture) for capture in captures[:-3]]
    rows[5] = rows[5].changed(gross=900)
    rows[20] = rows[20].changed(fee=1)
    return [*rows, rows[30], payout(1, 5000, at)]


WANTED = {"MATCHED": CAPTURES - 3 - 2 + 1, "AMOUNT": 1, "FEE": 1, "DUPLICATE": 1, "MISSING_WITH_THEM": 3}


class Gate:
    """Lets a reconciliation book one chunk, and then holds it until it is let go or dies."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_booked, self.go_on = asyncio.Event(), asyncio.Event()
        self._book = book.book
        monkeypatch.setattr(book, "book", self._held)

    async def _held(self, *args: Any) -> Reconciliation:
        after = await self._book(*args)
        self.has_booked.set()
        await self.go_on.wait()
        return after

    async def dies(self, running: asyncio.Task[None], *, turns: int) -> bool:
        """Let it go after its next chunk, for so many turns of the loop, and have it die there, wherever it is. Returns
        whether it did, or was through by then.
        """
        chunk = asyncio.create_task(self.has_booked.wait())
        await asyncio.wait([running, chunk], return_when=asyncio.FIRST_COMPLETED)
        chunk.cancel()
        self.go_on.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        has_died = running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        self.has_booked.clear()
        self.go_on.clear()
        return has_died


async def assert_booked_once(ann: Bookkeeper, rows: list[Row]) -> None:
    balances = await ann.balances()
    assert balances["provider:sandbox:clearing", "EUR"] == net_of(rows)["EUR"]
    assert balances["bank:main", "EUR"] == 5000


class TestInterrupted:
    async def test_a_worker_that_dies_at_any_chunk_is_gone_on_after(
        self, ann: Bookkeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows, gate = await some(ann), Gate(monkeypatch)
        begun = json_of(await ann.bring(stripe_csv(rows)), 202)
        deaths = 0
        while (await ann.show(begun["id"]))["status"] != Status.COMPLETED:
            running = asyncio.create_task(work.run(ann.service.app, begun["id"]))
            deaths += await gate.dies(running, turns=deaths * 3)
        assert deaths >= 2
        done = await ann.show(begun["id"])
        assert counts(done) == WANTED
        await assert_booked_once(ann, rows)

    async def test_two_workers_with_one_job_book_once(self, ann: Bookkeeper) -> None:
        rows = await some(ann)
        begun = json_of(await ann.bring(stripe_csv(rows)), 202)
        results = await asyncio.gather(
            *(work.run(ann.service.app, begun["id"]) for _ in range(5)), return_exceptions=True
        )
        assert all(result is None or isinstance(result, NotYet) for result in results), results
        await ann.service.run_jobs()
        assert counts(await ann.show(begun["id"])) == WANTED
        await assert_booked_once(ann, rows)

    async def test_what_we_learn_meanwhile_is_not_told_twice(
        self, ann: Bookkeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A row was missing with us when it was booked; then the capture came, and the worker died."""
        at = (ann.service.clock.now() - timedelta(days=1)).replace(hour=12)
        known = await captured(ann.service, [1000 + number for number in range(20)], at=at)
        strange = row_of(known[0])._replace(id="txn_late", intent="pi_late").changed(gross=777, fee=fee_of(777))
        rows = [strange, *(row_of(capture) for capture in known)]
        begun = json_of(await ann.bring(stripe_csv(rows)), 202)
        with monkeypatch.context() as patch:
            gate = Gate(patch)
            assert await gate.dies(asyncio.create_task(work.run(ann.service.app, begun["id"])), turns=0)
        assert (await ann.show(begun["id"]))["version"] == 3
        (late,) = await captured(ann.service, [777], at=at)
        await ann.service.fetch(
            "update payments set provider_transaction_id = 'pi_late' where id = $1", late.payment_id
        )
        await ann.service.run_jobs()
        done = await ann.show(begun["id"])
        assert counts(done) == {"MATCHED": 20, "MISSING_WITH_US": 1, "MISSING_WITH_THEM": 1}
        balances = await ann.balances()
        assert balances["provider:sandbox:clearing", "EUR"] == net_of(rows)["EUR"]


class TestKilled:
    async def test_a_worker_killed_by_sigkill_is_gone_on_after_by_another(
        self, ann: Bookkeeper, database_url: str, tmp_path: Path
    ) -> None:
        at = (ann.service.clock.now() - timedelta(days=1)).replace(hour=12)
        captures = await captured(ann.service, [1000 + number % 500 for number in range(6_000)], at=at)
        rows = [row_of(capture) for capture in captures[:-3]]
        async with ground(tmp_path, database_url) as field:
            field.env["BURSAR_PROVIDER_FEES"] = FEES
            worker = field.new_worker()
            begun = json_of(await ann.bring(stripe_csv(rows)), 202)
            while (await ann.show(begun["id"]))["version"] < 4:
                assert worker.returncode is None, worker.said()
            worker.kill()
            stopped_at = await ann.show(begun["id"])
            assert stopped_at["status"] == "RUNNING" and 0 < sum(stopped_at["counts"].values()) < len(rows)
            other = field.new_worker()

            async def is_done() -> bool:
                assert other.returncode is None, other.said()
                return (await ann.show(begun["id"]))["status"] == "COMPLETED"

            await eventually(is_done, RESUMED_SECONDS_MAX)
        assert counts(await ann.show(begun["id"])) == {"MATCHED": len(rows), "MISSING_WITH_THEM": 3}
        assert (await ann.balances())["provider:sandbox:clearing", "EUR"] == net_of(rows)["EUR"]


class TestAtOnce:
    async def test_one_file_brought_by_twenty_is_one_reconciliation(self, ann: Bookkeeper) -> None:
        rows = await some(ann)
        answers = await asyncio.gather(*(ann.bring(stripe_csv(rows)) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
        assert len({answer.json()["id"] for answer in answers}) == 1
        await ann.service.run_jobs()
        await assert_booked_once(ann, rows)

    async def test_what_another_books_between_the_look_and_the_booking(
        self, ann: Bookkeeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One file has what the other lacks: of a movement that is matched nothing may be left in suspense."""
        rows = await some(ann)
        unique = [row for number, row in enumerate(rows) if row not in rows[:number]]
        other = payout(2, 700, unique[0].at)
        begun = [json_of(await ann.bring(stripe_csv(some_of)), 202)["id"] for some_of in (unique, [other])]
        look = work._findings

        async def looked(app: App, row: Reconciliation, lines: Sequence[StatementRow]) -> Sequence[Finding]:
            found = await look(app, row, lines)
            if row.id == begun[0]:
                with suppress(NotYet):
                    await work.run(app, begun[1])
            return found

        monkeypatch.setattr(work, "_findings", looked)
        await work.run(ann.service.app, begun[0])
        for _ in range(3):
            ann.service.clock.advance(minutes=15)
            await ann.service.run_jobs()
        assert [(await ann.show(one))["status"] for one in begun] == ["COMPLETED", "COMPLETED"]
        balances = await ann.balances()
        assert balances["provider:sandbox:clearing", "EUR"] == net_of([*unique, other])["EUR"]

    async def test_overlapping_files_at_once_book_each_row_once(self, ann: Bookkeeper) -> None:
        rows = await some(ann)
        unique = [row for number, row in enumerate(rows) if row not in rows[:number]]
        halves = [stripe_csv(unique), stripe_csv(unique[::-1]), stripe_csv(unique[10:])]
        begun = [json_of(await ann.bring(content), 202)["id"] for content in halves]
        await asyncio.gather(*(work.run(ann.service.app, one) for one in begun), return_exceptions=True)
        for _ in range(10):
            ann.service.clock.advance(minutes=15)
            await ann.service.run_jobs()
        shown = [await ann.show(one) for one in begun]
        assert {one["status"] for one in shown} == {"COMPLETED"}
        assert sum(one["counts"]["REPEATED"] for one in shown) == len(unique) * 2 - 10
        await assert_booked_once(ann, unique)
