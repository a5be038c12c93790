"""A payment and its life: the inner statuses, the table of transitions, and the arithmetic of captures. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from bursar.infra.idempotency import Claim
from bursar.kit.errors import Problem
from bursar.kit.machine import Machine
from bursar.providers.port import PaymentState


class CaptureMethod(StrEnum):
    MANUAL = "MANUAL"
    AUTOMATIC = "AUTOMATIC"


class Status(StrEnum):
    """The inner statuses; AUTHORIZING, CAPTURING and VOIDING are PROCESSING to the outside."""

    PENDING = "PENDING"
    IN_REVIEW = "IN_REVIEW"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    AUTHORIZING = "AUTHORIZING"
    AUTHORIZED = "AUTHORIZED"
    CAPTURING = "CAPTURING"
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"
    CAPTURED = "CAPTURED"
    VOIDING = "VOIDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class PublicStatus(StrEnum):
    PENDING = "PENDING"
    IN_REVIEW = "IN_REVIEW"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    PROCESSING = "PROCESSING"
    AUTHORIZED = "AUTHORIZED"
    PARTIALLY_CAPTURED = "PARTIALLY_CAPTURED"
    CAPTURED = "CAPTURED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


PROCESSING: Final = frozenset({Status.AUTHORIZING, Status.CAPTURING, Status.VOIDING})

PUBLIC: Final[dict[Status, PublicStatus]] = {
    status: PublicStatus.PROCESSING if status in PROCESSING else PublicStatus(status.value) for status in Status
}

ACTIONS: Final = ("authorize", "capture", "complete", "fail", "cancel")
"""What callers may ask for; the other actions of the table are outcomes."""


class Kind(StrEnum):
    """What a provider is asked for."""

    AUTHORIZE = "AUTHORIZE"
    CAPTURE = "CAPTURE"
    VOID = "VOID"


class Says(StrEnum):
    """What a provider says, by itself, has become of a payment. It is asked before anything is believed."""

    AUTHORIZED = "AUTHORIZED"
    CAPTURED = "CAPTURED"
    ENDED = "ENDED"


class Named(msgspec.Struct, frozen=True):
    """What a provider's notice names: the provider's id of the payment, the key of our step that caused it, our
    payment's id as we gave it along.
    """

    reference: str | None = None
    key: str | None = None
    payment_id: str | None = None


class Split(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A vendor's share of a payment, in minor units."""

    vendor_id: str
    amount: int
    category_id: str | None = None


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A step with the provider that is under way. id: the provider's idempotency key.

    back_to: the status to return to when nothing was done. ends_in: the action that a void was asked for. is_unknown:
    the provider was asked and its outcome is not known. amount: minor units. fallbacks: the providers to ask for an
    authorization, one after another, should the payment's own certainly have done nothing; of a void that makes room
    for another method (`method_id`), all that may take that one.
    """

    id: str
    kind: Kind
    amount: int
    asked_at: datetime
    back_to: Status
    method_id: str | None = None
    is_final: bool = False
    ends_in: str | None = None
    is_unknown: bool = False
    reason: str | None = None
    failure_code: str | None = None
    fallbacks: tuple[str, ...] = ()


class Asker(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who waits for an attempt: the caller's idempotency key, which settling closes, and what a refusal's body names.

    Kept with the payment while the attempt is open, and told to nobody: it is no part of the payment's events.
    """

    attempt_id: str
    request_id: str
    instance: str
    claim: Claim | None = None


class Payment(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of payments. Amounts in minor units of `currency`. amount_capturing: asked of the provider, not settled
    yet. amount_unallocated: captured, and neither in a transaction nor given back from there. amount_refunding: asked
    back, not settled yet.
    """

    id: str
    version: int
    payment_number: str
    order_id: str
    customer_id: str
    amount: int
    currency: str
    capture_method: CaptureMethod
    status: Status
    metadata: dict[str, str]
    amount_authorized: int
    amount_capturing: int
    amount_captured: int
    amount_unallocated: int
    amount_refunding: int
    amount_refunded: int
    amount_disputed: int
    is_capture_final: bool
    provider: str
    attempts: tuple[Attempt, ...]
    asked_by: tuple[Asker, ...]
    created_at: datetime
    updated_at: datetime
    payment_method_id: str | None = None
    splits: tuple[Split, ...] | None = None
    description: str | None = None
    dispute_status: str | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    fraud_check_id: str | None = None
    risk_level: str | None = None
    provider_transaction_id: str | None = None
    next_action: dict[str, Any] | None = None
    personal_data_id: str | None = None
    authorized_at: datetime | None = None
    authorization_expires_at: datetime | None = None
    captured_at: datetime | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None
    cancelled_at: datetime | None = None

    @property
    def amount_capturable(self) -> int:
        """What may still be asked for: authorized, neither captured nor being captured."""
        return self.amount_authorized - self.amount_captured - self.amount_capturing

    @property
    def amount_refundable(self) -> int:
        """What may still be asked back."""
        taken = self.amount_refunded + self.amount_refunding + self.amount_disputed
        return max(0, self.amount_captured - taken)

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The open attempt of that id; None where it was settled."""
        return next((attempt for attempt in self.attempts if attempt.id == attempt_id), None)

    def asker(self, attempt: Attempt) -> Asker:
        """Who waits for an open attempt."""
        return next(asker for asker in self.asked_by if asker.attempt_id == attempt.id)


class AmountExceedsCapturable(Problem):
    status, code, title = 409, "amount_exceeds_capturable", "The authorization does not cover this capture"


class PaymentNotCaptured(Problem):
    status, code, title = 409, "payment_not_captured", "Nothing of this payment was captured"


class AmountExceedsUnallocated(Problem):
    status, code, title = 409, "amount_exceeds_unallocated", "Less of the payment's money is left to allocate"


class AmountExceedsRefundable(Problem):
    status, code, title = 409, "amount_exceeds_refundable", "Less of the payment is left to refund"


class FinalCaptureUnderWay(Problem):
    status, code, title = 409, "final_capture_under_way", "The final capture of this payment was asked for already"


class PaymentMethodMissing(Problem):
    status, code, title = 422, "payment_method_missing", "No payment method was named"


class PaymentDeclined(Problem):
    status, code, title = 402, "payment_declined", "The provider declined"


class ProviderUnavailable(Problem):
    status, code, title = 503, "provider_unavailable", "The provider could not be reached; nothing was done"


_S = Status

MACHINE: Final = Machine(
    "payment",
    initial=_S.PENDING,
    actions=ACTIONS,
    shown_as=PUBLIC,
    edges=[
        # from                   action                       to                      event
        (_S.PENDING, "send_to_review", _S.IN_REVIEW, "payment.in_review"),
        (_S.PENDING, "refuse", _S.FAILED, "payment.failed"),
        (_S.PENDING, "authorize", _S.AUTHORIZING, "payment.authorization_requested"),
        (_S.PENDING, "fail", _S.FAILED, "payment.failed"),
        (_S.PENDING, "cancel", _S.CANCELLED, "payment.cancelled"),
        (_S.IN_REVIEW, "approve", _S.PENDING, "payment.review_approved"),
        (_S.IN_REVIEW, "refuse", _S.FAILED, "payment.failed"),
        (_S.IN_REVIEW, "fail", _S.FAILED, "payment.failed"),
        (_S.IN_REVIEW, "cancel", _S.CANCELLED, "payment.cancelled"),
        (_S.AUTHORIZING, "authorized", _S.AUTHORIZED, "payment.authorized"),
        (_S.AUTHORIZING, "charged", _S.CAPTURED, "payment.captured"),
        (_S.AUTHORIZING, "declined", _S.FAILED, "payment.failed"),
        (_S.AUTHORIZING, "action_required", _S.REQUIRES_ACTION, "payment.action_required"),
        (_S.AUTHORIZING, "undone_to_pending", _S.PENDING, "payment.authorization_not_done"),
        (_S.AUTHORIZING, "undone_to_requires_action", _S.REQUIRES_ACTION, "payment.authorization_not_done"),
        (_S.AUTHORIZING, "reroute", _S.AUTHORIZING, "payment.rerouted"),
        (_S.AUTHORIZING, "wait", _S.AUTHORIZING, "payment.outcome_unknown"),
        (_S.REQUIRES_ACTION, "authorize", _S.AUTHORIZING, "payment.authorization_requested"),
        (_S.REQUIRES_ACTION, "replace", _S.VOIDING, "payment.void_requested"),
        (_S.REQUIRES_ACTION, "fail", _S.VOIDING, "payment.void_requested"),
        (_S.REQUIRES_ACTION, "cancel", _S.VOIDING, "payment.void_requested"),
        (_S.AUTHORIZED, "capture", _S.CAPTURING, "payment.capture_requested"),
        (_S.AUTHORIZED, "fail", _S.VOIDING, "payment.void_requested"),
        (_S.AUTHORIZED, "cancel", _S.VOIDING, "payment.void_requested"),
        (_S.AUTHORIZED, "expire", _S.VOIDING, "payment.void_requested"),
        (_S.AUTHORIZED, "captured_by_provider", _S.CAPTURED, "payment.captured"),
        (_S.AUTHORIZED, "captured_in_part_by_provider", _S.PARTIALLY_CAPTURED, "payment.partially_captured"),
        (_S.AUTHORIZED, "cancelled_by_provider", _S.CANCELLED, "payment.cancelled"),
        (_S.CAPTURING, "capture", _S.CAPTURING, "payment.capture_requested"),
        (_S.CAPTURING, "captured_with_more_under_way", _S.CAPTURING, "payment.partially_captured"),
        (_S.CAPTURING, "captured_in_part", _S.PARTIALLY_CAPTURED, "payment.partially_captured"),
        (_S.CAPTURING, "captured_in_full", _S.CAPTURED, "payment.captured"),
        (_S.CAPTURING, "not_captured_with_more_under_way", _S.CAPTURING, "payment.capture_failed"),
        (_S.CAPTURING, "not_captured", _S.AUTHORIZED, "payment.capture_failed"),
        (_S.CAPTURING, "not_captured_after_part", _S.PARTIALLY_CAPTURED, "payment.capture_failed"),
        (_S.CAPTURING, "not_captured_after_final", _S.CAPTURED, "payment.capture_failed"),
        (_S.CAPTURING, "wait", _S.CAPTURING, "payment.outcome_unknown"),
        (_S.PARTIALLY_CAPTURED, "capture", _S.CAPTURING, "payment.capture_requested"),
        (_S.PARTIALLY_CAPTURED, "complete", _S.VOIDING, "payment.void_requested"),
        (_S.PARTIALLY_CAPTURED, "expire", _S.VOIDING, "payment.void_requested"),
        (_S.PARTIALLY_CAPTURED, "captured_by_provider", _S.CAPTURED, "payment.captured"),
        (_S.PARTIALLY_CAPTURED, "captured_in_part_by_provider", _S.PARTIALLY_CAPTURED, "payment.partially_captured"),
        (_S.PARTIALLY_CAPTURED, "released_by_provider", _S.CAPTURED, "payment.captured"),
        (_S.CAPTURED, "complete", _S.COMPLETED, "payment.completed"),
        (_S.VOIDING, "voided_to_replace", _S.AUTHORIZING, "payment.authorization_requested"),
        (_S.VOIDING, "voided_to_fail", _S.FAILED, "payment.failed"),
        (_S.VOIDING, "voided_to_cancel", _S.CANCELLED, "payment.cancelled"),
        (_S.VOIDING, "voided_to_expire", _S.EXPIRED, "payment.expired"),
        (_S.VOIDING, "voided_to_complete", _S.COMPLETED, "payment.completed"),
        (_S.VOIDING, "voided_to_keep_captured", _S.CAPTURED, "payment.captured"),
        (_S.VOIDING, "not_voided_requires_action", _S.REQUIRES_ACTION, "payment.void_failed"),
        (_S.VOIDING, "not_voided_authorized", _S.AUTHORIZED, "payment.void_failed"),
        (_S.VOIDING, "not_voided_partially_captured", _S.PARTIALLY_CAPTURED, "payment.void_failed"),
        (_S.VOIDING, "wait", _S.VOIDING, "payment.outcome_unknown"),
    ],
)


def refuse_capture(payment: Payment, amount: int) -> None:
    """Raise the reason why `amount` minor units cannot be captured now; the status is MACHINE's affair."""
    if payment.is_capture_final:
        raise FinalCaptureUnderWay
    if not 0 < amount <= payment.amount_capturable:
        raise AmountExceedsCapturable(
            f"{amount or 'all that is left'} is more than the {payment.amount_capturable} that can be captured",
            amountCapturable=payment.amount_capturable,
        )


def captured(payment: Payment, attempt: Attempt) -> tuple[str, dict[str, Any]]:
    """The action and the changes when the provider took an attempt's amount."""
    total, rest = payment.amount_captured + attempt.amount, _without(payment, attempt)
    changes: dict[str, Any] = {
        "attempts": rest,
        "amount_captured": total,
        "amount_capturing": payment.amount_capturing - attempt.amount,
    }
    if rest:
        return "captured_with_more_under_way", changes
    if payment.is_capture_final or total == payment.amount_authorized:
        return "captured_in_full", changes
    return "captured_in_part", changes


def not_captured(payment: Payment, attempt: Attempt) -> tuple[str, dict[str, Any]]:
    """The action and the changes when an attempt took nothing; its amount can be captured again."""
    rest = _without(payment, attempt)
    is_final = payment.is_capture_final and not attempt.is_final
    changes: dict[str, Any] = {
        "attempts": rest,
        "amount_capturing": payment.amount_capturing - attempt.amount,
        "is_capture_final": is_final,
    }
    if rest:
        return "not_captured_with_more_under_way", changes
    if is_final and payment.amount_captured:
        return "not_captured_after_final", changes
    return ("not_captured_after_part" if payment.amount_captured else "not_captured"), changes


class ProviderDisagrees(Problem):
    """The provider says of a payment what cannot follow from what we know: somebody has to look."""

    status, code, title = 409, "provider_disagrees", "The provider believes something else of this payment"


def caught_up(payment: Payment, state: PaymentState) -> tuple[str, dict[str, Any]] | None:
    """The action and the changes by which a payment without open attempts catches up with what its provider did by
    itself; None where it is up to date. Amounts only grow. Raises ProviderDisagrees.
    """
    taken = state.amount_captured - payment.amount_captured
    if taken < 0 or state.amount_captured > payment.amount_authorized:
        raise ProviderDisagrees(
            f"captured {state.amount_captured} there, {payment.amount_captured} of {payment.amount_authorized} here"
        )
    if payment.status not in (Status.AUTHORIZED, Status.PARTIALLY_CAPTURED):
        if taken or state.is_open:
            raise ProviderDisagrees(f"{payment.status} here, {'open' if state.is_open else 'captured'} there")
        return None
    if taken and state.is_open:
        return "captured_in_part_by_provider", {"amount_captured": state.amount_captured}
    if taken:
        return "captured_by_provider", {"amount_captured": state.amount_captured, "is_capture_final": True}
    if state.is_open:
        return None
    if payment.amount_captured:
        return "released_by_provider", {"is_capture_final": True}
    return "cancelled_by_provider", {"failure_reason": "the provider ended the authorization"}


def _without(payment: Payment, attempt: Attempt) -> tuple[Attempt, ...]:
    return tuple(other for other in payment.attempts if other.id != attempt.id)


EVENT_CREATED: Final = "payment.created"
EVENT_UPDATED: Final = "payment.updated"
