"""Two processes on one database, rows held by strangers, connections that die under load."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest

from bursar.infra.db import LANE_SETTINGS, UNREACHABLE
from bursar.providers.port import Outcome, Request
from tests.conftest import Serve
from tests.support.api import CORE, Api, json_of, problem_of, unique
from tests.support.races import at_once
from tests.support.service import Service, eventually, serving
from tests.support.truth import verify

WAITING = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
LANES = """
select pid from pg_stat_activity
where datname = current_database() and application_name = 'bursar' and pid <> pg_backend_pid()
"""


@pytest.fixture
async def pair(private: Service) -> AsyncIterator[tuple[Api, Api]]:
    """Callers of two services that know nothing of one another but the database and the provider."""
    async with serving(private.url, private.app.settings.data_path, clock=private.clock) as second:
        yield private.api.as_("service"), second.api.as_("service")


class TestTwoProcesses:
    async def test_fire_at_the_same_payments_without_a_stale_answer(self, pair: tuple[Api, Api]) -> None:
        payments = [await pair[0].authorized() for _ in range(8)]

        async def capture(number: int) -> httpx.Response:
            return await pair[number % 2].capture(payments[number // 2 % 8]["id"], 30, finalCapture=False)

        answers = await at_once(pair[0], 96, capture)

        assert Counter(answer.status_code for answer in answers)[200] == 24, Counter(a.text for a in answers)
        refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert refused <= {"amount_exceeds_capturable", "row_busy"}
        assert {answer.status_code for answer in answers} == {200, 409}
        for payment in payments:
            seen = [await api.show(payment["id"]) for api in pair]
            assert seen[0] == seen[1] and seen[0]["amountCaptured"] == 90

    async def test_take_turns_at_one_payment(self, pair: tuple[Api, Api]) -> None:
        payment = await pair[0].authorized()
        for number in range(20):
            taken = json_of(await pair[number % 2].capture(payment["id"], 5, finalCapture=False), 200)
            assert taken["amountCaptured"] == 5 * (number + 1)
        problem_of(await pair[1].capture(payment["id"], 1), 409, "invalid_state_transition")
        problem_of(await pair[0].capture(payment["id"], 1), 409, "invalid_state_transition")

    async def test_refuse_on_what_the_other_has_done(self, pair: tuple[Api, Api]) -> None:
        for _ in range(5):
            payment = await pair[0].authorized()
            json_of(await pair[1].act(payment["id"], "cancel"), 200)
            refused = problem_of(await pair[0].capture(payment["id"]), 409, "invalid_state_transition")
            assert refused["state"] == "CANCELLED"

    async def test_share_one_customers_first_payments(self, pair: tuple[Api, Api]) -> None:
        customer = unique("customer")
        address = {"billingAddress": {"name": "Ann"}}
        answers = await at_once(pair[0], 40, lambda n: pair[n % 2].post_payment(customerId=customer, **address))
        assert {answer.status_code for answer in answers} == {201}
        shown = await asyncio.gather(*(pair[n % 2].show(answer.json()["id"]) for n, answer in enumerate(answers)))
        assert all(payment["billingAddress"] == {"name": "Ann"} for payment in shown)


class TestHeldRow:
    async def test_delays_nobody_else(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lane that waited for the row would wait for it longer than this test allows."""
        monkeypatch.setitem(LANE_SETTINGS, "lock_timeout", "20s")
        async with serve() as service:
            await self.delays_nobody_else(service)
            await verify(service)

    async def delays_nobody_else(self, service: Service) -> None:
        api = service.api.as_("service")
        held = await api.authorized()
        others = [await api.authorized() for _ in range(100)]
        seconds: list[float] = []

        async def timed(payment_id: str) -> httpx.Response:
            started = time.perf_counter()
            answer = await api.capture(payment_id)
            seconds.append(time.perf_counter() - started)
            return answer

        async with service.connection() as stranger, stranger.transaction():
            await stranger.execute("select from payments where id = $1 for update", held["id"])
            own = asyncio.create_task(api.capture(held["id"]))

            async def is_waiting() -> bool:
                return bool(own.done() or await service.fetch(WAITING))

            await eventually(is_waiting)
            for start in range(0, 100, 10):
                answers = await asyncio.gather(*(timed(payment["id"]) for payment in others[start : start + 10]))
                assert {answer.status_code for answer in answers} == {200}
        answer = await own

        assert max(seconds) < 10
        assert answer.status_code == 200 or answer.json()["code"] == "row_busy"
        if answer.status_code != 200:
            assert json_of(await api.capture(held["id"]), 200)["status"] == "CAPTURED"

    async def test_for_long_is_told_as_busy(self, private: Service) -> None:
        api = private.api.as_("service")
        held = await api.authorized()
        async with private.connection() as stranger, stranger.transaction():
            await stranger.execute("select from payments where id = $1 for update", held["id"])
            refused = await api.capture(held["id"], key="busy")
            problem_of(refused, 409, "row_busy")
            assert refused.headers["retry-after"]
            assert (await api.show(held["id"])) == held
        assert json_of(await api.capture(held["id"], key="busy"), 200)["status"] == "CAPTURED"

    async def test_while_an_outcome_is_booked_is_pending_not_refused(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment()
        execute, is_held = private.sandbox.execute, asyncio.Event()

        async def slow(request: Request) -> Outcome:
            await is_held.wait()
            return await execute(request)

        monkeypatch.setattr(private.sandbox, "execute", slow)
        acting = asyncio.create_task(api.authorize(payment["id"], key="slow"))

        async def is_asked() -> bool:
            return await private.inner_status(payment["id"]) == "AUTHORIZING"

        await eventually(is_asked)
        async with private.connection() as stranger, stranger.transaction():
            await stranger.execute("select from payments where id = $1 for update", payment["id"])
            is_held.set()
            answer = await acting

        assert json_of(answer, 202)["status"] == "PROCESSING"
        private.clock.advance(seconds=40)
        await private.run_schedule("payments.sweep")
        private.clock.advance(seconds=2)
        await private.run_jobs()
        replayed = await api.authorize(payment["id"], key="slow")
        assert json_of(replayed, 200)["status"] == "AUTHORIZED"


class TestLostConnections:
    async def test_under_load_are_503_then_mended_and_nothing_is_doubled(self, serve: Serve) -> None:
        async with serve() as service:
            api = service.api.as_("service")
            statuses = Counter[int]()
            made: dict[str, str] = {}

            async def checkout(number: int) -> None:
                body, key = api.new_payment(), f"create-{number}"
                for _ in range(200):
                    answer = await api.call("POST", CORE, body, key=key)
                    statuses[answer.status_code] += 1
                    if answer.status_code == 201:
                        break
                    await asyncio.sleep(0.02)
                payment_id = made[key] = answer.json()["id"]
                for act in ("authorize", "capture"):
                    for _ in range(200):
                        answer = await api.act(payment_id, act, key=f"{act}-{number}")
                        statuses[answer.status_code] += 1
                        if answer.status_code == 200:
                            break
                        if answer.status_code == 409 and answer.json()["code"] == "idempotency_key_in_use":
                            await settle(service)
                        await asyncio.sleep(0.02)
                    assert answer.status_code == 200, answer.text

            async def kill(checkouts: asyncio.Future[Any]) -> None:
                kills = 0
                while not checkouts.done() and (kills < 6 or not statuses[503]):
                    await asyncio.sleep(0.04)
                    await service.fetch(f"select pg_terminate_backend(pid) from ({LANES}) lanes")
                    kills += 1

            checkouts = asyncio.gather(*(checkout(number) for number in range(40)))
            await asyncio.gather(kill(checkouts), checkouts)

            assert statuses[201] == 40 and set(statuses) <= {200, 201, 202, 409, 503}
            assert statuses[503] > 0
            rows = await service.fetch("select id, amount_captured from payments")
            assert {row["id"] for row in rows} == set(made.values())
            assert [row["amount_captured"] for row in rows] == [100] * 40
            assert json_of(await api.get("/readyz"), 200)
            await verify(service)


async def settle(service: Service) -> None:
    """What the sweep and a worker do for a step that was left open; a connection may die under them, too."""
    service.clock.advance(seconds=40)
    try:
        await service.run_schedule("payments.sweep")
        service.clock.advance(seconds=2)
        await service.run_jobs()
    except (*UNREACHABLE, asyncpg.PostgresError):
        return
