"""How a PaymentIntent stands, whoever brought that about: our own steps, the dashboard, or Stripe itself."""

from bursar.providers.port import Approved, Inspection, Outcome, PaymentState
from bursar.providers.stripe.answers import PaymentIntent, read
from bursar.providers.stripe.calls import Calls
from bursar.providers.stripe.errors import Mismatch
from bursar.providers.stripe.money import from_stripe


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
