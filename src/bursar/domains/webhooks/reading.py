"""What an event of each provider says of itself: its id, type and time, and what it names. Pure; no amount and no
status is read: those are asked for.

Kinds of what is named: `reference` (the provider's id of the payment), `key` (ours, of the step that caused it),
`payment` (our payment's id, as we gave it along), `token` (the provider's of a payment method), `check` (of KYC).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from bursar.kit import ids

EVENT_ID: Final = re.compile(r"[!#-\[\]-~]{1,200}")
EVENT_TYPE: Final = re.compile(r"[A-Za-z0-9._-]{1,100}")
NAMED: Final = re.compile(r"[!#-\[\]-~]{1,255}")
UNIX_MAX: Final = 4_102_444_800
"""The year 2100: a time beyond it is none."""

Document = dict[str, Any]


class Event(msgspec.Struct, frozen=True):
    """What an event says of itself."""

    id: str
    type: str
    occurred_at: datetime | None
    named: dict[str, str]


class NoEvent(Exception):  # noqa: N818  a fact about what was sent
    """What was sent is no event."""


def read(provider: str, headers: Mapping[str, str], body: bytes) -> Event:
    """The event in a body. Raises NoEvent."""
    document = decoded(body)
    given = _STRIPE_OR_PAYPAL.get(provider, _other)(document, headers)
    if not EVENT_ID.fullmatch(given.id) or not EVENT_TYPE.fullmatch(given.type):
        raise NoEvent("the event's id or type is missing or strange")
    return given


def decoded(body: bytes) -> Document:
    """A body as JSON. Raises NoEvent."""
    try:
        body.decode()  # fields that nobody reads have to be text too
        return msgspec.json.decode(body, type=Document)
    except (ValueError, RecursionError) as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        raise NoEvent("the body is no JSON object in UTF-8") from error


def named_in(provider: str, document: Document) -> dict[str, str]:
    """What a document of a provider names."""
    return _STRIPE_OR_PAYPAL.get(provider, _other)(document, {}).named


def _stripe(document: Document, headers: Mapping[str, str]) -> Event:
    data, request = _object(document, "data"), _object(document, "request")
    held = _object(data, "object")
    kind, held_id = _text(held, "object"), _id_of(held)
    metadata = _object(held, "metadata")
    named = {
        "reference": held_id if kind == "payment_intent" else _id_of(held.get("payment_intent")),
        "key": _text(metadata, "bursar_key") or _text(request, "idempotency_key"),
        "payment": _text(metadata, "bursar_payment"),
        "token": _stripe_token(kind, held, _object(data, "previous_attributes")),
    }
    return Event(_text(document, "id"), _text(document, "type"), _unix(document.get("created")), _kept(named))


def _stripe_token(kind: str, held: Document, previous: Document) -> str:
    """The PaymentMethod of an event about one, and the Customer that holds or held it, as our adapter writes both."""
    if kind == "payment_method":
        method = _id_of(held)
        customer = _id_of(held.get("customer")) or _id_of(previous.get("customer"))
        return f"{method}:{customer}" if customer else method
    return _id_of(held.get("payment_method")) if kind == "mandate" else ""


def _paypal(document: Document, headers: Mapping[str, str]) -> Event:
    resource, kind = _object(document, "resource"), _text(document, "resource_type").replace("_", "-")
    related = _object(_object(resource, "supplementary_data"), "related_ids")
    unit = next((each for each in _list(resource, "purchase_units") if isinstance(each, dict)), {})
    is_order, is_token = kind == "checkout-order", kind == "payment-token"
    named = {
        "reference": _text(resource, "id") if is_order else _text(related, "order_id") or _order_above(resource),
        "key": _text(unit if is_order else resource, "invoice_id"),
        "payment": _text(unit if is_order else resource, "custom_id"),
        "token": _text(resource, "id") if is_token else "",
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
    named = {"reference": _text(data, "id"), "check": _text(data, "clientReference")}
    event_id = headers.get("webhook-id") or _text(document, "id")
    return Event(event_id, _text(document, "type"), _time(document, "timestamp"), _kept(named))


_STRIPE_OR_PAYPAL: Final[dict[str, Callable[[Document, Mapping[str, str]], Event]]] = {
    "stripe": _stripe,
    "paypal": _paypal,
}


def _kept(named: dict[str, str]) -> dict[str, str]:
    """What can be an id; of `payment` only what can be ours."""
    found = {kind: value for kind, value in named.items() if NAMED.fullmatch(value)}
    if not ids.is_uuid(found.get("payment", "")):
        found.pop("payment", None)
    return found


def _object(holder: Document, name: str) -> Document:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


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
