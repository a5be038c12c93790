"""Payments that end without their money: cancelled, failed, expired."""

import pytest

from bursar.domains.payments import jobs
from bursar.providers.port import Unavailable
from tests.support.api import Api, json_of, problem_of
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestCancel:
    async def test_before_an_authorization_asks_nobody(self, api: Api, service: Service) -> None:
        payment = await api.create_payment()
        asked_before = len(service.sandbox.books.by_key)

        cancelled = json_of(await api.act(payment["id"], "cancel", reason="ordered twice"), 200)

        assert (cancelled["status"], cancelled["failureReason"]) == ("CANCELLED", "ordered twice")
        assert cancelled["cancelledAt"] and cancelled["failedAt"] is None
        assert len(service.sandbox.books.by_key) == asked_before

    async def test_gives_an_authorization_back(self, api: Api, service: Service) -> None:
        payment = await api.authorized()

        cancelled = json_of(await api.act(payment["id"], "cancel"), 200)

        assert cancelled["status"] == "CANCELLED" and cancelled["cancelledAt"]
        assert service.sandbox.books.account(payment["transactionId"]).is_closed

    async def test_works_in_review(self, api: Api) -> None:
        payment = await api.create_payment(amount=6_000_000)
        assert payment["status"] == "IN_REVIEW"
        assert json_of(await api.act(payment["id"], "cancel"), 200)["status"] == "CANCELLED"


class TestFail:
    async def test_keeps_the_code_and_the_reason(self, api: Api) -> None:
        payment = await api.create_payment()
        failed = json_of(await api.act(payment["id"], "fail", reason="stock gone", failureCode="out_of_stock"), 200)
        assert (failed["status"], failed["failureCode"], failed["failureReason"]) == (
            "FAILED",
            "out_of_stock",
            "stock gone",
        )
        assert failed["failedAt"] and failed["cancelledAt"] is None

    async def test_gives_an_authorization_back(self, api: Api, service: Service) -> None:
        payment = await api.authorized()
        failed = json_of(await api.act(payment["id"], "fail"), 200)
        assert (failed["status"], failed["failureCode"]) == ("FAILED", "failed_by_caller")
        assert service.sandbox.books.account(payment["transactionId"]).is_closed


class TestExpiry:
    async def test_gives_back_what_was_never_captured(self, private: Service) -> None:
        api = private.api.as_("service")
        payment = await api.authorized()
        private.clock.advance(days=6)
        await private.run_schedule("payments.expire")
        assert (await api.show(payment["id"]))["status"] == "AUTHORIZED"

        private.clock.advance(days=2)
        await private.run_schedule("payments.expire")

        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("EXPIRED", 0)
        assert private.sandbox.books.account(payment["transactionId"]).is_closed

    async def test_keeps_what_was_captured(self, private: Service) -> None:
        api = private.api.as_("service")
        payment = await api.authorized()
        json_of(await api.capture(payment["id"], 30, finalCapture=False), 200)

        private.clock.advance(days=8)
        await private.run_schedule("payments.expire")

        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"], shown["failureReason"]) == ("CAPTURED", 30, None)
        assert private.sandbox.books.account(payment["transactionId"]).is_closed
        assert json_of(await api.act(payment["id"], "complete"), 200)["status"] == "COMPLETED"

    async def test_leaves_what_was_finished_alone(self, private: Service) -> None:
        api = private.api.as_("service")
        captured, cancelled = await api.authorized(), await api.authorized()
        captured = json_of(await api.capture(captured["id"], 10), 200)
        cancelled = json_of(await api.act(cancelled["id"], "cancel"), 200)

        private.clock.advance(days=8)
        await private.run_schedule("payments.expire")

        assert await api.show(captured["id"]) == captured
        assert await api.show(cancelled["id"]) == cancelled

    async def test_that_cannot_be_given_back_is_not_tried_all_the_time(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And it keeps nobody else from being given back."""
        monkeypatch.setattr(jobs, "SWEEP_SIZE", 1)
        api = private.api.as_("service")
        stuck = await api.authorized(paymentMethodId="pm_sandbox_capture_unavailable")
        other = await api.authorized()
        private.clock.advance(days=8)
        for _ in range(5):
            await private.run_schedule("payments.expire")
            private.clock.advance(seconds=5)

        assert (await api.show(other["id"]))["status"] == "EXPIRED"
        count = "select count(*) from events where stream = $1 and type = 'payment.void_requested'"
        assert (await private.fetch(count, stuck["id"]))[0][0] == 1
        private.clock.advance(hours=1)
        await private.run_schedule("payments.expire")
        assert (await private.fetch(count, stuck["id"]))[0][0] == 2


class TestAction:
    async def test_is_still_to_be_done_where_the_provider_could_not_be_asked(
        self, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")
        asked = json_of(await api.authorize(payment["id"]), 200)
        assert asked["nextAction"]["url"]

        async def away(request: object) -> Unavailable:
            return Unavailable("down")

        with monkeypatch.context() as patch:
            patch.setattr(service.sandbox, "execute", away)
            problem_of(await api.authorize(payment["id"]), 503, "provider_unavailable")
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["nextAction"]) == ("REQUIRES_ACTION", asked["nextAction"])
        done = json_of(await api.authorize(payment["id"]), 200)
        assert (done["status"], done["nextAction"]) == ("AUTHORIZED", None)

    @pytest.mark.parametrize("action, status", [("cancel", "CANCELLED"), ("fail", "FAILED")])
    async def test_is_nobodys_any_more_when_the_payment_has_ended(self, api: Api, action: str, status: str) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")
        json_of(await api.authorize(payment["id"]), 200)
        ended = json_of(await api.act(payment["id"], action), 200)
        assert (ended["status"], ended["nextAction"]) == (status, None)
