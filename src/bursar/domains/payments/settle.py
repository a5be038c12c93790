"""The third step: a provider's outcome is booked, once, whoever brings it."""

from datetime import timedelta
from typing import Any

import msgspec

from bursar.domains.context import App
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import UNALLOCATED, Line, clearing
from bursar.domains.payments import store
from bursar.domains.payments.change import change
from bursar.domains.payments.intend import authorize_anew, reroute
from bursar.domains.payments.model import (
    PUBLIC,
    Asker,
    Attempt,
    CaptureMethod,
    Kind,
    Payment,
    PaymentDeclined,
    ProviderUnavailable,
    captured,
    caught_up,
    not_captured,
)
from bursar.domains.payments.schemas import render
from bursar.infra import idempotency, jobs
from bursar.infra.answer import Answer, accepted, ok, refusal
from bursar.infra.db import Tx
from bursar.infra.idempotency import Claim
from bursar.infra.steps import UNAVAILABLE_RETRY_SECONDS
from bursar.kit.errors import Problem
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Declined,
    Outcome,
    PaymentState,
    Pending,
    Unavailable,
    Unknown,
)

INQUIRE = "payment.inquire"
"""The job that asks a provider what became of an attempt."""

INQUIRY_FIRST_SECONDS = 1


async def settle_in(
    tx: Tx,
    app: App,
    payment_id: str,
    attempt_id: str,
    outcome: Outcome,
    *,
    claim: Claim | None = None,
    can_reroute: bool = False,
) -> Answer | tuple[Payment, Attempt]:
    """Book an outcome and close the caller's key with the answer. An attempt that was settled before changes nothing:
    its caller gets what was kept for his key then.

    can_reroute: somebody waits, and the outcome was never unknown: where this provider certainly did nothing and there
    is another, returns the attempt with that one. An authorization with another method follows, too, when what waited
    for the customer has been given up.

    Emits what the payment's table names. Posts a capture, and what follows from it. Idempotent by the attempt.
    """
    payment = await store.lock(tx, payment_id)
    attempt = payment.attempt(attempt_id)
    if attempt is None:
        if claim is not None:
            await idempotency.refuse_known(tx, claim)
            raise ProviderUnavailable("nothing was done; try again", retry_after=UNAVAILABLE_RETRY_SECONDS)
        return ok(render(payment), version=payment.version)
    asker = payment.asker(attempt)
    match outcome:
        case Approved() if attempt.ends_in == "replace":
            return authorize_anew(tx, payment, attempt)
        case Approved():
            after = await _approve(tx, app, payment, attempt, outcome)
            return _closed(tx, asker, ok(render(after), version=after.version))
        case ActionRequired():
            after = change(
                tx,
                payment,
                "action_required",
                attempts=(),
                provider_transaction_id=outcome.reference,
                next_action=outcome.next_action,
            )
            return _closed(tx, asker, ok(render(after), version=after.version))
        case Declined():
            after = _decline(tx, payment, attempt, outcome)
            return _closed(tx, asker, _refusal(asker, _declined(after, outcome)))
        case Unavailable():
            if can_reroute and attempt.kind is Kind.AUTHORIZE and attempt.fallbacks and not attempt.is_unknown:
                return reroute(tx, payment, attempt)
            _undo(tx, payment, attempt)
            idempotency.free(tx, asker.claim)
            retry_after = outcome.retry_after or UNAVAILABLE_RETRY_SECONDS
            return _refusal(asker, ProviderUnavailable(outcome.reason, retry_after=retry_after))
        case Pending() | Unknown():
            return _wait(tx, payment, attempt)


async def _approve(tx: Tx, app: App, payment: Payment, attempt: Attempt, outcome: Approved) -> Payment:
    if attempt.kind is Kind.VOID:
        return change(tx, payment, f"voided_to_{attempt.ends_in}", **{**_forgotten(payment), **_ended(tx, attempt)})
    if attempt.kind is Kind.CAPTURE:
        action, changes = captured(payment, attempt)
        changes |= await _book_capture(tx, app, payment, attempt.amount, attempt.id)
        return change(tx, payment, action, **_forgotten(payment), **changes)
    changes = {
        **_forgotten(payment),
        "attempts": (),
        "amount_authorized": attempt.amount,
        "provider_transaction_id": outcome.reference,
        "next_action": None,
        "authorized_at": tx.now,
    }
    if payment.capture_method is CaptureMethod.AUTOMATIC:
        named = msgspec.structs.replace(payment, provider_transaction_id=outcome.reference)
        changes |= await _book_capture(tx, app, named, attempt.amount, attempt.id)
        return change(tx, payment, "charged", amount_captured=attempt.amount, **changes)
    expires_at = outcome.expires_at or tx.now + timedelta(days=app.settings.authorization_days)
    return change(tx, payment, "authorized", authorization_expires_at=expires_at, **changes)


def _forgotten(payment: Payment) -> dict[str, Any]:
    """What an earlier refusal left on a payment: no more, when a step is done after all."""
    return {} if payment.failure_reason is None else {"failure_code": None, "failure_reason": None}


async def _book_capture(tx: Tx, app: App, payment: Payment, amount: int, key: str) -> dict[str, Any]:
    """Post what was captured and have its splits allocated. Returns what changes of the payment. key: the capture's."""
    ledger.post(
        tx,
        journal_type="payment.captured",
        reference=f"capture:{key}",
        currency=payment.currency,
        about=payment.id,
        lines=(Line(clearing(payment.provider), amount), Line(UNALLOCATED, -amount)),
    )
    allocated = await app.on_captured(tx, app, payment, amount, key)
    return {"amount_unallocated": payment.amount_unallocated + amount - allocated, "captured_at": tx.now}


async def book_state(tx: Tx, app: App, payment: Payment, state: PaymentState) -> Payment:
    """Book what a provider did by itself to a payment without open attempts, as far as it is not booked yet. Amounts
    only grow, so whoever brings an older state changes nothing.

    Emits what the payment's table names. Posts a journal for what was captured, as a capture does. Raises
    ProviderDisagrees.
    """
    behind = caught_up(payment, state)
    if behind is None:
        return payment
    action, changes = behind
    taken = state.amount_captured - payment.amount_captured
    if taken:
        changes |= await _book_capture(tx, app, payment, taken, f"{payment.id}:{state.amount_captured}")
    if action == "cancelled_by_provider":
        changes["cancelled_at"] = tx.now
    return change(tx, payment, action, **changes)


def _ended(tx: Tx, attempt: Attempt) -> dict[str, Any]:
    """What a payment shows when what was reserved has been given back."""
    moment = {"fail": "failed_at", "cancel": "cancelled_at", "complete": "completed_at"}.get(attempt.ends_in or "")
    changes: dict[str, Any] = {"attempts": (), "next_action": None}
    if moment is not None:
        changes[moment] = tx.now
    if attempt.reason is not None and attempt.ends_in != "keep_captured":
        changes |= {"failure_reason": attempt.reason, "failure_code": attempt.failure_code}
    return changes


def _decline(tx: Tx, payment: Payment, attempt: Attempt, outcome: Declined) -> Payment:
    if attempt.kind is Kind.AUTHORIZE:
        return change(
            tx,
            payment,
            "declined",
            attempts=(),
            failure_code=outcome.decline_code,
            failure_reason=outcome.message,
            next_action=None,
            failed_at=tx.now,
        )
    return _undo(tx, payment, attempt, failure_code=outcome.decline_code, failure_reason=outcome.message)


def _declined(payment: Payment, outcome: Declined) -> PaymentDeclined:
    return PaymentDeclined(
        outcome.message,
        declineCode=outcome.decline_code,
        isRetryable=outcome.is_retryable,
        advice=outcome.advice,
        paymentId=payment.id,
        paymentStatus=PUBLIC[payment.status],
    )


def _undo(tx: Tx, payment: Payment, attempt: Attempt, **why: Any) -> Payment:
    """Nothing was done: back to where the attempt came from."""
    if attempt.kind is Kind.CAPTURE:
        action, changes = not_captured(payment, attempt)
        return change(tx, payment, action, **changes, **why)
    verb = "undone_to" if attempt.kind is Kind.AUTHORIZE else "not_voided"
    return change(tx, payment, f"{verb}_{attempt.back_to.lower()}", attempts=(), **why)


def _wait(tx: Tx, payment: Payment, attempt: Attempt) -> Answer:
    """The outcome is not known: say so once, and have it asked for."""
    if not attempt.is_unknown:
        marked = [
            other if other.id != attempt.id else msgspec.structs.replace(attempt, is_unknown=True)
            for other in payment.attempts
        ]
        payment = change(tx, payment, "wait", attempts=tuple(marked))
        defer_inquiry(tx, payment.id, attempt.id)
    return accepted(render(payment), version=payment.version)


def defer_inquiry(tx: Tx, payment_id: str, attempt_id: str) -> None:
    """Have the provider asked what became of an attempt; one job for each attempt."""
    jobs.defer(
        tx,
        INQUIRE,
        {"paymentId": payment_id, "attemptId": attempt_id},
        run_at=tx.now + timedelta(seconds=INQUIRY_FIRST_SECONDS),
        key=f"{INQUIRE}:{attempt_id}",
    )


def _closed(tx: Tx, asker: Asker, answer: Answer) -> Answer:
    idempotency.close(tx, asker.claim, answer)
    return answer


def _refusal(asker: Asker, problem: Problem) -> Answer:
    return refusal(problem, request_id=asker.request_id, instance=asker.instance)
