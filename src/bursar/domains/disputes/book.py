"""A dispute takes a step, with all that follows from it: the money, the payment, the journals, who waits."""

from datetime import datetime
from typing import Any, Final

import msgspec

from bursar.domains.disputes import money, store
from bursar.domains.disputes.change import change, emit
from bursar.domains.disputes.model import EVENT_RECEIVED, MACHINE, OPEN, Dispute, Status
from bursar.domains.disputes.schemas import render
from bursar.domains.payments.model import Payment
from bursar.infra import idempotency
from bursar.infra.answer import ok
from bursar.infra.db import Tx
from bursar.kit import ids
from bursar.providers.port import DisputeReason

OPENING: Final = "open"


async def step(tx: Tx, dispute: Dispute, action: str, **changes: Any) -> Dispute:
    """Advance a dispute that is there. A step with the provider that it leaves behind is over: who waits is answered.

    Emits what the table names. Posts what opens, what is won, and what changes of the fee.
    """
    if action == OPENING:
        told = msgspec.structs.replace(dispute, **changes)
        changes |= await money.take(tx, told, status=Status.NEEDS_RESPONSE) | {"closed_at": None}
    elif action in ("win", "lose", "accepted", "end"):
        changes["closed_at"] = tx.now
        if dispute.attempt is not None:
            changes |= {"attempt": None, "asked_by": None}
    after = change(tx, dispute, action, **changes)
    if action == OPENING:
        money.post_opened(tx, after)
    elif action == "win":
        await money.give_back(tx, after, status=after.status)
    elif after.status is not dispute.status:
        await money.show(tx, after, status=after.status)
    money.post_fee(tx, after, before=dispute.fee_amount, is_opening=action == OPENING)
    if dispute.asked_by is not None and after.attempt is None:
        idempotency.close(tx, dispute.asked_by.claim, ok(render(after), version=after.version))
    return after


async def receive(tx: Tx, draft: Dispute, *, as_: Status) -> Dispute:
    """Write a dispute that is new here. draft: version 1, ALERT. as_: ALERT, NEEDS_RESPONSE, or LOST where it is over
    at once.

    Emits dispute.received, then .alerted, or .opened and, where it is over, .lost. Posts what it takes.
    """
    fee, draft = draft.fee_amount, msgspec.structs.replace(draft, fee_amount=0)
    emit(tx, draft, EVENT_RECEIVED, None)
    if as_ is Status.ALERT:
        after = change(tx, draft, "alert", is_new=True)
        await money.show(tx, after, status=as_)
    else:
        taken = await money.take(tx, draft, status=as_)
        after = change(tx, draft, OPENING, is_new=True, fee_amount=fee, **taken)
        money.post_opened(tx, after)
        money.post_fee(tx, after, before=0, is_opening=True)
    if as_ not in OPEN:
        after = change(tx, after, "lose", is_new=True, closed_at=tx.now)
    tx.insert(store.TABLE, after)
    tx.object_id = after.id
    return after


def draft(
    now: datetime,
    payment: Payment,
    *,
    reference: str,
    amount: int,
    fee: int,
    reason: DisputeReason,
    opened_at: datetime,
    evidence_due_at: datetime | None = None,
    is_by_hand: bool = False,
    metadata: dict[str, str] | None = None,
) -> Dispute:
    """A dispute of `payment` as `receive` takes it. reference: the provider's."""
    return Dispute(
        id=ids.new(now),
        version=1,
        payment_id=payment.id,
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        provider=payment.provider,
        provider_dispute_id=reference,
        amount=amount,
        currency=payment.currency,
        fee_amount=fee,
        reason=reason,
        status=MACHINE.initial,
        evidence_names=(),
        shares=(),
        amount_booked=0,
        amount_unallocated=0,
        amount_lost=0,
        is_by_hand=is_by_hand,
        metadata=metadata or {},
        opened_at=opened_at,
        created_at=now,
        updated_at=now,
        evidence_due_at=evidence_due_at,
    )
