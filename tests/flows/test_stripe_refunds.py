"""Refunds, disputes and fraud warnings through Stripe's stand-in, with its webhooks, over HTTP."""

from typing import Any

import pytest

from bursar import wiring
from simulators.kit.faults import Kind
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.disputes import DISPUTES
from tests.support.refunds import REFUNDS, Desk
from tests.support.stripe import Shop, shop
from tests.support.webhooks import HOOKS

FEE = 1_500
CLEARING = "select coalesce(sum(amount), 0)::bigint as moved from postings where account = 'provider:stripe:clearing'"


async def agrees(at: Shop) -> None:
    """Fail unless every invariant holds, and the clearing account is what the stand-in's books say, but for its fees
    of charges, which settlement reports tell.
    """
    fees = sum(entry.amount for entry in at.simulator.provider.books.of("fee") if abs(entry.amount) == FEE)
    theirs = at.total("captured") - at.total("refunded") - at.total("disputed") - fees
    assert (await at.service.fetch(CLEARING))[0]["moved"] == theirs
    async with at.service.connection() as connection:
        for check in wiring.INVARIANTS:
            found = await check(connection)
            assert not any(found.values()), found


async def refund_of(at: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """The only refund of a payment."""
    rows = await at.service.fetch("select id from refunds where payment_id = $1", payment["id"])
    assert len(rows) == 1
    return dict(json_of(await at.api.get(f"{REFUNDS}/{rows[0]['id']}"), 200))


async def dispute_of(at: Shop, payment: dict[str, Any]) -> dict[str, Any]:
    """The only dispute of a payment."""
    told = json_of(await at.service.api.as_("risk").get(f"{DISPUTES}/payment/{payment['id']}"), 200)["data"]
    assert len(told) == 1, told
    return dict(told[0])


class TestRefunds:
    async def test_are_made_once_and_its_webhooks_say_nothing_new(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment, desk = await at.captured(), Desk(at.service)
            refund = await desk.refunded(payment["id"], 400)
            assert (refund["status"], refund["providerReference"][:3]) == ("COMPLETED", "re_")
            await at.hear()
            assert await desk.show(refund["id"]) == refund
            assert (await at.api.show(payment["id"]))["amountRefunded"] == at.total("refunded") == 400
            told = json_of(await at.api.get(f"{HOOKS}/payment/{payment['id']}"), 200)["data"]
            types = {each["eventType"] for each in told if each["status"] == "PROCESSED"}
            assert types >= {"refund.created", "charge.refunded"}
            await agrees(at)

    async def test_a_lost_answer_is_settled_by_the_webhook(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment, desk = await at.captured(), Desk(at.service)
            at.listen()
            at.faults.plan(Kind.RESET, on="POST /v1/refunds", times=1)
            refund = await desk.asked(payment["id"], 400)
            assert json_of(await desk.act(refund["id"], "process"), 202)["status"] == "PROCESSING"
            await at.service.fetch("update jobs set run_at = run_at + interval '1 day' where kind like 'refund.%'")
            await at.hear()
            assert (await desk.show(refund["id"]))["status"] == "COMPLETED"
            assert at.total("refunded") == 400
            await agrees(at)

    async def test_one_that_takes_days_is_done_when_stripe_says_so(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment, desk = await at.captured("4000000000007726"), Desk(at.service)
            refund = await desk.asked(payment["id"])
            assert json_of(await desk.act(refund["id"], "process"), 202)["status"] == "PROCESSING"
            await at.hear()
            assert (await desk.show(refund["id"]))["status"] == "PROCESSING"
            await at.there_is("settle")
            await at.simulator.provider.webhooks.settled()
            at.service.clock.advance(minutes=2)
            await at.hear()
            assert (await desk.show(refund["id"]))["status"] == "COMPLETED"
            await agrees(at)

    async def test_one_that_the_bank_sends_back_is_reversed(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment, desk = await at.captured("4000000000005126"), Desk(at.service)
            refund = await desk.refunded(payment["id"], 400)
            await at.hear()
            await at.there_is("settle")
            await at.hear()
            shown = await desk.show(refund["id"])
            assert shown["status"] == "FAILED"
            assert (await desk.events(refund["id"]))[-1] == "refund.reversed"
            assert (await at.api.show(payment["id"]))["amountRefunded"] == at.total("refunded") == 0
            await agrees(at)

    async def test_one_made_in_the_dashboard_is_followed(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment = await at.captured()
            made = await at.in_dashboard("refunds", payment_intent=payment["transactionId"], amount="300")
            await at.hear()
            refund = await refund_of(at, payment)
            assert (refund["status"], refund["amount"], refund["providerReference"]) == ("COMPLETED", 300, made["id"])
            assert (await at.api.show(payment["id"]))["amountRefunded"] == 300
            statuses = await at.service.fetch("select event_type, status::text from webhooks where status <> 'IGNORED'")
            assert {row["status"] for row in statuses} == {"PROCESSED"}, statuses
            await agrees(at)

    async def test_a_dry_run_tells_what_would_be_learnt(self, serve: Serve) -> None:
        async with shop(serve) as at:
            payment = await at.captured()
            await at.in_dashboard("refunds", payment_intent=payment["transactionId"], amount="300")
            event = at.simulator.provider.world.all("event")[-2]
            assert event["type"] == "refund.created"
            admin = at.service.api.as_("admin")
            body = {"provider": "stripe", "eventId": event["id"], "eventType": event["type"], "payload": event}
            webhook = json_of(await at.api.call("POST", HOOKS, body), 202)
            at.faults.plan(Kind.RESET, on="GET /v1/refunds/.*", times=1)
            await at.hear()
            assert json_of(await at.api.get(f"{HOOKS}/{webhook['id']}"), 200)["status"] == "FAILED"
            told = json_of(await admin.call("POST", f"{HOOKS}/auto-retry", {"dryRun": True}), 200)
            assert [row["would"] for row in told["webhooks"]] == [
                "a refund of 300 that was made at the provider would be booked"
            ]
            assert await at.service.fetch("select id from refunds") == []


class TestDisputes:
    async def test_is_contested_and_won(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment = await at.captured("4000000000000259")
            await at.hear()
            dispute = await dispute_of(at, payment)
            assert (dispute["status"], dispute["amount"], dispute["reason"]) == ("NEEDS_RESPONSE", 1_000, "FRAUDULENT")
            assert dispute["feeAmount"] == FEE and (await at.api.show(payment["id"]))["disputeStatus"]
            await agrees(at)
            risk = at.service.api.as_("risk")
            evidence = {"evidence": {"uncategorized_text": "winning_evidence"}}
            json_of(await risk.call("PUT", f"{DISPUTES}/{dispute['id']}/evidence", evidence), 200)
            json_of(await risk.call("POST", f"{DISPUTES}/{dispute['id']}/submit", {}), 200)
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "WON"
            await agrees(at)

    async def test_is_accepted_and_lost(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment = await at.captured("4000000000002685")
            await at.hear()
            dispute = await dispute_of(at, payment)
            assert dispute["reason"] == "NOT_RECEIVED"
            finance = at.service.api.as_("finance")
            json_of(await finance.call("POST", f"{DISPUTES}/{dispute['id']}/accept", {}), 200)
            await at.hear()
            assert (await dispute_of(at, payment))["status"] in ("ACCEPTED", "LOST")
            await agrees(at)

    async def test_an_inquiry_is_an_alert_until_it_takes_money(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment = await at.captured("4000000000001976")
            await at.hear()
            dispute = await dispute_of(at, payment)
            assert dispute["status"] == "ALERT"
            await agrees(at)
            await at.there_is(f"disputes/{dispute['providerDisputeId']}", outcome="escalated")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "NEEDS_RESPONSE"
            await at.there_is(f"disputes/{dispute['providerDisputeId']}", outcome="lost")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "LOST"
            await agrees(at)

    async def test_a_fraud_warning_is_over_when_all_was_refunded(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            payment, desk = await at.captured("4000000000005423"), Desk(at.service)
            await at.hear()
            warning = await dispute_of(at, payment)
            assert (warning["status"], warning["providerDisputeId"][:6]) == ("ALERT", "issfr_")
            await desk.refunded(payment["id"])
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "CLOSED"
            await agrees(at)

    @pytest.mark.parametrize("outcome", ["won", "lost"])
    async def test_ends_as_stripe_says_whatever_order_its_events_come_in(self, serve: Serve, outcome: str) -> None:
        async with shop(serve) as at:
            payment = await at.captured("4000000000000259")
            (there,) = at.simulator.provider.world.all("dispute")
            await at.there_is(f"disputes/{there['id']}", outcome=outcome)
            hooks = at.listen()
            events = [each for each in at.simulator.provider.world.all("event") if "dispute" in each["type"]]
            for event in [*reversed(events), *events]:
                hooks.emit(event["id"], event["type"], dict(event))
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == outcome.upper()
            await agrees(at)
