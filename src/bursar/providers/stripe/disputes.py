"""Disputes, inquiries and early fraud warnings: how they stand, contested with evidence, or given up.

An inquiry (`warning_…`) and an early fraud warning take no money: both are alerts. All can be asked for again without
harm.
"""

from datetime import UTC, datetime
from typing import Any, Final

import stripe

from bursar.providers.declines import declined
from bursar.providers.port import (
    Approved,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeInspection,
    DisputeReason,
    DisputeState,
    DisputeStatus,
    Outcome,
)
from bursar.providers.stripe.answers import Charge, Dispute, FraudWarning, Garbage, read
from bursar.providers.stripe.calls import Calls, once
from bursar.providers.stripe.errors import Mismatch
from bursar.providers.stripe.money import from_stripe

GIVEN_UP: Final = frozenset({"lost", "warning_closed"})
WARNING_PREFIX: Final = "issfr_"
"""Ids of early fraud warnings begin so."""

STATUSES: Final[dict[str, DisputeStatus]] = {
    "warning_needs_response": DisputeStatus.ALERT,
    "warning_under_review": DisputeStatus.ALERT,
    "warning_closed": DisputeStatus.CLOSED,
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "charge_refunded": DisputeStatus.CLOSED,
    "prevented": DisputeStatus.CLOSED,
}
"""Source: docs.stripe.com/api/disputes/object; charge_refunded is of older API versions."""

REASONS: Final[dict[str, DisputeReason]] = {
    "fraudulent": DisputeReason.FRAUDULENT,
    "debit_not_authorized": DisputeReason.FRAUDULENT,
    "duplicate": DisputeReason.DUPLICATE,
    "product_not_received": DisputeReason.NOT_RECEIVED,
    "product_unacceptable": DisputeReason.NOT_AS_DESCRIBED,
    "credit_not_processed": DisputeReason.CREDIT_NOT_PROCESSED,
    "subscription_canceled": DisputeReason.SUBSCRIPTION_CANCELLED,
    "unrecognized": DisputeReason.UNRECOGNIZED,
}
"""Any other is OTHER. Source: docs.stripe.com/disputes/categories."""

TEXTS: Final[dict[str, str]] = {
    "product_description": "product_description",
    "shipping_carrier": "shipping_carrier",
    "shipping_tracking_number": "shipping_tracking_number",
    "shipping_date": "shipping_date",
    "service_date": "service_date",
    "refund_policy": "refund_policy_disclosure",
    "cancellation_rebuttal": "cancellation_rebuttal",
    "duplicate_explanation": "duplicate_charge_explanation",
    "uncategorized_text": "uncategorized_text",
}
"""Our names of evidence by Stripe's, where it takes a text. Source: docs.stripe.com/api/disputes/evidence_object."""

FILES: Final = ("customer_communication", "receipt")
"""What Stripe takes as an uploaded file only: the text goes into uncategorized_text, under its name."""


async def inspect(calls: Calls, request: DisputeInspection) -> Outcome:
    """See port.DisputeInspection. Raises Mismatch, Garbage, NotCountable."""
    reference = request.dispute_reference
    if reference.startswith(WARNING_PREFIX):
        answer = await calls.v1.radar.early_fraud_warnings.retrieve_async(reference, {"expand": ["charge"]})
        return Approved(reference, dispute=_warned(read(answer, FraudWarning)))
    return Approved(reference, dispute=_standing(await _retrieve(calls, reference)))


async def contest(calls: Calls, request: DisputeEvidence) -> Outcome:
    """Hand in evidence, at once and for good. What was handed in before is not refused."""
    if request.dispute_reference.startswith(WARNING_PREFIX):
        return declined("processing_error", "an early fraud warning cannot be contested")
    evidence = written(request.evidence)
    if evidence is None:
        return declined("processing_error", "Stripe has no name for a part of the evidence")
    params: dict[str, Any] = {"evidence": evidence, "submit": True}
    try:
        answer = await calls.v1.disputes.update_async(request.dispute_reference, params, once(request.key))
    except stripe.InvalidRequestError:
        dispute = await _retrieve(calls, request.dispute_reference)
        has_all = evidence.items() <= (dispute.evidence or {}).items()
        if not has_all or not dispute.evidence_details.submission_count:
            raise
        return Approved(dispute.id)
    return _of(request, read(answer, Dispute))


async def accept(calls: Calls, request: DisputeAcceptance) -> Outcome:
    """Contest a dispute no more: it is lost. One that is lost already is given up."""
    if request.dispute_reference.startswith(WARNING_PREFIX):
        return declined("processing_error", "an early fraud warning cannot be given up: the payment can be refunded")
    try:
        answer = await calls.v1.disputes.close_async(request.dispute_reference, {}, once(request.key))
    except stripe.InvalidRequestError:
        dispute = await _retrieve(calls, request.dispute_reference)
        if dispute.status not in GIVEN_UP:
            raise
        return Approved(dispute.id)
    return _of(request, read(answer, Dispute))


def written(evidence: dict[str, str]) -> dict[str, str] | None:
    """Our evidence as Stripe takes it; None where it has a name that is not ours."""
    if not set(evidence) <= set(TEXTS) | set(FILES):
        return None
    result = {TEXTS[name]: text for name, text in evidence.items() if name in TEXTS}
    named = [f"{name.replace('_', ' ').capitalize()}: {evidence[name]}" for name in FILES if name in evidence]
    if named:
        result["uncategorized_text"] = "\n\n".join([*filter(None, [result.get("uncategorized_text")]), *named])
    return result


async def _retrieve(calls: Calls, reference: str) -> Dispute:
    dispute = read(await calls.v1.disputes.retrieve_async(reference), Dispute)
    if dispute.id != reference:
        raise Mismatch(f"asked about {reference}, answered about {dispute.id}")
    return dispute


def _of(request: DisputeEvidence | DisputeAcceptance, dispute: Dispute) -> Outcome:
    if dispute.id != request.dispute_reference:
        raise Mismatch(f"asked about {request.dispute_reference}, answered about {dispute.id}")
    return Approved(dispute.id)


def _standing(dispute: Dispute) -> DisputeState:
    """The fee is what its balance transactions took and did not give back; one that Stripe takes in another currency
    shows up in its account of our money alone.
    """
    status = STATUSES.get(dispute.status)
    if status is None or dispute.payment_intent is None:
        raise Garbage(f"a dispute that is {dispute.status}, of {dispute.payment_intent}")
    currency, due_by = dispute.currency.upper(), dispute.evidence_details.due_by
    fees = [each.fee for each in dispute.balance_transactions if each.currency == dispute.currency]
    can_answer = due_by is not None and dispute.status.endswith("needs_response")
    return DisputeState(
        reference=dispute.id,
        payment_reference=dispute.payment_intent,
        amount=from_stripe(dispute.amount, currency),
        currency=currency,
        fee=from_stripe(max(0, sum(fees)), currency),
        reason=REASONS.get(dispute.reason, DisputeReason.OTHER),
        status=status,
        opened_at=datetime.fromtimestamp(dispute.created, UTC),
        evidence_due_at=datetime.fromtimestamp(due_by, UTC) if can_answer and due_by is not None else None,
        takes_money=status not in (DisputeStatus.ALERT, DisputeStatus.CLOSED),
    )


def _warned(warning: FraudWarning) -> DisputeState:
    """An early fraud warning is over when its charge was disputed or given back."""
    if warning.payment_intent is None or not isinstance(warning.charge, Charge):
        raise Garbage("an early fraud warning of no payment")
    charge = warning.charge
    if charge.currency is None or charge.amount_captured is None:
        raise Garbage("an early fraud warning whose charge has no amount")
    currency = charge.currency.upper()
    return DisputeState(
        reference=warning.id,
        payment_reference=warning.payment_intent,
        amount=from_stripe(charge.amount_captured, currency),
        currency=currency,
        fee=0,
        reason=DisputeReason.FRAUDULENT,
        status=DisputeStatus.ALERT if warning.actionable else DisputeStatus.CLOSED,
        opened_at=datetime.fromtimestamp(warning.created, UTC),
        takes_money=False,
    )
