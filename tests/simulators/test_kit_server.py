"""The simulators' kit, driven through a toy provider: what each fault does to the wire and to the books."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from simulators.kit.faults import Faults, Kind
from simulators.kit.idempotency import Store
from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.kit.openapi import Document, Violation
from simulators.kit.provider import Provider, Trouble
from simulators.kit.server import build, running
from tests.support.service import eventually

AMOUNT = {"type": "integer", "minimum": 1}
CHARGE = {"type": "object", "properties": {"id": {"type": "string"}, "amount": AMOUNT}, "required": ["id", "amount"]}
DOCUMENT: dict[str, Any] = {
    "paths": {
        "/charges": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"amount": AMOUNT, "note": {"type": "string", "nullable": True}},
                                "required": ["amount"],
                                "additionalProperties": False,
                            }
                        }
                    },
                },
                "responses": {"201": {"content": {"application/json": {"schema": CHARGE}}}, "default": {"content": {}}},
            }
        }
    }
}


class Toy(Provider):
    """Charges amounts; forgets to answer with an id for the amount 13."""

    name = "toy"

    def __init__(self) -> None:
        super().__init__(document=Document([DOCUMENT]), store=Store(seconds=60, replay_headers={"Replayed": "yes"}))
        self.routes = [Route("POST", "/charges", self._charge)]

    def _charge(self, request: Request) -> Answer:
        if request.is_declined:
            raise Refusal(Answer(402))
        amount = request.params["amount"]
        self.books.record("charge", "toy", amount, "USD", at=request.now, key=request.key)
        self.webhooks.emit(f"evt_{len(self.books.entries)}", "charged", {"amount": amount})
        return Answer(201, {"amount": amount} if amount == 13 else {"id": "toy", "amount": amount})

    def key_of(self, request: Request) -> str | None:
        return request.headers.get("key")

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        return Answer(trouble.value)

    def refuse(self, request: Request, violations: Any) -> Answer:
        return Answer(400)

    def distort(self, answer: Answer) -> Answer:
        return Answer(answer.status, {**answer.body, "amount": answer.body["amount"] + 1})


class Served:
    """A toy and a client of it."""

    def __init__(self, toy: Toy, client: httpx.AsyncClient) -> None:
        self.toy, self.client = toy, client

    async def charge(self, amount: Any = 5, key: str | None = None, timeout: float = 60) -> httpx.Response:
        headers = {"key": key} if key else {}
        return await self.client.post("/charges", json={"amount": amount}, headers=headers, timeout=timeout)

    @property
    def charged(self) -> int:
        return self.toy.books.total("charge", "USD")

    async def shown(self, topic: str) -> Any:
        return (await self.client.get(f"/_sim/{topic}")).json()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    toy = Toy()
    async with running(build(toy)) as url, httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        yield Served(toy, client)


class TestFaults:
    async def test_none(self, served: Served) -> None:
        answer = await served.charge()
        assert (answer.status_code, answer.json(), served.charged) == (201, {"id": "toy", "amount": 5}, 5)

    async def test_decline_has_no_effect(self, served: Served) -> None:
        served.toy.faults.plan(Kind.DECLINE)
        assert (await served.charge()).status_code == 402
        assert served.charged == 0

    @pytest.mark.parametrize(
        "kind, effect", [(Kind.TIMEOUT_BEFORE_EFFECT, 0), (Kind.TIMEOUT_AFTER_EFFECT, 5), (Kind.HANG, 0)]
    )
    async def test_no_answer(self, served: Served, kind: Kind, effect: int) -> None:
        served.toy.faults.plan(kind)
        with pytest.raises(httpx.ReadTimeout):
            await served.charge(timeout=1.0)
        assert served.charged == effect

    async def test_a_timeout_ends_with_a_torn_connection(self, served: Served) -> None:
        served.toy.faults.timeout_seconds = 0.05
        served.toy.faults.plan(Kind.TIMEOUT_BEFORE_EFFECT)
        with pytest.raises(httpx.NetworkError):
            await served.charge()

    async def test_error_after_effect_is_kept_for_the_key(self, served: Served) -> None:
        served.toy.faults.plan(Kind.ERROR_AFTER_EFFECT)
        assert [(await served.charge(key="a")).status_code for _ in range(2)] == [500, 500]
        assert served.charged == 5

    async def test_garbage_is_no_json(self, served: Served) -> None:
        served.toy.faults.plan(Kind.GARBAGE)
        answer = await served.charge()
        assert answer.status_code == 201 and served.charged == 5
        with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
            answer.json()

    async def test_reset_tears_the_answer(self, served: Served) -> None:
        served.toy.faults.plan(Kind.RESET)
        with pytest.raises(httpx.ReadError):
            await served.charge()
        assert served.charged == 5

    async def test_too_many_requests_says_when_to_come_again(self, served: Served) -> None:
        served.toy.faults.retry_after_seconds = 7
        served.toy.faults.plan(Kind.TOO_MANY_REQUESTS)
        answer = await served.charge()
        assert (answer.status_code, answer.headers["Retry-After"], served.charged) == (429, "7", 0)

    async def test_slow_holds_its_key(self, served: Served) -> None:
        served.toy.faults.slow_seconds = 2
        served.toy.faults.plan(Kind.SLOW)
        first = asyncio.create_task(served.charge(key="a"))
        await eventually(lambda: served.toy.faults.given[Kind.SLOW] == 1)
        assert (await served.charge(key="a")).status_code == 409
        assert (await first).status_code == 201
        assert served.charged == 5

    async def test_wrong_amount_is_only_told(self, served: Served) -> None:
        served.toy.faults.plan(Kind.WRONG_AMOUNT)
        assert (await served.charge(key="a")).json()["amount"] == 6
        assert (await served.charge(key="a")).json()["amount"] == 5
        assert served.charged == 5

    async def test_plans_meet_what_they_name(self, served: Served) -> None:
        await served.client.post("/_sim/faults", json={"next": [{"kind": "DECLINE", "on": "GET .*", "times": 2}]})
        assert (await served.charge()).status_code == 201
        await served.client.post("/_sim/faults", json={"clear": True, "rates": {"DECLINE": 1}})
        assert (await served.charge()).status_code == 402
        answer = await served.client.post("/_sim/faults", json={"rates": {"DECLINE": 2}})
        assert answer.status_code == 400

    def test_a_seed_draws_the_same_for_a_key_in_any_order(self) -> None:
        def draw(seed: int, keys: list[str]) -> dict[str, Kind | None]:
            faults = Faults(seed=seed, rates={Kind.RESET: 0.3, Kind.DECLINE: 0.3})
            return {key: faults.for_request("POST /charges", key) for key in keys}

        keys = [str(number) for number in range(200)]
        assert draw(1, keys) == draw(1, keys[::-1])
        assert draw(1, keys) != draw(2, keys)
        drawn = list(draw(1, keys).values())
        assert all(35 < drawn.count(kind) < 85 for kind in (Kind.RESET, Kind.DECLINE))

    async def test_a_client_that_goes_in_the_middle_of_its_request_has_asked_for_nothing(
        self, served: Served, caplog: pytest.LogCaptureFixture
    ) -> None:
        gc.collect()  # what others left behind says so now, and not in the middle
        caplog.clear()
        _, writer = await asyncio.open_connection(served.client.base_url.host, served.client.base_url.port)
        writer.write(b'POST /charges HTTP/1.1\r\nHost: toy\r\nContent-Length: 99\r\n\r\n{"amount":')
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        assert (await served.charge()).status_code == 201
        assert served.charged == 5 and len(await served.shown("calls")) == 1
        assert [record for record in caplog.records if record.levelname == "ERROR"] == []

    async def test_the_server_ends_while_something_hangs(self) -> None:
        toy, started = Toy(), time.monotonic()
        toy.faults.plan(Kind.HANG)
        async with running(build(toy)) as url, httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
            hanging = asyncio.create_task(client.post("/charges", json={"amount": 5}))
            await asyncio.sleep(0.1)
        with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError, RuntimeError)):
            await hanging
        assert time.monotonic() - started < 30


class TestKeys:
    async def test_the_same_request_gets_the_same_answer(self, served: Served) -> None:
        first, second = await served.charge(key="a"), await served.charge(key="a")
        assert first.json() == second.json() and second.headers["Replayed"] == "yes"
        assert served.charged == 5

    async def test_another_request_is_refused(self, served: Served) -> None:
        await served.charge(5, key="a")
        assert (await served.charge(6, key="a")).status_code == 400
        assert served.charged == 5

    async def test_a_key_is_forgotten_in_time(self, served: Served) -> None:
        await served.charge(key="a")
        await served.client.post("/_sim/clock", json={"advance": 61})
        await served.charge(key="a")
        assert served.charged == 10

    async def test_a_request_that_is_not_allowed_leaves_no_key(self, served: Served) -> None:
        assert (await served.charge("much", key="a")).status_code == 400
        assert (await served.charge(5, key="a")).status_code == 201


class TestChecks:
    @pytest.mark.parametrize("amount, rule", [("much", "type"), (0, "minimum"), (1.5, "type")])
    async def test_a_request_that_is_not_as_documented_is_refused(self, served: Served, amount: Any, rule: str) -> None:
        assert (await served.charge(amount)).status_code == 400
        assert served.charged == 0
        (violation,) = await served.shown("violations")
        assert (violation["side"], violation["parameter"], violation["rule"]) == ("REQUEST", "amount", rule)

    async def test_unknown_and_missing_parameters_are_named(self, served: Served) -> None:
        await served.client.post("/charges", json={"sum": 5, "note": None})
        parameters = {violation["parameter"] for violation in await served.shown("violations")}
        assert parameters == {"sum", "amount"}

    async def test_an_answer_that_is_not_as_documented_is_recorded(self, served: Served) -> None:
        assert (await served.charge(13)).status_code == 201
        (violation,) = [Violation(**each) for each in await served.shown("violations")]
        assert (violation.side, violation.operation, violation.rule) == ("ANSWER", "POST /charges", "required")

    async def test_what_is_not_there_is_not_found(self, served: Served) -> None:
        assert (await served.client.get("/charges")).status_code == 404

    async def test_calls_are_recorded(self, served: Served) -> None:
        served.toy.faults.plan(Kind.DECLINE)
        await served.charge(key="a")
        (call,) = await served.shown("calls")
        assert (call["operation"], call["key"], call["fault"], call["status"]) == ("POST /charges", "a", "DECLINE", 402)


class Listener(Provider):
    """Takes webhooks; refuses the first where it is told to."""

    name = "listener"

    def __init__(self, *, refusals: int = 0) -> None:
        super().__init__()
        self.taken: list[int] = []
        self.refusals = refusals
        self.routes = [Route("POST", "/hook", self._take)]

    def _take(self, request: Request) -> Answer:
        if self.refusals:
            self.refusals -= 1
            return Answer(500)
        self.taken.append(request.params["amount"])
        return Answer(204)


class TestWebhooks:
    async def test_are_sent_and_repeated_until_they_are_taken(self, served: Served) -> None:
        listener = Listener(refusals=1)
        async with running(build(listener)) as url:
            await served.client.post("/_sim/webhooks", json={"url": f"{url}/hook"})
            await served.charge()
            await served.toy.webhooks.settled()
        assert listener.taken == [5]
        assert [sent["status"] for sent in (await served.shown("webhooks"))["sent"]] == [500, 204]

    async def test_duplicated_and_late(self, served: Served) -> None:
        served.toy.faults.late_seconds = 3
        served.toy.faults.plan(Kind.LATE_WEBHOOK)
        served.toy.faults.plan(Kind.DUPLICATE_WEBHOOK)
        listener = Listener()
        async with running(build(listener)) as url:
            await served.client.post("/_sim/webhooks", json={"url": f"{url}/hook"})
            await served.charge(1)
            await served.charge(2)
            await served.toy.webhooks.settled()
        assert listener.taken == [2, 2, 1]
