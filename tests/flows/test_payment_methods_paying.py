"""Payments with methods of customers: what a vault card does, and which methods cannot pay."""

from typing import Any

import pytest

from tests.conftest import Serve
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.methods import (
    ACTION_NUMBER,
    VISA_NUMBER,
    add,
    card,
    change,
    default_of,
    iban_account,
    provider_token,
    remove,
    rule,
    us_account,
    wallet,
)
from tests.support.service import Service
from tests.support.truth import verify as verify_truth

pytestmark = pytest.mark.usefixtures("verified")


async def paid(api: Api, customer: str, method: dict[str, Any]) -> dict[str, Any]:
    """A payment with that method, authorized and captured."""
    payment = await api.authorized(customerId=customer, paymentMethodId=method["id"])
    captured: dict[str, Any] = json_of(await api.capture(payment["id"]), 200)
    return captured


class TestGoodMethod:
    @pytest.mark.parametrize("kind", [card(VISA_NUMBER), card(), wallet(), provider_token()])
    async def test_pays(self, api: Api, kind: dict[str, Any]) -> None:
        customer = unique("customer")
        done = await paid(api, customer, await add(api, customer, kind))
        assert (done["status"], done["amountCaptured"]) == ("CAPTURED", 100)

    @pytest.mark.parametrize("kind", [us_account("000123456789"), iban_account()])
    async def test_that_is_an_account_pays_once_it_is_verified(self, api: Api, kind: dict[str, Any]) -> None:
        customer = unique("customer")
        account = await add(api, customer, kind)
        refused = await api.post_payment(customerId=customer, paymentMethodId=account["id"])
        body = problem_of(refused, 409, "payment_method_unusable")
        assert (body["methodStatus"], body["verificationStatus"]) == ("ACTIVE", "PENDING")
        payment = await api.create_payment(customerId=customer, paymentMethodId=None)
        refused = await api.authorize(payment["id"], paymentMethodId=account["id"])
        problem_of(refused, 409, "payment_method_unusable")

        json_of(await rule(api, account, "VERIFIED"), 200)
        assert json_of(await api.authorize(payment["id"], paymentMethodId=account["id"]), 200)["status"] == "AUTHORIZED"

    async def test_does_what_its_number_says(self, api: Api) -> None:
        """A card that was approved when it was added, and is declined when it is to pay."""
        customer = unique("customer")
        method = await add(api, customer, card("4000000000000341"))
        payment = await api.authorized(customerId=customer, paymentMethodId=method["id"])
        refused = problem_of(await api.capture(payment["id"]), 402, "payment_declined")
        assert refused["declineCode"] == "capture_declined"

    async def test_that_asks_for_an_action_is_approved_after_it(self, api: Api) -> None:
        customer = unique("customer")
        method = await add(api, customer, card(ACTION_NUMBER))
        payment = await api.create_payment(customerId=customer, paymentMethodId=method["id"])
        waiting = json_of(await api.authorize(payment["id"]), 200)
        assert waiting["status"] == "REQUIRES_ACTION" and waiting["nextAction"]["url"]
        assert json_of(await api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"

    async def test_pays_when_it_is_no_default_and_none_is_assumed(self, api: Api) -> None:
        customer = unique("customer")
        await add(api, customer)
        second = await add(api, customer)
        assert (await paid(api, customer, second))["paymentMethodId"] == second["id"]
        payment = await api.create_payment(customerId=customer, paymentMethodId=None)
        problem_of(await api.authorize(payment["id"]), 422, "payment_method_missing")

    async def test_in_the_test_methods_is_anybodys(self, api: Api) -> None:
        payment = await api.authorized(customerId=unique("customer"), paymentMethodId="pm_sandbox_visa")
        assert payment["status"] == "AUTHORIZED"


class TestBadMethod:
    async def test_that_is_inactive_or_failed_cannot_pay_until_it_is_good(self, api: Api) -> None:
        customer = unique("customer")
        method = await add(api, customer)
        payment = await api.create_payment(customerId=customer, paymentMethodId=method["id"])
        for spoil, mend in (
            (lambda: change(api, method, status="INACTIVE"), lambda: change(api, method, status="ACTIVE")),
            (lambda: rule(api, method, "FAILED"), lambda: rule(api, method, "VERIFIED")),
        ):
            json_of(await spoil(), 200)
            refused = await api.post_payment(customerId=customer, paymentMethodId=method["id"])
            problem_of(refused, 409, "payment_method_unusable")
            problem_of(await api.authorize(payment["id"]), 409, "payment_method_unusable")
            json_of(await mend(), 200)
        assert json_of(await api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"

    async def test_that_was_removed_is_unknown(self, api: Api) -> None:
        customer = unique("customer")
        method = await add(api, customer)
        payment = await api.create_payment(customerId=customer, paymentMethodId=method["id"])
        json_of(await remove(api, method), 200)
        refused = await api.post_payment(customerId=customer, paymentMethodId=method["id"])
        problem_of(refused, 422, "payment_method_unknown")
        problem_of(await api.authorize(payment["id"]), 422, "payment_method_unknown")
        assert (await api.show(payment["id"]))["status"] == "PENDING"

    async def test_that_was_removed_after_an_authorization_is_captured_all_the_same(self, api: Api) -> None:
        customer = unique("customer")
        method = await add(api, customer)
        payment = await api.authorized(customerId=customer, paymentMethodId=method["id"])
        json_of(await remove(api, method), 200)
        assert json_of(await api.capture(payment["id"]), 200)["status"] == "CAPTURED"

    @pytest.mark.parametrize(
        "method_id", ["pm_sandbox_nothing", "019b7966-e200-7000-8000-0000000000e1", "x", "tok_abc", "PM_SANDBOX_VISA"]
    )
    async def test_that_is_none_is_unknown(self, api: Api, method_id: str) -> None:
        problem_of(await api.post_payment(paymentMethodId=method_id), 422, "payment_method_unknown")

    async def test_that_expired_cannot_pay(self, private: Service) -> None:
        api, customer, now = private.api.as_("service"), unique("customer"), private.clock.now()
        method = await add(api, customer, card(expMonth=now.month, expYear=now.year))
        payment = await api.create_payment(customerId=customer, paymentMethodId=method["id"])
        private.clock.advance(days=32)
        await private.run_schedule("payment_methods.expire")
        refused = await api.post_payment(customerId=customer, paymentMethodId=method["id"])
        assert problem_of(refused, 409, "payment_method_unusable")["methodStatus"] == "EXPIRED"
        problem_of(await api.authorize(payment["id"]), 409, "payment_method_unusable")
        assert await default_of(api, customer) is None

    async def test_whose_customer_is_not_known_cannot_pay_where_that_is_required(self, serve: Serve) -> None:
        async with serve(kyc_required_types="BANK_ACCOUNT, CARD") as service:
            api, customer = service.api.as_("service"), unique("customer")
            method = await add(api, customer)
            refused = await api.post_payment(customerId=customer, paymentMethodId=method["id"])
            problem_of(refused, 409, "kyc_required")
            json_of(await api.call("POST", f"/api/v1/kyc/CUSTOMER/{customer}/checks", {}), 202)
            decision = {"decision": "VERIFIED", "reason": "papers seen"}
            json_of(
                await service.api.as_("risk").call("PUT", f"/api/v1/kyc/CUSTOMER/{customer}/decision", decision), 200
            )
            assert (await paid(api, customer, method))["status"] == "CAPTURED"
            assert (await paid(api, customer, await add(api, customer, wallet())))["status"] == "CAPTURED"
            await verify_truth(service)
