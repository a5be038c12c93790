"""Many refunds of one payment at once: never more than was captured, never an error of ours."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from bursar.domains.refunds import service as refunds
from bursar.domains.refunds import steps
from bursar.infra import observe
from bursar.infra.db import SYSTEM
from tests.support.api import json_of
from tests.support.races import at_once
from tests.support.refunds import Desk, vendor
from tests.support.service import Service, serving

pytestmark = pytest.mark.usefixtures("verified")


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestFifty:
    @pytest.mark.parametrize("round_", range(3))
    async def test_of_sixty_percent_take_one(self, desk: Desk, round_: int) -> None:
        charge = await desk.shop.sold({vendor(): 60, vendor(): 40})
        payment_id = charge["paymentId"]

        answers = await at_once(desk.api, 50, lambda _: desk.post(payment_id, amount=60))

        assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
        refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert refused == {"amount_exceeds_refundable"}
        shown = await desk.api.show(payment_id)
        assert (shown["amountRefunding"], shown["amountRefundable"]) == (60, 40)

    async def test_of_a_tenth_take_ten(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        answers = await at_once(desk.api, 50, lambda _: desk.post(payment["id"], amount=10))
        assert Counter(answer.status_code for answer in answers) == {201: 10, 409: 40}

    async def test_through_the_transaction_take_one(self, desk: Desk) -> None:
        charge = await desk.shop.sold({vendor(): 100})
        path = f"/api/v1/payments/{charge['id']}/refund"
        body = {"reason": "OTHER", "amount": 60}
        answers = await at_once(desk.api, 50, lambda _: desk.api.call("POST", path, body))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
        assert (await desk.api.show(charge["paymentId"]))["amountRefunded"] == 60


class TestOneRefund:
    async def test_is_sent_once(self, desk: Desk, service: Service) -> None:
        refund = await desk.asked((await desk.paid())["id"], 60)
        asked = len(service.sandbox.books.by_key)
        answers = await at_once(desk.api, 50, lambda _: desk.act(refund["id"], "process"))
        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
        assert len(service.sandbox.books.by_key) == asked + 1

    async def test_is_sent_or_cancelled_and_never_both(self, desk: Desk) -> None:
        for _ in range(10):
            payment = await desk.paid()
            refund = await desk.asked(payment["id"], 60)
            sent, cancelled = await asyncio.gather(desk.act(refund["id"], "process"), desk.act(refund["id"], "cancel"))
            assert sorted((sent.status_code, cancelled.status_code)) == [200, 409]
            shown = await desk.api.show(payment["id"])
            assert (shown["amountRefunding"], shown["amountRefunded"]) == (0, 60 if sent.status_code == 200 else 0)

    async def test_is_approved_once_by_each(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid(200_000))["id"])
        approvers = [desk.ann, desk.ben]
        answers = await at_once(desk.api, 20, lambda n: desk.act(refund["id"], "approve", by=approvers[n % 2]))
        assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 18}
        assert (await desk.show(refund["id"]))["status"] == "APPROVED"

    async def test_is_settled_once_by_whoever_asks(self, desk: Desk, service: Service) -> None:
        refund = await desk.under_way("after")
        service.clock.advance(seconds=40)
        ways: list[Callable[[], Awaitable[Any]]] = [
            lambda: desk.act(refund["id"], "complete"),
            lambda: desk.api.get(f"/api/v1/refunds/{refund['id']}"),
            service.run_jobs,
            lambda: service.run_schedule("refunds.sweep"),
        ]
        await asyncio.gather(*(ways[number % 4]() for number in range(24)))
        await service.run_jobs()
        assert (await desk.show(refund["id"]))["status"] == "COMPLETED"
        assert await desk.events(refund["id"]) == [
            "refund.created",
            "refund.approved",
            "refund.processing",
            "refund.outcome_unknown",
            "refund.completed",
        ]


@pytest.fixture
async def pair(private: Service) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two processes that know nothing of one another but the database and the provider."""
    async with serving(private.url, private.app.settings.data_path, clock=private.clock) as second:
        yield Desk(private), Desk(second)


class TestTwoProcesses:
    async def test_give_no_payment_back_twice(self, pair: tuple[Desk, Desk]) -> None:
        charges = [await pair[0].shop.sold({vendor(): 70, vendor(): 30}) for _ in range(6)]

        async def refund(number: int) -> httpx.Response:
            payment_id = charges[number // 2 % 6]["paymentId"]
            answer: httpx.Response = await pair[number % 2].post(payment_id, amount=60)
            return answer

        answers = await at_once(pair[0].api, 96, refund)

        assert Counter(answer.status_code for answer in answers)[201] == 6, Counter(a.text for a in answers)
        refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert refused <= {"amount_exceeds_refundable", "row_busy"}
        assert {answer.status_code for answer in answers} == {201, 409}

    async def test_take_turns_at_one_refund(self, pair: tuple[Desk, Desk]) -> None:
        for _ in range(5):
            charge = await pair[0].shop.sold({vendor(): 100})
            for turn in range(4):
                one, other = pair[turn % 2], pair[1 - turn % 2]
                refund = await one.asked(charge["paymentId"], 20)
                if turn < 2:
                    assert (await other.done(refund["id"], "cancel"))["status"] == "CANCELLED"
                else:
                    assert (await other.done(refund["id"], "process"))["status"] == "COMPLETED"
            shown = [await desk.api.show(charge["paymentId"]) for desk in pair]
            assert shown[0] == shown[1] and shown[0]["amountRefunded"] == 40

    async def test_settle_a_refund_once(self, pair: tuple[Desk, Desk]) -> None:
        refused = observe.REGISTRY.get_sample_value("bursar_settle_refused_total")
        waiting = [await pair[0].under_way("after") for _ in range(12)]

        async def settle(number: int) -> bool:
            refund_id = waiting[number // 4]["id"]
            attempt_id = await pair[0].attempt_id(refund_id)
            return await steps.resolve(pair[number % 2].service.app, refund_id, attempt_id)

        for _ in range(2):  # whoever meets a row that is held comes again, as the job does
            await asyncio.gather(*(settle(number) for number in range(48)))

        for refund in waiting:
            assert (await pair[1].show(refund["id"]))["status"] == "COMPLETED"
            assert (await pair[0].events(refund["id"]))[-1] == "refund.completed"
        assert observe.REGISTRY.get_sample_value("bursar_settle_refused_total") == refused

    async def test_ask_for_one_cause_once(self, pair: tuple[Desk, Desk]) -> None:
        payments = [await pair[0].paid(100) for _ in range(5)]
        payment_ids = [payment["id"] for payment in payments]
        found = await asyncio.gather(
            *(
                refunds.on_order_cancelled(
                    pair[number % 2].service.app, SYSTEM, payment_ids=payment_ids, reason="x", source="order:1"
                )
                for number in range(10)
            )
        )
        assert {len(ids) for ids in found} == {5} and len({tuple(sorted(ids)) for ids in found}) == 1
        await pair[0].service.run_jobs()
        for payment in payments:
            assert (
                json_of(await pair[1].api.get(f"/api/v1/refunds/payment/{payment['id']}"), 200)["data"][0]["status"]
                == "COMPLETED"
            )
