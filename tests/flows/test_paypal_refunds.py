"""Refunds and disputes through PayPal's stand-in, with its webhooks, over HTTP."""

from pathlib import Path
from typing import Any

from bursar import wiring
from simulators.kit.faults import Kind
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.disputes import DISPUTES
from tests.support.paypal import PayPalShop, paypal_shop
from tests.support.refunds import REFUNDS, Desk

FEE = 2_000
CLEARING = "select coalesce(sum(amount), 0)::bigint as moved from postings where account = 'provider:paypal:clearing'"


async def agrees(at: PayPalShop) -> None:
    """Fail unless every invariant holds, and the clearing account is what the stand-in's books say."""
    books = at.there.books
    gone = sum(books.total(kind, "EUR") for kind in ("refund", "dispute", "dispute_fee"))
    assert (await at.service.fetch(CLEARING))[0]["moved"] == books.total("capture", "EUR") - gone
    async with at.service.connection() as connection:
        for check in wiring.INVARIANTS:
            found = await check(connection)
            assert not any(found.values()), found


async def refund_of(at: PayPalShop, payment: dict[str, Any]) -> dict[str, Any]:
    """The only refund of a payment."""
    rows = await at.service.fetch("select id from refunds where payment_id = $1", payment["id"])
    assert len(rows) == 1
    return dict(json_of(await at.api.get(f"{REFUNDS}/{rows[0]['id']}"), 200))


async def dispute_of(at: PayPalShop, payment: dict[str, Any]) -> dict[str, Any]:
    """The only dispute of a payment."""
    told = json_of(await at.service.api.as_("risk").get(f"{DISPUTES}/payment/{payment['id']}"), 200)["data"]
    assert len(told) == 1, told
    return dict(told[0])


class TestRefunds:
    async def test_a_lost_answer_is_settled_by_the_webhook(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment, desk = await at.captured(), Desk(at.service)
            at.there.faults.plan(Kind.RESET, on="POST /v2/payments/captures/[^/]+/refund", times=1)
            refund = await desk.asked(payment["id"], 400)
            assert json_of(await desk.act(refund["id"], "process"), 202)["status"] == "PROCESSING"
            await at.service.fetch("update jobs set run_at = run_at + interval '1 day' where kind like 'refund.%'")
            await at.hear()
            assert (await desk.show(refund["id"]))["status"] == "COMPLETED"
            assert at.there.books.total("refund", "EUR") == 400
            await agrees(at)

    async def test_one_that_takes_days_ends_as_paypal_says(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            desk = Desk(at.service)
            for status, expected in (("COMPLETED", "COMPLETED"), ("FAILED", "FAILED")):
                payment = await at.captured(token="paypal-refund-pending")
                refund = await desk.asked(payment["id"], 400)
                assert json_of(await desk.act(refund["id"], "process"), 202)["status"] == "PROCESSING"
                (there,) = at.there.orders.by_id[payment["transactionId"]].captures[0].refunds
                await at.there_is(f"refunds/{there.id}/decision", status=status)
                at.service.clock.advance(minutes=2)
                await at.hear()
                assert (await desk.show(refund["id"]))["status"] == expected
                await agrees(at)

    async def test_one_that_fails_later_is_reversed(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment, desk = await at.captured(), Desk(at.service)
            refund = await desk.refunded(payment["id"], 400)
            await at.hear()
            await at.there_is(f"refunds/{refund['providerReference']}/decision", status="FAILED")
            await at.hear()
            assert (await desk.show(refund["id"]))["status"] == "FAILED"
            assert (await at.api.show(payment["id"]))["amountRefunded"] == 0
            await agrees(at)

    async def test_one_made_on_paypals_site_is_followed(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment = await at.captured()
            made = await at.there_is("refunds", capture_id=at.capture_id(payment), amount=300)
            await at.hear()
            refund = await refund_of(at, payment)
            assert (refund["status"], refund["amount"], refund["providerReference"]) == ("COMPLETED", 300, made["id"])
            await at.there_is(f"refunds/{made['id']}/decision", status="FAILED")
            await at.hear()
            assert (await refund_of(at, payment))["status"] == "FAILED"
            assert (await at.api.show(payment["id"]))["amountRefunded"] == 0
            await agrees(at)


class TestDisputes:
    async def test_a_chargeback_is_contested_and_won(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment = await at.captured()
            there = await at.there_is("disputes", capture_id=at.capture_id(payment), reason="UNAUTHORISED")
            await at.hear()
            dispute = await dispute_of(at, payment)
            assert (dispute["status"], dispute["amount"], dispute["feeAmount"]) == ("NEEDS_RESPONSE", 1_000, FEE)
            await agrees(at)
            risk = at.service.api.as_("risk")
            evidence = {"evidence": {"shipping_carrier": "DHL", "shipping_tracking_number": "JD0001"}}
            json_of(await risk.call("PUT", f"{DISPUTES}/{dispute['id']}/evidence", evidence), 200)
            json_of(await risk.call("POST", f"{DISPUTES}/{dispute['id']}/submit", {}), 200)
            assert at.there.disputes.by_id[there["dispute_id"]].evidences[0]["evidence_type"] == "PROOF_OF_FULFILLMENT"
            await at.there_is(f"disputes/{there['dispute_id']}/decision", outcome_code="RESOLVED_SELLER_FAVOUR")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "WON"
            await agrees(at)

    async def test_an_inquiry_is_an_alert_until_it_is_a_chargeback(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment = await at.captured()
            told = {"capture_id": at.capture_id(payment), "stage": "INQUIRY"}
            there = await at.there_is("disputes", **told)
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "ALERT"
            await agrees(at)
            await at.there_is(f"disputes/{there['dispute_id']}/decision", outcome_code="ESCALATED")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "NEEDS_RESPONSE"
            await agrees(at)
            await at.there_is(f"disputes/{there['dispute_id']}/decision", outcome_code="RESOLVED_BUYER_FAVOUR")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "LOST"
            await agrees(at)

    async def test_an_inquiry_that_ends_without_money_is_closed(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            payment = await at.captured()
            there = await at.there_is("disputes", capture_id=at.capture_id(payment), stage="INQUIRY")
            await at.there_is(f"disputes/{there['dispute_id']}/decision", outcome_code="CANCELED_BY_BUYER")
            await at.hear()
            assert (await dispute_of(at, payment))["status"] == "CLOSED"
            await agrees(at)
