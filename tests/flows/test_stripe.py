"""Payments through Stripe, over HTTP, from the card to the ledger."""

import asyncio
from typing import Any

from simulators.kit.faults import Kind
from tests.conftest import Serve
from tests.support.api import json_of, problem_of
from tests.support.stripe import METHODS, shop

CLEARING = "select coalesce(sum(amount), 0) as moved from postings where account = 'provider:stripe:clearing'"


class TestCards:
    async def test_a_card_goes_the_whole_way(self, serve: Serve) -> None:
        async with shop(serve) as at:
            method = await at.card()
            assert (method["verificationStatus"], method["providers"]) == ("VERIFIED", ["stripe"])
            assert (method["card"]["brand"], method["card"]["last4"]) == ("VISA", "4242")
            payment = await at.payment(method)
            authorized = json_of(await at.api.authorize(payment["id"]), 200)
            assert (authorized["status"], authorized["provider"]) == ("AUTHORIZED", "stripe")
            assert authorized["transactionId"].startswith("pi_")
            captured = json_of(await at.api.capture(payment["id"], 600), 200)
            assert (captured["status"], captured["amountCaptured"]) == ("CAPTURED", 600)
            assert json_of(await at.api.act(payment["id"], "complete"), 200)["status"] == "COMPLETED"
            assert at.total("captured") == 600
            assert (await at.service.fetch(CLEARING))[0]["moved"] == 600

    async def test_a_customer_is_sent_to_the_bank_and_comes_back(self, serve: Serve) -> None:
        async with shop(serve) as at:
            added = await at.card("4000002760003184")
            assert added["verificationStatus"] == "REQUIRES_ACTION"
            assert added["nextAction"]["url"].startswith("http")
            again = json_of(await at.api.call("POST", f"{METHODS}/{added['id']}/verify", {}), 200)
            assert again["verificationStatus"] == "REQUIRES_ACTION"
            await at.authenticate(await _setup_intent(at))
            verified = json_of(await at.api.call("POST", f"{METHODS}/{added['id']}/verify", {}), 200)
            assert (verified["verificationStatus"], verified["nextAction"]) == ("VERIFIED", None)
            payment = await at.payment(added)
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            assert asked["status"] == "REQUIRES_ACTION"
            await at.authenticate(asked["transactionId"])
            assert json_of(await at.api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"
            assert json_of(await at.api.capture(payment["id"]), 200)["status"] == "CAPTURED"
            assert at.total("captured") == 1_000

    async def test_a_declined_card_is_not_kept(self, serve: Serve) -> None:
        async with shop(serve) as at:
            refused = problem_of(await at.add_card("4000000000009995"), 402, "payment_method_declined")
            assert (refused["declineCode"], refused["isRetryable"]) == ("insufficient_funds", True)
            assert refused["advice"]
            assert (await at.service.row_counts())["payment_methods"] == 0

    async def test_a_card_that_pays_no_more_is_declined(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.payment(await at.card("4000000000000341"))
            refused = problem_of(await at.api.authorize(payment["id"]), 402, "payment_declined")
            assert refused["paymentStatus"] == "FAILED"
            assert at.total("captured") == at.total("authorized") == 0

    async def test_a_removed_card_is_given_up_at_stripe(self, serve: Serve) -> None:
        async with shop(serve) as at:
            method = await at.card()
            json_of(await at.api.call("DELETE", f"{METHODS}/{method['id']}"), 200)
            assert await at.service.run_jobs() == 1
            assert [c for c in at.simulator.calls if c.operation.endswith("/detach")]
            shown = json_of(await at.api.get(f"{METHODS}/{method['id']}"), 200)
            assert (shown["status"], shown["providers"]) == ("REMOVED", [])

    async def test_what_stripe_knows_anew_is_taken_over(self, serve: Serve) -> None:
        async with shop(serve) as at:
            method = await at.card()
            world: Any = at.simulator.provider
            (stored,) = (held for held in world.world.objects.values() if held["object"] == "payment_method")
            stored["card"] |= {"exp_year": 2039, "last4": "1111"}
            renewed = json_of(await at.api.call("POST", f"{METHODS}/{method['id']}/refresh", {}), 200)
            assert (renewed["card"]["expYear"], renewed["card"]["last4"]) == (2039, "1111")


class TestFaults:
    async def test_time_outs_after_the_effect_charge_nobody_twice(self, serve: Serve) -> None:
        """400 of them: none is called failed, none is charged twice, all are resolved."""
        count, amount = 400, 1_000
        settings: dict[str, Any] = {"provider_timeout_seconds": 30, "provider_breaker_failures": 0}
        async with shop(serve, **settings) as at:
            at.faults.timeout_seconds = 0.5
            method = await at.card()
            payments = await _all(
                [lambda: at.payment(method, amount=amount, captureMethod="AUTOMATIC") for _ in range(count)]
            )
            at.faults.plan(Kind.TIMEOUT_AFTER_EFFECT, on="POST /v1/payment_intents", times=count)
            answers = await _all([lambda p=p: at.api.authorize(p["id"]) for p in payments])
            assert {answer.status_code for answer in answers} <= {200, 202}
            late = sum(answer.status_code == 202 for answer in answers)
            assert late >= count * 9 // 10
            assert at.total("captured") == count * amount
            for _ in range(20):
                at.service.clock.advance(minutes=20)
                await at.service.run_jobs()
                left = await at.service.fetch("select count(*) from payments where status <> 'CAPTURED'")
                if left[0][0] == 0:
                    break
            assert left[0][0] == 0
            assert at.total("captured") == count * amount
            assert (await at.service.fetch(CLEARING))[0]["moved"] == count * amount

    async def test_a_wrong_amount_is_never_booked(self, serve: Serve) -> None:
        async with shop(serve, inquiry_on_read_after_seconds=600) as at:  # longer than the test takes
            payment = await at.payment(await at.card())
            at.faults.plan(Kind.WRONG_AMOUNT, on="POST /v1/payment_intents", times=1)
            assert (await at.api.authorize(payment["id"])).status_code == 202
            assert (await at.api.show(payment["id"]))["status"] == "PROCESSING"

    async def test_429_is_obeyed(self, serve: Serve) -> None:
        """After a 429 with Retry-After nobody calls until then, whatever he wants."""
        async with shop(serve) as at:
            method = await at.card()
            payments = [await at.payment(method) for _ in range(4)]
            at.faults.retry_after_seconds = 5
            at.faults.plan(Kind.TOO_MANY_REQUESTS, on="POST /v1/payment_intents", times=1)
            refused = await at.api.authorize(payments[0]["id"])
            problem_of(refused, 503, "provider_unavailable")
            assert 1 <= int(refused.headers["retry-after"]) <= 5
            calls = len(at.simulator.calls)
            others = await _all([lambda p=p: at.api.authorize(p["id"]) for p in payments[1:]])
            assert {answer.status_code for answer in others} == {503}
            assert len(at.simulator.calls) == calls
            await asyncio.sleep(5.1)
            assert json_of(await at.api.authorize(payments[0]["id"]), 200)["status"] == "AUTHORIZED"


async def _all(calls: list[Any], at_once: int = 40) -> list[Any]:
    gate = asyncio.Semaphore(at_once)

    async def one(call: Any) -> Any:
        async with gate:
            return await call()

    return list(await asyncio.gather(*(one(call) for call in calls)))


async def _setup_intent(at: Any) -> str:
    rows = await at.service.fetch("select verification ->> 'reference' as reference from payment_methods")
    return str(rows[0]["reference"])
