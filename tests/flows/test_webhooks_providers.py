"""Each provider's own webhooks, from its stand-in, over HTTP: what they have the service find out and book."""

from pathlib import Path
from typing import Any

import httpx

from simulators import kyc
from simulators.kit.faults import Kind
from simulators.kit.server import build, running
from simulators.kyc.service import API_KEY
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.kyc import Stage
from tests.support.paypal import paypal_shop
from tests.support.service import Service
from tests.support.stripe import METHODS, shop
from tests.support.truth import verify
from tests.support.webhooks import HOOKS, Postman, tell_secrets


class TestStripe:
    async def test_its_own_webhooks_follow_a_payment(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            payment = await at.payment(await at.card())
            json_of(await at.api.authorize(payment["id"]), 200)
            json_of(await at.api.capture(payment["id"], 600), 200)
            await hooks.settled()
            assert {sending.status for sending in hooks.log} == {202}
            before = await at.api.show(payment["id"])
            await at.hear()
            listed = json_of(await at.api.get(f"{HOOKS}/payment/{payment['id']}"), 200)["data"]
            assert {told["eventType"] for told in listed} >= {"payment_intent.succeeded", "charge.captured"}
            assert {told["status"] for told in listed} == {"PROCESSED"}
            assert await at.api.show(payment["id"]) == before
            timeline = json_of(await at.api.get(f"/api/v1/payments/core/{payment['id']}/timeline"), 200)["data"]
            assert "webhook.processed" in {event["type"] for event in timeline}

    async def test_a_lost_answer_is_settled_by_the_webhook(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            payment = await at.payment(await at.card())
            at.faults.plan(Kind.RESET, on="POST /v1/payment_intents", times=1)
            json_of(await at.api.authorize(payment["id"]), 202)
            await hooks.settled()
            await _only_webhooks(at.service)
            assert (await at.api.show(payment["id"]))["status"] == "AUTHORIZED"

    async def test_what_is_done_in_the_dashboard_is_booked(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            taken, ended = await at.payment(await at.card()), await at.payment(await at.card("5555555555554444"))
            for payment in (taken, ended):
                json_of(await at.api.authorize(payment["id"]), 200)
            await _in_dashboard(at, taken, "capture", amount_to_capture="700")
            await _in_dashboard(at, ended, "cancel")
            await hooks.settled()
            await at.hear()
            shown = await at.api.show(taken["id"])
            assert (shown["status"], shown["amountCaptured"]) == ("CAPTURED", 700)
            shown = await at.api.show(ended["id"])
            assert (shown["status"], shown["amountCaptured"]) == ("CANCELLED", 0)
            moved = "select coalesce(sum(amount), 0) as moved from postings where account = 'provider:stripe:clearing'"
            assert (await at.service.fetch(moved))[0]["moved"] == at.total("captured") == 700
            left = json_of(await at.api.get(f"{HOOKS}/unprocessed"), 200)["data"]
            assert left == []

    async def test_a_payment_goes_on_when_the_customer_was_at_his_bank(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            added = await at.card("4000002760003184")
            rows = await at.service.fetch("select verification ->> 'reference' as reference from payment_methods")
            assert added["verificationStatus"] == "REQUIRES_ACTION"
            await at.authenticate(rows[0]["reference"])
            await hooks.settled()
            await at.hear()
            shown = json_of(await at.api.get(f"{METHODS}/{added['id']}"), 200)
            assert (shown["verificationStatus"], shown["nextAction"]) == ("VERIFIED", None)
            payment = await at.payment(added)
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            assert asked["status"] == "REQUIRES_ACTION"
            await at.authenticate(asked["transactionId"])
            await hooks.settled()
            await at.hear()
            assert (await at.api.show(payment["id"]))["status"] == "AUTHORIZED"

    async def test_a_method_whose_customer_failed_at_his_bank_is_not_verified(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            added = await at.card("4000002760003184")
            rows = await at.service.fetch("select verification ->> 'reference' as reference from payment_methods")
            await at.authenticate(rows[0]["reference"], "fail")
            await hooks.settled()
            await at.hear()
            shown = json_of(await at.api.get(f"{METHODS}/{added['id']}"), 200)
            assert (shown["verificationStatus"], shown["nextAction"]) == ("FAILED", None)
            told = {row["event_type"]: row["status"] for row in await Postman(at.service).rows()}
            assert told["setup_intent.setup_failed"] == "PROCESSED"

    async def test_a_card_that_its_bank_renewed_is_taken_over(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            method = await at.card()
            world = at.simulator.provider.world
            (stored,) = (held for held in world.objects.values() if held["object"] == "payment_method")
            stored["card"] |= {"exp_year": 2039, "last4": "1111"}
            world.event("payment_method.automatically_updated", stored)
            await hooks.settled()
            await at.hear()
            shown = json_of(await at.api.get(f"{METHODS}/{method['id']}"), 200)
            assert (shown["card"]["expYear"], shown["card"]["last4"]) == (2039, "1111")

    async def test_a_card_that_was_given_up_in_the_dashboard_is_good_no_more(self, serve: Serve) -> None:
        async with shop(serve) as at:
            hooks = at.listen()
            method = await at.card()
            world = at.simulator.provider.world
            (stored,) = (held for held in world.objects.values() if held["object"] == "payment_method")
            async with httpx.AsyncClient(base_url=at.address, trust_env=False) as person:
                path, headers = f"/v1/payment_methods/{stored['id']}/detach", {"authorization": "Bearer sk_test_x"}
                assert (await person.post(path, headers=headers)).status_code == 200
            await hooks.settled()
            await at.hear()
            shown = json_of(await at.api.get(f"{METHODS}/{method['id']}"), 200)
            assert shown["verificationStatus"] == "FAILED"


class TestPayPal:
    async def test_its_own_webhooks_settle_a_payment(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            body = {"customerId": "c-1", "type": "DIGITAL_WALLET"}
            body["providerToken"] = {"provider": "paypal", "token": "paypal-approved"}
            method = json_of(await at.api.call("POST", METHODS, body), 201)
            payment = await at.api.create_payment(customerId="c-1", paymentMethodId=method["id"], amount=1_000)
            at.there.faults.plan(Kind.RESET, on="POST /v2/checkout/orders", times=1)
            json_of(await at.api.authorize(payment["id"]), 202)
            await at.there.webhooks.settled()
            assert {sending.status for sending in at.there.webhooks.log} == {202}
            await _only_webhooks(at.service)
            assert (await at.api.show(payment["id"]))["status"] == "AUTHORIZED"
            json_of(await at.api.capture(payment["id"], 300, finalCapture=False), 200)
            await at.there.webhooks.settled()
            await at.hear()
            listed = json_of(await at.api.get(f"{HOOKS}/payment/{payment['id']}"), 200)["data"]
            assert {told["status"] for told in listed} == {"PROCESSED"}
            shown = await at.api.show(payment["id"])
            assert (shown["status"], shown["amountCaptured"]) == ("PARTIALLY_CAPTURED", 300)

    async def test_an_order_that_the_customer_approved_is_paid(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            body = {"customerId": "c-1", "type": "DIGITAL_WALLET"}
            body["providerToken"] = {"provider": "paypal", "token": "paypal-action-required"}
            method = json_of(await at.api.call("POST", METHODS, body), 201)
            payment = await at.api.create_payment(customerId="c-1", paymentMethodId=method["id"], amount=1_000)
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            async with httpx.AsyncClient(trust_env=False) as customer:
                assert (await customer.get(asked["nextAction"]["url"])).status_code < 400
            await at.there.webhooks.settled()
            await at.hear()
            assert (await at.api.show(payment["id"]))["status"] == "AUTHORIZED"


class TestKyc:
    async def test_a_decision_arrives_by_itself(self, serve: Serve) -> None:
        there = kyc.provider(seed=3)
        application = build(there)
        async with running(application) as url, serve(kyc_url=url, kyc_api_key=API_KEY) as service:
            stage, post = Stage(service, there), Postman(service)
            tell_secrets(service, {"kyc": [{"secret": there.webhooks.secret}]})
            there.webhooks.url = str(service.client.base_url.join(HOOKS))
            await stage.request("v-pending")
            await service.run_jobs()
            (check,) = there.checks.values()
            async with httpx.AsyncClient(base_url=url, trust_env=False) as person:
                decision = {"status": "REJECTED", "rejectionReason": "face_mismatch"}
                headers = {"authorization": f"Bearer {API_KEY}"}
                await person.post(f"/test/checks/{check.id}/decision", json=decision, headers=headers)
            await there.webhooks.settled()
            await _only_webhooks(service)
            shown = await stage.shown("v-pending")
            assert (shown["status"], shown["rejectionCode"]) == ("REJECTED", "identity_mismatch")
            assert {row["status"] for row in await post.rows()} == {"PROCESSED"}
            await verify(service)


async def _in_dashboard(at: Any, payment: dict[str, Any], action: str, **form: str) -> None:
    reference = (await at.api.show(payment["id"]))["transactionId"]
    async with httpx.AsyncClient(base_url=at.address, trust_env=False) as person:
        headers = {"authorization": "Bearer sk_test_bursar"}
        answer = await person.post(f"/v1/payment_intents/{reference}/{action}", headers=headers, data=form)
        assert answer.status_code == 200, answer.text


async def _only_webhooks(service: Service) -> None:
    """Run the jobs of webhooks and no others."""
    await service.run_schedule("webhooks.sweep")
    await service.fetch("update jobs set run_at = run_at + interval '1 day' where kind <> 'webhook.process'")
    await service.run_jobs()
