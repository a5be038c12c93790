"""How a PaymentIntent or a refund stands, whoever brought that about: our steps, the dashboard, or Stripe itself."""

from typing import Final

from bursar.providers.port import (
    Approved,
    Inspection,
    Outcome,
    PaymentState,
    RefundInspection,
    RefundState,
    RefundStatus,
)
from bursar.providers.stripe.answers import Garbage, PaymentIntent, Refund, read
from bursar.providers.stripe.calls import Calls
from bursar.providers.stripe.errors import Mismatch
from bursar.providers.stripe.money import from_stripe

REFUNDS: Final[dict[str | None, RefundStatus]] = {
    "succeeded": RefundStatus.DONE,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
"""Any other is PENDING. Source: docs.stripe.com/api/refunds/object."""


async def inspect(calls: Calls, request: Inspection) -> Outcome:
    """See port.Inspection. Raises Mismatch, NotCountable."""
    answer = await calls.v1.payment_intents.retrieve_async(request.reference, {"expand": ["latest_charge"]})
    intent = read(answer, PaymentIntent)
    if (intent.id, intent.currency.upper()) != (request.reference, request.currency):
        raise Mismatch(f"asked about {request.reference} in {request.currency}, answered {intent.id} {intent.currency}")
    is_open = intent.status == "requires_capture"
    taken, left = intent.amount_received or 0, (intent.amount_capturable or 0) if is_open else 0
    authorized = intent.amount if intent.status == "succeeded" else taken + left
    given_back = (intent.charge.amount_refunded or 0) if intent.charge is not None else 0
    refunded = max(0, given_back - (intent.amount - taken)) if taken and not is_open else 0
    state = PaymentState(
        amount_authorized=from_stripe(authorized, request.currency),
        amount_captured=from_stripe(taken, request.currency),
        amount_refunded=from_stripe(refunded, request.currency),
        is_open=is_open,
    )
    return Approved(intent.id, state=state)


async def inspect_refund(calls: Calls, request: RefundInspection) -> Outcome:
    """See port.RefundInspection. Raises Mismatch, Garbage, NotCountable."""
    refund = read(await calls.v1.refunds.retrieve_async(request.refund_reference), Refund)
    if refund.id != request.refund_reference:
        raise Mismatch(f"asked about {request.refund_reference}, answered about {refund.id}")
    if refund.payment_intent is None:
        raise Garbage(f"{refund.id} is of no PaymentIntent")
    currency = refund.currency.upper()
    state = RefundState(
        reference=refund.id,
        payment_reference=refund.payment_intent,
        amount=from_stripe(refund.amount, currency),
        currency=currency,
        status=REFUNDS.get(refund.status, RefundStatus.PENDING),
        made_by=(refund.metadata or {}).get("bursar_key"),
    )
    return Approved(refund.payment_intent, refund=state)
