"""The first step with a provider and the third: what is asked is written down, what it answers is booked, once."""

from datetime import timedelta
from typing import Any, Final

from bursar.domains.payments.model import Payment, ProviderUnavailable
from bursar.domains.refunds import books
from bursar.domains.refunds.begin import refuse_disputed
from bursar.domains.refunds.change import change
from bursar.domains.refunds.model import Asker, Refund, RefundDeclined, Shown, Status
from bursar.domains.refunds.schemas import render
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions.model import Transaction
from bursar.infra import idempotency, jobs
from bursar.infra.answer import Answer, accepted, ok, refusal
from bursar.infra.db import Tx
from bursar.infra.idempotency import Claim
from bursar.infra.steps import UNAVAILABLE_RETRY_SECONDS
from bursar.kit import ids
from bursar.kit.errors import Problem
from bursar.providers.port import ActionRequired, Approved, Declined, Outcome, Pending, Unavailable, Unknown

INQUIRE: Final = "refund.inquire"
"""The job that asks a provider what became of a refund."""

INQUIRY_FIRST_SECONDS: Final = 1


def send(
    tx: Tx, refund: Refund, payment: Payment, *, claim: Claim | None, shown: Shown, is_new: bool = False
) -> Refund:
    """Intend to give the money back: the attempt is written down, and what it is worth is owed to the customer.

    Emits refund.processing. Posts the vendors', the platform's and the unallocated money against refunds. Raises
    InvalidTransition, PaymentDisputed.
    """
    asker = Asker(tx.origin.request_id, tx.origin.instance, shown, claim)
    after = start(tx, refund, asker=asker, is_new=is_new)
    refuse_disputed(payment)
    return after


def start(tx: Tx, refund: Refund, *, asker: Asker | None, is_new: bool, reference: str | None = None) -> Refund:
    """Write an attempt down. reference: the provider's id of a refund that it has made already. See `send`."""
    attempt: dict[str, Any] = {"attempt_id": ids.new(tx.now), "asked_at": tx.now}
    if reference is not None:
        attempt["provider_reference"] = reference
    after = change(tx, refund, "process", is_new=is_new, asker=asker, **attempt)
    books.post_sent(tx, after)
    return after


async def settle_in(tx: Tx, known: Refund, attempt_id: str, outcome: Outcome, *, claim: Claim | None = None) -> Answer:
    """Book an outcome and close the caller's key with the answer. An attempt that was settled before changes nothing:
    its caller gets what was kept for his key then. known: the refund as it was before.

    Emits refund.completed, .failed, .not_done or .outcome_unknown. Posts what `books` says. Idempotent by the attempt.
    """
    refund = await books.locked(tx, known)
    if refund.open_attempt_id != attempt_id:
        if claim is not None:
            await idempotency.refuse_known(tx, claim)
            raise ProviderUnavailable("nothing was done; try again", retry_after=UNAVAILABLE_RETRY_SECONDS)
        return ok(render(refund), version=refund.version)
    asker = refund.asked_by or Asker("", "")
    match outcome:
        case Approved():
            reference = outcome.step_reference or refund.provider_reference
            return closed(tx, asker, *await complete(tx, refund, reference=reference))
        case Declined():
            after, _ = await fail(tx, refund, code=outcome.decline_code, reason=outcome.message)
            declined = RefundDeclined(
                outcome.message,
                declineCode=outcome.decline_code,
                isRetryable=outcome.is_retryable,
                refundId=after.id,
                refundStatus=after.status,
            )
            answer = _refusal(asker, declined)
            idempotency.close(tx, asker.claim, answer)
            return answer
        case Unavailable():
            after = await _not_done(tx, refund, asker, outcome)
            idempotency.free(tx, asker.claim)
            retry_after = outcome.retry_after or UNAVAILABLE_RETRY_SECONDS
            unavailable = ProviderUnavailable(
                outcome.reason, retry_after=retry_after, refundId=after.id, refundStatus=after.status
            )
            return _refusal(asker, unavailable)
        case Pending() | Unknown() | ActionRequired():
            return await shown(tx, _wait(tx, refund), asker.shown)


async def complete(tx: Tx, refund: Refund, *, reference: str | None) -> tuple[Refund, Transaction]:
    """Book a refund that the customer has. Emits refund.completed."""
    counter = await books.settle(tx, refund, gateway_reference=reference)
    changes: dict[str, Any] = {"is_unknown": False, "provider_reference": reference, "completed_at": tx.now}
    return change(tx, refund, "complete", **changes), counter


async def fail(tx: Tx, refund: Refund, *, code: str, reason: str) -> tuple[Refund, Transaction]:
    """Book a refund that came to nothing, whether the provider was asked or not. Emits refund.failed."""
    if refund.status is Status.PROCESSING:
        books.post_unsent(tx, refund)
    counter = await books.release(tx, refund, reason=reason)
    return change(tx, refund, "fail", is_unknown=False, **_ended(tx, code, reason)), counter


async def reverse_in(tx: Tx, known: Refund, attempt_id: str, outcome: Declined) -> Refund:
    """A refund that counted as done came back to the provider. Emits refund.reversed. Posts the opposite of what was
    posted. Idempotent by the status.
    """
    refund = await books.locked(tx, known)
    if refund.status is not Status.COMPLETED or refund.attempt_id != attempt_id:
        return refund
    await books.reverse(tx, refund, reason=outcome.message)
    return change(tx, refund, "reverse", **_ended(tx, outcome.decline_code, outcome.message))


def _ended(tx: Tx, code: str, reason: str) -> dict[str, Any]:
    return {"failure_code": code, "failure_reason": reason, "ended_by": tx.origin.actor, "ended_at": tx.now}


async def _not_done(tx: Tx, refund: Refund, asker: Asker, outcome: Unavailable) -> Refund:
    """The provider did nothing, and may be asked again. A refund that was asked for and sent by one request comes to
    nothing with it: repeated, that request asks for another one.
    """
    if asker.shown is Shown.TRANSACTION:
        after, _ = await fail(tx, refund, code=ProviderUnavailable.code, reason=outcome.reason)
        return after
    books.post_unsent(tx, refund)
    return change(tx, refund, "undo", is_unknown=False)


def _wait(tx: Tx, refund: Refund) -> Refund:
    """The outcome is not known: say so once, and have it asked for."""
    if refund.is_unknown:
        return refund
    assert refund.attempt_id is not None
    defer_inquiry(tx, refund.id, refund.attempt_id)
    return change(tx, refund, "wait", is_unknown=True)


def defer_inquiry(tx: Tx, refund_id: str, attempt_id: str) -> None:
    """Have the provider asked what became of an attempt; one job for each attempt."""
    jobs.defer(
        tx,
        INQUIRE,
        {"refundId": refund_id, "attemptId": attempt_id},
        run_at=tx.now + timedelta(seconds=INQUIRY_FIRST_SECONDS),
        key=f"{INQUIRE}:{attempt_id}",
    )


async def shown(tx: Tx, refund: Refund, what: Shown) -> Answer:
    """202 with the refund, or with its REFUND transaction: it goes on."""
    if what is Shown.REFUND:
        return accepted(render(refund), version=refund.version)
    counter = await transactions.locked(tx, refund.refund_transaction_id)
    return accepted(transactions.view(counter), version=counter.version)


def closed(tx: Tx, asker: Asker, refund: Refund, counter: Transaction) -> Answer:
    """Close the key of whoever waits, with what he is shown."""
    if asker.shown is Shown.REFUND:
        answer = ok(render(refund), version=refund.version)
    else:
        answer = ok(transactions.view(counter), version=counter.version)
    idempotency.close(tx, asker.claim, answer)
    return answer


def _refusal(asker: Asker, problem: Problem) -> Answer:
    return refusal(problem, request_id=asker.request_id, instance=asker.instance)
