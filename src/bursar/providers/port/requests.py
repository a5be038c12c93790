"""What an adapter is asked for. Every request carries `key`, the same for every repeat of one step."""

from datetime import datetime

import msgspec

from bursar.providers.port.disputes import DisputeAcceptance, DisputeEvidence, DisputeInspection
from bursar.providers.port.instruments import Instrument


class Authorization(msgspec.Struct, frozen=True):
    """Reserve `amount` (minor units) on the customer's payment method; take it at once where `capture`.

    reference: the provider's id where the customer has been sent to an action for this payment before. asked_at: when
    this step was asked for first; of every request.
    """

    key: str
    payment_id: str
    amount: int
    currency: str
    instrument: Instrument
    capture: bool
    asked_at: datetime
    reference: str | None = None


class Capture(msgspec.Struct, frozen=True):
    """Take `amount` of an authorization; give the rest back where `is_final`."""

    key: str
    reference: str
    amount: int
    currency: str
    is_final: bool
    asked_at: datetime


class Void(msgspec.Struct, frozen=True):
    """Give back what an authorization still reserves."""

    key: str
    reference: str
    asked_at: datetime


class Refund(msgspec.Struct, frozen=True):
    """Give `amount` of what was captured under `reference` back to the customer."""

    key: str
    reference: str
    amount: int
    currency: str
    asked_at: datetime


class Payout(msgspec.Struct, frozen=True):
    """Send `amount` to a vendor. destination: a bank account, or the provider's own token for an account. statement:
    what the vendor reads beside it, at most 18 characters.
    """

    key: str
    amount: int
    currency: str
    destination: Instrument
    statement: str
    asked_at: datetime


class Verification(msgspec.Struct, frozen=True):
    """Find out whether a payment method is good, without money: a zero-amount authorization for a card.

    Approved.reference is then the provider's token for it. reference: the provider's id of the verification, where the
    customer has been sent to an action for it before.
    """

    key: str
    instrument: Instrument
    currency: str
    asked_at: datetime
    reference: str | None = None


class MicroDeposits(msgspec.Struct, frozen=True):
    """Send two small amounts (US cents) to an account, whose owner is to say them."""

    key: str
    amounts: tuple[int, int]
    instrument: Instrument
    asked_at: datetime


class Description(msgspec.Struct, frozen=True):
    """Say what the provider knows of its token now. Declined(method_revoked) where it is good no more."""

    key: str
    token: str
    asked_at: datetime


class Forgetting(msgspec.Struct, frozen=True):
    """Give the provider's token up: the customer removed the payment method."""

    key: str
    token: str
    asked_at: datetime


class Inspection(msgspec.Struct, frozen=True):
    """Say how a payment stands at the provider, whoever brought that about. Approved.state says it."""

    key: str
    reference: str
    currency: str
    asked_at: datetime


class RefundInspection(msgspec.Struct, frozen=True):
    """Say how a refund stands at the provider, whoever made it. Approved.refund says it."""

    key: str
    refund_reference: str
    asked_at: datetime


Request = (
    Authorization
    | Capture
    | Void
    | Refund
    | Payout
    | Verification
    | MicroDeposits
    | Description
    | Forgetting
    | Inspection
    | RefundInspection
    | DisputeInspection
    | DisputeEvidence
    | DisputeAcceptance
)
