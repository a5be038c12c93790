"""What callers send and see of payment methods."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from bursar.domains.payment_methods.model import PaymentMethod, Status, VerificationStatus
from bursar.infra.http.types import (
    Address,
    Country,
    ForeignId,
    Metadata,
    MetadataChange,
    NoCardNumber,
    RequestModel,
    ResponseModel,
    Text,
)
from bursar.providers.port import MethodType

Token = Annotated[str, StringConstraints(min_length=1, max_length=2_000, pattern=r"^[\x21-\x7e]+$"), NoCardNumber]
ProviderName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")]
ExpMonth = Annotated[int, Field(ge=1, le=12)]
ExpYear = Annotated[int, Field(ge=2000, le=2199)]
CardNumber = Annotated[str, Field(pattern="^[0-9][0-9 ]{10,28}[0-9]$")]
Cvc = Annotated[str, Field(pattern="^[0-9]{3,4}$")]
HolderName = Annotated[Text, Field(max_length=100)]
Jwe = Annotated[str, StringConstraints(min_length=1, max_length=4_096, pattern=r"^[A-Za-z0-9_.\-]+$")]


class ClearCard(RequestModel):
    """A card in clear. number: digits; blanks between them are taken out."""

    number: CardNumber
    exp_month: ExpMonth
    exp_year: ExpYear
    cvc: Cvc | None = None
    holder_name: HolderName | None = None


class CardRequest(RequestModel):
    """A card: number, expMonth and expYear in clear; or `jwe` alone, which is JSON of the same, encrypted for the key
    of GET /encryption-key.
    """

    number: CardNumber | None = None
    exp_month: ExpMonth | None = None
    exp_year: ExpYear | None = None
    cvc: Cvc | None = None
    holder_name: HolderName | None = None
    jwe: Jwe | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "CardRequest":
        in_clear = (self.number, self.exp_month, self.exp_year)
        is_clear = None not in in_clear and self.jwe is None
        is_encrypted = self.jwe is not None and self.model_fields_set == {"jwe"}
        if not (is_clear or is_encrypted):
            raise ValueError("number, expMonth and expYear; or jwe alone")
        return self


class BankAccountRequest(RequestModel):
    """An account by routingNumber and accountNumber (US), or by iban."""

    country: Country
    holder_name: HolderName
    account_type: Literal["CHECKING", "SAVINGS"] = "CHECKING"
    routing_number: Annotated[str, Field(pattern="^[0-9]{9}$")] | None = None
    account_number: Annotated[str, Field(pattern="^[0-9]{4,17}$")] | None = None
    iban: Annotated[str, Field(pattern="^[A-Za-z]{2}[0-9]{2}[A-Za-z0-9 ]{8,40}$")] | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "BankAccountRequest":
        is_us = self.routing_number is not None and self.account_number is not None and self.iban is None
        is_iban = self.iban is not None and self.routing_number is None and self.account_number is None
        if not (is_us or is_iban):
            raise ValueError("routingNumber and accountNumber, or iban")
        return self


class WalletRequest(RequestModel):
    wallet_provider: Literal["PAYPAL", "APPLE_PAY", "GOOGLE_PAY"]
    token: Token
    email: Annotated[Text, Field(max_length=254)] | None = None


class ProviderTokenRequest(RequestModel):
    """A method that a provider keeps: what it calls it."""

    provider: ProviderName
    token: Token


class CreatePaymentMethod(RequestModel):
    """One of card, bankAccount, wallet and providerToken; the first three say the same as `type`."""

    customer_id: ForeignId
    type: MethodType
    card: CardRequest | None = None
    bank_account: BankAccountRequest | None = None
    wallet: WalletRequest | None = None
    provider_token: ProviderTokenRequest | None = None
    set_default: bool = False
    billing_address: Address | None = None
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_one(self) -> "CreatePaymentMethod":
        given = [
            kind
            for kind, part in (
                (MethodType.CARD, self.card),
                (MethodType.BANK_ACCOUNT, self.bank_account),
                (MethodType.DIGITAL_WALLET, self.wallet),
                (self.type, self.provider_token),
            )
            if part is not None
        ]
        if given != [self.type]:
            raise ValueError("one of card, bankAccount, wallet and providerToken, that which `type` says")
        if self.provider_token is not None and self.type is MethodType.BANK_ACCOUNT:
            raise ValueError("a bank account comes by its number")
        return self


class UpdatePaymentMethod(RequestModel):
    """Only what is sent changes. Metadata is merged key by key; a null takes away."""

    exp_month: ExpMonth | None = None
    exp_year: ExpYear | None = None
    billing_address: Address | None = None
    status: Literal[Status.ACTIVE, Status.INACTIVE] | None = None
    metadata: MetadataChange | None = None

    @model_validator(mode="after")
    def _expiry_is_whole(self) -> "UpdatePaymentMethod":
        if (self.exp_month is None) != (self.exp_year is None):
            raise ValueError("expMonth and expYear come together")
        return self


class SetDefault(RequestModel):
    """Takes nothing."""


class RefreshPaymentMethod(RequestModel):
    """Takes nothing."""


class UpdateVerification(RequestModel):
    verification_status: VerificationStatus
    reason: Text | None = None


class VerifyPaymentMethod(RequestModel):
    """cvc: of a card, once more. amounts: the two micro-deposits in cents, in any order; without them they are sent."""

    cvc: Cvc | None = None
    amounts: Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(min_length=2, max_length=2)] | None = None


class CardView(ResponseModel):
    brand: str | None
    last4: str | None
    exp_month: int | None
    exp_year: int | None
    bin: str | None
    country: str | None


class BankAccountView(ResponseModel):
    country: str
    last4: str
    account_type: str
    bank_name: str | None


class WalletView(ResponseModel):
    wallet_provider: str


class PaymentMethodView(ResponseModel):
    """A payment method as callers see it: never its number."""

    id: str
    version: int
    customer_id: str
    type: MethodType
    status: Status
    verification_status: VerificationStatus
    is_default: bool
    token: str
    fingerprint: str | None
    card: CardView | None
    bank_account: BankAccountView | None
    wallet: WalletView | None
    providers: list[str]
    next_action: dict[str, Any] | None
    failure_code: str | None
    metadata: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime
    verified_at: AwareDatetime | None
    removed_at: AwareDatetime | None
    holder_name: str | None = None
    email: str | None = None
    billing_address: dict[str, Any] | None = None


class PaymentMethodList(ResponseModel):
    data: list[PaymentMethodView]
    has_more: bool
    next_cursor: str | None


class EncryptionKeyView(ResponseModel):
    """A public JWK (RFC 7517) for ECDH-ES with A256GCM; `kid` goes into the JWE's header."""

    kty: str
    crv: str
    x: str
    y: str
    kid: str
    use: str
    alg: str


def render(method: PaymentMethod) -> dict[str, Any]:
    """The method as PaymentMethodView, without personal data: what is kept for idempotency keys and shown in lists."""
    return {
        "id": method.id,
        "version": method.version,
        "customerId": method.customer_id,
        "type": method.type,
        "status": method.status,
        "verificationStatus": method.verification_status,
        "isDefault": method.is_default,
        "token": method.token,
        "fingerprint": method.fingerprint,
        "card": method.card,
        "bankAccount": method.bank_account,
        "wallet": method.wallet,
        "providers": sorted(method.provider_tokens),
        "nextAction": method.next_action,
        "failureCode": method.failure_code,
        "metadata": method.metadata,
        "createdAt": method.created_at,
        "updatedAt": method.updated_at,
        "verifiedAt": method.verified_at,
        "removedAt": method.removed_at,
    }
