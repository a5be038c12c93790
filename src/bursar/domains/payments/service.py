"""Creating, changing and reading payments, and what they do when they hear of others. What asks a provider is in
`steps`.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from bursar.domains.context import App
from bursar.domains.fraud import score
from bursar.domains.fraud import service as fraud
from bursar.domains.fraud.model import Decision
from bursar.domains.ledger import service as ledger
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import notices, orders, store
from bursar.domains.payments.amounts import (
    allocate,
    book_dispute,
    book_refund,
    end_dispute,
    locked,
    refuse_refund,
    release_refund,
    reserve_refund,
    reverse_refund,
    show_dispute,
    unallocate,
)
from bursar.domains.payments.change import change, emit
from bursar.domains.payments.model import (
    EVENT_CREATED,
    EVENT_UPDATED,
    MACHINE,
    Named,
    Payment,
    Says,
    Split,
    Status,
)
from bursar.domains.payments.notices import Noticed
from bursar.domains.payments.schemas import CreatePayment, UpdatePayment, render
from bursar.infra import personal
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import LiveTx, Origin, Tx, found
from bursar.infra.events import Event
from bursar.infra.http.types import with_metadata
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version

__all__ = [
    "allocate",
    "book_dispute",
    "book_refund",
    "create",
    "end_dispute",
    "find",
    "find_by_step",
    "get",
    "known",
    "locked",
    "of_ids",
    "of_order",
    "on_fraud_reviewed",
    "on_order_cancelled",
    "on_provider_notice",
    "preview_notice",
    "references",
    "refuse_refund",
    "release_refund",
    "reserve_refund",
    "reverse_refund",
    "show",
    "show_dispute",
    "unallocate",
    "update",
]

LOCATION = "/api/v1/payments/core/{}"


async def create(app: App, origin: Origin, claim: Claim | None, request: CreatePayment) -> Answer:
    """Create a payment and have it scored: PENDING, IN_REVIEW, or FAILED where the score forbids it.

    Emits payment.created and what follows from the score. Idempotent by the claim.
    Raises PaymentMethodUnknown, PaymentMethodUnusable, KycRequired, Erased.
    """

    async def decide(tx: Tx) -> Answer:
        payment = await _create(tx, app, request)
        return created(render(payment), location=LOCATION.format(payment.id), version=payment.version)

    on = ids.new(app.clock.now()) if claim is None else f"{claim.scope} {claim.key}"
    return await app.batcher.run(Command("payment.create", on, decide, origin, claim))


async def _create(tx: Tx, app: App, request: CreatePayment) -> Payment:
    payment_id = ids.new(tx.now)  # of the moment in created_at: lists by time are ranges of ids
    tx.object_id = payment_id
    if request.payment_method_id is not None:
        await payment_methods.usable(tx, app, request.payment_method_id, customer_id=request.customer_id)
    check = await fraud.check(
        tx,
        limits=limits_of(app),
        payment_id=payment_id,
        customer_id=request.customer_id,
        amount=request.amount,
        currency=request.currency,
    )
    splits = request.splits
    payment = Payment(
        id=payment_id,
        version=1,
        payment_number=ids.number("PAY", tx.now),
        order_id=request.order_id,
        customer_id=request.customer_id,
        amount=request.amount,
        currency=request.currency,
        capture_method=request.capture_method,
        status=MACHINE.initial,
        metadata=request.metadata,
        amount_authorized=0,
        amount_capturing=0,
        amount_captured=0,
        amount_unallocated=0,
        amount_refunding=0,
        amount_refunded=0,
        amount_disputed=0,
        is_capture_final=False,
        provider=next(iter(app.providers)),
        attempts=(),
        asked_by=(),
        created_at=tx.now,
        updated_at=tx.now,
        payment_method_id=request.payment_method_id,
        splits=None if splits is None else tuple(Split(s.vendor_id, s.amount, s.category_id) for s in splits),
        description=request.description,
        fraud_check_id=check.id,
        risk_level=check.risk_level,
        personal_data_id=await _seal_personal_data(tx, app, request),
    )
    emit(tx, payment, EVENT_CREATED, None)
    if check.decision is Decision.REVIEW:
        payment = change(tx, payment, "send_to_review", is_new=True)
    elif check.decision is Decision.DECLINE:
        reason = "; ".join(reason.code for reason in check.reasons)
        payment = change(
            tx, payment, "refuse", is_new=True, failure_code="fraud_declined", failure_reason=reason, failed_at=tx.now
        )
    tx.insert(store.TABLE, payment)
    return payment


def limits_of(app: App) -> score.Limits:
    """The configured limits of the fraud rules."""
    settings = app.settings
    return score.Limits(
        review_amount=settings.fraud_review_amount,
        decline_amount=settings.fraud_decline_amount,
        review_count=settings.fraud_review_count,
        decline_count=settings.fraud_decline_count,
    )


async def _seal_personal_data(tx: Tx, app: App, request: CreatePayment) -> str | None:
    parts = {
        "device": request.device,
        "billingAddress": request.billing_address,
        "shippingAddress": request.shipping_address,
    }
    document = {
        name: part.model_dump(by_alias=True, exclude_none=True) for name, part in parts.items() if part is not None
    }
    if not document:
        return None
    return await personal.seal(tx, app.personal_keys, subject=request.customer_id, kind="payment", document=document)


async def update(
    app: App,
    origin: Origin,
    claim: Claim | None,
    payment_id: str,
    request: UpdatePayment,
    *,
    expected_version: int | None,
) -> Answer:
    """Change description and metadata, in any status. Emits payment.updated."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, payment_id)
        match_version(before.version, expected_version)
        changes: dict[str, Any] = {}
        if "description" in request.model_fields_set:
            changes["description"] = request.description
        if "metadata" in request.model_fields_set:
            changes["metadata"] = with_metadata(before.metadata, request.metadata)
        after = msgspec.structs.replace(before, version=before.version + 1, updated_at=tx.now, **changes)
        tx.update(store.TABLE, after, was=before.version)
        emit(tx, after, EVENT_UPDATED, changes)
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("payment.update", payment_id, decide, origin, claim))


async def get(app: App, payment_id: str) -> Payment:
    """The payment as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, payment_id), "payment")


async def of_ids(app: App, payment_ids: Collection[str]) -> list[Payment]:
    """The payments of those ids, as last committed; in no order."""
    return await store.of_ids(app.database, payment_ids)


async def references(app: App, payment_ids: Collection[str]) -> dict[str, str | None]:
    """The provider's reference of each payment."""
    return await store.references(app.database, payment_ids)


async def known(app: App, *, provider: str, references: Collection[str]) -> dict[str, str]:
    """The payment of each of a provider's references that is known; the newest, where one was used twice."""
    return await store.known(app.database, provider, references)


async def of_order(app: App, order_id: str) -> list[Payment]:
    """The payments of an order, as last committed, newest first."""
    return [payment async for payment in orders.of_order(app, order_id)]


async def find(app: App, *, provider: str, named: Named) -> Payment | None:
    """The payment that a provider names, if it goes through that provider."""
    return await notices.find(app, provider, named)


async def find_by_step(app: App, *, key: str) -> Payment | None:
    """The payment of which that step captured something. key: the attempt's id."""
    payment_id = await ledger.find_about(app.database, f"capture:{key}")
    return None if payment_id is None else await app.reader.get(store.TABLE, payment_id)


async def show(app: App, payment: Payment) -> dict[str, Any]:
    """The payment with its personal data, where it has any that was not erased."""
    document = render(payment)
    if payment.personal_data_id is not None:
        document.update(await personal.unseal(app.database, app.personal_keys, payment.personal_data_id) or {})
    return document


async def on_provider_notice(app: App, origin: Origin, *, provider: str, says: Says, named: Named) -> Noticed | None:
    """A provider tells of a payment by itself: what became of it is asked for and booked. Returns what was done; None
    where the payment is not known, or not yet.

    Emits what the payment's table names. Posts what the provider captured by itself. Safe to repeat, in any order.
    Raises NotYet where it has to be told again, ProviderDisagrees.
    """
    return await notices.notice(app, origin, provider=provider, says=says, named=named)


async def preview_notice(app: App, *, provider: str, says: Says, named: Named) -> Noticed | None:
    """What on_provider_notice would do; nothing is done."""
    return await notices.preview(app, provider=provider, says=says, named=named)


async def on_fraud_reviewed(tx: LiveTx, event: Event) -> None:
    """A person decided on a payment in review: it goes on, or fails. Idempotent by the payment's status."""
    payment = await store.lock(tx, event.about)
    if payment.status is not Status.IN_REVIEW:
        return
    if event.type == "fraud_check.approved":
        change(tx, payment, "approve")
    else:
        change(
            tx, payment, "refuse", failure_code="fraud_rejected", failure_reason="rejected in review", failed_at=tx.now
        )


async def on_order_cancelled(app: App, origin: Origin, *, order_id: str, reason: str) -> orders.GivenBack:
    """The order service cancelled an order: see `orders.cancel`. Returns what is left to wait for and to refund."""
    return await orders.cancel(app, origin, order_id=order_id, reason=reason)
