"""Many refunds at once: orders or payments, of a vendor's shares alone where a drop-shipment failed.

A job goes through the items, each once however often it is begun: the refunds of an item have the item for their
source. They are approved by the same policy as any other, and processed by jobs of their own.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Payment
from bursar.domains.refunds import service, store
from bursar.domains.refunds.begin import Wanted
from bursar.domains.refunds.model import (
    BATCH_MACHINE,
    EVENT_BATCH_CREATED,
    Batch,
    Item,
    ItemStatus,
    NewBatch,
    NothingToRefund,
    Refund,
)
from bursar.domains.refunds.schemas import CreateBatch, render_batch
from bursar.infra import events, jobs
from bursar.infra.answer import Answer, accepted
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import NotFound, Problem
from bursar.kit.money import MixedCurrencies

RUN: Final = "refund.batch"
"""The job that goes through the items of a batch."""

AT_ONCE: Final = 20
"""Items that are begun side by side, and noted together."""


async def create(app: App, asked: Asked, request: CreateBatch, *, roles: frozenset[str]) -> Answer:
    """Take a batch in: 202; a job refunds its items. Emits refund_batch.created. Idempotent by the claim."""

    async def decide(tx: Tx) -> Answer:
        batch = NewBatch(
            id=ids.new(tx.now),
            version=1,
            status=BATCH_MACHINE.initial,
            reason=request.reason,
            item_count=len(request.items),
            asked_count=0,
            refused_count=0,
            requested_by=tx.origin.actor,
            requester_roles=tuple(sorted(roles)),
            created_at=tx.now,
            updated_at=tx.now,
            reason_detail=request.reason_detail,
            vendor_id=request.vendor_id,
            items=tuple(
                Item(ids.new(tx.now), number, ItemStatus.WAITING, item.order_id, item.payment_id, item.amount)
                for number, item in enumerate(request.items, 1)
            ),
        )
        tx.object_id = batch.id
        store.insert_batch(tx, batch)
        data = events.public(store.BATCHES, batch)
        events.emit(tx, stream=batch.id, version=1, event_type=EVENT_BATCH_CREATED, about=batch.id, data=data)
        jobs.defer(tx, RUN, {"batchId": batch.id}, key=f"{RUN}:{batch.id}")
        return accepted(render_batch(batch, []), version=1)

    on = ids.new(app.clock.now())
    return await app.batcher.run(Command("refund_batch.create", on, decide, asked.origin, asked.claim))


async def get(app: App, batch_id: str) -> Batch:
    """The batch as last committed. Raises NotFound."""
    return found(await app.reader.get(store.BATCHES, batch_id), "batch of refunds")


async def run(app: App, batch_id: str) -> None:
    """Go through the items that nobody looked at yet. Safe to repeat at any time, by several at once.

    Emits refund_batch.progressed, refund_batch.completed, and what the refunds do.
    """
    batch = await get(app, batch_id)
    while items := await store.waiting_items(app.database, batch_id, limit=AT_ONCE):
        noted = await asyncio.gather(*(_asked(app, batch, item) for item in items))
        await _note(app, batch_id, noted)


async def _asked(app: App, batch: Batch, item: Item) -> Item:
    """The item with its refunds, and with the reason why there are not more, if anything is missing."""
    try:
        made, problem = await _refunds(app, batch, item)
    except Problem as refused:
        if not _is_final(refused):
            raise
        made, problem = [], refused
    return msgspec.structs.replace(
        item,
        status=ItemStatus.ASKED if made else ItemStatus.REFUSED,
        refund_ids=tuple(refund.id for refund in made),
        problem_code=None if problem is None else problem.code,
        problem_detail=None if problem is None else (problem.detail or problem.title)[:500],
    )


def _is_final(problem: Problem) -> bool:
    """Whether another try would be refused just so."""
    return problem.status < 500 and problem.retry_after is None


async def _refunds(app: App, batch: Batch, item: Item) -> tuple[list[Refund], Problem | None]:
    """Begin the refunds of an item: of its payment, or of its order's payments, oldest first, until its amount is
    reached. Returns them, and what was refused. Raises Problem where nothing is begun.
    """
    origin = Origin(batch.requested_by, f"batch:{batch.id}")
    if item.payment_id is not None:
        payment = await payments.get(app, item.payment_id)
        return [await service.ask_once(app, origin, _wanted(batch, item, payment, item.amount))], None
    assert item.order_id is not None
    found_payments = list(reversed(await payments.of_order(app, item.order_id)))
    if not found_payments:
        raise NotFound("no payment of that order")
    if item.amount is not None:
        _refuse_mixed(found_payments)
    known = {
        refund.payment_id: refund
        for refund in await store.of_sources(app.database, [_source(batch, item, each) for each in found_payments])
    }
    made, left, refused = list(known.values()), item.amount, None
    if left is not None:
        left -= sum(refund.amount for refund in made)
        _refuse_more(left, sum(each.amount_refundable for each in found_payments if each.id not in known))
    for payment in found_payments:
        if payment.id in known or not payment.amount_refundable or left == 0:
            continue
        amount = None if left is None else min(left, payment.amount_refundable)
        try:
            refund = await service.ask_once(app, origin, _wanted(batch, item, payment, amount))
        except Problem as problem:
            if not _is_final(problem):
                raise
            refused = problem
            continue
        made.append(refund)
        left = None if left is None else left - refund.amount
    if not made:
        raise refused or NothingToRefund("of that order")
    return made, refused if left else None


def _refuse_mixed(found_payments: Sequence[Payment]) -> None:
    currencies = sorted({payment.currency for payment in found_payments if payment.amount_captured})
    if len(currencies) > 1:
        raise MixedCurrencies(f"the order was paid in {', '.join(currencies)}: name its payments")


def _refuse_more(amount: int, refundable: int) -> None:
    if amount > refundable:
        raise NothingToRefund(f"{amount} is more than the {refundable} that is left of the order")


def _wanted(batch: Batch, item: Item, payment: Payment, amount: int | None) -> Wanted:
    return Wanted(
        payment_id=payment.id,
        reason=batch.reason,
        reason_detail=batch.reason_detail,
        roles=frozenset(batch.requester_roles),
        amount=amount,
        vendor_id=batch.vendor_id,
        source=_source(batch, item, payment),
        batch_id=batch.id,
        processes_itself=True,
    )


def _source(batch: Batch, item: Item, payment: Payment) -> str:
    return f"batch:{batch.id}:{item.position}:{payment.id}"


async def _note(app: App, batch_id: str, items: Sequence[Item]) -> None:
    """Write down what became of items, and how far the batch is."""
    async with app.database.transaction(now=app.clock.now()) as tx:
        before = await store.lock_batch(tx, batch_id)
        noted = set(await store.note_items(tx, batch_id, items))
        if not noted:  # somebody else was faster
            return
        refused = sum(item.status is ItemStatus.REFUSED for item in items if item.id in noted)
        asked_count = before.asked_count + len(noted) - refused
        refused_count = before.refused_count + refused
        is_complete = asked_count + refused_count == before.item_count
        changes = {"asked_count": asked_count, "refused_count": refused_count}
        ended = {"completed_at": tx.now} if is_complete else {}
        after, event_type = BATCH_MACHINE.advance(
            before, "complete" if is_complete else "progress", tx.now, **changes, **ended
        )
        tx.update(store.BATCHES, after, was=before.version)
        data = events.public(store.BATCHES, after, ("status", *changes, *ended))
        events.emit(tx, stream=after.id, version=after.version, event_type=event_type, about=after.id, data=data)
