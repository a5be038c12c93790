"""How an order or a refund stands, whoever brought that about: our own steps, PayPal's site, or PayPal itself."""

from collections.abc import Iterable
from typing import Final

from bursar.providers.paypal import amounts, orders
from bursar.providers.paypal.client import Client, Lost, part
from bursar.providers.paypal.documents import Amount, Belonging, Refunded
from bursar.providers.port import (
    Approved,
    Inspection,
    Outcome,
    PaymentState,
    RefundInspection,
    RefundState,
    RefundStatus,
)

RESERVING: Final = frozenset({"CREATED", "PENDING", "PARTIALLY_CAPTURED"})
TAKEN: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})

REFUNDS: Final[dict[str, RefundStatus]] = {
    "COMPLETED": RefundStatus.DONE,
    "PENDING": RefundStatus.PENDING,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.FAILED,
}


async def inspect(client: Client, request: Inspection) -> Outcome:
    """See port.Inspection. Raises as Client.get."""
    order = await orders.get(client, request.reference)
    held = orders.payments_of(order)
    captured = _total((each.amount for each in held.captures if each.status in TAKEN), request.currency)
    authorized = _total((each.amount for each in held.authorizations[-1:] if each.status != "DENIED"), request.currency)
    state = PaymentState(
        amount_authorized=max(authorized, captured),
        amount_captured=captured,
        amount_refunded=_total((each.amount for each in held.refunds if each.status == "COMPLETED"), request.currency),
        is_open=any(each.status in RESERVING for each in held.authorizations[-1:]),
    )
    return Approved(order.id, state=state)


async def inspect_refund(client: Client, request: RefundInspection) -> Outcome:
    """See port.RefundInspection: of one of PayPal's refunds, which may be a part of ours. Raises as Client.get."""
    refund = await client.get(f"/v2/payments/refunds/{part(request.refund_reference)}", Refunded)
    amount, status = amounts.minor(refund.amount), REFUNDS.get(refund.status)
    if refund.id != request.refund_reference or amount is None or refund.amount is None or status is None:
        raise Lost("a refund that cannot be read")
    order_id = await order_of_capture(client, refund.capture_id)
    state = RefundState(
        reference=refund.id,
        payment_reference=order_id,
        amount=amount,
        currency=refund.amount.currency_code,
        status=status,
        made_by=refund.custom_id or None,
    )
    return Approved(order_id, refund=state)


async def order_of_capture(client: Client, capture_id: str) -> str:
    """The id of the order that a capture belongs to. Raises Lost where it does not say, and as Client.get."""
    capture = await client.get(f"/v2/payments/captures/{part(capture_id)}", Belonging) if capture_id else None
    if capture is None or not capture.supplementary_data.related_ids.order_id:
        raise Lost("it does not lead to an order")
    return capture.supplementary_data.related_ids.order_id


def _total(given: Iterable[Amount | None], currency: str) -> int:
    """The sum in minor units. Raises Lost where one is of another currency, or cannot be read."""
    total = 0
    for amount in given:
        minor = amounts.minor(amount)
        if amount is None or minor is None or amount.currency_code != currency:
            raise Lost("an order whose amounts cannot be read")
        total += minor
    return total
