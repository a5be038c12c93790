"""Taking money: at once, in parts, up to what was authorized and never more."""

import pytest

from bursar.providers.declines import declined
from bursar.providers.port import Outcome
from tests.support.api import Api, json_of, problem_of
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


async def captured_amounts(service: Service, payment_id: str) -> list[int]:
    rows = await service.fetch(
        "select amount from postings where about = $1 and amount > 0 order by amount", payment_id
    )
    return [row[0] for row in rows]


class TestAutomaticCapture:
    async def test_takes_the_amount_with_the_authorization(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(captureMethod="AUTOMATIC", amount=4200, currency="JPY")

        taken = json_of(await api.authorize(payment["id"]), 200)

        assert taken["status"] == "CAPTURED" and taken["capturedAt"] and taken["authorizedAt"]
        assert (taken["amountAuthorized"], taken["amountCaptured"]) == (4200, 4200)
        assert await captured_amounts(service, payment["id"]) == [4200]
        problem_of(await api.capture(payment["id"]), 409, "invalid_state_transition")

    async def test_takes_it_after_an_action_of_the_customer(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(captureMethod="AUTOMATIC", paymentMethodId="pm_sandbox_requires_action")
        json_of(await api.authorize(payment["id"]), 200)
        assert await captured_amounts(service, payment["id"]) == []

        assert json_of(await api.authorize(payment["id"]), 200)["status"] == "CAPTURED"
        assert await captured_amounts(service, payment["id"]) == [100]


class TestPartialCapture:
    async def test_adds_up_to_the_authorization(self, api: Api, service: Service) -> None:
        payment = await api.authorized()
        statuses = [
            json_of(await api.capture(payment["id"], amount, finalCapture=False), 200)["status"]
            for amount in (30, 50, 20)
        ]

        assert statuses == ["PARTIALLY_CAPTURED", "PARTIALLY_CAPTURED", "CAPTURED"]
        assert await captured_amounts(service, payment["id"]) == [20, 30, 50]

    async def test_that_is_final_gives_the_rest_back(self, api: Api, service: Service) -> None:
        payment = await api.authorized()

        taken = json_of(await api.capture(payment["id"], 30), 200)

        assert (taken["status"], taken["amountCaptured"], taken["amountAuthorized"]) == ("CAPTURED", 30, 100)
        assert service.sandbox.books.account(taken["transactionId"]).is_closed
        assert json_of(await api.act(payment["id"], "complete"), 200)["status"] == "COMPLETED"

    async def test_takes_what_is_left_where_no_amount_is_named(self, api: Api) -> None:
        payment = await api.authorized()
        json_of(await api.capture(payment["id"], 30, finalCapture=False), 200)

        assert json_of(await api.capture(payment["id"]), 200)["amountCaptured"] == 100

    async def test_completed_gives_the_rest_back(self, api: Api, service: Service) -> None:
        payment = await api.authorized()
        json_of(await api.capture(payment["id"], 30, finalCapture=False), 200)

        completed = json_of(await api.act(payment["id"], "complete"), 200)

        assert (completed["status"], completed["amountCaptured"]) == ("COMPLETED", 30)
        assert completed["failureReason"] is None
        assert service.sandbox.books.account(completed["transactionId"]).is_closed


class TestCapture:
    async def test_refuses_more_than_authorized(self, api: Api, service: Service) -> None:
        payment = await api.authorized()

        refused = problem_of(await api.capture(payment["id"], 101), 409, "amount_exceeds_capturable")

        assert refused["amountCapturable"] == 100
        assert await api.show(payment["id"]) == payment
        assert await captured_amounts(service, payment["id"]) == []

    async def test_refuses_more_than_is_left(self, api: Api) -> None:
        payment = await api.authorized()
        json_of(await api.capture(payment["id"], 60, finalCapture=False), 200)

        refused = problem_of(await api.capture(payment["id"], 41, finalCapture=False), 409, "amount_exceeds_capturable")

        assert refused["amountCapturable"] == 40

    async def test_declined_can_be_tried_again(self, api: Api, service: Service) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_declined")

        first = await api.capture(payment["id"], key=payment["id"])
        again = await api.capture(payment["id"], key=payment["id"])

        declined = problem_of(first, 402, "payment_declined")
        assert (declined["declineCode"], declined["paymentStatus"]) == ("capture_declined", "AUTHORIZED")
        assert again.content == first.content and again.headers["idempotency-replayed"] == "true"
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("AUTHORIZED", 0)
        assert await captured_amounts(service, payment["id"]) == []
        assert json_of(await api.act(payment["id"], "cancel"), 200)["status"] == "CANCELLED"

    async def test_under_way_shows_only_public_statuses(self, api: Api) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_declined")
        async_ = {"prefer": "respond-async"}
        json_of(await api.capture(payment["id"], 10, finalCapture=False, headers=async_), 202)

        declined = problem_of(await api.capture(payment["id"], 20, finalCapture=False), 402, "payment_declined")

        assert declined["paymentStatus"] == "PROCESSING"

    async def test_refuses_another_one_behind_the_final_one(self, api: Api, service: Service) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_timeout_after_effect")
        json_of(await api.capture(payment["id"], 30), 202)

        problem_of(await api.capture(payment["id"], 10), 409, "final_capture_under_way")

        service.clock.advance(seconds=2)
        await service.run_jobs()
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("CAPTURED", 30)

    async def test_of_all_that_is_left_is_refused_while_all_is_under_way(self, api: Api, service: Service) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_timeout_after_effect")
        json_of(await api.capture(payment["id"], finalCapture=False), 202)
        problem_of(await api.capture(payment["id"], finalCapture=False), 409, "amount_exceeds_capturable")
        service.clock.advance(seconds=2)
        await service.run_jobs()
        assert (await api.show(payment["id"]))["status"] == "CAPTURED"


class TestCaptureAgain:
    async def test_leaves_no_failure_behind(self, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        payment = await api.authorized()

        async def decline(request: object) -> Outcome:
            return declined("insufficient_funds", "not now")

        with monkeypatch.context() as patch:
            patch.setattr(service.sandbox, "execute", decline)
            problem_of(await api.capture(payment["id"]), 402, "payment_declined")
        refused = await api.show(payment["id"])
        assert (refused["status"], refused["failureCode"]) == ("AUTHORIZED", "insufficient_funds")
        taken = json_of(await api.capture(payment["id"]), 200)
        assert (taken["status"], taken["failureCode"], taken["failureReason"]) == ("CAPTURED", None, None)
