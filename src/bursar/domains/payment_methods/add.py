"""Adding a payment method: read, checked by its provider without money, and kept; then, in one transaction, the vault's
record, the row, and what becomes of the customer's default.
"""

import secrets
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.payment_methods import entry, store
from bursar.domains.payment_methods.change import create
from bursar.domains.payment_methods.default import clear
from bursar.domains.payment_methods.entry import Entry
from bursar.domains.payment_methods.model import (
    MACHINE,
    PaymentMethod,
    PaymentMethodDeclined,
    PaymentMethodExists,
    TooManyPaymentMethods,
    Verification,
    VerificationStatus,
    first_of_next_month,
    with_details,
)
from bursar.domains.payment_methods.schemas import CreatePaymentMethod, render
from bursar.domains.payment_methods.serial import serially
from bursar.domains.routing.model import ProviderNotConfigured
from bursar.infra import idempotency, personal
from bursar.infra.answer import Answer, created
from bursar.infra.db import Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.providers import port
from bursar.providers.port import Approved, Declined, MethodType, Outcome

LOCATION: Final = "/api/v1/payment-methods/{}"
VERIFICATION_CURRENCY: Final = "USD"
TOKEN_BYTES: Final = 18


async def add(app: App, origin: Origin, claim: Claim | None, request: CreatePaymentMethod) -> Answer:
    """Add a payment method; its provider is asked whether it is good, and nothing is charged.

    Emits payment_method.created, and .default_taken of the one that is the default no more. Idempotent by the claim.
    Raises Invalid, RawNumbersRefused, EncryptedCardUnreadable, EncryptionKeyUnknown, ProviderNotConfigured,
    PaymentMethodDeclined, PaymentMethodExists, TooManyPaymentMethods, Erased.
    """
    given = entry.read(
        request,
        keys=app.entry_keys,
        fingerprint=app.vault.fingerprint,
        today=app.clock.now().date(),
        takes_numbers=app.settings.vault == "own",
    )
    if given.provider is not None and given.provider not in app.providers:
        raise ProviderNotConfigured(f"there is: {', '.join(app.providers)}")
    await idempotency.refuse_known_already(app.reader, claim)
    provider, outcome = given.provider, None
    if await _may_be_added(app, request.customer_id, given):
        provider, outcome = await _checked(app, claim, given)

    async def decide(tx: Tx) -> Answer:
        if isinstance(outcome, Declined):
            raise declined(outcome)
        method = await _add(tx, app, request, given, provider, outcome)
        return created(render(method), location=LOCATION.format(method.id), version=1)

    return await serially(app, "payment_method.add", request.customer_id, decide, origin, claim)


async def _may_be_added(app: App, customer_id: str, given: Entry) -> bool:
    """Whether a provider may be told of the method: it would keep one that is refused here, and nobody would ever have
    it forgotten. What is refused is decided with the row.
    """
    others = [store.TABLE.from_record(row) for row in await app.reader.query(store.BY_CUSTOMER, customer_id)]
    try:
        _refuse(app, others, given)
    except (PaymentMethodExists, TooManyPaymentMethods):
        return False
    return not await personal.is_erased(app.reader, customer_id)


def _refuse(app: App, others: list[PaymentMethod], given: Entry) -> None:
    """Raise PaymentMethodExists or TooManyPaymentMethods where it cannot stand beside the customer's other methods."""
    if len(others) >= app.settings.payment_methods_max:
        raise TooManyPaymentMethods(f"at most {app.settings.payment_methods_max}")
    for other in others:
        if other.fingerprint == given.fingerprint:
            raise PaymentMethodExists(f"it is {other.id}", paymentMethodId=other.id)


async def _checked(app: App, claim: Claim | None, given: Entry) -> tuple[str | None, Outcome | None]:
    """The provider that was asked and what it said; None where none can be asked.

    It is asked before anything is written: no money moves, and the CVC need not outlive the request.
    """
    if given.instrument.type is MethodType.BANK_ACCOUNT:
        return None, None
    names = [given.provider] if given.provider is not None else list(app.providers)
    able = [name for name in names if can_verify(app.providers[name], given.instrument.type)]
    if not able:
        return given.provider, None
    now = app.clock.now()
    key = ids.new(now) if claim is None else app.vault.fingerprint("claim", claim.scope, claim.key, claim.digest)
    outcome = await app.providers[able[0]].execute(
        port.Verification(key=key, instrument=given.instrument, currency=VERIFICATION_CURRENCY, asked_at=now)
    )
    return able[0], outcome


def can_verify(provider: port.PaymentProvider, method_type: MethodType) -> bool:
    """Whether a provider can find out if a method of this type is good."""
    return port.Verification in provider.requests and method_type in provider.method_types


def declined(outcome: Declined) -> PaymentMethodDeclined:
    """The refusal for a provider's decline."""
    return PaymentMethodDeclined(
        outcome.message,
        declineCode=outcome.decline_code,
        isRetryable=outcome.is_retryable,
        advice=outcome.advice,
    )


async def _add(
    tx: Tx, app: App, request: CreatePaymentMethod, given: Entry, provider: str | None, outcome: Outcome | None
) -> PaymentMethod:
    await personal.refuse_erased(tx, request.customer_id)
    others = await store.of_customer(tx, request.customer_id)
    _refuse(app, others, given)
    if request.set_default:
        await clear(tx, others)
    method_id = ids.new(tx.now)
    tx.object_id = method_id
    kept = given.kept or (None if isinstance(outcome, Approved) else given.instrument.wallet)
    method = PaymentMethod(
        id=method_id,
        version=1,
        customer_id=request.customer_id,
        type=request.type,
        status=MACHINE.initial,
        is_default=request.set_default or not any(other.is_default for other in others),
        token="tok_" + secrets.token_urlsafe(TOKEN_BYTES),
        metadata=request.metadata,
        created_at=tx.now,
        updated_at=tx.now,
        fingerprint=given.fingerprint,
        bank_account=given.bank_account,
        wallet=given.wallet,
        vault_record_id=None if kept is None else app.vault.seal(tx, kept),
        personal_data_id=await _seal_personal_data(tx, app, request, given),
        **_verified(tx, given, provider, outcome),
    )
    create(tx, method)
    return method


def _verified(tx: Tx, given: Entry, provider: str | None, outcome: Outcome | None) -> dict[str, Any]:
    """What the provider's answer makes of a new method."""
    found: dict[str, Any] = {
        "verification_status": VerificationStatus.PENDING,
        "provider_tokens": {} if given.provider is None else {given.provider: given.instrument.token},
        "card": given.card,
        "expires_on": given.expires_on,
    }
    match outcome:
        case Approved(reference=token, details=details):
            assert provider is not None
            found |= {"verification_status": VerificationStatus.VERIFIED, "verified_at": tx.now}
            found["provider_tokens"] = {provider: token}
            if given.card is not None and details is not None and given.kept is None:
                found["card"] = card = with_details(given.card, details)
                if card.exp_month is not None and card.exp_year is not None:
                    found["expires_on"] = first_of_next_month(card.exp_month, card.exp_year)
        case port.ActionRequired(reference=reference, next_action=action):
            assert provider is not None
            found |= {"verification_status": VerificationStatus.REQUIRES_ACTION, "next_action": action}
            found["verification"] = Verification(provider, reference=reference)
    return found


async def _seal_personal_data(tx: Tx, app: App, request: CreatePaymentMethod, given: Entry) -> str | None:
    document = dict(given.personal)
    if request.billing_address is not None:
        document["billingAddress"] = request.billing_address.model_dump(by_alias=True, exclude_none=True)
    if not document:
        return None
    return await personal.seal(
        tx, app.personal_keys, subject=request.customer_id, kind="payment_method", document=document
    )
