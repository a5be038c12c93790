"""A payment waits for its customer, who takes another method instead: what waits is given up first, so that he cannot
pay twice.
"""

from typing import Any

import pytest

from bursar.domains.payments import steps
from simulators.kit.faults import Kind
from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.service import Service
from tests.support.stripe import Shop, shop
from tests.support.webhooks import Postman

ASKS = "4000002760003184"
HEARD = ("PROCESSED", "IGNORED")


async def waiting(at: Shop, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A payment that waits for its customer, and another card of his."""
    first = await at.card(ASKS)
    payment = await at.payment(first, **changes)
    asked = json_of(await at.api.authorize(payment["id"]), 200)
    assert asked["status"] == "REQUIRES_ACTION"
    return dict(asked), await at.card(customerId=first["customerId"])


def intents(at: Shop) -> dict[str, str]:
    """Every PaymentIntent's status."""
    world: Any = at.simulator.provider
    return {held["id"]: held["status"] for held in world.world.all("payment_intent")}


class TestAtStripe:
    async def test_is_charged_itself(self, serve: Serve) -> None:
        async with shop(serve) as at:
            asked, second = await waiting(at)
            answer = json_of(await at.api.authorize(asked["id"], paymentMethodId=second["id"]), 200)
            assert (answer["status"], answer["paymentMethodId"]) == ("AUTHORIZED", second["id"])
            assert intents(at) == {asked["transactionId"]: "canceled", answer["transactionId"]: "requires_capture"}
            json_of(await at.api.capture(asked["id"]), 200)
            assert at.total("captured") == 1_000

    async def test_is_not_charged_where_the_customer_has_paid_meanwhile(self, serve: Serve) -> None:
        async with shop(serve) as at:
            asked, second = await waiting(at, captureMethod="AUTOMATIC")
            await at.authenticate(asked["transactionId"])
            problem_of(await at.api.authorize(asked["id"], paymentMethodId=second["id"]), 402, "payment_declined")
            shown = await at.api.show(asked["id"])
            assert (shown["status"], shown["paymentMethodId"]) == ("REQUIRES_ACTION", asked["paymentMethodId"])
            assert json_of(await at.api.authorize(asked["id"]), 200)["status"] == "CAPTURED"
            assert at.total("captured") == 1_000 and len(intents(at)) == 1

    async def test_is_charged_when_it_is_known_that_the_first_was_given_up(self, serve: Serve) -> None:
        async with shop(serve) as at:
            asked, second = await waiting(at)
            at.faults.plan(Kind.RESET, on="POST /v1/payment_intents/.*/cancel", times=1)
            key = unique("key")
            body = {"paymentMethodId": second["id"]}
            assert json_of(await at.api.authorize(asked["id"], key=key, **body), 202)["status"] == "PROCESSING"
            at.service.clock.advance(seconds=2)
            await at.service.run_jobs()
            shown = await at.api.show(asked["id"])
            assert (shown["status"], shown["paymentMethodId"]) == ("AUTHORIZED", second["id"])
            assert json_of(await at.api.authorize(asked["id"], key=key, **body), 200)["status"] == "AUTHORIZED"
            assert sorted(intents(at).values()) == ["canceled", "requires_capture"]

    async def test_leaves_all_as_it_was_where_stripe_is_away(self, serve: Serve) -> None:
        async with shop(serve, provider_retries_max=0) as at:
            asked, second = await waiting(at)
            at.faults.plan(Kind.TOO_MANY_REQUESTS, on="POST /v1/payment_intents/.*/cancel", times=1)
            problem_of(await at.api.authorize(asked["id"], paymentMethodId=second["id"]), 503, "provider_unavailable")
            shown = await at.api.show(asked["id"])
            for name in ("status", "provider", "transactionId", "paymentMethodId", "nextAction"):
                assert shown[name] == asked[name]

    async def test_at_another_provider_has_that_ones_reference(self, serve: Serve) -> None:
        async with shop(serve, providers="stripe,sandbox") as at:
            asked, _ = await waiting(at)
            at.listen()
            answer = json_of(await at.api.authorize(asked["id"], paymentMethodId="pm_sandbox_visa"), 200)
            assert (answer["status"], answer["provider"]) == ("AUTHORIZED", "sandbox")
            assert answer["transactionId"] != asked["transactionId"]
            assert intents(at) == {asked["transactionId"]: "canceled"}
            await at.hear()
            rows = await Postman(at.service).rows()
            assert {row["status"] for row in rows if row["event_type"] == "payment_intent.canceled"} == {"PROCESSED"}

    @pytest.mark.parametrize("other", ["", "pm_sandbox_visa"])
    async def test_needs_nobody_where_the_customer_had_confirmed_the_first(self, serve: Serve, other: str) -> None:
        """Stripe tells that it reserved the first one when that was given up already."""
        async with shop(serve, providers="stripe,sandbox") as at:
            asked, second = await waiting(at)
            at.listen()
            await at.authenticate(asked["transactionId"])
            answer = json_of(await at.api.authorize(asked["id"], paymentMethodId=other or second["id"]), 200)
            assert answer["status"] == "AUTHORIZED"
            await at.hear()
            rows = await Postman(at.service).rows()
            assert "payment_intent.amount_capturable_updated" in {row["event_type"] for row in rows}
            assert {(row["event_type"], row["status"]) for row in rows if row["status"] not in HEARD} == set()
            assert intents(at)[asked["transactionId"]] == "canceled"

    async def test_goes_on_where_the_process_died_after_the_void(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with shop(serve) as at:
            asked, second = await waiting(at)

            async def die(*args: Any) -> None:
                raise ConnectionResetError("now")

            with monkeypatch.context() as patch:
                ask, calls = steps._ask, []

                async def ask_once(*args: Any) -> Any:
                    calls.append(args)
                    return await (ask(*args) if len(calls) == 1 else die())

                patch.setattr(steps, "_ask", ask_once)
                answer = await at.api.authorize(asked["id"], paymentMethodId=second["id"])
                assert answer.status_code >= 500 and len(calls) == 2
            assert sorted(intents(at).values()) == ["canceled"]
            at.service.clock.advance(minutes=2)
            await at.service.run_schedule("payments.sweep")
            await at.service.run_jobs()
            shown = await at.api.show(asked["id"])
            assert (shown["status"], shown["paymentMethodId"]) == ("AUTHORIZED", second["id"])
            assert sorted(intents(at).values()) == ["canceled", "requires_capture"]


class TestDeclined:
    async def test_the_other_method_ends_the_payment(self, service: Service) -> None:
        api = service.api.as_("service")
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")
        json_of(await api.authorize(payment["id"]), 200)
        problem_of(await api.authorize(payment["id"], paymentMethodId="pm_sandbox_declined"), 402, "payment_declined")
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["paymentMethodId"]) == ("FAILED", "pm_sandbox_declined")

    async def test_one_that_cannot_be_asked_leaves_it_to_be_authorized_anew(self, service: Service) -> None:
        api = service.api.as_("service")
        payment = await api.create_payment(paymentMethodId="pm_sandbox_requires_action")
        json_of(await api.authorize(payment["id"]), 200)
        refused = await api.authorize(payment["id"], paymentMethodId="pm_sandbox_unavailable")
        problem_of(refused, 503, "provider_unavailable")
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["transactionId"]) == ("PENDING", None)
        assert (
            json_of(await api.authorize(payment["id"], paymentMethodId="pm_sandbox_visa"), 200)["status"]
            == "AUTHORIZED"
        )
