"""What Stripe answers, as far as we read it, and one function that reads it. Whatever has another shape is garbage."""

from typing import Any, TypeVar

import msgspec
import stripe

Shape = TypeVar("Shape")


class Garbage(Exception):  # noqa: N818  Stripe's state, not a fault of ours
    """An answer that has not the shape that was asked for."""


class CardOfCharge(msgspec.Struct, frozen=True):
    """capture_before: Unix seconds; when the authorization ends."""

    capture_before: int | None = None


class ChargeDetails(msgspec.Struct, frozen=True):
    card: CardOfCharge | None = None


class Charge(msgspec.Struct, frozen=True):
    """Amounts: in Stripe's unit; what was released of an authorization counts as refunded too."""

    id: str
    amount_refunded: int | None = None
    amount_captured: int | None = None
    currency: str | None = None
    payment_method_details: ChargeDetails | None = None


class LastError(msgspec.Struct, frozen=True):
    """Why the last attempt at an intent failed."""

    code: str | None = None
    decline_code: str | None = None
    message: str | None = None


class PaymentIntent(msgspec.Struct, frozen=True, tag_field="object", tag="payment_intent"):
    """Amounts: in Stripe's unit, None where it does not say. created: Unix seconds."""

    id: str
    status: str
    amount: int
    currency: str
    created: int
    amount_capturable: int | None = None
    amount_received: int | None = None
    latest_charge: str | Charge | None = None
    client_secret: str | None = None
    next_action: dict[str, Any] | None = None
    last_payment_error: LastError | None = None
    cancellation_reason: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def charge(self) -> Charge | None:
        """The last charge; nothing but its id where it was not expanded."""
        return Charge(self.latest_charge) if isinstance(self.latest_charge, str) else self.latest_charge


class Card(msgspec.Struct, frozen=True):
    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    country: str | None = None


class PaymentMethod(msgspec.Struct, frozen=True, tag_field="object", tag="payment_method"):
    id: str
    customer: str | None = None
    card: Card | None = None


class SetupIntent(msgspec.Struct, frozen=True, tag_field="object", tag="setup_intent"):
    """payment_method: its id, or itself where it was expanded."""

    id: str
    status: str
    payment_method: str | PaymentMethod | None = None
    customer: str | None = None
    client_secret: str | None = None
    next_action: dict[str, Any] | None = None
    last_setup_error: LastError | None = None
    metadata: dict[str, str] | None = None


class Customer(msgspec.Struct, frozen=True, tag_field="object", tag="customer"):
    id: str


class Refund(msgspec.Struct, frozen=True, tag_field="object", tag="refund"):
    id: str
    amount: int
    currency: str
    status: str | None = None
    failure_reason: str | None = None
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None


class Transfer(msgspec.Struct, frozen=True, tag_field="object", tag="transfer"):
    id: str
    amount: int
    currency: str
    metadata: dict[str, str] | None = None


class Payout(msgspec.Struct, frozen=True, tag_field="object", tag="payout"):
    id: str
    amount: int
    currency: str
    status: str
    failure_code: str | None = None
    failure_message: str | None = None
    metadata: dict[str, str] | None = None


class EvidenceDetails(msgspec.Struct, frozen=True):
    """due_by: Unix seconds; until when evidence is taken."""

    due_by: int | None = None
    submission_count: int = 0


class DisputeMovement(msgspec.Struct, frozen=True):
    """What a dispute moved of our money; fee: in Stripe's unit, negative where it was given back."""

    fee: int
    currency: str


class Dispute(msgspec.Struct, frozen=True, tag_field="object", tag="dispute"):
    """amount: in Stripe's unit. created: Unix seconds. balance_transactions: of funds withdrawn and reinstated."""

    id: str
    status: str
    amount: int
    currency: str
    created: int
    reason: str = ""
    payment_intent: str | None = None
    evidence: dict[str, Any] | None = None
    evidence_details: EvidenceDetails = EvidenceDetails()
    balance_transactions: tuple[DisputeMovement, ...] = ()


class FraudWarning(msgspec.Struct, frozen=True, tag_field="object", tag="radar.early_fraud_warning"):
    """actionable: its charge is neither disputed nor refunded whole. charge: its id, or itself if it was expanded."""

    id: str
    actionable: bool
    charge: str | Charge
    created: int
    payment_intent: str | None = None


class EventRequest(msgspec.Struct, frozen=True):
    """What caused an event."""

    idempotency_key: str | None = None


class EventObject(msgspec.Struct, frozen=True):
    """The object of an event: of a PaymentIntent its id, of a charge also its PaymentIntent's."""

    id: str
    payment_intent: str | None = None


class EventData(msgspec.Struct, frozen=True):
    object: EventObject


class LoggedEvent(msgspec.Struct, frozen=True, tag_field="object", tag="event"):
    """What is read of an event before it is taken in as a webhook's would be."""

    id: str
    type: str


class Event(msgspec.Struct, frozen=True, tag_field="object", tag="event"):
    type: str
    data: EventData
    request: EventRequest | None = None


class Source(msgspec.Struct, frozen=True):
    """What moved money, where it was expanded: a charge, a refund, a transfer, a payout, a dispute."""

    id: str
    object: str
    payment_intent: str | None = None


class BalanceTransaction(msgspec.Struct, frozen=True, tag_field="object", tag="balance_transaction"):
    """amount, fee: in Stripe's unit; amount before the fee. created: Unix seconds."""

    id: str
    type: str
    amount: int
    fee: int
    currency: str
    created: int
    reporting_category: str | None = None
    source: str | Source | None = None


def read(answer: Any, shape: type[Shape]) -> Shape:
    """What the SDK got, as `shape`. Raises Garbage."""
    content = answer.to_dict() if isinstance(answer, stripe.StripeObject) else answer
    try:
        return msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        raise Garbage(str(error)) from error


def is_replayed(answer: Any) -> bool:
    """Whether Stripe repeated what it answered to this key before, whatever has happened since."""
    response = getattr(answer, "last_response", None)
    return response is not None and response.headers.get("idempotent-replayed") == "true"
