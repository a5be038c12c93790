"""A payment method, its life, its verification, and its problems. Pure."""

from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from bursar.kit.errors import Problem
from bursar.kit.machine import Machine
from bursar.providers.port import MethodDetails, MethodType

MICRO_DEPOSIT_TRIES: Final = 3


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    EXPIRED = "EXPIRED"
    REMOVED = "REMOVED"


class VerificationStatus(StrEnum):
    PENDING = "PENDING"
    VERIFIED = "VERIFIED"
    FAILED = "FAILED"
    REQUIRES_ACTION = "REQUIRES_ACTION"


class CardSummary(msgspec.Struct, frozen=True, rename="camel"):
    """What may be shown of a card. bin: its first six digits. None: a provider keeps the card and has not told."""

    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    bin: str | None
    country: str | None = None


class BankSummary(msgspec.Struct, frozen=True, rename="camel"):
    """What may be shown of an account. account_type: CHECKING or SAVINGS."""

    country: str
    last4: str
    account_type: str
    bank_name: str | None = None


class WalletSummary(msgspec.Struct, frozen=True, rename="camel"):
    """wallet_provider: PAYPAL, APPLE_PAY or GOOGLE_PAY."""

    wallet_provider: str


class Verification(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A verification under way. provider: who does it. reference: the provider's, of an action that the customer has to
    take. key, amounts (US cents), tries: of micro-deposits.
    """

    provider: str
    reference: str | None = None
    key: str | None = None
    amounts: tuple[int, int] | None = None
    tries: int = 0


class PaymentMethod(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of payment_methods. provider_tokens: by provider, each provider's own token for the method."""

    id: str
    version: int
    customer_id: str
    type: MethodType
    status: Status
    verification_status: VerificationStatus
    is_default: bool
    token: str
    metadata: dict[str, str]
    provider_tokens: dict[str, str]
    created_at: datetime
    updated_at: datetime
    fingerprint: str | None = None
    card: CardSummary | None = None
    bank_account: BankSummary | None = None
    wallet: WalletSummary | None = None
    vault_record_id: str | None = None
    personal_data_id: str | None = None
    verification: Verification | None = None
    next_action: dict[str, Any] | None = None
    failure_code: str | None = None
    expires_on: date | None = None
    verified_at: datetime | None = None
    removed_at: datetime | None = None

    @property
    def country(self) -> str | None:
        """Where the method is from, if that is known."""
        if self.bank_account is not None:
            return self.bank_account.country
        return None if self.card is None else self.card.country


class PaymentMethodExists(Problem):
    status, code, title = 409, "payment_method_exists", "The customer has this payment method already"


class TooManyPaymentMethods(Problem):
    status, code, title = 409, "too_many_payment_methods", "The customer has as many payment methods as are allowed"


class PaymentMethodUnknown(Problem):
    status, code, title = 422, "payment_method_unknown", "This customer has no such payment method"


class PaymentMethodUnusable(Problem):
    status, code, title = 409, "payment_method_unusable", "The payment method cannot be used as it is"


class PaymentMethodDeclined(Problem):
    status, code, title = 402, "payment_method_declined", "The provider declined the payment method"


class RawNumbersRefused(Problem):
    status, code, title = 422, "raw_numbers_refused", "Here, payment methods come as provider tokens only"


class EncryptedCardUnreadable(Problem):
    status, code, title = 422, "encrypted_card_unreadable", "The encrypted card cannot be opened"


class EncryptionKeyUnknown(Problem):
    status, code, title = 422, "encryption_key_unknown", "The card was encrypted for a key that is not ours any more"


class VerificationNotOffered(Problem):
    status, code, title = 409, "verification_not_offered", "This payment method cannot be verified this way"


class MicroDepositsUnderWay(Problem):
    status, code, title = 409, "micro_deposits_under_way", "The two amounts were sent already; say what they are"


class MicroDepositsNotSent(Problem):
    status, code, title = 409, "micro_deposits_not_sent", "No amounts were sent to this account"


class AmountsWrong(Problem):
    status, code, title = 422, "amounts_wrong", "These are not the amounts that were sent"


_S, _V = Status, VerificationStatus

MACHINE: Final = Machine(
    "payment_method",
    initial=_S.ACTIVE,
    edges=[
        # from          action        to           event
        (_S.ACTIVE, "deactivate", _S.INACTIVE, "payment_method.deactivated"),
        (_S.INACTIVE, "activate", _S.ACTIVE, "payment_method.activated"),
        (_S.ACTIVE, "expire", _S.EXPIRED, "payment_method.expired"),
        (_S.INACTIVE, "expire", _S.EXPIRED, "payment_method.expired"),
        (_S.EXPIRED, "renew", _S.ACTIVE, "payment_method.renewed"),
        (_S.ACTIVE, "remove", _S.REMOVED, "payment_method.removed"),
        (_S.INACTIVE, "remove", _S.REMOVED, "payment_method.removed"),
        (_S.EXPIRED, "remove", _S.REMOVED, "payment_method.removed"),
    ],
)

VERIFICATION: Final = Machine(
    "payment_method_verification",
    initial=_V.PENDING,
    field="verification_status",
    edges=[
        # from                 action            to                   event
        (_V.PENDING, "verify", _V.VERIFIED, "payment_method.verified"),
        (_V.PENDING, "fail", _V.FAILED, "payment_method.verification_failed"),
        (_V.PENDING, "require_action", _V.REQUIRES_ACTION, "payment_method.action_required"),
        (_V.REQUIRES_ACTION, "verify", _V.VERIFIED, "payment_method.verified"),
        (_V.REQUIRES_ACTION, "fail", _V.FAILED, "payment_method.verification_failed"),
        (_V.REQUIRES_ACTION, "require_action", _V.REQUIRES_ACTION, "payment_method.action_required"),
        (_V.REQUIRES_ACTION, "restart", _V.PENDING, "payment_method.verification_restarted"),
        (_V.FAILED, "verify", _V.VERIFIED, "payment_method.verified"),
        (_V.FAILED, "require_action", _V.REQUIRES_ACTION, "payment_method.action_required"),
        (_V.FAILED, "restart", _V.PENDING, "payment_method.verification_restarted"),
        (_V.VERIFIED, "fail", _V.FAILED, "payment_method.verification_failed"),
        (_V.VERIFIED, "require_action", _V.REQUIRES_ACTION, "payment_method.action_required"),
        (_V.VERIFIED, "restart", _V.PENDING, "payment_method.verification_restarted"),
    ],
)

ACTION_TO: Final = {
    _V.VERIFIED: "verify",
    _V.FAILED: "fail",
    _V.REQUIRES_ACTION: "require_action",
    _V.PENDING: "restart",
}
"""The action of VERIFICATION that leads to each status."""


def first_of_next_month(exp_month: int, exp_year: int) -> date:
    """The day from which a card is expired."""
    return date(exp_year + exp_month // 12, exp_month % 12 + 1, 1)


def heirs(methods: Sequence[PaymentMethod], leaving_id: str) -> list[PaymentMethod]:
    """Who may become the default when one leaves, in this order: the newest verified one, else the newest active
    one.
    """
    left = [method for method in methods if method.id != leaving_id and method.status is Status.ACTIVE]
    is_verified = VerificationStatus.VERIFIED
    return sorted(left, key=lambda m: (m.verification_status is is_verified, m.id), reverse=True)


def refuse_unusable(method: PaymentMethod) -> None:
    """Raise PaymentMethodUnusable unless a payment can be made with it. A bank account has to be verified first."""
    needs_verified = method.type is MethodType.BANK_ACCOUNT
    is_good = (
        method.verification_status is VerificationStatus.VERIFIED
        if needs_verified
        else method.verification_status is not VerificationStatus.FAILED
    )
    if method.status is not Status.ACTIVE or not is_good:
        raise PaymentMethodUnusable(
            f"it is {method.status}, its verification {method.verification_status}",
            methodStatus=method.status,
            verificationStatus=method.verification_status,
        )


def refuse_removed(method: PaymentMethod) -> None:
    """Raise PaymentMethodUnusable where the customer has removed it."""
    if method.status is Status.REMOVED:
        raise PaymentMethodUnusable("it was removed", methodStatus=method.status)


def with_details(summary: CardSummary | None, details: MethodDetails) -> CardSummary:
    """A card's summary with what its provider tells of it."""
    old = summary or CardSummary(None, None, None, None, None)
    return CardSummary(
        brand=details.brand or old.brand,
        last4=details.last4 or old.last4,
        exp_month=details.exp_month or old.exp_month,
        exp_year=details.exp_year or old.exp_year,
        bin=details.bin or old.bin,
        country=details.country or old.country,
    )
