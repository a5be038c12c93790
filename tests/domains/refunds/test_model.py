"""The tables of a refund's and a batch's life, what an approval consents to, what requests are refused, what readers
see.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bursar.domains.refunds.model import (
    ACTIONS,
    BATCH_MACHINE,
    MACHINE,
    BatchStatus,
    Reason,
    Refund,
    Status,
    digest_of,
)
from bursar.domains.refunds.schemas import (
    HIDDEN,
    CreateBatch,
    CreateRefund,
    RefundView,
    render,
    render_for_customer,
)
from bursar.domains.transactions.shares import Share
from bursar.kit.errors import InvalidTransition

NOW = datetime(2026, 3, 1, tzinfo=UTC)
S = Status
ID = "019b7966-e200-7000-8000-0000000000e1"

LEADS_TO: dict[tuple[Status, str], tuple[Status, str]] = {
    (S.PENDING_APPROVAL, "give_approval"): (S.PENDING_APPROVAL, "refund.approval_given"),
    (S.PENDING_APPROVAL, "approve"): (S.APPROVED, "refund.approved"),
    (S.PENDING_APPROVAL, "reject"): (S.REJECTED, "refund.rejected"),
    (S.PENDING_APPROVAL, "cancel"): (S.CANCELLED, "refund.cancelled"),
    (S.APPROVED, "process"): (S.PROCESSING, "refund.processing"),
    (S.APPROVED, "cancel"): (S.CANCELLED, "refund.cancelled"),
    (S.APPROVED, "fail"): (S.FAILED, "refund.failed"),
    (S.PROCESSING, "wait"): (S.PROCESSING, "refund.outcome_unknown"),
    (S.PROCESSING, "undo"): (S.APPROVED, "refund.not_done"),
    (S.PROCESSING, "complete"): (S.COMPLETED, "refund.completed"),
    (S.PROCESSING, "fail"): (S.FAILED, "refund.failed"),
    (S.COMPLETED, "reverse"): (S.FAILED, "refund.reversed"),
}
"""Said here once more, so that a change of the table is meant."""

ALLOWED: dict[Status, list[str]] = {
    S.PENDING_APPROVAL: ["approve", "cancel", "reject"],
    S.APPROVED: ["cancel", "fail", "process"],
    S.PROCESSING: ["complete", "fail"],
    S.COMPLETED: [],
    S.REJECTED: [],
    S.FAILED: [],
    S.CANCELLED: [],
}

SHARES = (Share("t", 0, "v-1", 60, 6, 54), Share("t", 1, "v-2", 30, 0, 30, commission_kept=3))


def refund(status: Status = S.APPROVED, **changes: Any) -> Refund:
    fields = {
        "id": ID,
        "version": 3,
        "refund_number": "RFD-1",
        "payment_id": "p",
        "order_id": "o",
        "customer_id": "c",
        "amount": 100,
        "currency": "EUR",
        "reason": Reason.OTHER,
        "status": status,
        "requested_by": "ann",
        "requester_roles": ("service",),
        "approvals_needed": 0,
        "approvals": (),
        "approval_rule": "rule 1",
        "content_digest": "0" * 64,
        "shares": SHARES,
        "amount_unallocated": 10,
        "keeps_commission": False,
        "processes_itself": False,
        "is_foreign": False,
        "is_unknown": False,
        "refund_transaction_id": "r",
        "provider": "sandbox",
        "metadata": {"note": "x"},
        "created_at": NOW,
        "updated_at": NOW,
        "attempt_id": ID,
    }
    return Refund(**{**fields, **changes})


class TestTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", sorted({*ACTIONS, *(action for _, action in LEADS_TO)}))
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        before, later = refund(status), NOW + timedelta(hours=1)
        if (status, action) in LEADS_TO:
            after, event = MACHINE.advance(before, action, later)
            assert (after.status, event) == LEADS_TO[status, action]
            assert (after.version, after.updated_at) == (4, later)
        else:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(before, action, later)
            assert refused.value.context == {"state": str(status), "allowed": ALLOWED[status]}

    def test_has_no_other_edge(self) -> None:
        assert {(edge.source, edge.action): (edge.target, edge.event) for edge in MACHINE.edges} == LEADS_TO

    def test_of_a_batch(self) -> None:
        running = BatchStatus.RUNNING
        assert {(edge.source, edge.action): (edge.target, edge.event) for edge in BATCH_MACHINE.edges} == {
            (running, "progress"): (running, "refund_batch.progressed"),
            (running, "complete"): (BatchStatus.COMPLETED, "refund_batch.completed"),
        }

    @pytest.mark.parametrize("status", Status)
    def test_only_a_refund_in_processing_has_an_open_attempt(self, status: Status) -> None:
        assert refund(status).open_attempt_id == (ID if status is S.PROCESSING else None)


CONTENT: dict[str, Any] = {
    "payment_id": "p",
    "amount": 100,
    "currency": "EUR",
    "reason": Reason.OTHER,
    "reason_detail": None,
    "shares": SHARES,
    "amount_unallocated": 10,
}


class TestDigest:
    def test_is_of_the_content(self) -> None:
        assert digest_of(**CONTENT) == digest_of(**CONTENT) and len(digest_of(**CONTENT)) == 64

    @pytest.mark.parametrize(
        "name, other",
        [
            ("payment_id", "q"),
            ("amount", 101),
            ("currency", "USD"),
            ("reason", Reason.DUPLICATE),
            ("reason_detail", "because"),
            ("shares", SHARES[:1]),
            ("amount_unallocated", 11),
        ],
    )
    def test_is_another_one_of_another_content(self, name: str, other: Any) -> None:
        assert digest_of(**{**CONTENT, name: other}) != digest_of(**CONTENT)


def faults(model: type[CreateRefund] | type[CreateBatch], body: dict[str, Any]) -> set[tuple[str, str]]:
    try:
        model.model_validate_json(msgspec.json.encode(body))
    except ValidationError as error:
        return {(".".join(map(str, fault["loc"])), fault["type"]) for fault in error.errors()}
    return set()


REQUEST: dict[str, Any] = {"paymentId": ID, "reason": "OTHER"}


class TestRequests:
    def test_a_sound_one(self) -> None:
        shares = [{"vendorId": "v-1", "amount": 60}, {"vendorId": "v-2", "amount": 40}]
        assert faults(CreateRefund, {**REQUEST, "amount": 100, "allocations": shares}) == set()
        read = CreateRefund.model_validate({**REQUEST, "reason": Reason.OTHER, "allocations": shares})
        assert read.by_vendor == {"v-1": 60, "v-2": 40}

    @pytest.mark.parametrize(
        "body, fault",
        [
            ({"amount": 0}, ("amount", "greater_than_equal")),
            ({"amount": 1.5}, ("amount", "int_type")),
            ({"amount": 10**12 + 1}, ("amount", "less_than_equal")),
            ({"reason": "WHIM"}, ("reason", "enum")),
            ({"paymentId": "p"}, ("paymentId", "string_pattern_mismatch")),
            ({"allocations": []}, ("allocations", "too_short")),
            ({"amount": 5, "allocations": [{"vendorId": "v", "amount": 4}]}, ("allocations", "allocations_do_not_sum")),
            ({"allocations": [{"vendorId": "v", "amount": 4}] * 2}, ("allocations", "duplicate")),
            ({"approvals": 0}, ("approvals", "extra_forbidden")),
        ],
    )
    def test_what_cannot_be_asked_for(self, body: dict[str, Any], fault: tuple[str, str]) -> None:
        assert faults(CreateRefund, {**REQUEST, **body}) == {fault}

    def test_every_fault_is_told_at_once(self) -> None:
        body = {"reason": "WHIM", "amount": -1, "paymentId": ID, "sender": "x"}
        assert {field for field, _ in faults(CreateRefund, body)} == {"reason", "amount", "sender"}

    @pytest.mark.parametrize(
        "item, is_sound",
        [
            ({"orderId": "o-1"}, True),
            ({"paymentId": ID, "amount": 5}, True),
            ({}, False),
            ({"orderId": "o-1", "paymentId": ID}, False),
        ],
    )
    def test_an_item_of_a_batch_names_one_thing(self, item: dict[str, Any], is_sound: bool) -> None:
        assert (faults(CreateBatch, {"reason": "OTHER", "items": [item]}) == set()) is is_sound

    @pytest.mark.parametrize("count, is_sound", [(0, False), (1, True), (1_000, True), (1_001, False)])
    def test_a_batch_has_a_limit(self, count: int, is_sound: bool) -> None:
        assert (faults(CreateBatch, {"reason": "OTHER", "items": [{"orderId": "o"}] * count}) == set()) is is_sound


class TestViews:
    def test_staff_see_all_of_it(self) -> None:
        shown = render(refund())
        assert shown["shares"][0] == {
            "transactionId": "t",
            "vendorId": "v-1",
            "categoryId": None,
            "grossAmount": 60,
            "commissionAmount": 6,
            "netAmount": 54,
            "commissionKept": 0,
        }
        assert (shown["commissionReturned"], shown["commissionKept"], shown["amountUnallocated"]) == (6, 3, 10)
        assert set(shown) == {field.alias for field in RefundView.model_fields.values()}

    def test_a_customer_sees_neither_vendors_nor_people(self) -> None:
        shown = render_for_customer(refund())
        assert shown.keys() == render(refund()).keys()
        assert {name for name, value in shown.items() if name in HIDDEN and value is not None} == set()
        assert (shown["amount"], shown["status"], shown["metadata"]) == (100, "APPROVED", {})
        text = msgspec.json.encode(shown).decode()
        assert "v-1" not in text and "ann" not in text
