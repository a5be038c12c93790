"""Disputes: how they stand, our evidence, or that we give in. All can be asked for again: the dispute itself tells what
it has.

A dispute begins as an inquiry between customer and merchant, which is an alert to us, and may become a chargeback.
"""

from datetime import datetime
from typing import Any, Final

from bursar.providers.declines import declined
from bursar.providers.paypal import amounts
from bursar.providers.paypal.client import Client, Lost, part
from bursar.providers.paypal.documents import Dispute, Links, Movement
from bursar.providers.paypal.standing import order_of_capture
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

DISPUTES: Final = "/v1/customer/disputes"
LOST: Final = ("ACCEPTED", "RESOLVED_BUYER_FAVOUR", "RESOLVED_WITH_PAYOUT")
"""How a dispute ends that we do not contest."""
NOTE: Final = "The merchant accepts the claim."
CARRIERS: Final = frozenset({"UPS", "USPS", "FEDEX", "DHL", "AIRBORNE_EXPRESS", "ROYAL_MAIL", "PARCELFORCE", "TNT"})
"""Carriers that PayPal knows by a name of theirs; any other is OTHER, and named."""
FEES: Final = frozenset({"DISPUTE_FEE", "DISPUTE_SETTLEMENT_FEE", "CHARGEBACK_FEE"})
"""Reasons of money movements that are fees."""

REASONS: Final[dict[str, DisputeReason]] = {
    "MERCHANDISE_OR_SERVICE_NOT_RECEIVED": DisputeReason.NOT_RECEIVED,
    "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED": DisputeReason.NOT_AS_DESCRIBED,
    "UNAUTHORISED": DisputeReason.FRAUDULENT,
    "CREDIT_NOT_PROCESSED": DisputeReason.CREDIT_NOT_PROCESSED,
    "DUPLICATE_TRANSACTION": DisputeReason.DUPLICATE,
    "PAYMENT_BY_OTHER_MEANS": DisputeReason.DUPLICATE,
    "CANCELED_RECURRING_BILLING": DisputeReason.SUBSCRIPTION_CANCELLED,
}
"""Any other is OTHER. Source: PayPal's document of Customer Disputes v1, dispute_reason."""

KINDS: Final[dict[str, str]] = {
    "product_description": "ITEM_DESCRIPTION",
    "customer_communication": "BUYER_RESPONSE",
    "receipt": "PROOF_OF_RECEIPT_COPY",
    "service_date": "PROOF_FOR_SOFTWARE_OR_SERVICE_DELIVERED",
    "refund_policy": "RETURN_POLICY",
    "cancellation_rebuttal": "MERCHANT_RESPONSE",
    "duplicate_explanation": "DETAILS_OF_PURCHASE",
    "uncategorized_text": "OTHER",
}
"""Our names of evidence by PayPal's evidence_type. Source: the same document, evidence."""

SHIPPING: Final = ("shipping_carrier", "shipping_tracking_number", "shipping_date")
"""What together is one proof of fulfillment."""


async def inspect(client: Client, request: DisputeInspection) -> Outcome:
    """See port.DisputeInspection. Raises as Client.get."""
    dispute = await client.get(f"{DISPUTES}/{part(request.dispute_reference)}", Dispute)
    capture_id = dispute.disputed_transactions[0].seller_transaction_id if dispute.disputed_transactions else ""
    amount = amounts.minor(dispute.dispute_amount)
    opened_at = _time(dispute.create_time)
    if dispute.dispute_id != request.dispute_reference or not capture_id or opened_at is None:
        raise Lost("a dispute that cannot be read")
    if amount is None or dispute.dispute_amount is None:
        raise Lost("a dispute whose amount cannot be read")
    currency = dispute.dispute_amount.currency_code
    status = _status(dispute, currency)
    can_answer = status in (DisputeStatus.ALERT, DisputeStatus.NEEDS_RESPONSE)
    state = DisputeState(
        reference=dispute.dispute_id,
        payment_reference=await order_of_capture(client, capture_id),
        amount=amount,
        currency=currency,
        fee=max(0, _taken(dispute, currency, is_fee=True)),
        reason=REASONS.get(dispute.reason, DisputeReason.OTHER),
        status=status,
        opened_at=opened_at,
        evidence_due_at=_time(dispute.seller_response_due_date) if can_answer else None,
        takes_money=status not in (DisputeStatus.ALERT, DisputeStatus.CLOSED),
    )
    return Approved(dispute.dispute_id, dispute=state)


async def contest(client: Client, request: DisputeEvidence) -> Outcome:
    """Hand in evidence."""
    evidences = written(request.evidence)
    if evidences is None:
        return declined("processing_error", "PayPal has no name for a part of the evidence")
    path = f"{DISPUTES}/{part(request.dispute_reference)}/provide-evidence"
    await client.post_form(path, Links, key=request.key, part={"evidences": evidences})
    return Approved(request.dispute_reference)


async def inquire_evidence(client: Client, request: DisputeEvidence) -> Outcome:
    """Look whether the dispute has all of it; hand it in again where it has not, which does no harm."""
    dispute = await client.get(f"{DISPUTES}/{part(request.dispute_reference)}", Dispute)
    evidences = written(request.evidence)
    wanted = {(each["evidence_type"], each["notes"]) for each in evidences or ()}
    if wanted and wanted <= {(each.evidence_type, each.notes) for each in dispute.evidences}:
        return Approved(request.dispute_reference)
    return await contest(client, request)


async def give_in(client: Client, request: DisputeAcceptance) -> Outcome:
    """Accept the claim: the customer gets the money back."""
    path = f"{DISPUTES}/{part(request.dispute_reference)}/accept-claim"
    await client.post_form(path, Links, key=request.key, part={"note": NOTE, "accept_claim_type": "REFUND"})
    return Approved(request.dispute_reference)


async def inquire_acceptance(client: Client, request: DisputeAcceptance) -> Outcome:
    """Look whether the dispute has ended so; give in again where it has not."""
    dispute = await client.get(f"{DISPUTES}/{part(request.dispute_reference)}", Dispute)
    if dispute.status == "RESOLVED" and dispute.dispute_outcome.outcome_code in LOST:
        return Approved(request.dispute_reference)
    return await give_in(client, request)


def written(evidence: dict[str, str]) -> list[dict[str, Any]] | None:
    """Our evidence as PayPal takes it; None where it has a name that is not ours. Each text goes along as a note, by
    which it is found again; the shipment's texts are one proof of fulfillment, where there is a number to track it by.
    """
    if not set(evidence) <= set(KINDS) | set(SHIPPING):
        return None
    result: list[dict[str, Any]] = [
        {"evidence_type": KINDS[name], "notes": text} for name, text in evidence.items() if name in KINDS
    ]
    shipment = [f"{name.replace('_', ' ')}: {evidence[name]}" for name in SHIPPING if name in evidence]
    if not shipment:
        return result
    number = evidence.get("shipping_tracking_number")
    if number is None:
        return [*result, {"evidence_type": "ADDITIONAL_PROOF_OF_SHIPMENT", "notes": "; ".join(shipment)}]
    carrier = evidence.get("shipping_carrier", "unknown")
    known = carrier.upper().replace(" ", "_")
    tracking = (
        {"carrier_name": known} if known in CARRIERS else {"carrier_name": "OTHER", "carrier_name_other": carrier}
    )
    info = {"tracking_info": [{**tracking, "tracking_number": number}]}
    return [*result, {"evidence_type": "PROOF_OF_FULFILLMENT", "notes": "; ".join(shipment), "evidence_info": info}]


def _status(dispute: Dispute, currency: str) -> DisputeStatus:
    """An inquiry that ends for the customer was paid by us; any other is over without money. What PayPal paid itself is
    won, unless it took it from us.
    """
    is_inquiry = dispute.dispute_life_cycle_stage == "INQUIRY"
    if dispute.status == "RESOLVED":
        outcome = dispute.dispute_outcome.outcome_code
        is_lost = outcome in ("ACCEPTED", "RESOLVED_BUYER_FAVOUR")
        if outcome == "RESOLVED_WITH_PAYOUT":
            is_lost = _taken(dispute, currency, is_fee=False) > 0
        if is_lost:
            return DisputeStatus.LOST
        return DisputeStatus.CLOSED if is_inquiry else DisputeStatus.WON
    if is_inquiry:
        return DisputeStatus.ALERT
    if dispute.status in ("OPEN", "WAITING_FOR_SELLER_RESPONSE"):
        return DisputeStatus.NEEDS_RESPONSE
    if dispute.status in ("WAITING_FOR_BUYER_RESPONSE", "UNDER_REVIEW", "OTHER"):
        return DisputeStatus.UNDER_REVIEW
    raise Lost(f"a dispute that is {dispute.status}")


def _taken(dispute: Dispute, currency: str, *, is_fee: bool) -> int:
    """What was taken from us and not given back, in minor units: fees, or the rest. Raises Lost."""
    return sum(
        _signed(each, currency)
        for each in dispute.money_movements
        if each.affected_party == "SELLER" and (each.reason in FEES) is is_fee
    )


def _signed(movement: Movement, currency: str) -> int:
    amount = amounts.minor(movement.amount)
    if amount is None or movement.amount is None or movement.amount.currency_code != currency:
        raise Lost("a dispute's money movement that cannot be read")
    return amount if movement.type == "DEBIT" else -amount


def _time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
