"""Events that are about nothing of ours: of an account that others use too; of a check that was made for another."""

from pathlib import Path

from simulators import kyc
from simulators.kit.server import build, running
from simulators.kyc.service import API_KEY
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.kyc import Stage
from tests.support.paypal import paypal_shop
from tests.support.service import Service
from tests.support.stripe import shop
from tests.support.webhooks import HOOKS, Postman, stripe_event, unknown_intent


class TestAnAccountThatOthersUse:
    async def test_their_payments_are_ignored_at_once(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            form = {"amount": "700", "currency": "eur", "confirm": "true", "payment_method": "pm_card_visa"}
            await at.in_dashboard("payment_intents", **form, return_url="https://elsewhere.example")
            await at.hear()
            rows = await Postman(at.service).rows()
            assert {"payment_intent.succeeded", "charge.succeeded"} <= {row["event_type"] for row in rows}
            assert {row["status"] for row in rows} == {"IGNORED"}

    async def test_what_bears_our_mark_waits_though_it_is_not_known(self, private: Service) -> None:
        post = Postman(private)
        told = await post.brought(stripe_event("payment_intent.succeeded", unknown_intent()))
        await post.run()
        assert (await post.show(told["id"]))["status"] == "FAILED"

    async def test_of_paypals_orders_too(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            await at.captured()
            await at.hear()
            resource = {"id": "O-1", "purchase_units": [{"custom_id": "their own", "invoice_id": "42"}]}
            at.there.orders.desk.emit("CHECKOUT.ORDER.APPROVED", "checkout-order", resource, "approved")
            resource = {"id": "C-1", "supplementary_data": {"related_ids": {"order_id": "O-1"}}, "invoice_id": "42"}
            at.there.orders.desk.emit("PAYMENT.CAPTURE.COMPLETED", "capture", resource, "captured")
            await at.hear()
            rows = await at.service.fetch("select status::text from webhooks order by id desc limit 2")
            assert [row["status"] for row in rows] == ["IGNORED", "IGNORED"]

    async def test_their_cards_are_no_dead_letters(self, serve: Serve) -> None:
        async with shop(serve, webhook_attempts_max=2) as at:
            at.listen()
            card = {"type": "card", "card[token]": "tok_visa"}
            theirs = await at.in_dashboard("payment_methods", **card)
            at.simulator.provider.world.event("payment_method.automatically_updated", theirs)
            await at.hear()
            post = Postman(at.service)
            assert [row["status"] for row in await post.rows()] == ["FAILED"]
            await post.run(minutes=10)
            assert [row["status"] for row in await post.rows()] == ["IGNORED"]

    async def test_a_mandate_is_never_a_dead_letter(self, serve: Serve) -> None:
        async with shop(serve, webhook_attempts_max=2) as at:
            at.listen()
            await at.card()
            world = at.simulator.provider.world
            (stored,) = (held for held in world.objects.values() if held["object"] == "payment_method")
            world.event("mandate.updated", {"id": "mandate_1", "object": "mandate", "payment_method": stored["id"]})
            await at.hear()
            rows = await Postman(at.service).rows()
            assert [row["status"] for row in rows if row["event_type"] == "mandate.updated"] == ["IGNORED"]


class TestACheckOfSomebodyElse:
    async def test_decides_nothing(self, serve: Serve) -> None:
        there = kyc.provider(seed=3)
        async with running(build(there)) as url, serve(kyc_url=url, kyc_api_key=API_KEY) as service:
            stage, post = Stage(service, there), Postman(service)
            for vendor in ("good-verified", "bad-pending"):
                await stage.request(vendor)
            await service.run_jobs()
            good, bad = sorted(there.checks.values(), key=lambda check: check.status == "IN_PROGRESS")
            assert (good.status, bad.status) == ("VERIFIED", "IN_PROGRESS")
            data = {"id": good.id, "clientReference": bad.client_reference}
            told = {"provider": "kyc", "eventId": "evt_1", "eventType": "check.verified", "payload": {"data": data}}
            json_of(await post.api.call("POST", HOOKS, told), 202)
            await post.run()
            assert (await stage.shown("bad-pending"))["status"] == "PENDING"
