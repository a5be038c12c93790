"""What a provider can answer to an authorization, and what becomes of the payment and of the caller's key."""

import pytest

from tests.support.api import Api, json_of, problem_of, unique
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestDecline:
    @pytest.mark.parametrize(
        "method, code, is_retryable",
        [
            ("pm_sandbox_declined", "generic_decline", False),
            ("pm_sandbox_declined_insufficient_funds", "insufficient_funds", True),
            ("pm_sandbox_declined_expired_card", "expired_card", False),
            ("pm_sandbox_declined_stolen_card", "stolen_card", False),
        ],
    )
    async def test_is_402_and_fails_the_payment(self, api: Api, method: str, code: str, is_retryable: bool) -> None:
        payment = await api.create_payment(paymentMethodId=method)

        declined = problem_of(await api.authorize(payment["id"]), 402, "payment_declined")

        assert (declined["declineCode"], declined["isRetryable"]) == (code, is_retryable)
        assert (declined["paymentId"], declined["paymentStatus"]) == (payment["id"], "FAILED")
        assert declined["instance"].endswith(f"/{payment['id']}/authorize")
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["failureCode"]) == ("FAILED", code)
        assert shown["failedAt"] and shown["amountAuthorized"] == 0

    async def test_is_replayed_byte_for_byte(self, api: Api) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_declined")
        key = unique("key")

        first = await api.authorize(payment["id"], key=key)
        again = await api.authorize(payment["id"], key=key)

        assert (first.status_code, again.status_code) == (402, 402)
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
        assert again.headers["content-type"] == first.headers["content-type"]


class TestActionRequired:
    async def test_tells_where_to_send_the_customer_then_goes_on(self, api: Api) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")

        waiting = json_of(await api.authorize(payment["id"]), 200)
        assert waiting["status"] == "REQUIRES_ACTION"
        assert waiting["nextAction"]["type"] == "REDIRECT_TO_URL" and waiting["nextAction"]["url"]
        assert waiting["amountAuthorized"] == 0

        authorized = json_of(await api.authorize(payment["id"]), 200)
        assert authorized["status"] == "AUTHORIZED" and authorized["nextAction"] is None
        assert authorized["transactionId"] == waiting["transactionId"]

    async def test_can_be_cancelled(self, api: Api) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")
        json_of(await api.authorize(payment["id"]), 200)

        assert json_of(await api.act(payment["id"], "cancel"), 200)["status"] == "CANCELLED"


class TestPaymentMethod:
    async def test_can_be_named_when_authorizing(self, api: Api) -> None:
        payment = await api.create_payment(paymentMethodId=None)
        problem_of(await api.authorize(payment["id"]), 422, "payment_method_missing")

        authorized = json_of(await api.authorize(payment["id"], paymentMethodId="pm_sandbox_mastercard"), 200)

        assert authorized["paymentMethodId"] == "pm_sandbox_mastercard"

    async def test_that_nobody_knows_is_refused(self, api: Api) -> None:
        problem_of(await api.post_payment(paymentMethodId="pm_unknown"), 422, "payment_method_unknown")
        payment = await api.create_payment(paymentMethodId=None)
        refused = await api.authorize(payment["id"], paymentMethodId="pm_unknown")
        problem_of(refused, 422, "payment_method_unknown")
        assert await api.show(payment["id"]) == payment


class TestUnavailable:
    async def test_does_nothing_and_frees_the_key(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_unavailable")
        key = unique("key")

        for _ in range(2):
            refused = await api.authorize(payment["id"], key=key)
            problem_of(refused, 503, "provider_unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert (await api.show(payment["id"]))["status"] == "PENDING"

        other = await api.authorize(payment["id"], paymentMethodId="pm_sandbox_visa", key=key)
        assert json_of(other, 200)["status"] == "AUTHORIZED"

    async def test_leaves_a_capture_and_a_void_undone(self, api: Api) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_unavailable")

        problem_of(await api.capture(payment["id"]), 503, "provider_unavailable")
        problem_of(await api.act(payment["id"], "cancel"), 503, "provider_unavailable")

        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"], shown["cancelledAt"]) == ("AUTHORIZED", 0, None)


class TestRespondAsync:
    ASYNC = {"prefer": "respond-async"}  # noqa: RUF012

    async def test_answers_202_at_once_and_works_later(self, api: Api, service: Service) -> None:
        payment = await api.create_payment()
        key = unique("key")

        first = await api.authorize(payment["id"], key=key, headers=self.ASYNC)
        again = await api.authorize(payment["id"], key=key, headers=self.ASYNC)
        assert json_of(first, 202)["status"] == "PROCESSING"
        assert (again.status_code, again.content) == (202, first.content)
        await service.run_jobs()
        assert (await api.show(payment["id"]))["status"] == "AUTHORIZED"

        json_of(await api.capture(payment["id"], 40, finalCapture=False, headers=self.ASYNC), 202)
        json_of(await api.capture(payment["id"], 50, finalCapture=False, headers=self.ASYNC), 202)
        await service.run_jobs()
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("PARTIALLY_CAPTURED", 90)

    async def test_a_decline_is_told_by_get(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_declined")
        json_of(await api.authorize(payment["id"], headers=self.ASYNC), 202)
        await service.run_jobs()
        assert (await api.show(payment["id"]))["failureCode"] == "generic_decline"

    async def test_a_step_left_lying_is_swept_up(self, api: Api, service: Service) -> None:
        payment = await api.create_payment()
        json_of(await api.authorize(payment["id"], headers=self.ASYNC), 202)

        service.clock.advance(seconds=60)
        await service.run_schedule("payments.sweep")
        await service.run_jobs()
        service.clock.advance(seconds=60)
        await service.run_jobs()

        assert (await api.show(payment["id"]))["status"] in ("AUTHORIZED", "PENDING")
