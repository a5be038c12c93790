"""Completing and failing a refund by hand: the provider is asked first, and what it says counts."""

from typing import Final

from bursar.domains.context import App
from bursar.domains.refunds import books, settle, steps
from bursar.domains.refunds.model import MACHINE, Refund, RefundContradicted, RefundOutcomeUnknown, Status
from bursar.domains.refunds.schemas import render
from bursar.infra.answer import Answer, ok
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Tx
from bursar.infra.steps import Asked
from bursar.kit.machine import match_version
from bursar.providers import port

RETRY_AFTER_SECONDS: Final = 5
FAILED_BY_HAND: Final = "failed_by_hand"


async def complete(app: App, asked: Asked, refund: Refund, *, reference: str | None) -> Answer:
    """Call a refund completed that the provider was asked for. reference: the provider's id of it, from somebody who
    has seen it there; it counts where the provider does not say what became of it.

    Emits refund.completed, or what the provider says. Raises RefundContradicted, RefundOutcomeUnknown.
    """
    match_version(refund.version, asked.expected_version)
    attempt_id = refund.open_attempt_id
    says = None if attempt_id is None else await _ask_first(app, refund)

    async def decide(tx: Tx) -> Answer:
        before = await books.locked(tx, refund)
        if attempt_id is None or before.attempt_id != attempt_id:
            raise _refusal(before, "complete")
        if before.status is Status.PROCESSING and reference is not None and isinstance(says, port.Unknown):
            asker = before.asked_by
            before, counter = await settle.complete(tx, before, reference=reference)
            if asker is not None:
                settle.closed(tx, asker, before, counter)
        return _answered(before, Status.COMPLETED)

    return await app.batcher.run(Command("refund.complete", refund.payment_id, decide, asked.origin, asked.claim))


async def fail(app: App, asked: Asked, refund: Refund, *, reason: str) -> Answer:
    """Call a refund failed: one that was never sent, one that the provider has not done, or one that came back to it.

    Emits refund.failed or refund.reversed, or what the provider says. Raises RefundContradicted, RefundOutcomeUnknown.
    """
    match_version(refund.version, asked.expected_version)
    attempt_id = refund.open_attempt_id
    if attempt_id is not None:
        await _ask_first(app, refund)
    elif refund.status is Status.COMPLETED:
        attempt_id = refund.attempt_id
        await steps.look(app, asked.origin, refund)

    async def decide(tx: Tx) -> Answer:
        before = await books.locked(tx, refund)
        if before.status is Status.APPROVED:
            before, _ = await settle.fail(tx, before, code=FAILED_BY_HAND, reason=reason)
        elif attempt_id is None or before.attempt_id != attempt_id:
            raise _refusal(before, "fail")
        elif before.status is Status.COMPLETED and refund.status is Status.COMPLETED:
            raise MACHINE.refusal(before.status, "fail")
        return _answered(before, Status.FAILED)

    return await app.batcher.run(Command("refund.fail", refund.payment_id, decide, asked.origin, asked.claim))


async def _ask_first(app: App, refund: Refund) -> port.Outcome:
    """Have the provider say what became of the open attempt, and book that."""
    outcome = await steps.inquire(app, refund)
    await steps.book(app, SYSTEM, refund, outcome)
    return outcome


def _answered(refund: Refund, wanted: Status) -> Answer:
    """The refund, where it is what somebody called it."""
    if refund.status is Status.PROCESSING:
        raise RefundOutcomeUnknown("it is asked for again", retry_after=RETRY_AFTER_SECONDS)
    if refund.status is not wanted:
        raise RefundContradicted(f"the refund is {refund.status}", refundStatus=refund.status)
    return ok(render(refund), version=refund.version)


def _refusal(refund: Refund, action: str) -> Exception:
    """Why a refund of which the provider was not asked just now cannot be called anything."""
    if refund.status is Status.PROCESSING:
        return RefundOutcomeUnknown("it has just been asked for", retry_after=RETRY_AFTER_SECONDS)
    return MACHINE.refusal(refund.status, action)
