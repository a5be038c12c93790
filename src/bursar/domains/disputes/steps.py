"""What is asked about a dispute, in three steps: intend (transaction), ask (no transaction), settle (transaction,
idempotent).

The request, the inquiry job and a provider's notice settle the same attempt, so each outcome is booked once. A crash
between two steps leaves the attempt in the row; the sweep finds it. An alert is accepted by giving the money back: then
our own refunds are asked, under the dispute's id, instead of the provider.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.disputes import store
from bursar.domains.disputes.book import step
from bursar.domains.disputes.change import change
from bursar.domains.disputes.model import (
    MACHINE,
    Asker,
    Attempt,
    Dispute,
    DisputeStepUnderWay,
    EvidenceMissing,
    Kind,
    Status,
)
from bursar.domains.disputes.schemas import render
from bursar.domains.disputes.settle import settle_in
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import AmountExceedsRefundable, PaymentNotCaptured
from bursar.domains.refunds import service as refunds
from bursar.domains.refunds.model import Reason
from bursar.domains.transactions.model import ShareUnavailable
from bursar.infra import personal, steps
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import Problem
from bursar.kit.machine import match_version
from bursar.providers import port

HTTP_ACCEPTED: Final = 202
First = Callable[[Tx], Coroutine[Any, Any, Answer | tuple[Dispute, Attempt]]]

REQUEST_OF: Final[dict[Kind, type[port.Request]]] = {
    Kind.EVIDENCE: port.DisputeEvidence,
    Kind.ACCEPTANCE: port.DisputeAcceptance,
}


async def submit(app: App, asked: Asked, dispute: Dispute) -> Answer:
    """Hand in what was staged. Where its provider takes no evidence from us, a person has handed it in.

    Emits dispute.evidence_submitted or .step_declined. Raises EvidenceMissing, DisputeStepUnderWay.
    """

    async def first(tx: Tx) -> Answer | tuple[Dispute, Attempt]:
        before = await _ready(tx, asked, dispute.id, "submit")
        if before.personal_data_id is None:
            raise EvidenceMissing("stage some first")
        if await personal.unseal_in(tx, app.personal_keys, before.personal_data_id) is None:
            raise EvidenceMissing("it was erased with the customer's data")
        if takes(app, before, Kind.EVIDENCE):
            return _intend(tx, asked, before, Kind.EVIDENCE)
        after = await step(tx, before, "submitted", evidence_submitted_at=tx.now)
        return ok(render(after), version=after.version)

    return await _run(app, asked, "dispute.submit", dispute, first)


async def accept(app: App, asked: Asked, dispute: Dispute) -> Answer:
    """Contest a dispute no more; of an alert, refund the payment before it becomes one.

    Emits dispute.accepted or .step_declined, and for an alert what the refund does. Raises DisputeStepUnderWay.
    """

    async def first(tx: Tx) -> Answer | tuple[Dispute, Attempt]:
        before = await _ready(tx, asked, dispute.id, "accept")
        if before.status is Status.ALERT:
            return _intend(tx, asked, before, Kind.REFUND)
        if takes(app, before, Kind.ACCEPTANCE):
            return _intend(tx, asked, before, Kind.ACCEPTANCE)
        after = await step(tx, before, "accepted")
        return ok(render(after), version=after.version)

    return await _run(app, asked, "dispute.accept", dispute, first)


def takes(app: App, dispute: Dispute, kind: Kind) -> bool:
    """Whether the dispute's provider can be asked for a step of that kind."""
    provider = app.providers.get(dispute.provider)
    return provider is not None and REQUEST_OF[kind] in provider.requests


async def _ready(tx: Tx, asked: Asked, dispute_id: str, action: str) -> Dispute:
    """The dispute, if that step may begin now."""
    dispute = await store.lock(tx, dispute_id)
    tx.object_id = dispute.id
    match_version(dispute.version, asked.expected_version)
    if not MACHINE.allows(dispute.status, action):
        raise MACHINE.refusal(dispute.status, action)
    refuse_under_way(dispute)
    return dispute


def refuse_under_way(dispute: Dispute) -> None:
    """Raise DisputeStepUnderWay where the outcome of a step is awaited."""
    if dispute.attempt is not None:
        raise DisputeStepUnderWay(f"{dispute.attempt.kind} was asked for already")


def _intend(tx: Tx, asked: Asked, dispute: Dispute, kind: Kind) -> tuple[Dispute, Attempt]:
    attempt = Attempt(ids.new(tx.now), kind, tx.now)
    asker = Asker(tx.origin.actor, tx.origin.request_id, tx.origin.instance, asked.claim)
    action = "submit" if kind is Kind.EVIDENCE else "accept"
    return change(tx, dispute, action, attempt=attempt, asked_by=asker), attempt


async def _run(app: App, asked: Asked, action: str, dispute: Dispute, first: First) -> Answer:
    intended = await app.batcher.run(Command(action, dispute.payment_id, first, asked.origin, asked.claim))
    if isinstance(intended, Answer):
        return intended
    after, attempt = intended
    return await settle(app, asked.origin, after, attempt, await _ask(app, after, attempt), claim=asked.claim)


async def settle(
    app: App, origin: Origin, dispute: Dispute, attempt: Attempt, outcome: port.Outcome, *, claim: Claim | None = None
) -> Answer:
    """Book an outcome. claim: of the caller who waits."""

    async def decide(tx: Tx) -> Answer:
        tx.object_id = dispute.id
        return await settle_in(tx, dispute.id, attempt.id, outcome, claim=claim)

    async def otherwise() -> Answer:
        return accepted(render(dispute), version=dispute.version)

    command = Command("dispute.settle", dispute.payment_id, decide, origin)
    return await steps.settle(app.batcher, command, otherwise, dispute_id=dispute.id, attempt_id=attempt.id)


async def _ask(app: App, dispute: Dispute, attempt: Attempt) -> port.Outcome:
    if attempt.kind is Kind.REFUND:
        return await _ask_for_refund(app, dispute)
    provider = app.providers.get(dispute.provider)
    if provider is None:
        return port.Unavailable(f"{dispute.provider} is not configured here")
    request = await _request_of(app, dispute, attempt)
    if isinstance(request, port.DisputeEvidence) and not request.evidence:
        return port.Unavailable("the customer's data was erased, and the evidence with it")
    return await provider.execute(request)


async def _ask_for_refund(app: App, dispute: Dispute) -> port.Outcome:
    """Have what can be given back of an alert's amount refunded: approved by whom it takes, sent by a job. The same
    refund, however often it is asked for.
    """
    payment, asker = await payments.get(app, dispute.payment_id), dispute.asked_by
    assert asker is not None, "whoever accepts is known while it is under way"
    amount = min(dispute.amount, payment.amount_refundable)
    try:
        refund = await refunds.ask_for(
            app,
            Origin(asker.actor, asker.request_id, asker.instance),
            payment_id=dispute.payment_id,
            reason=Reason.DISPUTE,
            source=f"dispute:{dispute.id}",
            amount=amount,
            detail=f"an alert of {dispute.provider}: {dispute.reason}",
        )
    except (AmountExceedsRefundable, PaymentNotCaptured, ShareUnavailable):
        return port.Approved("")
    except Problem as problem:
        return port.Unknown(f"our refunds say {problem.code}")
    return port.Approved(refund.id)


async def _inquire(app: App, dispute: Dispute, attempt: Attempt) -> port.Outcome:
    if attempt.kind is Kind.REFUND:
        return await _ask_for_refund(app, dispute)
    provider = app.providers.get(dispute.provider)
    if provider is None:
        return port.Unknown(f"{dispute.provider} is not configured here")
    return await provider.inquire(await _request_of(app, dispute, attempt))


async def _request_of(app: App, dispute: Dispute, attempt: Attempt) -> port.Request:
    """The same for every repeat: nothing is staged while a step is under way."""
    if attempt.kind is Kind.EVIDENCE:
        evidence = await evidence_of(app, dispute)
        return port.DisputeEvidence(attempt.id, dispute.provider_dispute_id, evidence, attempt.asked_at)
    return port.DisputeAcceptance(attempt.id, dispute.provider_dispute_id, attempt.asked_at)


async def evidence_of(app: App, dispute: Dispute) -> dict[str, str]:
    """What was staged; nothing where the customer's data was erased."""
    if dispute.personal_data_id is None:
        return {}
    return await personal.unseal(app.database, app.personal_keys, dispute.personal_data_id) or {}


async def resolve(app: App, dispute_id: str, attempt_id: str) -> bool:
    """Ask what became of an attempt and book it. Returns whether it is settled now."""
    dispute = await app.reader.get(store.TABLE, dispute_id)
    assert dispute is not None, f"no dispute {dispute_id}"
    attempt = dispute.attempt
    if attempt is None or attempt.id != attempt_id:
        return True
    answer = await settle(app, SYSTEM, dispute, attempt, await _inquire(app, dispute, attempt))
    return answer.status != HTTP_ACCEPTED
