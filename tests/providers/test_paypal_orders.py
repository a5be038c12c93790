"""Payments at PayPal beyond the contract of every adapter: approvals, cards, several captures, and keys that PayPal has
forgotten.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Capture,
    Card,
    Declined,
    Instrument,
    MethodType,
    Outcome,
    Pending,
    Refund,
    Unavailable,
    Unknown,
    Void,
    Wallet,
)
from simulators.kit.faults import Kind
from tests.providers.contract.harness_paypal import Shared, sharing
from tests.support.logs import logged

ORDERS = "POST /v2/checkout/orders"


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    async with sharing() as opened:
        yield opened


def wallet(token: str | None = "paypal-approved") -> Instrument:
    return Instrument("pm_ours", MethodType.DIGITAL_WALLET, token=token)


def card(holder: str, number: str = "4111111111111111") -> Instrument:
    return Instrument("pm_ours", MethodType.CARD, card=Card(number, 1, 2030, holder, "123"))


def authorization(shared: Shared, instrument: Instrument, **others: Any) -> Authorization:
    usual = {"amount": 5000, "currency": "USD", "capture": False}
    key = str(uuid4())
    return Authorization(key=key, payment_id="pay_1", instrument=instrument, asked_at=shared.now(), **usual | others)


def capture(shared: Shared, reference: str, amount: int, *, is_final: bool = False) -> Capture:
    key = str(uuid4())
    return Capture(
        key=key, reference=reference, amount=amount, currency="USD", is_final=is_final, asked_at=shared.now()
    )


def refund(shared: Shared, reference: str, amount: int) -> Refund:
    key = str(uuid4())
    return Refund(key=key, reference=reference, amount=amount, currency="USD", asked_at=shared.now())


async def paid(shared: Shared, **others: Any) -> str:
    outcome = await shared.adapter.execute(authorization(shared, wallet(), **others))
    assert isinstance(outcome, Approved), outcome
    return outcome.reference


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


class TestApproval:
    async def test_by_the_payer_then_paid(self, shared: Shared) -> None:
        asked = await shared.adapter.execute(authorization(shared, wallet(None), capture=True))
        assert isinstance(asked, ActionRequired)
        request = authorization(shared, wallet(None), capture=True, reference=asked.reference)
        assert await shared.adapter.execute(request) == asked  # nobody was there yet
        await shared.visit(asked.next_action["url"])
        outcome = await shared.adapter.execute(request)
        assert isinstance(outcome, Approved) and outcome.reference == asked.reference
        assert await shared.adapter.execute(request) == await shared.adapter.inquire(request) == outcome
        assert shared.simulator.books.total("capture", "USD") == 5000

    async def test_of_another_amount_is_not_paid(self, shared: Shared) -> None:
        asked = await shared.adapter.execute(authorization(shared, wallet(None), amount=4000))
        assert isinstance(asked, ActionRequired)
        await shared.visit(asked.next_action["url"])
        request = authorization(shared, wallet(None), reference=asked.reference)
        assert code(await shared.adapter.execute(request)) == "processing_error"
        assert not shared.simulator.books.entries

    async def test_that_nobody_was_sent_to_is_certainly_not_done(self, shared: Shared) -> None:
        shared.simulator.faults.plan(Kind.TIMEOUT_AFTER_EFFECT, on=ORDERS)
        shared.simulator.faults.timeout_seconds = 0.05
        request = authorization(shared, wallet(None))
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.advance(timedelta(hours=7))
        assert isinstance(await shared.adapter.inquire(request), Unavailable)

    async def test_of_days_ago_has_ended(self, shared: Shared) -> None:
        asked = await shared.adapter.execute(authorization(shared, wallet(None)))
        assert isinstance(asked, ActionRequired)
        shared.advance(timedelta(days=4))
        outcome = await shared.adapter.execute(authorization(shared, wallet(None), reference=asked.reference))
        assert code(outcome) == "authorization_expired"


class TestMethods:
    @pytest.mark.parametrize(
        "holder,decline_code",
        [
            ("CCREJECT-IF", "insufficient_funds"),
            ("CCREJECT-EC", "expired_card"),
            ("CCREJECT-SF", "fraudulent"),
            ("CCREJECT-LS", "stolen_card"),
            ("CCREJECT-CVV_F", "incorrect_cvc"),
            ("CCREJECT-REFUSED", "do_not_honor"),
            ("CCREJECT-BANK_ERROR", "generic_decline"),
        ],
    )
    async def test_a_card_that_its_bank_declines(self, shared: Shared, holder: str, decline_code: str) -> None:
        assert code(await shared.adapter.execute(authorization(shared, card(holder)))) == decline_code
        taken = await shared.adapter.execute(authorization(shared, card(holder), capture=True))
        assert code(taken) == decline_code
        assert not shared.simulator.books.entries

    async def test_a_card_by_its_number(self, shared: Shared) -> None:
        outcome = await shared.adapter.execute(authorization(shared, card("Grace Hopper")))
        assert isinstance(outcome, Approved) and outcome.expires_at is not None

    async def test_a_card_that_asks_for_3d_secure(self, shared: Shared) -> None:
        challenged = card("Grace Hopper", "4000000000001091")
        asked = await shared.adapter.execute(authorization(shared, challenged))
        assert isinstance(asked, ActionRequired)
        await shared.visit(asked.next_action["url"])
        outcome = await shared.adapter.execute(authorization(shared, challenged, reference=asked.reference))
        assert isinstance(outcome, Approved)

    @pytest.mark.parametrize(
        "instrument,decline_code",
        [
            (wallet("never-vaulted"), "method_revoked"),
            (wallet("card-approved"), "method_revoked"),
            (wallet("paypal-cannot-pay"), "payer_cannot_pay"),
            (wallet("paypal-refused"), "do_not_honor"),
            (Instrument("pm", MethodType.CARD), "method_revoked"),
            (Instrument("pm", MethodType.DIGITAL_WALLET, wallet=Wallet("APPLE_PAY", "t")), "card_not_supported"),
            (Instrument("pm", MethodType.BANK_ACCOUNT, token="t"), "card_not_supported"),
        ],
    )
    async def test_what_cannot_pay(self, shared: Shared, instrument: Instrument, decline_code: str) -> None:
        assert code(await shared.adapter.execute(authorization(shared, instrument))) == decline_code

    @pytest.mark.parametrize("is_captured", [False, True])
    async def test_what_is_pending_is_found_later(self, shared: Shared, is_captured: bool) -> None:
        request = authorization(shared, wallet("paypal-pending"), capture=is_captured)
        assert await shared.adapter.execute(request) == Pending()
        assert isinstance(await shared.adapter.inquire(request), Approved)

    @pytest.mark.parametrize("currency,amount,written", [("JPY", 500, "500"), ("HUF", 120_000, "1200")])
    async def test_currencies_without_decimals(self, shared: Shared, currency: str, amount: int, written: str) -> None:
        outcome = await shared.adapter.execute(authorization(shared, wallet(), currency=currency, amount=amount))
        assert isinstance(outcome, Approved)
        assert shared.simulator.books.total("authorization", currency) == amount
        refused = await shared.adapter.execute(authorization(shared, wallet(), currency="HUF", amount=120_050))
        assert code(refused) == "currency_not_supported"
        assert shared.adapter.accepts(currency) and not shared.adapter.accepts("KWD")


class TestSteps:
    async def test_a_capture_that_the_bank_declines(self, shared: Shared) -> None:
        request = authorization(shared, wallet("paypal-capture-declined"))
        outcome = await shared.adapter.execute(request)
        assert isinstance(outcome, Approved)
        step = capture(shared, outcome.reference, 5000)
        assert code(await shared.adapter.execute(step)) == "capture_declined"
        assert code(await shared.adapter.inquire(step)) == "capture_declined"

    async def test_a_void_after_a_part_was_taken(self, shared: Shared) -> None:
        reference = await paid(shared)
        assert isinstance(await shared.adapter.execute(capture(shared, reference, 2000)), Approved)
        void = Void(str(uuid4()), reference, shared.now())
        assert isinstance(await shared.adapter.execute(void), Approved)
        assert shared.simulator.books.total("void", "USD") == 3000
        assert code(await shared.adapter.execute(capture(shared, reference, 1000))) == "already_voided"

    async def test_a_void_of_what_was_taken(self, shared: Shared) -> None:
        taken_at_once, taken_later = await paid(shared, capture=True), await paid(shared)
        await shared.adapter.execute(capture(shared, taken_later, 5000, is_final=True))
        for reference in (taken_at_once, taken_later):
            outcome = await shared.adapter.execute(Void(str(uuid4()), reference, shared.now()))
            assert code(outcome) == "already_captured"

    async def test_an_authorization_that_has_expired(self, shared: Shared) -> None:
        reference = await paid(shared)
        shared.advance(timedelta(days=30))
        assert code(await shared.adapter.execute(capture(shared, reference, 5000))) == "authorization_expired"

    async def test_of_an_order_that_nobody_knows(self, shared: Shared) -> None:
        assert code(await shared.adapter.execute(capture(shared, "O0", 5000))) == "processing_error"
        assert isinstance(await shared.adapter.inquire(refund(shared, "O0", 5000)), Unknown)


class TestRefund:
    async def test_goes_over_several_captures(self, shared: Shared) -> None:
        reference = await paid(shared)
        for amount in (2000, 3000):
            await shared.adapter.execute(capture(shared, reference, amount))
        first = await shared.adapter.execute(refund(shared, reference, 1500))
        second = await shared.adapter.execute(refund(shared, reference, 3000))
        assert isinstance(first, Approved) and isinstance(second, Approved) and second.step_reference is not None
        assert len(second.step_reference.split(",")) == 2
        refunded = [
            [part.amount for part in taken.refunds] for taken in shared.simulator.orders.by_id[reference].captures
        ]
        assert refunded == [[1500, 500], [2500]]
        assert code(await shared.adapter.execute(refund(shared, reference, 501))) == "amount_not_refundable"

    @pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER_EFFECT, Kind.TIMEOUT_BEFORE_EFFECT, Kind.TOO_MANY_REQUESTS])
    async def test_whose_second_part_was_lost_is_finished_by_an_inquiry(self, shared: Shared, kind: Kind) -> None:
        reference = await paid(shared)
        for amount in (2000, 3000):
            await shared.adapter.execute(capture(shared, reference, amount))
        second = shared.simulator.orders.by_id[reference].captures[1].id
        shared.simulator.faults.plan(kind, on=f"POST .*/{second}/refund")
        shared.simulator.faults.timeout_seconds = 0.05
        request = refund(shared, reference, 4000)
        assert isinstance(await shared.adapter.execute(request), Unknown)
        outcome = await shared.adapter.inquire(request)
        assert isinstance(outcome, Approved)
        assert await shared.adapter.execute(request) == outcome
        assert shared.simulator.books.total("refund", "USD") == 4000

    async def test_whose_second_part_is_refused_is_for_people(self, shared: Shared) -> None:
        reference = await paid(shared)
        for amount in (2000, 3000):
            await shared.adapter.execute(capture(shared, reference, amount))
        second = shared.simulator.orders.by_id[reference].captures[1].id
        shared.simulator.faults.plan(Kind.DECLINE, on=f"POST .*/{second}/refund")
        with capture_logs() as logs:
            outcome = await shared.adapter.execute(refund(shared, reference, 4000))
        assert isinstance(outcome, Unknown)
        assert [line["log_level"] for line in logs if line["event"] == "paypal.refund_in_part"] == ["critical"]

    async def test_of_which_paypal_tells_two_tales_goes_no_further(self, shared: Shared) -> None:
        reference = await paid(shared)
        for amount in (2000, 3000):
            await shared.adapter.execute(capture(shared, reference, amount))
        second = shared.simulator.orders.by_id[reference].captures[1].id
        shared.simulator.faults.plan(Kind.TOO_MANY_REQUESTS, on=f"POST .*/{second}/refund")
        request = refund(shared, reference, 4000)
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.simulator.faults.plan(Kind.WRONG_AMOUNT, on="GET /v2/checkout/orders/.*")
        assert isinstance(await shared.adapter.inquire(request), Unknown)
        assert shared.simulator.books.total("refund", "USD") == 2000
        assert isinstance(await shared.adapter.inquire(request), Approved)
        assert shared.simulator.books.total("refund", "USD") == 4000

    async def test_that_paypal_refuses(self, shared: Shared) -> None:
        reference = await paid(shared, capture=True)
        shared.simulator.faults.plan(Kind.DECLINE, on="POST .*/refund")
        assert code(await shared.adapter.execute(refund(shared, reference, 100))) == "refund_declined"


class TestMemory:
    """PayPal forgets the key of an order after 6 hours, of captures and refunds after 45 days."""

    async def lost(self, shared: Shared, kind: Kind, **others: Any) -> Authorization:
        shared.simulator.faults.plan(kind, on=ORDERS)
        shared.simulator.faults.timeout_seconds = 0.05
        request = authorization(shared, wallet(), **others)
        assert isinstance(await shared.adapter.execute(request), Unknown)
        return request

    @pytest.mark.parametrize("is_captured", [False, True])
    async def test_an_order_of_yesterday_is_found_in_the_report(self, shared: Shared, is_captured: bool) -> None:
        request = await self.lost(shared, Kind.TIMEOUT_AFTER_EFFECT, capture=is_captured)
        shared.advance(timedelta(days=1))
        outcome = await shared.adapter.inquire(request)
        assert isinstance(outcome, Approved) and outcome.reference in shared.simulator.orders.by_id
        assert len(shared.simulator.books.entries) == 1

    async def test_an_order_that_is_not_in_the_report_was_never_made(self, shared: Shared) -> None:
        request = await self.lost(shared, Kind.TIMEOUT_BEFORE_EFFECT)
        shared.advance(timedelta(days=1))
        assert isinstance(await shared.adapter.inquire(request), Unavailable)
        assert not shared.simulator.books.entries

    async def test_a_report_that_is_not_complete_tells_nothing(
        self, shared: Shared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request = await self.lost(shared, Kind.TIMEOUT_BEFORE_EFFECT)
        shared.advance(timedelta(hours=8))
        monkeypatch.setattr("simulators.paypal.reports.LAG_SECONDS", 9 * 3600)
        assert isinstance(await shared.adapter.inquire(request), Unknown)

    async def test_an_order_that_the_report_has_and_paypal_does_not_show_is_for_people(self, shared: Shared) -> None:
        request = await self.lost(shared, Kind.TIMEOUT_AFTER_EFFECT)
        shared.simulator.orders.by_id.clear()
        shared.advance(timedelta(days=1))
        assert isinstance(await shared.adapter.inquire(request), Unknown)

    async def test_an_order_that_comes_twice_is_paid_once(self, shared: Shared) -> None:
        request = authorization(shared, wallet(), capture=True)
        assert isinstance(await shared.adapter.execute(request), Approved)
        shared.advance(timedelta(hours=7))
        assert isinstance(await shared.adapter.execute(request), Unknown)  # the invoice_id stands against it
        assert isinstance(await shared.adapter.inquire(request), Approved)
        assert shared.simulator.books.total("capture", "USD") == 5000

    @pytest.mark.parametrize("kind,found", [("TIMEOUT_AFTER_EFFECT", Approved), ("TIMEOUT_BEFORE_EFFECT", Unavailable)])
    async def test_the_order_itself_tells_of_its_captures(
        self, shared: Shared, kind: str, found: type[Outcome]
    ) -> None:
        reference = await paid(shared)
        shared.simulator.faults.plan(kind, on="POST .*/capture")
        shared.simulator.faults.timeout_seconds = 0.05
        request = capture(shared, reference, 5000)
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.advance(timedelta(days=50))
        assert isinstance(await shared.adapter.inquire(request), found)

    @pytest.mark.parametrize("kind,found", [("TIMEOUT_AFTER_EFFECT", Approved), ("TIMEOUT_BEFORE_EFFECT", Unavailable)])
    async def test_and_of_its_refunds(self, shared: Shared, kind: str, found: type[Outcome]) -> None:
        reference = await paid(shared, capture=True)
        shared.simulator.faults.plan(kind, on="POST .*/refund")
        shared.simulator.faults.timeout_seconds = 0.05
        request = refund(shared, reference, 5000)
        assert isinstance(await shared.adapter.execute(request), Unknown)
        shared.advance(timedelta(days=50))
        assert isinstance(await shared.adapter.inquire(request), found)


async def test_an_answer_of_another_amount_calls_somebody(shared: Shared) -> None:
    first = authorization(shared, wallet())
    await shared.adapter.execute(first)
    with capture_logs() as logs:
        other = Authorization(first.key, "pay_1", 6000, "USD", wallet(), False, first.asked_at)
        assert isinstance(await shared.adapter.execute(other), Unknown)
    assert logged(logs, "paypal") == [("paypal.answer_differs", "critical")]
