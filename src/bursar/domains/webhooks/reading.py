"""What an event of each provider says of itself: its id, type and time, and what it names. Pure; no amount and no
status is read: those are asked for.

Kinds of what is named: `reference` (the provider's id of the payment), `key` (ours, of the step that caused it),
`payment` (our payment's id, as we gave it along), `refund`, `dispute`, `token` (of a payment method), `verification`
(of one): the provider's ids; `check` (of KYC).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

STRIPE_DISPUTES: Final = frozenset({"dispute", "radar.early_fraud_warning"})

EVENT_ID: Final = re.compile(r"[!#-\[\]-~]{1,200}")
EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
NAMED: Final = re.compile(r"[!#-\[\]-~]{1,255}")
OURS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
UNIX_MAX: Final = 4_102_444_800
"""The year 2100: a time beyond it is none."""

Document = dict[str, Any]
Shape = TypeVar("Shape")


class Event(msgspec.Struct, frozen=True):
    """What an event says of itself."""

    id: str
    type: str
    occurred_at: datetime | None
    named: dict[str, str]


class NoEvent(Exception):  # noqa: N818  a fact about what was sent
    """What was sent is no event."""


class _StripeObject(msgspec.Struct, frozen=True):
    """What an event is about, as far as it is read. What may stand there whole or by its id, or not at all, is Any."""

    id: str = ""
    object: str = ""
    payment_intent: Any = None
    customer: Any = None
    metadata: Any = None
    refunds: Any = None


class _StripeData(msgspec.Struct, frozen=True):
    object: _StripeObject = _StripeObject()
    previous_attributes: Any = None


class _StripeEvent(msgspec.Struct, frozen=True):
    id: str = ""
    type: str = ""
    created: Any = None
    data: _StripeData = _StripeData()
    request: Any = None


def read(provider: str, headers: Mapping[str, str], body: bytes) -> Event:
    """The event in a body. Raises NoEvent."""
    if provider == "stripe":
        given = _stripe(decoded(body, _StripeEvent))
    else:
        given = (_paypal if provider == "paypal" else _other)(decoded(body, Document), headers)
    if not EVENT_ID.fullmatch(given.id) or not EVENT_TYPE.fullmatch(given.type):
        raise NoEvent("the event's id or type is missing or strange")
    return given


def decoded(body: bytes, shape: type[Shape]) -> Shape:
    """A body of JSON, as far as it is of interest. Raises NoEvent."""
    try:
        body.decode()  # fields that nobody reads have to be text too
        return msgspec.json.decode(body, type=shape)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise NoEvent("the body is no JSON object in UTF-8") from error


def named_in(provider: str, document: Document) -> dict[str, str]:
    """What a document of a provider names."""
    if provider == "stripe":
        try:
            return _stripe(msgspec.convert(document, _StripeEvent)).named
        except msgspec.ValidationError:
            return {}
    return (_paypal if provider == "paypal" else _other)(document, {}).named


def _stripe(event: _StripeEvent) -> Event:
    held = event.data.object
    metadata, request = _document(held.metadata), _document(event.request)
    cause = _text(request, "idempotency_key")
    named = {
        "reference": held.id if held.object == "payment_intent" else _id_of(held.payment_intent),
        # a charge has its PaymentIntent's metadata, which name the authorization and not the refund
        "key": cause if event.type == "charge.refunded" else _text(metadata, "bursar_key") or cause,
        "payment": _text(metadata, "bursar_payment"),
        "token": _stripe_token(held, _document(event.data.previous_attributes)),
        "refund": held.id if held.object == "refund" else _only_refund(held),
        "dispute": held.id if held.object in STRIPE_DISPUTES else "",
        "verification": held.id if held.object == "setup_intent" else "",
    }
    return Event(event.id, event.type, _unix(event.created), _kept(named))


def _only_refund(held: _StripeObject) -> str:
    """The newest refund of a charge, which older versions of Stripe's API list newest first."""
    refunds = _list(_document(held.refunds), "data") if held.object == "charge" else []
    return _id_of(refunds[0]) if refunds else ""


def _stripe_token(held: _StripeObject, previous: Document) -> str:
    """The PaymentMethod of an event about one, and the Customer that holds or held it, as our adapter writes both."""
    if held.object != "payment_method":
        return ""
    customer = _id_of(held.customer) or _id_of(previous.get("customer"))
    return f"{held.id}:{customer}" if customer else held.id


def _paypal(document: Document, headers: Mapping[str, str]) -> Event:
    resource, kind = _object(document, "resource"), _text(document, "resource_type").replace("_", "-")
    related = _object(_object(resource, "supplementary_data"), "related_ids")
    unit = next((each for each in _list(resource, "purchase_units") if isinstance(each, dict)), {})
    is_order, is_token, is_refund = kind == "checkout-order", kind == "payment-token", kind == "refund"
    named = {
        "reference": _text(resource, "id") if is_order else _text(related, "order_id") or _order_above(resource),
        "key": _text(unit if is_order else resource, "custom_id" if is_refund else "invoice_id"),
        "payment": "" if is_refund else _text(unit if is_order else resource, "custom_id"),
        "token": _text(resource, "id") if is_token else "",
        "refund": _text(resource, "id") if is_refund else "",
        "dispute": _text(resource, "dispute_id") if kind == "dispute" else "",
    }
    return Event(_text(document, "id"), _text(document, "event_type"), _time(document, "create_time"), _kept(named))


def _order_above(resource: Document) -> str:
    """The order to which a capture's links lead."""
    for link in _list(resource, "links"):
        if isinstance(link, dict) and link.get("rel") == "up":
            _, orders, order_id = _text(link, "href").rpartition("/v2/checkout/orders/")
            return order_id if orders else ""
    return ""


def _other(document: Document, headers: Mapping[str, str]) -> Event:
    """Events of Standard Webhooks and whatever is like them: `type`, `timestamp`, `data`."""
    data = _object(document, "data")
    named = {
        "reference": _text(data, "id"),
        "check": _text(data, "clientReference"),
        "refund": _text(data, "refund"),
        "dispute": _text(data, "dispute"),
    }
    event_id = headers.get("webhook-id") or _text(document, "id")
    return Event(event_id, _text(document, "type"), _time(document, "timestamp"), _kept(named))


def _kept(named: dict[str, str]) -> dict[str, str]:
    """What can be an id; of `payment` only what can be ours."""
    return {
        kind: value
        for kind, value in named.items()
        if value and (OURS if kind == "payment" else NAMED).fullmatch(value)
    }


def _document(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


def _object(holder: Document, name: str) -> Document:
    return _document(holder.get(name))


def _list(holder: Document, name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []


def _text(holder: Document, name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _id_of(value: Any) -> str:
    """The id of an object that stands there whole, or by its id."""
    return value if isinstance(value, str) else _text(value, "id") if isinstance(value, dict) else ""


def _unix(value: Any) -> datetime | None:
    is_time = isinstance(value, int) and not isinstance(value, bool) and 0 < value < UNIX_MAX
    return datetime.fromtimestamp(value, UTC) if is_time else None


def _time(holder: Document, name: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(holder, name))
        return _unix(int(moment.timestamp())) and moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
