"""The third step: what became of what was asked of a provider is booked, once, whoever brings it."""

from datetime import timedelta
from typing import Any, Final

import msgspec

from bursar.domains.disputes import book, store
from bursar.domains.disputes.change import change
from bursar.domains.disputes.model import Asker, Attempt, Dispute, DisputeStepDeclined, Kind
from bursar.domains.disputes.schemas import render
from bursar.domains.payments.model import ProviderUnavailable
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
    Pending,
    Unavailable,
    Unknown,
)

INQUIRE: Final = "dispute.inquire"
"""The job that asks what became of an attempt."""

LOOK: Final = "dispute.look"
"""The job that asks the provider how a dispute stands."""

INQUIRY_FIRST_SECONDS: Final = 1


async def settle_in(tx: Tx, dispute_id: str, attempt_id: str, outcome: Outcome, *, claim: Claim | None) -> Answer:
    """Book an outcome and close the caller's key with the answer. An attempt that was settled before changes nothing:
    its caller gets what was kept for his key then.

    Emits what the table names. Idempotent by the attempt.
    """
    dispute = await store.lock(tx, dispute_id)
    attempt, asker = dispute.attempt, dispute.asked_by
    if attempt is None or asker is None or attempt.id != attempt_id:
        if claim is not None:
            await idempotency.refuse_known(tx, claim)
            raise ProviderUnavailable("nothing was done; try again", retry_after=UNAVAILABLE_RETRY_SECONDS)
        return ok(render(dispute), version=dispute.version)
    match outcome:
        case Approved():
            after = await _approve(tx, dispute, attempt, outcome)
            return ok(render(after), version=after.version)
        case Declined() | ActionRequired():
            return _decline(tx, dispute, asker, outcome)
        case Unavailable():
            _over(tx, dispute, "not_done", decline_code=None)
            idempotency.free(tx, asker.claim)
            retry_after = outcome.retry_after or UNAVAILABLE_RETRY_SECONDS
            return _refusal(asker, ProviderUnavailable(outcome.reason, retry_after=retry_after))
        case Pending() | Unknown():
            return _wait(tx, dispute, attempt)


async def _approve(tx: Tx, dispute: Dispute, attempt: Attempt, outcome: Approved) -> Dispute:
    """Done. How the dispute stands then, and what it costs, the provider is asked at once."""
    if attempt.kind is not Kind.REFUND:
        defer_look(tx, dispute)
    rest: dict[str, Any] = {"attempt": None, "asked_by": None, "step_failed_at": None, "decline_code": None}
    if attempt.kind is Kind.EVIDENCE:
        return await book.step(tx, dispute, "submitted", evidence_submitted_at=tx.now, **rest)
    if attempt.kind is Kind.REFUND:
        rest["refund_id"] = outcome.reference or None
    return await book.step(tx, dispute, "accepted", **rest)


def _decline(tx: Tx, dispute: Dispute, asker: Asker, outcome: Declined | ActionRequired) -> Answer:
    if isinstance(outcome, ActionRequired):  # there is nobody whom an action could be shown to
        outcome = Declined("processing_error", "the provider wants an action of a person")
    after = _over(tx, dispute, "declined", decline_code=outcome.decline_code)
    problem = DisputeStepDeclined(
        outcome.message,
        declineCode=outcome.decline_code,
        isRetryable=outcome.is_retryable,
        disputeId=dispute.id,
        disputeStatus=after.status,
    )
    answer = _refusal(asker, problem)
    idempotency.close(tx, asker.claim, answer)
    return answer


def _over(tx: Tx, dispute: Dispute, action: str, *, decline_code: str | None) -> Dispute:
    """The step came to nothing; the dispute is what it was."""
    return change(tx, dispute, action, attempt=None, asked_by=None, step_failed_at=tx.now, decline_code=decline_code)


def _wait(tx: Tx, dispute: Dispute, attempt: Attempt) -> Answer:
    """The outcome is not known: say so once, and have it asked for."""
    if not attempt.is_unknown:
        dispute = change(tx, dispute, "wait", attempt=msgspec.structs.replace(attempt, is_unknown=True))
        defer_inquiry(tx, dispute.id, attempt.id)
    return accepted(render(dispute), version=dispute.version)


def defer_inquiry(tx: Tx, dispute_id: str, attempt_id: str) -> None:
    """Have it asked what became of an attempt; one job for each attempt."""
    jobs.defer(
        tx,
        INQUIRE,
        {"disputeId": dispute_id, "attemptId": attempt_id},
        run_at=tx.now + timedelta(seconds=INQUIRY_FIRST_SECONDS),
        key=f"{INQUIRE}:{attempt_id}",
    )


def defer_look(tx: Tx, dispute: Dispute) -> None:
    """Have the provider asked how the dispute stands; one job for each version."""
    args = {"provider": dispute.provider, "reference": dispute.provider_dispute_id}
    jobs.defer(tx, LOOK, args, key=f"{LOOK}:{dispute.id}:{dispute.version}")


def _refusal(asker: Asker, problem: Problem) -> Answer:
    return refusal(problem, request_id=asker.request_id, instance=asker.instance)
