"""The life of a webhook as a table, the waits between attempts, what events name, and how a payment catches up."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bursar.domains.payments import model as payments
from bursar.domains.payments.model import ProviderDisagrees, caught_up
from bursar.domains.webhooks.handlers import HANDLERS, find
from bursar.domains.webhooks.model import BACKOFF_MAX_SECONDS, BACKOFF_SECONDS, MACHINE, Status, Webhook, wait_seconds
from bursar.domains.webhooks.reading import NoEvent, named_in, read
from bursar.kit.errors import InvalidTransition
from bursar.providers.port import PaymentState
from tests.support.webhooks import stripe_event

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS = ["id", "type", "data", "object", "metadata", "created", "request", "resource", "links", "event_type"]
FIELDS += ["payment_intent", "customer", "purchase_units", "supplementary_data", "timestamp", "create_time"]
FIELDS += ["resource_type", "dispute_id", "refunds", "refund", "dispute"]
S = Status
LEADS_TO = {
    (S.RECEIVED, "process"): S.PROCESSED,
    (S.RECEIVED, "ignore"): S.IGNORED,
    (S.RECEIVED, "fail"): S.FAILED,
    (S.RECEIVED, "give_up"): S.DEAD_LETTER,
    (S.FAILED, "process"): S.PROCESSED,
    (S.FAILED, "ignore"): S.IGNORED,
    (S.FAILED, "fail"): S.FAILED,
    (S.FAILED, "give_up"): S.DEAD_LETTER,
    (S.FAILED, "retry"): S.RECEIVED,
    (S.DEAD_LETTER, "retry"): S.RECEIVED,
    (S.IGNORED, "retry"): S.RECEIVED,
}


def webhook(status: Status) -> Webhook:
    return Webhook("w-1", 3, "stripe", "evt_1", "x", status, 1, {}, NOW, NOW, NOW, NOW)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", ["process", "ignore", "fail", "give_up", "retry"])
def test_every_action_in_every_status(status: Status, action: str) -> None:
    target = LEADS_TO.get((status, action))
    if target is None:
        with pytest.raises(InvalidTransition):
            MACHINE.advance(webhook(status), action, NOW)
    else:
        after, event_type = MACHINE.advance(webhook(status), action, NOW)
        assert (after.status, after.version) == (target, 4) and event_type.startswith("webhook.")


@given(st.integers(1, 1_000))
def test_waits_grow_up_to_a_limit_and_differ(attempts: int) -> None:
    ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2 ** min(attempts - 1, 40))
    assert ceiling / 2 <= wait_seconds(attempts) <= ceiling
    assert len({wait_seconds(attempts) for _ in range(8)}) > 1


class TestHandlers:
    def test_each_does_something_or_says_why_not(self) -> None:
        for handler in HANDLERS:
            assert bool(handler.handle) == bool(handler.preview) == (not handler.ignored_because)

    @pytest.mark.parametrize(
        "provider, event_type, is_handled",
        [
            ("stripe", "payment_intent.succeeded", True),
            ("stripe", "payment_intent.created", False),
            ("stripe", "charge.refunded", True),
            ("stripe", "refund.failed", True),
            ("stripe", "charge.refund.updated", True),
            ("stripe", "charge.dispute.funds_withdrawn", True),
            ("stripe", "radar.early_fraud_warning.created", True),
            ("stripe", "setup_intent.succeeded", True),
            ("stripe", "setup_intent.created", False),
            ("stripe", "payout.paid", False),
            ("stripe", "payment_method.attached", False),
            ("stripe", "PAYMENT_INTENT.SUCCEEDED", False),
            ("paypal", "PAYMENT.CAPTURE.COMPLETED", True),
            ("paypal", "PAYMENT.CAPTURE.REFUNDED", True),
            ("paypal", "PAYMENT.REFUND.FAILED", True),
            ("paypal", "CUSTOMER.DISPUTE.CREATED", True),
            ("paypal", "PAYMENT.CAPTURE.REVERSED", False),
            ("sandbox", "dispute.updated", True),
            ("sandbox", "refund.updated", True),
            ("paypal", "payment_intent.succeeded", False),
            ("kyc", "check.verified", True),
            ("nobody", "check.verified", False),
        ],
    )
    def test_a_type_finds_its_handler(self, provider: str, event_type: str, is_handled: bool) -> None:
        found = find(provider, event_type)
        assert (found.handle is not None) is is_handled and bool(found.ignored_because) is not is_handled


class TestReading:
    def test_what_events_of_stripe_name(self) -> None:
        ours = "019b7966-e200-7000-8000-0000000000e1"
        intent = {"id": "pi_1", "object": "payment_intent", "metadata": {"bursar_key": "k", "bursar_payment": ours}}
        charge = {
            "id": "ch_1",
            "object": "charge",
            "payment_intent": {"id": "pi_1"},
            "metadata": {"bursar_payment": "x"},
        }
        held = {"id": "pm_1", "object": "payment_method", "customer": "cus_1"}
        given_up: dict[str, Any] = stripe_event("x", {**held, "customer": None})
        given_up["data"]["previous_attributes"] = {"customer": "cus_2"}
        caused = stripe_event("x", charge, request={"id": "req_1", "idempotency_key": "key"})
        for document, named in (
            (stripe_event("x", intent), {"reference": "pi_1", "key": "k", "payment": ours}),
            (caused, {"reference": "pi_1", "key": "key"}),
            (stripe_event("x", held), {"token": "pm_1:cus_1"}),
            (given_up, {"token": "pm_1:cus_2"}),
        ):
            assert named_in("stripe", document) == named
            assert read("stripe", {}, msgspec.json.encode(document)).named == named

    @pytest.mark.parametrize(
        "event_type, held, named",
        [
            (
                "refund.updated",
                {"id": "re_1", "object": "refund", "payment_intent": "pi_1", "metadata": {"bursar_key": "k"}},
                {"reference": "pi_1", "key": "k", "refund": "re_1"},
            ),
            (
                "charge.refunded",
                {"id": "ch_1", "object": "charge", "payment_intent": "pi_1", "metadata": {"bursar_key": "other"}},
                {"reference": "pi_1", "key": "cause"},
            ),
            (
                "charge.refunded",
                {"id": "ch_1", "object": "charge", "refunds": {"data": [{"id": "re_2"}, {"id": "re_1"}]}},
                {"key": "cause", "refund": "re_2"},
            ),
            (
                "charge.dispute.created",
                {"id": "dp_1", "object": "dispute", "payment_intent": "pi_1", "charge": "ch_1"},
                {"reference": "pi_1", "key": "cause", "dispute": "dp_1"},
            ),
            (
                "radar.early_fraud_warning.created",
                {"id": "issfr_1", "object": "radar.early_fraud_warning", "payment_intent": "pi_1"},
                {"reference": "pi_1", "key": "cause", "dispute": "issfr_1"},
            ),
            (
                "setup_intent.succeeded",
                {"id": "seti_1", "object": "setup_intent", "metadata": {"bursar_key": "k"}},
                {"key": "k", "verification": "seti_1"},
            ),
        ],
    )
    def test_what_refunds_disputes_and_verifications_of_stripe_name(
        self, event_type: str, held: dict[str, Any], named: dict[str, str]
    ) -> None:
        document = stripe_event(event_type, held, request={"id": "req_1", "idempotency_key": "cause"})
        assert named_in("stripe", document) == named

    @pytest.mark.parametrize(
        "kind, resource, named",
        [
            (
                "refund",
                {"id": "R1", "invoice_id": "key-CAP1", "custom_id": "019b7966-e200-7000-8000-0000000000e1"},
                {"key": "019b7966-e200-7000-8000-0000000000e1", "refund": "R1"},
            ),
            ("dispute", {"dispute_id": "PP-D-1", "reason": "UNAUTHORISED"}, {"dispute": "PP-D-1"}),
        ],
    )
    def test_what_refunds_and_disputes_of_paypal_name(
        self, kind: str, resource: dict[str, Any], named: dict[str, str]
    ) -> None:
        document = {"id": "WH-1", "event_type": "X", "resource_type": kind, "resource": resource}
        assert named_in("paypal", document) == named

    def test_what_events_of_the_sandbox_name(self) -> None:
        document = {"type": "dispute.updated", "data": {"dispute": "sbx_1_dispute_1"}}
        assert named_in("sandbox", document) == {"dispute": "sbx_1_dispute_1"}

    @given(
        provider=st.sampled_from(["stripe", "paypal", "kyc"]),
        document=st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.dictionaries(
                st.sampled_from(FIELDS),
                inner | st.lists(inner, max_size=2),
                max_size=6,
            ),
            max_leaves=12,
        ),
    )
    def test_any_document_is_an_event_or_none(self, provider: str, document: Any) -> None:
        try:
            event = read(provider, {}, msgspec.json.encode(document))
        except NoEvent:
            return
        assert event.id and event.type and all(event.named.values())


def payment(status: payments.Status, captured: int = 0, authorized: int = 100) -> payments.Payment:
    return payments.Payment(
        id="p-1", version=3, payment_number="PAY", order_id="o", customer_id="c", amount=authorized, currency="EUR",
        capture_method=payments.CaptureMethod.MANUAL, status=status, metadata={}, amount_authorized=authorized,
        amount_capturing=0, amount_captured=captured, amount_unallocated=captured, amount_refunding=0,
        amount_refunded=0, amount_disputed=0, is_capture_final=False, provider="stripe",
        attempts=(), asked_by=(), created_at=NOW, updated_at=NOW,
    )  # fmt: skip


class TestCatchingUp:
    @given(
        status=st.sampled_from(payments.Status),
        here=st.integers(0, 100),
        there=st.integers(0, 150),
        is_open=st.booleans(),
    )
    def test_amounts_only_grow_and_every_edge_is_there(
        self, status: payments.Status, here: int, there: int, is_open: bool
    ) -> None:
        possible = {payments.Status.AUTHORIZED: here == 0, payments.Status.PARTIALLY_CAPTURED: here > 0}
        assume(possible.get(status, True))
        before = payment(status, here)
        try:
            behind = caught_up(before, PaymentState(100, there, 0, is_open))
        except ProviderDisagrees:
            at_rest = status in (payments.Status.AUTHORIZED, payments.Status.PARTIALLY_CAPTURED)
            assert there < here or there > 100 or not at_rest
            return
        if behind is None:
            assert there == here
            return
        after, _ = payments.MACHINE.advance(before, behind[0], NOW, **behind[1])
        assert here <= after.amount_captured == there <= 100
        assert caught_up(after, PaymentState(100, there, 0, is_open)) is None
