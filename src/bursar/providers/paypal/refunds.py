"""Refunds: given back over as many captures as it takes, each part under a key of its own.

A part's key is made of ours and of the capture's id, and is the invoice_id of the refund that PayPal makes; so what was
done of a refund before is read from the order, and no part is done twice.
"""

from typing import Final, NamedTuple

from bursar.providers.declines import declined
from bursar.providers.paypal import amounts, errors, orders
from bursar.providers.paypal.client import Client, Lost, NotSent, Refused
from bursar.providers.paypal.client import part as quoted
from bursar.providers.paypal.documents import Captured, Payments, Refunded
from bursar.providers.port import Approved, Outcome, Pending, Refund, Unavailable, Unknown

CAPTURES: Final = "/v2/payments/captures"
REFUNDS: Final = "/v2/payments/refunds"
GONE: Final = ("FAILED", "CANCELLED")
"""Refunds that gave nothing back."""


class Part(NamedTuple):
    """What is to be refunded of one capture. amount: minor units."""

    capture_id: str
    amount: int


async def refund(client: Client, request: Refund) -> Outcome:
    """Give `amount` back, the oldest capture first."""
    order = await orders.get(client, request.reference)
    payments = order.purchase_units[0].payments if order.purchase_units else Payments()
    done = [await _confirmed(client, part) for part in _parts_done(payments, request)]
    if done and all(part.status in GONE for part in done):
        return _whole(request, done)
    left = request.amount - sum(_minor(part, request) for part in done if part.status not in GONE)
    parts = plan(payments, request, left)
    if left < 0:
        return orders.differs("refund", request.key, None)
    if left and not parts:
        if done:
            return _unfinished(request, f"{left} of {request.amount} can be refunded nowhere")
        return declined("amount_not_refundable", "more than what was captured and not refunded yet")
    for part in parts:
        outcome = await _refund_part(client, request, part, done)
        if not isinstance(outcome, Refunded):
            return outcome
        done.append(outcome)
    return _whole(request, done)


async def inquire_refund(client: Client, request: Refund) -> Outcome:
    """What became of `refund`: the order tells; the parts that it does not have are repeated while PayPal remembers
    their keys.
    """
    if client.clock.now() - request.asked_at < orders.CAPTURE_MEMORY:
        return await refund(client, request)
    order = await orders.get(client, request.reference)
    payments = order.purchase_units[0].payments if order.purchase_units else Payments()
    done = _parts_done(payments, request)
    if not done:
        return Unavailable("the order has no such refund")
    if sum(_minor(part, request) for part in done) != request.amount:
        return _unfinished(request, "a part of the refund was never made")
    return _whole(request, done)


def plan(payments: Payments, request: Refund, left: int) -> list[Part]:
    """Spread `left` (minor units) over what is refundable, the oldest capture first, passing over those that have a
    part of this refund. Nothing where it does not fit in. Raises Lost for amounts that cannot be read.
    """
    parts: list[Part] = []
    taken = {part.invoice_id for part in payments.refunds}
    for captured in payments.captures:
        if captured.status not in ("COMPLETED", "PARTIALLY_REFUNDED") or _key(request, captured.id) in taken:
            continue
        amount = min(left, _refundable(payments, captured, request))
        if amount > 0:
            parts.append(Part(captured.id, amount))
            left -= amount
    return [] if left else parts


async def _confirmed(client: Client, part: Refunded) -> Refunded:
    """A part that was done before, read a second time: what it says decides how much is still given back. Raises Lost
    where the two do not agree.
    """
    again = await client.get(f"{REFUNDS}/{quoted(part.id)}", Refunded)
    if again.amount != part.amount or again.status != part.status:
        raise Lost("PayPal tells two tales of a refund")
    return part


async def _refund_part(client: Client, request: Refund, part: Part, done: list[Refunded]) -> Refunded | Outcome:
    key = _key(request, part.capture_id)
    body = {"amount": amounts.document(part.amount, request.currency), "invoice_id": key, "custom_id": request.key}
    try:
        made = await client.post(f"{CAPTURES}/{quoted(part.capture_id)}/refund", Refunded, key=key, body=body)
    except NotSent as error:
        if done:
            raise Lost(f"the rest of a refund was not sent: {error}") from error
        raise
    except Refused as refusal:
        return _unfinished(request, str(refusal)) if done else errors.outcome_of(refusal)
    if not amounts.is_same(made.amount, part.amount, request.currency):
        return orders.differs("refund", key, made.amount)
    if made.status in GONE and not done:
        return declined("refund_declined", f"the refund is {made.status}")
    return made


def _whole(request: Refund, done: list[Refunded]) -> Outcome:
    """What all parts say together."""
    statuses = {part.status for part in done}
    if statuses <= set(GONE):
        return declined("refund_declined", "the refund was not carried out")
    if statuses & set(GONE):
        return _unfinished(request, "a part of the refund was not carried out")
    if "PENDING" in statuses:
        return Pending()
    return Approved(request.reference, step_reference=",".join(part.id for part in done))


def _unfinished(request: Refund, reason: str) -> Unknown:
    """A part is given back and the rest is not: neither done nor declined, so somebody has to look."""
    orders.log.critical("paypal.refund_in_part", key=request.key, reason=reason)
    return Unknown(f"refunded in part: {reason}")


def _parts_done(payments: Payments, request: Refund) -> list[Refunded]:
    keys = {_key(request, captured.id) for captured in payments.captures}
    return [part for part in payments.refunds if part.invoice_id in keys]


def _refundable(payments: Payments, captured: Captured, request: Refund) -> int:
    """What is left of a capture, in minor units; 0 where it is of another currency."""
    if captured.amount is None or captured.amount.currency_code != request.currency:
        return 0
    whole = amounts.minor(captured.amount)
    if whole is None:
        raise Lost("a capture whose amount cannot be read")
    given = [part for part in payments.refunds if _capture_of(part, payments) == captured.id]
    return whole - sum(_minor(part, request) for part in given if part.status not in GONE)


def _capture_of(part: Refunded, payments: Payments) -> str:
    if part.capture_id:
        return part.capture_id
    if len(payments.captures) == 1:
        return payments.captures[0].id
    raise Lost("a refund that does not name its capture")


def _minor(part: Refunded, request: Refund) -> int:
    amount = amounts.minor(part.amount)
    if amount is None or part.amount is None or part.amount.currency_code != request.currency:
        raise Lost("a refund whose amount cannot be read")
    return amount


def _key(request: Refund, capture_id: str) -> str:
    return f"{request.key}-{capture_id}"
