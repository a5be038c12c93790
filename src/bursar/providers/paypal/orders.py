"""Payments as PayPal's orders: authorize, capture, void, and what became of them.

An order is looked at before anything is done to it, so a step that was done before is found, whatever PayPal's memory
of keys. A new order is found by its key alone: for hours by repeating the call, then in PayPal's report.
"""

from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec
import structlog

from bursar.providers.declines import declined
from bursar.providers.paypal import amounts, errors, search
from bursar.providers.paypal.client import Client, Lost, NotSent, Refused, part
from bursar.providers.paypal.documents import Amount, Authorized, Captured, Order, Payments
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
    Unavailable,
    Unknown,
    Void,
)

ORDERS: Final = "/v2/checkout/orders"
AUTHORIZATIONS: Final = "/v2/payments/authorizations"

ORDER_MEMORY: Final = timedelta(hours=5)
"""PayPal remembers the key of a new order for 6 hours; an hour is left for clocks and for the way."""
CAPTURE_MEMORY: Final = timedelta(days=44)
"""Of a capture or a refund it says 45 days."""

ALREADY: Final = frozenset(
    {
        "DUPLICATE_INVOICE_ID",
        "MAX_AUTHORIZATION_COUNT_EXCEEDED",
        "ORDER_ALREADY_AUTHORIZED",
        "ORDER_ALREADY_CAPTURED",
        "ORDER_COMPLETED_OR_VOIDED",
    }
)
"""Refusals of what was done before: the order says by whom."""

log = structlog.get_logger()
T = TypeVar("T")


class Terms(msgspec.Struct, frozen=True):
    """How we deal with PayPal. authorization_days: how long an authorization holds where PayPal does not say.
    return_url, cancel_url: where PayPal sends the customer after an approval; "" where the account has them.
    """

    authorization_days: int
    return_url: str = ""
    cancel_url: str = ""


async def authorize(client: Client, request: Authorization, terms: Terms) -> Outcome:
    """Make an order and have it paid at once; or go on with the one that the customer was sent to approve."""
    if request.reference is not None:
        return await _go_on(client, request, request.reference, terms)
    source = _source(request.instrument, terms)
    if isinstance(source, Declined):
        return source
    body = {
        "intent": "CAPTURE" if request.capture else "AUTHORIZE",
        "purchase_units": [
            {
                "amount": amounts.document(request.amount, request.currency),
                "custom_id": request.payment_id,
                "invoice_id": request.key,
            }
        ],
        "payment_source": source,
    }
    return _outcome(await client.post(ORDERS, Order, key=request.key, body=body), request, client, terms)


async def inquire_authorization(client: Client, request: Authorization, terms: Terms) -> Outcome:
    """What became of `authorize`. An order pays once only, so going on with a known one is safe at any time."""
    is_gone = request.instrument.is_gone
    is_remembered = client.clock.now() - request.asked_at < ORDER_MEMORY and not is_gone
    if request.reference is not None or is_remembered:
        return await authorize(client, request, terms)
    if _is_to_be_approved(request.instrument) and not is_gone:
        return Unavailable("an order that nobody was sent to approve")
    order_id = await search.order_of(client, request.key, asked_at=request.asked_at)
    if order_id is None:
        return Unavailable("PayPal's report has nothing under this key")
    return _outcome(await get(client, order_id), request, client, terms)


async def capture(client: Client, request: Capture) -> Outcome:
    """Take a part, or the rest, of what an order has authorized."""
    done = await _captured_before(client, request)
    if not isinstance(done, Authorized):
        return done
    body = {
        "amount": amounts.document(request.amount, request.currency),
        "invoice_id": request.key,
        "final_capture": request.is_final,
    }
    path = f"{AUTHORIZATIONS}/{part(done.id)}/capture"
    try:
        captured = await client.post(path, Captured, key=request.key, body=body)
    except Refused as refusal:
        again = await surely(_captured_before(client, request))
        return errors.outcome_of(refusal) if isinstance(again, Authorized | Declined) else again
    return _capture_outcome(captured, request)


async def inquire_capture(client: Client, request: Capture) -> Outcome:
    """What became of `capture`: the order tells; where it has none of this key, the call is repeated while PayPal
    remembers the key.
    """
    if client.clock.now() - request.asked_at < CAPTURE_MEMORY:
        return await capture(client, request)
    done = await _captured_before(client, request)
    return Unavailable("the order has no such capture") if isinstance(done, Authorized) else done


async def void(client: Client, request: Void) -> Outcome:
    """Give back what an order still holds. It is done where the order holds nothing any more and nothing was taken by
    the way; so it can be asked for, and about, any number of times.
    """
    held = payments_of(await get(client, request.reference))
    if not held.authorizations:
        return declined("already_captured", "nothing is reserved") if held.captures else Approved(request.reference)
    authorization = held.authorizations[-1]
    if authorization.status == "VOIDED":
        return Approved(request.reference, step_reference=authorization.id)
    if authorization.status == "CAPTURED":
        return declined("already_captured", "all that was reserved has been taken")
    try:
        voided = await client.post(f"{AUTHORIZATIONS}/{part(authorization.id)}/void", Authorized, key=request.key)
    except Refused as refusal:
        if refusal.issue == "PREVIOUSLY_VOIDED":
            return Approved(request.reference, step_reference=authorization.id)
        return errors.outcome_of(refusal)
    if amounts.minor(voided.amount) != amounts.minor(authorization.amount):
        return differs("void", request.key, voided.amount)
    if voided.status != "VOIDED":
        raise Lost(f"a void that left the authorization {voided.status}")
    return Approved(request.reference, step_reference=voided.id)


async def get(client: Client, order_id: str) -> Order:
    """An order as it stands. Raises as Client.get."""
    return await client.get(f"{ORDERS}/{part(order_id)}", Order)


async def surely(look: Awaitable[T]) -> T:
    """A look at what a call may have done: that it was not sent, or refused, leaves open what the call did. Raises
    Lost.
    """
    try:
        return await look
    except (NotSent, Refused) as error:
        raise Lost(str(error)) from error


def differs(what: str, key: str, answered: Amount | None) -> Unknown:
    """PayPal answered something else than was asked for: somebody has to look."""
    shown = "nothing" if answered is None else f"{answered.value} {answered.currency_code}"
    log.critical("paypal.answer_differs", what=what, key=key, answered=shown)
    return Unknown(f"the {what} is of {shown}")


async def _go_on(client: Client, request: Authorization, order_id: str, terms: Terms) -> Outcome:
    """The order that the customer was sent to approve: paid now, where it is approved and has not been paid yet."""
    try:
        order = await get(client, order_id)
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return declined("authorization_expired", "the order was not paid in time")
    if order.status != "APPROVED" or _step(order, request) is not None:
        return _outcome(order, request, client, terms)
    unit = order.purchase_units[0]
    if not amounts.is_same(unit.amount, request.amount, request.currency):
        return declined("processing_error", "the order that was approved is of another amount")
    action = "capture" if request.capture else "authorize"
    try:
        order = await client.post(f"{ORDERS}/{part(order_id)}/{action}", Order, key=request.key, body={})
    except Refused as refusal:
        if refusal.issue not in ALREADY:
            raise
        order = await surely(get(client, order_id))
        if _step(order, request) is None:
            raise
    return _outcome(order, request, client, terms)


def _outcome(order: Order, request: Authorization, client: Client, terms: Terms) -> Outcome:
    """What an order says of the step."""
    step = _step(order, request)
    unit = order.purchase_units[0]
    if not amounts.is_same(unit.amount, request.amount, request.currency):
        return differs("order", request.key, unit.amount)
    if step is None:
        return _unpaid(order)
    if not amounts.is_same(step.amount, request.amount, request.currency):
        return differs("payment", request.key, step.amount)
    if step.status == "PENDING":
        return Pending()
    if step.status in ("DENIED", "DECLINED", "FAILED"):
        return errors.declined_by_bank(step.processor_response.response_code, "generic_decline")
    if isinstance(step, Captured):
        return Approved(order.id, step_reference=step.id)
    if step.status == "VOIDED":
        return declined("already_voided", "the authorization was given back")
    expires_at = step.expiration_time or client.clock.now() + timedelta(days=terms.authorization_days)
    return Approved(order.id, expires_at, step_reference=step.id)


def _unpaid(order: Order) -> Outcome:
    links = [link.href for link in order.links if link.rel in ("payer-action", "approve")]
    if order.status in ("CREATED", "PAYER_ACTION_REQUIRED") and links:
        return ActionRequired(order.id, {"type": "REDIRECT_TO_URL", "url": links[0]})
    if order.status == "VOIDED":
        return declined("authorization_expired", "the order has ended")
    if order.status in ("CREATED", "PAYER_ACTION_REQUIRED", "APPROVED", "SAVED"):
        return declined("payer_action_required", f"the order is {order.status} and was not paid")
    raise Lost(f"an order that is {order.status} without a payment")


def _step(order: Order, request: Authorization) -> Authorized | Captured | None:
    """The authorization or capture that the request asked for: one that stands before one that was declined."""
    payments = payments_of(order)
    steps: tuple[Authorized | Captured, ...] = payments.captures if request.capture else payments.authorizations
    standing = [step for step in steps if step.status not in ("DENIED", "DECLINED", "FAILED")]
    return next(iter(standing or steps), None)


def payments_of(order: Order) -> Payments:
    """What was done about an order. Raises Lost."""
    if not order.purchase_units:
        raise Lost("an order without a purchase unit")
    return order.purchase_units[0].payments


async def _captured_before(client: Client, request: Capture) -> Authorized | Outcome:
    """The outcome of the capture under this key; else the authorization to capture from, or a decline without one."""
    payments = payments_of(await get(client, request.reference))
    for captured in payments.captures:
        if captured.invoice_id == request.key:
            return _capture_outcome(captured, request)
    if not payments.authorizations:
        return declined("amount_not_capturable", "the order has no authorization")
    authorization = payments.authorizations[-1]
    return (
        authorization
        if _fits(authorization, payments, request)
        else declined("amount_not_capturable", "more than what is authorized and not captured yet")
    )


def _fits(authorization: Authorized, payments: Payments, request: Capture) -> bool:
    """Whether the authorization has this much left, in this currency. PayPal itself would take up to 15 % more."""
    amount = authorization.amount
    if amount is None or amount.currency_code != request.currency:
        return False
    taken = [captured.amount for captured in payments.captures if captured.status not in ("DECLINED", "FAILED")]
    left = (amounts.minor(amount) or 0) - sum(amounts.minor(each) or 0 for each in taken)
    return request.amount <= left


def _capture_outcome(captured: Captured, request: Capture) -> Outcome:
    if not amounts.is_same(captured.amount, request.amount, request.currency):
        return differs("capture", request.key, captured.amount)
    if captured.status == "PENDING":
        return Pending()
    if captured.status in ("DECLINED", "FAILED"):
        return errors.declined_by_bank(captured.processor_response.response_code, "capture_declined")
    return Approved(request.reference, step_reference=captured.id)


def _is_to_be_approved(instrument: Instrument) -> bool:
    return instrument.type is MethodType.DIGITAL_WALLET and instrument.token is None


def _source(instrument: Instrument, terms: Terms) -> dict[str, Any] | Declined:
    """The `payment_source` of an order; a decline for what PayPal cannot charge."""
    if instrument.type is MethodType.DIGITAL_WALLET:
        if instrument.wallet is not None and instrument.wallet.provider != "PAYPAL":
            return declined("card_not_supported", f"PayPal does not take {instrument.wallet.provider}")
        if instrument.token is not None:
            return {"paypal": {"vault_id": instrument.token}}
        urls = {"return_url": terms.return_url, "cancel_url": terms.cancel_url}
        context = {"user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING"}
        return {"paypal": {"experience_context": context | {name: url for name, url in urls.items() if url}}}
    if instrument.type is not MethodType.CARD:
        return declined("card_not_supported", f"PayPal does not take {instrument.type}")
    if instrument.token is not None:
        return {"card": {"vault_id": instrument.token}}
    if instrument.card is None:
        return declined("method_revoked", "neither a token nor a card was given")
    return {"card": card(instrument.card)}


def card(given: Card) -> dict[str, str]:
    """A card as Orders and Vault take it."""
    optional = {"name": given.holder_name, "security_code": given.cvc}
    return {
        "number": given.number,
        "expiry": f"{given.exp_year:04}-{given.exp_month:02}",
        **{name: value for name, value in optional.items() if value},
    }
