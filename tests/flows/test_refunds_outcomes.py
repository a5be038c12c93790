"""What a provider says of a refund: declined, not done, lost, pending, come back; and people who say it for him."""

import pytest

from bursar.domains.refunds import jobs as refund_jobs
from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.refunds import REFUNDS, Desk, vendor
from tests.support.service import Service
from tests.support.truth import verify

pytestmark = pytest.mark.usefixtures("verified")


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


async def inquire(service: Service, **later: float) -> None:
    service.clock.advance(**(later or {"seconds": 2}))
    await service.run_jobs()


class TestDeclined:
    async def test_is_a_402_and_the_money_is_free_again(self, desk: Desk) -> None:
        payment = await desk.paid(method="pm_sandbox_refund_declined")
        refund, key = await desk.asked(payment["id"], 40), unique("key")

        refused = await desk.act(refund["id"], "process", key=key)

        body = problem_of(refused, 402, "refund_declined")
        assert (body["declineCode"], body["refundStatus"]) == ("refund_declined", "FAILED")
        assert (await desk.act(refund["id"], "process", key=key)).content == refused.content
        shown = await desk.show(refund["id"])
        assert (shown["status"], shown["failureCode"]) == ("FAILED", "refund_declined")
        assert (await desk.api.show(payment["id"]))["amountRefundable"] == 100
        assert await desk.balances(refund["id"]) == {}
        assert await desk.events(refund["id"]) == [
            "refund.created",
            "refund.approved",
            "refund.processing",
            "refund.failed",
        ]


class TestNotDone:
    async def test_is_a_503_and_can_be_tried_again(self, desk: Desk) -> None:
        payment = await desk.paid(method="pm_sandbox_refund_unavailable")
        refund, key = await desk.asked(payment["id"], 40), unique("key")
        for _ in range(2):
            refused = await desk.act(refund["id"], "process", key=key)
            problem_of(refused, 503, "provider_unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert (await desk.show(refund["id"]))["status"] == "APPROVED"
        assert (await desk.api.show(payment["id"]))["amountRefunding"] == 40
        assert (await desk.events(refund["id"]))[-2:] == ["refund.processing", "refund.not_done"]
        assert await desk.balances(refund["id"]) == {}
        assert (await desk.done(refund["id"], "cancel"))["status"] == "CANCELLED"


class TestUnheard:
    @pytest.mark.parametrize("when", ["after", "pending"])
    async def test_is_found_by_inquiry_and_the_key_replays_it(self, desk: Desk, service: Service, when: str) -> None:
        method = "pm_sandbox_refund_pending" if when == "pending" else "pm_sandbox_refund_timeout_after_effect"
        payment = await desk.paid(method=method)
        refund, key = await desk.asked(payment["id"], 40), unique("key")

        waiting = json_of(await desk.act(refund["id"], "process", key=key), 202)
        assert (waiting["status"], waiting["isOutcomeUnknown"]) == ("PROCESSING", True)
        assert await desk.balances(refund["id"]) == {"refunds": -40}
        problem_of(await desk.act(refund["id"], "process", key=key), 409, "idempotency_key_in_use")
        await inquire(service)

        first, again = [await desk.act(refund["id"], "process", key=key) for _ in range(2)]
        assert json_of(first, 200)["status"] == "COMPLETED" and again.content == first.content
        assert first.headers["idempotency-replayed"] == "true"
        assert (await desk.api.show(payment["id"]))["amountRefunded"] == 40

    async def test_that_was_never_done_is_undone_and_the_key_is_free(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(method="pm_sandbox_refund_timeout_before_effect")
        refund, key = await desk.asked(payment["id"], 40), unique("key")
        json_of(await desk.act(refund["id"], "process", key=key), 202)

        await inquire(service)

        shown = await desk.show(refund["id"])
        assert (shown["status"], shown["isOutcomeUnknown"]) == ("APPROVED", False)
        assert json_of(await desk.act(refund["id"], "process", key=key), 202)["status"] == "PROCESSING"
        await inquire(service)

    async def test_that_failed_gives_back_what_was_reserved(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(method="pm_sandbox_refund_pending_fails")
        refund, key = await desk.asked(payment["id"], 40), unique("key")
        json_of(await desk.act(refund["id"], "process", key=key), 202)
        await inquire(service)
        assert (await desk.show(refund["id"]))["status"] == "FAILED"
        problem_of(await desk.act(refund["id"], "process", key=key), 402, "refund_declined")
        assert (await desk.api.show(payment["id"]))["amountRefundable"] == 100

    async def test_a_get_repairs_it(self, serve: Serve) -> None:
        async with serve(inquiry_on_read_after_seconds=600) as service:  # longer than the test takes
            desk = Desk(service)
            refund = await desk.under_way("after")
            assert (await desk.show(refund["id"]))["status"] == "PROCESSING"
            service.clock.advance(seconds=601)
            assert (await desk.show(refund["id"]))["status"] == "COMPLETED"
            await verify(service)

    async def test_the_sweep_finds_what_nobody_asks_for(self, desk: Desk, service: Service) -> None:
        refund = await desk.under_way("after")
        await service.fetch("delete from jobs where args ->> 'refundId' = $1", refund["id"])
        await inquire(service)
        service.clock.advance(seconds=40)
        await service.run_schedule("refunds.sweep")
        await inquire(service)
        assert (await desk.show(refund["id"]))["status"] == "COMPLETED"

    async def test_the_sweep_finds_it_behind_many_that_wait(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk, service = Desk(private), private  # others would wait before those of this test
        await desk.under_way("pending")
        crashed = await desk.under_way("after")
        await service.fetch("update refunds set is_unknown = false where id = $1", crashed["id"])
        await service.fetch("delete from jobs where args ->> 'refundId' = $1", crashed["id"])
        service.clock.advance(seconds=40)
        monkeypatch.setattr(refund_jobs, "SWEEP_SIZE", 1)
        await service.run_schedule("refunds.sweep")
        await inquire(service)
        ended = await service.fetch("select status from refunds where id = $1", crashed["id"])  # a GET would ask itself
        assert ended[0]["status"] == "COMPLETED"


class TestAsynchronous:
    async def test_is_accepted_at_once_and_done_by_a_job(self, desk: Desk, service: Service) -> None:
        refund = await desk.asked((await desk.paid())["id"], 40)
        answer = await desk.act(refund["id"], "process", headers={"prefer": "respond-async"})
        assert json_of(answer, 202)["status"] == "PROCESSING"
        await service.run_jobs()
        assert (await desk.show(refund["id"]))["status"] == "COMPLETED"


class TestComeBack:
    @staticmethod
    async def look_for_a_day(service: Service) -> None:
        """Once in each hour, though time passes meanwhile: from the middle of one to that of the next."""
        service.clock.advance(days=1, minutes=(90 - service.clock.now().minute) % 60)
        for _ in range(24):
            await service.run_schedule("refunds.look")
            service.clock.advance(hours=1)

    async def test_a_completed_refund_is_reversed(self, private: Service) -> None:
        desk, service = Desk(private), private
        seller = vendor()
        charge = await desk.shop.sold({seller: 100})
        before = await desk.balances(charge["paymentId"])
        refund = await desk.refunded(charge["paymentId"], 40)
        service.sandbox.send_back(await desk.attempt_id(refund["id"]))

        await self.look_for_a_day(service)

        shown = await desk.show(refund["id"])
        assert (shown["status"], shown["failureCode"]) == ("FAILED", "refund_declined")
        assert shown["completedAt"] and shown["endedAt"]
        assert (await desk.events(refund["id"]))[-2:] == ["refund.completed", "refund.reversed"]
        payment = await desk.api.show(charge["paymentId"])
        assert (payment["amountRefunded"], payment["amountRefundable"], payment["refundStatus"]) == (0, 100, "NONE")
        assert await desk.balances(refund["id"]) == {}
        assert await desk.balances(charge["paymentId"]) == before
        assert (await desk.shop.show(refund["refundTransactionId"]))["status"] == "FAILED"
        assert (await desk.refunded(charge["paymentId"]))["amount"] == 100

    async def test_what_stays_done_stays_so(self, private: Service) -> None:
        desk = Desk(private)
        refund = await desk.refunded((await desk.paid())["id"], 40)
        await self.look_for_a_day(private)
        assert await desk.show(refund["id"]) == refund


class TestByHand:
    async def test_completed_where_the_provider_says_so(self, desk: Desk, service: Service) -> None:
        refund = await desk.under_way("after")
        done = await desk.done(refund["id"], "complete")
        assert done["status"] == "COMPLETED" and done["providerReference"]
        problem_of(await desk.act(refund["id"], "complete"), 409, "invalid_state_transition")

    async def test_never_completed_against_the_provider(self, desk: Desk) -> None:
        payment = await desk.paid(method="pm_sandbox_refund_pending_fails")
        refund = await desk.asked(payment["id"], 40)
        json_of(await desk.act(refund["id"], "process"), 202)
        body = {"providerReference": "re_1"}
        refused = problem_of(
            await desk.act(refund["id"], "complete", by=desk.ann, body=body), 409, "refund_contradicted"
        )
        assert refused["refundStatus"] == (await desk.show(refund["id"]))["status"] == "FAILED"

    async def test_never_completed_where_nothing_was_done(self, desk: Desk) -> None:
        refund = await desk.under_way("before")
        refused = problem_of(await desk.act(refund["id"], "complete", by=desk.ann), 409, "refund_contradicted")
        assert refused["refundStatus"] == (await desk.show(refund["id"]))["status"] == "APPROVED"

    async def test_failed_where_nothing_was_done(self, desk: Desk) -> None:
        refund = await desk.under_way("before")
        ended = await desk.done(refund["id"], "fail", body={"reason": "paid in cash"})
        assert (ended["status"], ended["failureCode"]) == ("FAILED", "failed_by_hand")
        assert ended["failureReason"] == "paid in cash"

    async def test_never_failed_against_the_provider(self, desk: Desk) -> None:
        refund = await desk.under_way("after")
        refused = problem_of(await desk.act(refund["id"], "fail"), 409, "refund_contradicted")
        assert refused["refundStatus"] == (await desk.show(refund["id"]))["status"] == "COMPLETED"
        problem_of(await desk.act(refund["id"], "fail"), 409, "invalid_state_transition")

    async def test_failed_where_the_money_came_back(self, desk: Desk, service: Service) -> None:
        refund = await desk.refunded((await desk.paid())["id"], 40)
        service.sandbox.send_back(await desk.attempt_id(refund["id"]))
        assert (await desk.done(refund["id"], "fail"))["status"] == "FAILED"
        assert (await desk.events(refund["id"]))[-1] == "refund.reversed"

    async def test_the_first_caller_hears_of_it(self, desk: Desk) -> None:
        payment, key = await desk.paid(method="pm_sandbox_refund_timeout_after_effect"), unique("key")
        refund = await desk.asked(payment["id"], 40)
        json_of(await desk.act(refund["id"], "process", key=key), 202)
        done = await desk.done(refund["id"], "complete", key=unique("key"))
        assert json_of(await desk.act(refund["id"], "process", key=key), 200) == done


async def test_a_refund_that_is_under_way_is_not_cancelled(desk: Desk, service: Service) -> None:
    refund = await desk.under_way("after")
    for action in ("cancel", "process"):
        refused = problem_of(await desk.act(refund["id"], action), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("PROCESSING", ["complete", "fail"])
    await inquire(service)
    assert json_of(await desk.api.get(f"{REFUNDS}/{refund['id']}"), 200)["status"] == "COMPLETED"
