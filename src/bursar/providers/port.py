"""What Bursar asks of a payment provider, and the six outcomes that it can get.

An adapter turns every failure into an outcome and raises nothing. The difference that matters: Unavailable is
certainly not done, Unknown may have been done. Every request carries `key`, the same for every repeat of one step; a
provider that has seen a key answers what it answered before.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import msgspec


class MethodType(StrEnum):
    CARD = "CARD"
    BANK_ACCOUNT = "BANK_ACCOUNT"
    DIGITAL_WALLET = "DIGITAL_WALLET"


class _Secret:
    """Is never shown: no log line, no traceback says what is in it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Card(_Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """A card as its holder types it in. cvc: there once, while the card is added; kept by nobody."""

    number: str
    exp_month: int
    exp_year: int
    holder_name: str | None = None
    cvc: str | None = None


class BankAccount(_Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """An account: by routing_number and account_number (US), or by iban. account_type: CHECKING or SAVINGS."""

    country: str
    holder_name: str
    routing_number: str | None = None
    account_number: str | None = None
    iban: str | None = None
    bic: str | None = None
    account_type: str = "CHECKING"


class Wallet(_Secret, msgspec.Struct, frozen=True):
    """A wallet's own token. provider: PAYPAL, APPLE_PAY or GOOGLE_PAY."""

    provider: str
    token: str


class Instrument(msgspec.Struct, frozen=True):
    """A payment method as an adapter gets it. id: ours. token: this provider's own for it, where it has given one;
    else one of the three others is there. is_gone: its owner has removed it, and nothing else is left: an inquiry looks
    by its key alone, and repeats nothing.
    """

    id: str
    type: MethodType
    token: str | None = None
    card: Card | None = None
    bank_account: BankAccount | None = None
    wallet: Wallet | None = None
    is_gone: bool = False


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


class DisputeEvidence(msgspec.Struct, frozen=True):
    """Contest a dispute. evidence: by the provider's names for it; texts, or ids of uploaded files."""

    key: str
    dispute_reference: str
    evidence: dict[str, str]
    asked_at: datetime


class DisputeAcceptance(msgspec.Struct, frozen=True):
    """Contest a dispute no more."""

    key: str
    dispute_reference: str
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
    | DisputeEvidence
    | DisputeAcceptance
)


class MethodDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider tells of a payment method that it keeps: enough to show it, not to use it."""

    brand: str | None = None
    last4: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    bin: str | None = None
    country: str | None = None
    bank_name: str | None = None
    email: str | None = None


class PaymentState(msgspec.Struct, frozen=True):
    """How a payment stands at the provider, in minor units. amount_authorized: what was ever reserved. is_open:
    something is reserved still.
    """

    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    is_open: bool


class Approved(msgspec.Struct, frozen=True):
    """Done. reference: the provider's id of the payment (or of what else was asked for). expires_at: of an
    authorization, where the provider says. step_reference: the provider's id of the capture or refund itself. state: of
    an inspection.
    """

    reference: str
    expires_at: datetime | None = None
    step_reference: str | None = None
    details: MethodDetails | None = None
    state: PaymentState | None = None


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


class PaymentProvider(Protocol):
    """One provider of payments, of payouts, or of both."""

    @property
    def name(self) -> str: ...

    @property
    def method_types(self) -> frozenset[MethodType]:
        """The payment methods that it can take."""
        ...

    @property
    def requests(self) -> frozenset[type[Request]]:
        """What it can be asked for."""
        ...

    def accepts(self, currency: str) -> bool:
        """Whether it takes payments in `currency`."""
        ...

    async def execute(self, request: Request) -> Outcome:
        """Carry out a step, once for each key."""
        ...

    async def inquire(self, request: Request) -> Outcome:
        """What became of a step. Unavailable only where it is certain that the key was not and never will be carried
        out.
        """
        ...

    async def close(self) -> None: ...


class Movement(msgspec.Struct, frozen=True):
    """A line of a provider's own account of our money. amount, fee: minor units; amount is positive where the provider
    owes us more after it. kind: CHARGE, REFUND, DISPUTE, PAYOUT, FEE, ADJUSTMENT.
    """

    id: str
    kind: str
    reference: str | None
    amount: int
    fee: int
    currency: str
    occurred_at: datetime


class Reporting(Protocol):
    """A provider that shows its own account of our money, to reconcile with."""

    async def movements(self, *, since: datetime, until: datetime) -> list[Movement]:
        """Every movement of [since, until), oldest first. Raises ReportUnavailable."""
        ...


class AccountCorrection(_Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bank tells to be wrong of an account; None where it stays. account_type: CHECKING or SAVINGS."""

    routing_number: str | None = None
    account_number: str | None = None
    account_type: str | None = None
    holder_name: str | None = None


class BankNews(msgspec.Struct, frozen=True):
    """What a bank said of an entry days after it was sent.

    method_id: our payment method's. key: of the request that the entry was sent for. code: the bank's (R02, C01, AC04).
    failure_code: of docs/errors.md, where the entry came back. correction: what to put right before the next entry.
    is_late: it had counted as paid. is_verification: the entry was a micro-deposit.
    """

    id: str
    method_id: str
    key: str
    code: str
    failure_code: str | None = None
    correction: AccountCorrection | None = None
    is_late: bool = False
    is_verification: bool = False


@runtime_checkable
class BankRail(Protocol):
    """A provider that exchanges files with a bank instead of being asked."""

    async def exchange(self) -> list[BankNews]:
        """Send what is due, read what came, and tell what nobody has acknowledged yet. Safe to repeat at any time."""
        ...

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """These have been applied; they are not told again."""
        ...


class ReportUnavailable(Exception):  # noqa: N818  the provider's state, not a fault of ours
    """The provider did not show its account; nothing is lost by asking again."""
