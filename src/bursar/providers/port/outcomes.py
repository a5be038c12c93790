"""The six outcomes of a request, and what an inspection finds."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from bursar.providers.port.disputes import DisputeState
from bursar.providers.port.instruments import MethodDetails


class PaymentState(msgspec.Struct, frozen=True):
    """How a payment stands at the provider, in minor units. amount_authorized: what was ever reserved. is_open:
    something is reserved still.
    """

    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    is_open: bool


class RefundStatus(StrEnum):
    """How a refund stands at the provider. FAILED: nothing was given back, or it came back."""

    PENDING = "PENDING"
    DONE = "DONE"
    FAILED = "FAILED"


class RefundState(msgspec.Struct, frozen=True):
    """How a refund stands at the provider. payment_reference: its id of the payment. amount: minor units. made_by: the
    key of the step of ours that made it; None where somebody else did.
    """

    reference: str
    payment_reference: str
    amount: int
    currency: str
    status: RefundStatus
    made_by: str | None = None


class Approved(msgspec.Struct, frozen=True):
    """Done. reference: the provider's id of the payment (or of what else was asked for). expires_at: of an
    authorization, where the provider says. step_reference: the provider's id of the capture or refund itself. state,
    refund, dispute: of an inspection.
    """

    reference: str
    expires_at: datetime | None = None
    step_reference: str | None = None
    details: MethodDetails | None = None
    state: PaymentState | None = None
    refund: RefundState | None = None
    dispute: DisputeState | None = None


class Declined(msgspec.Struct, frozen=True):
    """Refused by the provider for good. decline_code: of docs/errors.md. is_retryable: another try may succeed.
    advice: what to tell the customer.
    """

    decline_code: str
    message: str
    is_retryable: bool = False
    advice: str = ""


class ActionRequired(msgspec.Struct, frozen=True):
    """The customer has to do something first; next_action says what (`type`, `url`)."""

    reference: str
    next_action: dict[str, Any]


class Pending(msgspec.Struct, frozen=True):
    """Accepted; the provider itself does not know the outcome yet."""


class Unavailable(msgspec.Struct, frozen=True):
    """Certainly not done, and this key never will be. retry_after: seconds that the provider wants to be left alone."""

    reason: str
    retry_after: int | None = None


class Unknown(msgspec.Struct, frozen=True):
    """Maybe done: to be asked again, never guessed, never tried a second time."""

    reason: str


Outcome = Approved | Declined | ActionRequired | Pending | Unavailable | Unknown
