"""Using and reading payment methods, and what providers report of them. Adding one is in `add`, verifying one in
`verify`, changing and removing one in `manage`.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from cryptography.exceptions import InvalidTag

from bursar.domains.context import App
from bursar.domains.kyc import service as kyc
from bursar.domains.kyc.model import SubjectType
from bursar.domains.payment_methods import change, manage, store
from bursar.domains.payment_methods.default import take_over
from bursar.domains.payment_methods.model import (
    PaymentMethod,
    PaymentMethodUnknown,
    Status,
    VerificationStatus,
    first_of_next_month,
    refuse_removed,
    refuse_unusable,
    with_details,
)
from bursar.domains.payment_methods.schemas import render
from bursar.domains.payment_methods.serial import serially
from bursar.infra import jobs, personal
from bursar.infra.answer import Answer, ok
from bursar.infra.db import SYSTEM, Origin, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.errors import RowBusy
from bursar.kit.paging import LIMIT_MAX
from bursar.providers.port import BankAccount, Card, Instrument, MethodDetails, MethodType, Wallet

log = structlog.get_logger()

VERIFY: Final = "payment_method.verify"
"""The job that asks for a verification again, since the customer was at his bank."""


class Usable(msgspec.Struct, frozen=True):
    """What a payment with a method is routed by; see routing's Facts."""

    type: MethodType
    country: str | None
    tokens: frozenset[str]
    is_portable: bool


async def usable(tx: Tx, app: App, method_id: str, *, customer_id: str) -> Usable:
    """The method, if this customer may pay with it now. Raises PaymentMethodUnknown, PaymentMethodUnusable,
    KycRequired.
    """
    if method_id in app.test_methods:
        return Usable(MethodType.CARD, None, frozenset({"sandbox"}), is_portable=False)
    method = await store.find(tx, method_id) if ids.is_uuid(method_id) else None
    if method is None or method.customer_id != customer_id or method.status is Status.REMOVED:
        raise PaymentMethodUnknown(f"customer {customer_id} has no {method_id}")
    refuse_unusable(method)
    if method.type in app.settings.kyc_required_types.replace(" ", "").split(","):
        await kyc.require_verified(tx, SubjectType.CUSTOMER, customer_id)
    is_portable = method.vault_record_id is not None
    return Usable(method.type, method.country, frozenset(method.provider_tokens), is_portable=is_portable)


async def instrument(app: App, method_id: str, provider: str) -> Instrument:
    """A method as `provider` is asked to use it: by its own token, else by what the vault keeps. Where there is
    neither, since the method was removed, it is gone; so it is where the vault's record was tampered with, or its key
    is lost, which calls somebody.
    """
    if method_id in app.test_methods:
        return Instrument(method_id, MethodType.CARD, token=method_id)
    method = await get(app, method_id)
    token = method.provider_tokens.get(provider)
    if token is not None:
        return Instrument(method.id, method.type, token=token)
    try:
        kept = None if method.vault_record_id is None else await opened(app, method)
    except (InvalidTag, KeyError):
        log.critical("payment_method.unreadable", payment_method_id=method.id)
        kept = None
    return kept or Instrument(method.id, method.type, is_gone=True)


async def opened(app: App, method: PaymentMethod) -> Instrument | None:
    """A method with what the vault keeps of it; None where that was destroyed."""
    assert method.vault_record_id is not None
    document = await app.vault.open(method.vault_record_id)
    if document is None:
        return None
    match method.type:
        case MethodType.CARD:
            assert method.card is not None and method.card.exp_month is not None and method.card.exp_year is not None
            card = msgspec.json.decode(document, type=Card)
            card = msgspec.structs.replace(card, exp_month=method.card.exp_month, exp_year=method.card.exp_year)
            return Instrument(method.id, method.type, card=card)
        case MethodType.BANK_ACCOUNT:
            account = msgspec.json.decode(document, type=BankAccount)
            return Instrument(method.id, method.type, bank_account=account)
        case MethodType.DIGITAL_WALLET:
            return Instrument(method.id, method.type, wallet=msgspec.json.decode(document, type=Wallet))


async def get(app: App, method_id: str) -> PaymentMethod:
    """The method as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, method_id), "payment method")


async def show(app: App, method: PaymentMethod) -> dict[str, Any]:
    """The method with its personal data, where it has any that was not erased."""
    document = render(method)
    if method.personal_data_id is not None:
        document.update(await personal.unseal(app.database, app.personal_keys, method.personal_data_id) or {})
    return document


async def of_token(app: App, provider: str, token: str) -> list[PaymentMethod]:
    """The methods that stand behind a provider's token."""
    return await store.by_provider_token(app.database, provider, token)


async def on_provider_change(app: App, methods: Sequence[PaymentMethod], details: MethodDetails | None) -> None:
    """Take over what a provider says of its token: a new expiry, a new number behind it; None: it is good no more.
    methods: those behind it, as they were before the provider was asked. Emits payment_method.updated, .renewed or
    .verification_failed. Raises RowBusy where one has changed since: what was said may be older than that.
    """
    for method in methods:
        await apply_details(app, SYSTEM, None, method, details)


async def on_verification_notice(app: App, origin: Origin, *, provider: str, reference: str) -> int:
    """A provider has news of a verification for which a customer was sent to an action: a job asks for it again.
    Returns how many methods wait for it. Safe to repeat.
    """
    methods = await store.by_verification(app.database, provider, reference)
    if methods:
        async with app.database.transaction(now=app.clock.now(), origin=origin) as tx:
            for method in methods:
                jobs.defer(tx, VERIFY, {"paymentMethodId": method.id})  # no key: the news may be newer than a job's
    return len(methods)


async def remove_all(app: App, origin: Origin, *, customer_id: str) -> None:
    """Remove every method of a customer. Emits payment_method.removed of each. Safe to repeat."""
    while (page := await store.page(app.database, PageQuery(limit=LIMIT_MAX), customer_id=customer_id)).rows:
        for method in page.rows:
            await manage.remove(app, origin, None, method, expected_version=None)


async def apply_details(
    app: App, origin: Origin, claim: Claim | None, method: PaymentMethod, details: MethodDetails | None
) -> Answer:
    """See on_provider_change; of one method."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        refuse_removed(before)
        if before.version != method.version:
            raise RowBusy(retry_after=1)
        if details is None:
            if before.verification_status is VerificationStatus.FAILED:
                return ok(render(before), version=before.version)
            after = change.verify(tx, before, VerificationStatus.FAILED, failure_code="method_revoked")
            return ok(render(after), version=after.version)
        changes = _told(before, details)
        if not changes:
            return ok(render(before), version=before.version)
        if before.status is Status.EXPIRED and changes.get("expires_on", tx.now.date()) > tx.now.date():
            after = change.change(tx, before, "renew", **changes, **await take_over(tx, before))
        else:
            after = change.update(tx, before, change.EVENT_UPDATED, **changes)
        return ok(render(after), version=after.version)

    return await serially(app, "payment_method.refresh", method.customer_id, decide, origin, claim)


def _told(method: PaymentMethod, details: MethodDetails) -> dict[str, Any]:
    """What changes when a provider tells `details` of a card; nothing for anything else."""
    if method.card is None:
        return {}
    card = with_details(method.card, details)
    if card == method.card:
        return {}
    changes: dict[str, Any] = {"card": card}
    if card.exp_month is not None and card.exp_year is not None:
        changes["expires_on"] = first_of_next_month(card.exp_month, card.exp_year)
    return changes
