"""Asking for refunds, deciding on them, reading them, and what others of the service ask. What asks a provider is in
`steps` and `byhand`.
"""

from collections.abc import Callable, Collection
from typing import Any, TypeVar

import asyncpg
import msgspec

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.refunds import books, notices, store
from bursar.domains.refunds.begin import Wanted, begin, begin_once, defer_processing
from bursar.domains.refunds.change import change, emit
from bursar.domains.refunds.model import (
    EVENT_UPDATED,
    MACHINE,
    OPEN,
    AlreadyApproved,
    Approval,
    Noticed,
    Reason,
    Refund,
    RefundChanged,
    RefundNamed,
    RequesterMayNotApprove,
    Status,
)
from bursar.domains.refunds.schemas import UpdateRefund, render
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.http.types import with_metadata
from bursar.infra.steps import Asked
from bursar.kit.machine import match_version
from bursar.providers.port import RefundState

T = TypeVar("T")

Show = Callable[[Refund], dict[str, Any]]
"""What of a refund its reader sees."""

LOCATION = "/api/v1/refunds/{}"
CANCELLED = "cancelled"


async def create(app: App, asked: Asked, wanted: Wanted, *, show: Show = render) -> Answer:
    """Ask for a refund: what it is worth is reserved from now on. PENDING_APPROVAL, or APPROVED where the policy wants
    nobody.

    Emits refund.created, refund.approved. Idempotent by the claim. Raises PaymentNotCaptured, AmountExceedsRefundable,
    ShareUnavailable, TransactionNotRefundable.
    """

    async def decide(tx: Tx) -> Answer:
        refund = await begin(tx, app, wanted)
        return created(show(refund), location=LOCATION.format(refund.id), version=refund.version)

    return await app.batcher.run(Command("refund.create", wanted.payment_id, decide, asked.origin, asked.claim))


async def ask_for(
    app: App,
    origin: Origin,
    *,
    payment_id: str,
    reason: Reason,
    source: str,
    amount: int | None = None,
    detail: str | None = None,
    process: bool = True,
) -> Refund:
    """Have a refund made of which the platform itself is the cause. amount: minor units, all that is left where None.
    process: have it processed without anybody asking, once it is approved. Returns it as it is now.

    Emits what `create` does. Idempotent by the source. Raises what `create` does.
    """
    wanted = Wanted(
        payment_id=payment_id,
        reason=reason,
        reason_detail=detail,
        roles=frozenset({"service"}),
        amount=amount,
        source=source,
        processes_itself=process,
    )
    return await ask_once(app, origin, wanted)


async def ask_once(app: App, origin: Origin, wanted: Wanted) -> Refund:
    """Begin a refund unless its source is known. Returns it as it is now. See `ask_for`."""

    async def decide(tx: Tx) -> Refund:
        return await begin_once(tx, app, wanted)

    return await once(app, Command("refund.create", wanted.payment_id, decide, origin))


async def once(app: App, command: Command[T]) -> T:
    """Run a command that may write a source's refund; should another process have written it in between, it is found
    now.
    """
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.ONCE:
            raise
        return await app.batcher.run(command)


async def approve(app: App, asked: Asked, refund: Refund, *, content_digest: str | None) -> Answer:
    """Consent to a refund; with the last approval that it needs it is APPROVED, and processed if nobody has to ask.

    content_digest: of what the approver has seen. Emits refund.approval_given or refund.approved. Idempotent by the
    claim. Raises RequesterMayNotApprove, AlreadyApproved, RefundChanged.
    """

    async def decide(tx: Tx) -> Answer:
        before = await _locked(tx, refund.id, asked)
        if not MACHINE.allows(before.status, "approve"):
            raise MACHINE.refusal(before.status, "approve")
        _refuse_approver(before, tx.origin.actor, content_digest)
        approval = Approval(tx.origin.actor, tx.now, before.content_digest)
        approvals = (*before.approvals, approval)
        if len(approvals) < before.approvals_needed:
            after = change(tx, before, "give_approval", approvals=approvals)
            return ok(render(after), version=after.version)
        after = change(tx, before, "approve", approvals=approvals, approved_at=tx.now)
        if after.processes_itself:
            defer_processing(tx, after)
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("refund.approve", refund.payment_id, decide, asked.origin, asked.claim))


def _refuse_approver(refund: Refund, actor: str, content_digest: str | None) -> None:
    if actor == refund.requested_by:
        raise RequesterMayNotApprove("somebody else has to")
    if any(approval.approved_by == actor for approval in refund.approvals):
        raise AlreadyApproved("the second approval is another person's")
    if content_digest is not None and content_digest != refund.content_digest:
        raise RefundChanged("look at it again", contentDigest=refund.content_digest)


async def reject(app: App, asked: Asked, refund: Refund, *, reason: str) -> Answer:
    """Refuse a refund that waits for approval. Emits refund.rejected. Idempotent by the claim."""
    return await _end(app, asked, refund, "reject", reason)


async def cancel(app: App, asked: Asked, refund: Refund, *, reason: str | None, show: Show = render) -> Answer:
    """Take a refund back that was not sent. Emits refund.cancelled. Idempotent by the claim."""
    return await _end(app, asked, refund, "cancel", reason or CANCELLED, show)


async def _end(app: App, asked: Asked, refund: Refund, action: str, reason: str, show: Show = render) -> Answer:
    async def decide(tx: Tx) -> Answer:
        before = await books.locked(tx, refund)
        match_version(before.version, asked.expected_version)
        if not MACHINE.allows(before.status, action):
            raise MACHINE.refusal(before.status, action)
        await books.release(tx, before, reason=reason)
        after = change(tx, before, action, failure_reason=reason, ended_by=tx.origin.actor, ended_at=tx.now)
        return ok(show(after), version=after.version)

    return await app.batcher.run(Command(f"refund.{action}", refund.payment_id, decide, asked.origin, asked.claim))


async def update(app: App, asked: Asked, refund: Refund, request: UpdateRefund) -> Answer:
    """Change the metadata, in any status: no approval is about it. Emits refund.updated. Idempotent by the claim."""

    async def decide(tx: Tx) -> Answer:
        before = await _locked(tx, refund.id, asked)
        metadata = with_metadata(before.metadata, request.metadata)
        changes: dict[str, Any] = {"version": before.version + 1, "updated_at": tx.now, "metadata": metadata}
        after = msgspec.structs.replace(before, **changes)
        tx.update(store.TABLE, after, was=before.version)
        emit(tx, after, EVENT_UPDATED, ("metadata",))
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("refund.update", refund.payment_id, decide, asked.origin, asked.claim))


async def get(app: App, refund_id: str) -> Refund:
    """The refund as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, refund_id), "refund")


async def of_ids(app: App, refund_ids: Collection[str]) -> list[Refund]:
    """The refunds of those ids, as last committed; in no order."""
    return await store.of_ids(app.database, refund_ids)


async def references(app: App, refund_ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
    """The payment and the provider's id of each refund, by the refund's id."""
    return {refund.id: (refund.payment_id, refund.provider_reference) for refund in await of_ids(app, refund_ids)}


async def on_order_cancelled(
    app: App, origin: Origin, *, payment_ids: Collection[str], reason: str, source: str
) -> list[str]:
    """Refund what is left of payments whose order was cancelled. source: of the cause, the same however often it is
    told. Returns the refunds of these payments that are not completed: some of them may wait for people.

    Emits what `create` does. Idempotent by (source, payment).
    """
    waiting: list[str] = []
    for payment in await payments.of_ids(app, payment_ids):
        own = f"{source}:{payment.id}"
        known = await store.of_sources(app.database, [own])
        if not known and payment.amount_refundable:
            known = [
                await ask_for(
                    app, origin, payment_id=payment.id, reason=Reason.ORDER_CANCELLED, source=own, detail=reason[:500]
                )
            ]
        open_ones = await store.of_payment(app.database, payment.id, OPEN)
        found_here = {refund.id for refund in (*known, *open_ones) if refund.status is not Status.COMPLETED}
        waiting += sorted(found_here)
    return waiting


async def on_provider_notice(app: App, origin: Origin, *, provider: str, named: RefundNamed) -> Noticed | None:
    """A provider tells of a refund by itself: what became of it is asked for and booked, and a refund that counted as
    done is reversed where it came back. Returns what was done; None where the refund is not known.

    Emits what the refund's table names. Safe to repeat, in any order. Raises NotYet where it has to be told again.
    """
    return await notices.notice(app, origin, provider=provider, named=named)


async def preview_notice(app: App, *, provider: str, named: RefundNamed) -> Noticed | None:
    """What on_provider_notice would do; nothing is done."""
    return await notices.preview(app, provider=provider, named=named)


async def on_foreign_refund(app: App, origin: Origin, *, provider: str, state: RefundState) -> Noticed | None:
    """A refund that somebody made at the provider itself: the books follow it. None: no payment of that reference.

    Emits what the refund's table names. Idempotent by the provider's id of it. Raises AmountExceedsRefundable,
    ShareUnavailable where more went back there than is left here, ProviderDisagrees where it is in another currency:
    somebody has to look.
    """
    return await notices.foreign(app, origin, provider=provider, state=state)


async def preview_foreign_refund(app: App, *, provider: str, state: RefundState) -> Noticed | None:
    """What on_foreign_refund would do; nothing is done."""
    return await notices.preview_foreign(app, provider=provider, state=state)


async def _locked(tx: Tx, refund_id: str, asked: Asked) -> Refund:
    refund = await store.lock(tx, refund_id)
    match_version(refund.version, asked.expected_version)
    return refund
