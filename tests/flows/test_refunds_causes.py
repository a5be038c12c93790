"""What causes refunds beside the refunds' own routes: a transaction's, cancelled orders, batches, the provider; and
what disputes forbid.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bursar.domains.payments.model import ProviderDisagrees
from bursar.domains.refunds import service as refunds
from bursar.domains.refunds.model import RefundNamed
from bursar.infra.db import SYSTEM, Origin
from bursar.infra.jobs import NotYet
from bursar.providers.port import Outcome, RefundState, RefundStatus, Request, Unknown
from bursar.providers.sandbox.adapter import Sandbox
from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.refunds import Desk, vendor
from tests.support.service import MovableClock, Service
from tests.support.transactions import TRANSACTIONS
from tests.support.truth import verify

pytestmark = pytest.mark.usefixtures("verified")


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestTransactionsRefund:
    @staticmethod
    async def post(desk: Desk, transaction_id: str, key: str | None = None, **options: Any) -> httpx.Response:
        body = {"reason": "ITEM_RETURNED", **options.pop("body", {})}
        return await desk.api.call("POST", f"{TRANSACTIONS}/{transaction_id}/refund", body, key=key, **options)

    async def test_is_done_at_once_and_answers_with_its_transaction(self, desk: Desk) -> None:
        first, second = vendor(), vendor()
        charge, key = await desk.shop.sold({first: 60, second: 40}), unique("key")

        answer = await self.post(desk, charge["id"], key, body={"amount": 50})

        counter = json_of(answer, 200)
        assert (counter["type"], counter["status"], counter["amount"]) == ("REFUND", "COMPLETED", 50)
        assert counter["parentTransactionId"] == charge["id"] and counter["gatewayReference"]
        assert [line["grossAmount"] for line in counter["allocations"]] == [30, 20]
        refund = await desk.show(counter["refundId"])
        assert (refund["status"], refund["refundTransactionId"]) == ("COMPLETED", counter["id"])
        assert await desk.events(refund["id"]) == [
            "refund.created",
            "refund.approved",
            "refund.processing",
            "refund.completed",
        ]
        again = await self.post(desk, charge["id"], key, body={"amount": 50})
        assert again.content == answer.content and again.headers["idempotency-replayed"] == "true"
        assert (await desk.api.show(charge["paymentId"]))["amountRefunded"] == 50

    async def test_waits_for_approval(self, desk: Desk) -> None:
        charge = await desk.shop.sold({vendor(): 20_000})
        counter = json_of(await self.post(desk, charge["id"]), 202)
        assert (counter["type"], counter["status"]) == ("REFUND", "PENDING")
        assert (await desk.show(counter["refundId"]))["status"] == "PENDING_APPROVAL"

    async def test_is_declined(self, desk: Desk) -> None:
        charge, key = await desk.shop.sold({vendor(): 100}, paymentMethodId="pm_sandbox_refund_declined"), unique("key")
        refused = await self.post(desk, charge["id"], key)
        problem_of(refused, 402, "refund_declined")
        assert (await self.post(desk, charge["id"], key)).content == refused.content
        assert (await desk.shop.show(charge["id"]))["allocations"][0]["amountRefunding"] == 0

    async def test_is_not_done_and_leaves_nothing_that_a_repeat_would_double(self, desk: Desk) -> None:
        charge = await desk.shop.sold({vendor(): 100}, paymentMethodId="pm_sandbox_refund_unavailable")
        key = unique("key")
        for _ in range(2):
            answer = await self.post(desk, charge["id"], key, body={"amount": 60})
            refused = problem_of(answer, 503, "provider_unavailable")
            assert (await desk.show(refused["refundId"]))["status"] == refused["refundStatus"] == "FAILED"
            assert await desk.balances(refused["refundId"]) == {}
        assert (await desk.api.show(charge["paymentId"]))["amountRefundable"] == 100

    async def test_of_a_charge_that_has_changed_since(self, desk: Desk) -> None:
        charge = await desk.shop.sold({vendor(): 100})
        stale = {"if-match": f'"{charge["version"] + 1}"'}
        problem_of(await self.post(desk, charge["id"], headers=stale), 412, "stale_version")
        json_of(await self.post(desk, charge["id"], headers={"if-match": f'"{charge["version"]}"'}), 200)

    async def test_whose_outcome_is_lost_replays_its_transaction(self, desk: Desk, service: Service) -> None:
        method = "pm_sandbox_refund_timeout_after_effect"
        charge, key = await desk.shop.sold({vendor(): 100}, paymentMethodId=method), unique("key")
        waiting = json_of(await self.post(desk, charge["id"], key), 202)
        assert (waiting["type"], waiting["status"]) == ("REFUND", "PENDING")
        service.clock.advance(seconds=2)
        await service.run_jobs()
        done = json_of(await self.post(desk, charge["id"], key), 200)
        assert (done["id"], done["status"]) == (waiting["id"], "COMPLETED")

    async def test_without_waiting(self, desk: Desk, service: Service) -> None:
        charge = await desk.shop.sold({vendor(): 100})
        counter = json_of(await self.post(desk, charge["id"], headers={"prefer": "respond-async"}), 202)
        await service.run_jobs()
        assert (await desk.shop.show(counter["id"]))["status"] == "COMPLETED"

    async def test_of_more_than_the_charge_or_of_no_charge(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        charge = await desk.shop.allocated(payment["id"], {vendor(): 30})
        problem_of(await self.post(desk, charge["id"]), 409, "transaction_not_refundable")
        json_of(await desk.shop.end(charge, "complete"), 200)
        problem_of(await self.post(desk, charge["id"], body={"amount": 31}), 409, "allocation_exceeded")
        counter = json_of(await self.post(desk, charge["id"]), 200)
        problem_of(await self.post(desk, counter["id"]), 409, "transaction_not_refundable")
        problem_of(await self.post(desk, payment["id"]), 404, "not_found")


async def cancelled(service: Service, payment_ids: list[str], source: str) -> list[str]:
    """Tell that the order of these payments was cancelled. Returns the refunds that are not completed."""
    return await refunds.on_order_cancelled(
        service.app, SYSTEM, payment_ids=payment_ids, reason="sold out", source=source
    )


class TestCancelledOrder:
    async def test_gives_back_what_was_captured_once(self, desk: Desk, service: Service) -> None:
        payments = [await desk.paid(amount) for amount in (100, 70)]
        told = ([payment["id"] for payment in payments], unique("s"))

        under_way = await cancelled(service, *told)
        assert len(under_way) == 2
        assert await cancelled(service, *told) == under_way
        await service.run_jobs()

        assert await cancelled(service, *told) == []
        for payment in payments:
            shown = await desk.api.show(payment["id"])
            assert (shown["amountRefunded"], shown["refundStatus"]) == (shown["amount"], "FULL")
        shown = await desk.show(under_way[0])
        assert (shown["reason"], shown["reasonDetail"]) == ("ORDER_CANCELLED", "sold out")

    async def test_waits_for_people_and_goes_on_by_itself(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(20_000)
        told = ([payment["id"]], unique("s"))
        (waiting,) = await cancelled(service, *told)
        await service.run_jobs()
        assert (await desk.show(waiting))["status"] == "PENDING_APPROVAL"

        await desk.done(waiting, "approve", by=desk.ann)
        await service.run_jobs()

        assert (await desk.show(waiting))["status"] == "COMPLETED"
        assert await cancelled(service, *told) == []

    async def test_counts_what_others_have_asked_back(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(100)
        other = await desk.asked(payment["id"], 100)
        told = ([payment["id"]], unique("s"))
        assert await cancelled(service, *told) == [other["id"]]
        await desk.done(other["id"], "process")
        assert await cancelled(service, *told) == []

    async def test_is_tried_again_while_the_provider_does_nothing(self, private: Service) -> None:
        desk = Desk(private)
        payment = await desk.paid(method="pm_sandbox_refund_unavailable")
        (waiting,) = await cancelled(private, [payment["id"]], unique("s"))
        for _ in range(2):
            assert await desk.run_once() == 1
            assert (await desk.show(waiting))["status"] == "APPROVED"
            private.clock.advance(minutes=20)
        asked = await private.fetch("select attempts, last_error from jobs where args ->> 'refundId' = $1", waiting)
        assert (asked[0]["attempts"], "did nothing" in asked[0]["last_error"]) == (2, True)
        await desk.done(waiting, "cancel")
        await private.run_jobs()
        assert await private.fetch("select from jobs where args ->> 'refundId' = $1", waiting) == []


class TestProviderNotices:
    @staticmethod
    async def told(service: Service, **named: Any) -> Any:
        return await refunds.on_provider_notice(
            service.app, Origin("webhook:sandbox", ""), provider="sandbox", named=RefundNamed(**named)
        )

    async def test_settle_what_is_under_way(self, desk: Desk, service: Service) -> None:
        refund = await desk.under_way("after")
        key = await desk.attempt_id(refund["id"])
        preview = await refunds.preview_notice(service.app, provider="sandbox", named=RefundNamed(key=key))
        assert preview is not None and "would be asked" in preview.did

        noticed = await self.told(service, key=key)

        assert (noticed.payment_id, noticed.did) == (refund["paymentId"], "the refund is COMPLETED now")
        again = await self.told(service, key=key)
        assert again.did == "nothing: it is known already"

    async def test_have_to_be_told_again_while_somebody_waits(self, desk: Desk, service: Service) -> None:
        refund = await desk.asked((await desk.paid())["id"], 40)
        json_of(await desk.act(refund["id"], "process", headers={"prefer": "respond-async"}), 202)
        with pytest.raises(NotYet):
            await self.told(service, key=await desk.attempt_id(refund["id"]))
        await service.run_jobs()

    async def test_reverse_what_came_back(self, desk: Desk, service: Service) -> None:
        refund = await desk.refunded((await desk.paid())["id"], 40)
        service.sandbox.send_back(await desk.attempt_id(refund["id"]))
        named = RefundNamed(reference=refund["providerReference"])
        preview = await refunds.preview_notice(service.app, provider="sandbox", named=named)
        assert preview is not None and preview.did == "it would be reversed"
        assert (await desk.show(refund["id"])) == refund

        noticed = await self.told(service, reference=refund["providerReference"])

        assert noticed.did == "the refund is FAILED now"
        assert (await desk.events(refund["id"]))[-1] == "refund.reversed"
        assert (await self.told(service, reference=refund["providerReference"])).did.startswith("nothing")

    async def test_of_a_refund_that_is_not_known(self, desk: Desk, service: Service) -> None:
        assert await self.told(service, reference="re_of_nobody") is None
        assert await self.told(service, key=unique("no uuid")) is None
        refund = await desk.refunded((await desk.paid())["id"], 40)
        other = RefundNamed(reference=refund["providerReference"])
        assert await refunds.on_provider_notice(service.app, SYSTEM, provider="stripe", named=other) is None


class TestMadeElsewhere:
    @staticmethod
    async def by_hand(desk: Desk, service: Service, payment: dict[str, Any], amount: int) -> RefundState:
        reference = service.sandbox.refund_by_hand(payment["transactionId"], amount)
        return RefundState(reference, payment["transactionId"], amount, payment["currency"], RefundStatus.DONE)

    @staticmethod
    async def told(service: Service, state: RefundState) -> Any:
        return await refunds.on_foreign_refund(service.app, SYSTEM, provider="sandbox", state=state)

    async def test_is_booked_once(self, desk: Desk, service: Service) -> None:
        seller = vendor()
        charge = await desk.shop.sold({seller: 100})
        payment = await desk.api.show(charge["paymentId"])
        state = await self.by_hand(desk, service, payment, 30)
        preview = await refunds.preview_foreign_refund(service.app, provider="sandbox", state=state)
        assert preview is not None and "a refund of 30" in preview.did

        noticed = [await self.told(service, state) for _ in range(3)]

        assert {each.refund_id for each in noticed} == {noticed[0].refund_id}
        refund = await desk.show(noticed[0].refund_id)
        assert (refund["status"], refund["amount"], refund["approvalsNeeded"]) == ("COMPLETED", 30, 0)
        assert refund["providerReference"] == state.reference
        assert (await desk.api.show(payment["id"]))["amountRefunded"] == 30
        assert await desk.balances(refund["id"]) == {f"vendor:{seller}:pending": 30}

    async def test_that_fails_later_is_reversed(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid()
        state = await self.by_hand(desk, service, payment, 30)
        noticed = await self.told(service, state)
        service.sandbox.send_back(state.reference.removeprefix("sbx_"))
        failed = RefundState(state.reference, state.payment_reference, 30, "EUR", RefundStatus.FAILED)

        assert (await self.told(service, failed)).did == "the refund is FAILED now"

        assert (await desk.show(noticed.refund_id))["status"] == "FAILED"
        assert (await desk.api.show(payment["id"]))["amountRefunded"] == 0

    async def test_that_is_pending_there_is_pending_here(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid()
        done = await self.by_hand(desk, service, payment, 30)
        pending = RefundState(done.reference, done.payment_reference, 30, "EUR", RefundStatus.PENDING)
        noticed = await self.told(service, pending)
        assert (await desk.show(noticed.refund_id))["status"] == "PROCESSING"
        named = RefundNamed(reference=done.reference)
        await refunds.on_provider_notice(service.app, SYSTEM, provider="sandbox", named=named)
        assert (await desk.show(noticed.refund_id))["status"] == "COMPLETED"

    async def test_in_another_currency_is_for_somebody_to_look_at(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid()
        state = RefundState("re_1", payment["transactionId"], 30, "JPY", RefundStatus.DONE)
        with pytest.raises(ProviderDisagrees):
            await self.told(service, state)
        assert (await desk.api.show(payment["id"]))["amountRefundable"] == 100

    async def test_of_a_payment_that_is_not_known(self, desk: Desk, service: Service) -> None:
        state = RefundState("re_1", "pi_of_nobody", 30, "EUR", RefundStatus.DONE)
        assert await self.told(service, state) is None
        assert await refunds.preview_foreign_refund(service.app, provider="sandbox", state=state) is None

    async def test_that_failed_before_we_heard_of_it(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid()
        state = RefundState("re_2", payment["transactionId"], 30, "EUR", RefundStatus.FAILED)
        assert (await self.told(service, state)).did.startswith("nothing")
        assert (await desk.api.show(payment["id"]))["amountRefundable"] == 100


class TestDisputed:
    async def dispute(self, desk: Desk, payment: dict[str, Any]) -> None:
        """30 of a payment."""
        reference = desk.service.sandbox.open_dispute(payment["transactionId"], amount=30)
        body = {
            "paymentId": payment["id"],
            "providerDisputeId": reference,
            "amount": 30,
            "reason": "FRAUDULENT",
            "fee": 1_500,
            "status": "NEEDS_RESPONSE",
        }
        json_of(await desk.ann.call("POST", "/api/v1/disputes", body), 201)

    async def test_money_is_not_sent_back_as_well(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        refund = await desk.asked(payment["id"], 60)
        await self.dispute(desk, payment)

        refused = problem_of(await desk.act(refund["id"], "process"), 409, "payment_disputed")

        assert refused["disputeStatus"] == "NEEDS_RESPONSE"
        assert (await desk.show(refund["id"]))["status"] == "APPROVED"
        problem_of(await desk.post(payment["id"], amount=11), 409, "amount_exceeds_refundable")

    async def test_not_even_where_the_dispute_comes_a_moment_before(
        self, desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = await desk.paid(100)
        refund = await desk.asked(payment["id"], 60)
        run = service.app.batcher.run

        async def later(command: Any) -> Any:
            if command.action == "refund.process":
                await self.dispute(desk, payment)
            return await run(command)

        monkeypatch.setattr(service.app.batcher, "run", later)
        problem_of(await desk.act(refund["id"], "process"), 409, "payment_disputed")
        assert (await desk.show(refund["id"]))["status"] == "APPROVED"


class Silent(Sandbox):
    """A sandbox that never says what became of anything."""

    is_silent = False

    async def execute(self, request: Request) -> Outcome:
        outcome = await super().execute(request)
        return Unknown("no word") if self.is_silent else outcome

    async def inquire(self, request: Request) -> Outcome:
        return Unknown("no word")


@pytest.fixture
async def silent(serve: Serve) -> AsyncIterator[tuple[Desk, dict[str, Any]]]:
    """A desk whose provider says nothing, and a refund that it has done."""
    clock = MovableClock()
    adapter = Silent(books=None, clock=clock, slow_seconds=0, authorization_days=7)
    async with serve(clock=clock, adapters={"sandbox": adapter}) as service:
        desk = Desk(service)
        refund = await desk.asked((await desk.paid())["id"], 40)
        adapter.is_silent = True
        yield desk, json_of(await desk.act(refund["id"], "process"), 202)


class TestNoWord:
    async def test_the_outcome_stays_unknown(self, silent: tuple[Desk, dict[str, Any]]) -> None:
        desk, refund = silent
        for action, who in (("complete", desk.api), ("complete", desk.ann), ("fail", desk.ann)):
            refused = await desk.act(refund["id"], action, by=who)
            problem_of(refused, 409, "refund_outcome_unknown")
            assert int(refused.headers["retry-after"]) > 0
        body = {"providerReference": "re_1"}
        problem_of(await desk.act(refund["id"], "complete", body=body), 409, "refund_outcome_unknown")
        assert (await desk.show(refund["id"]))["status"] == "PROCESSING"

    async def test_until_finance_names_the_providers_id(self, silent: tuple[Desk, dict[str, Any]]) -> None:
        desk, refund = silent
        done = await desk.done(refund["id"], "complete", by=desk.ann, body={"providerReference": "re_1"})
        assert (done["status"], done["providerReference"]) == ("COMPLETED", "re_1")
        assert (await desk.api.show(refund["paymentId"]))["amountRefunded"] == 40

    async def test_of_a_transactions_refund_replays_the_transaction(self, silent: tuple[Desk, dict[str, Any]]) -> None:
        desk, key = silent[0], unique("key")
        adapter: Any = desk.service.app.providers["sandbox"]
        adapter.is_silent = False
        charge = await desk.shop.sold({vendor(): 100})
        adapter.is_silent = True
        waiting = json_of(await TestTransactionsRefund.post(desk, charge["id"], key), 202)
        await desk.done(waiting["refundId"], "complete", by=desk.ann, body={"providerReference": "re_2"})
        done = json_of(await TestTransactionsRefund.post(desk, charge["id"], key), 200)
        assert (done["id"], done["status"]) == (waiting["id"], "COMPLETED")


async def test_verification_sees_a_refund_that_is_not_what_the_payment_says(serve: Serve) -> None:
    async with serve() as service:
        desk = Desk(service)
        refund = await desk.refunded((await desk.shop.sold({vendor(): 100}))["paymentId"], 40)
        await verify(service)
        await service.fetch(
            """update refunds set amount = 41, shares = jsonb_set(jsonb_set(shares, '{0,gross}', '41'), '{0,net}', '41')
               where id = $1""",
            refund["id"],
        )
        with pytest.raises(AssertionError, match="what is asked back and refunded is what the payments say"):
            await verify(service)
