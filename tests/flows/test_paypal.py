"""Payments through PayPal, over HTTP: a wallet in PayPal's vault, an order that the customer approves, a card."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from simulators import paypal
from simulators.kit.faults import Kind
from simulators.kit.server import build, running
from tests.conftest import Serve
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.service import Service

METHODS = "/api/v1/payment-methods"
CLEARING = "select coalesce(sum(amount), 0) as moved from postings where account = 'provider:paypal:clearing'"


class Shop:
    """The service, PayPal's stand-in, and what a shop does with them."""

    def __init__(self, service: Service, simulator: Any) -> None:
        self.service, self.simulator = service, simulator
        self.api: Api = service.api.as_("service")

    async def wallet(self, token: str = "paypal-approved") -> dict[str, Any]:
        body = {
            "customerId": unique("customer"),
            "type": "DIGITAL_WALLET",
            "providerToken": {"provider": "paypal", "token": token},
        }
        return dict(json_of(await self.api.call("POST", METHODS, body), 201))

    async def payment(self, method: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return await self.api.create_payment(
            customerId=method["customerId"], paymentMethodId=method["id"], **{"amount": 1_000, **changes}
        )

    def total(self, kind: str) -> int:
        return int(self.simulator.provider.books.total(kind, "EUR"))


@asynccontextmanager
async def shop(serve: Serve) -> AsyncIterator[Shop]:
    application = build(paypal.provider())
    async with running(application) as address:
        settings = {
            "providers": "paypal",
            "paypal_client_id": paypal.CLIENT_ID,
            "paypal_client_secret": paypal.CLIENT_SECRET,
            "paypal_base_url": address,
            "action_return_url": "https://shop.example/return",
        }
        async with serve(**settings) as service:
            yield Shop(service, application.simulator)
        assert application.simulator.violations == []


class TestWallet:
    async def test_goes_the_whole_way(self, serve: Serve) -> None:
        async with shop(serve) as at:
            method = await at.wallet()
            assert (method["verificationStatus"], method["wallet"]["walletProvider"]) == ("VERIFIED", "PAYPAL")
            payment = await at.payment(method)
            assert json_of(await at.api.authorize(payment["id"]), 200)["provider"] == "paypal"
            part = json_of(await at.api.capture(payment["id"], 400, finalCapture=False), 200)
            assert (part["status"], part["amountCaptured"]) == ("PARTIALLY_CAPTURED", 400)
            rest = json_of(await at.api.capture(payment["id"]), 200)
            assert (rest["status"], rest["amountCaptured"]) == ("CAPTURED", 1_000)
            assert (await at.service.fetch(CLEARING))[0]["moved"] == at.total("capture") == 1_000

    async def test_a_cancelled_payment_is_voided_at_paypal(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.payment(await at.wallet())
            json_of(await at.api.authorize(payment["id"]), 200)
            assert json_of(await at.api.act(payment["id"], "cancel"), 200)["status"] == "CANCELLED"
            assert at.total("void") == at.total("authorization") == 1_000

    async def test_a_customer_approves_first(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.payment(await at.wallet("paypal-action-required"))
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            assert asked["status"] == "REQUIRES_ACTION"
            early = await at.api.authorize(payment["id"])
            assert json_of(early, 200)["status"] == "REQUIRES_ACTION"
            async with httpx.AsyncClient(trust_env=False) as customer:
                assert (await customer.get(asked["nextAction"]["url"])).status_code < 400
            assert json_of(await at.api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"

    async def test_a_decline_says_why(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.payment(await at.wallet("paypal-cannot-pay"))
            refused = problem_of(await at.api.authorize(payment["id"]), 402, "payment_declined")
            assert (refused["declineCode"], refused["paymentStatus"]) == ("payer_cannot_pay", "FAILED")

    async def test_a_lost_answer_is_found_again(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.payment(await at.wallet(), captureMethod="AUTOMATIC")
            at.simulator.provider.faults.plan(Kind.RESET, on="POST /v2/checkout/orders", times=1)
            assert (await at.api.authorize(payment["id"])).status_code == 202
            at.service.clock.advance(minutes=1)
            await at.service.run_jobs()
            shown = await at.api.show(payment["id"])
            assert (shown["status"], shown["amountCaptured"]) == ("CAPTURED", 1_000)
            assert at.total("capture") == 1_000


class TestCard:
    async def test_from_our_vault_goes_to_paypal(self, serve: Serve) -> None:
        async with shop(serve) as at:
            card = {"number": "4111111111111111", "expMonth": 12, "expYear": 2034, "cvc": "314"}
            body = {"customerId": unique("customer"), "type": "CARD", "card": card}
            method = json_of(await at.api.call("POST", METHODS, body), 201)
            assert (method["verificationStatus"], method["providers"]) == ("VERIFIED", ["paypal"])
            payment = await at.payment(method)
            assert json_of(await at.api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"
