"""Disputes written down, contested, accepted and closed, and what providers and banks tell of them. What asks a
provider is in `steps`.
"""

from collections.abc import Collection
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.disputes import notices, returns, steps, store
from bursar.domains.disputes.book import draft, receive, step
from bursar.domains.disputes.change import change
from bursar.domains.disputes.model import (
    MACHINE,
    AmountExceedsCaptured,
    Dispute,
    DisputeIsProviders,
    DisputeKnown,
    Noticed,
    Status,
)
from bursar.domains.disputes.notices import can_ask, find_state, once
from bursar.domains.disputes.schemas import CloseDispute, CreateDispute, StageEvidence, render
from bursar.domains.disputes.steps import refuse_under_way
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Payment, ProviderUnavailable
from bursar.infra import personal
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.idempotency import Claim
from bursar.infra.jobs import NotYet
from bursar.infra.steps import UNAVAILABLE_RETRY_SECONDS, Asked
from bursar.kit.machine import match_version
from bursar.providers.port import BankNews

LOCATION: Final = "/api/v1/disputes/{}"

_CLOSINGS: Final = {"WON": "win", "LOST": "lose", "CLOSED": "end"}


async def create(app: App, origin: Origin, claim: Claim | None, request: CreateDispute) -> Answer:
    """Write down a dispute that a person was told of. An alert of that person's becomes a dispute when it comes again
    as one.

    Emits dispute.received, then .alerted or .opened. Posts what a dispute takes. Idempotent by the claim.
    Raises NotFound, DisputeKnown, AmountExceedsCaptured, PaymentNotCaptured.
    """

    async def decide(tx: Tx) -> Answer:
        payment = await payments.locked(tx, request.payment_id)
        if request.status != Status.ALERT and request.amount > payment.amount_captured:
            raise AmountExceedsCaptured(
                f"{payment.amount_captured} was captured", amountCaptured=payment.amount_captured
            )
        known = await store.find_locked(tx, payment.provider, request.provider_dispute_id)
        if known is not None:
            after = await _again(tx, known, request)
            return ok(render(after), version=after.version)
        after = await receive(tx, _draft(tx, payment, request), as_=Status(request.status))
        return created(render(after), location=LOCATION.format(after.id), version=after.version)

    return await once(app, Command("dispute.create", request.payment_id, decide, origin, claim))


def _draft(tx: Tx, payment: Payment, request: CreateDispute) -> Dispute:
    return draft(
        tx.now,
        payment,
        reference=request.provider_dispute_id,
        amount=request.amount,
        fee=request.fee,
        reason=request.reason,
        opened_at=tx.now,
        evidence_due_at=request.evidence_due_at,
        is_by_hand=True,
        metadata=request.metadata,
    )


async def _again(tx: Tx, known: Dispute, request: CreateDispute) -> Dispute:
    """A dispute comes again by hand. Raises DisputeKnown, unless an alert of the same hand becomes a dispute."""
    tx.object_id = known.id
    is_same = known.payment_id == request.payment_id and known.is_by_hand
    if not is_same or request.status == Status.ALERT or not MACHINE.allows(known.status, "open"):
        raise DisputeKnown(f"it is {known.status}", disputeId=known.id)
    refuse_under_way(known)
    return await step(
        tx,
        known,
        "open",
        amount=request.amount,
        fee_amount=request.fee,
        reason=request.reason,
        evidence_due_at=request.evidence_due_at,
        due_soon_at=None,
        deadline_missed_at=None,
    )


async def get(app: App, dispute_id: str) -> Dispute:
    """The dispute as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, dispute_id), "dispute")


async def references(app: App, dispute_ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
    """The payment and the provider's id of each dispute, by the dispute's id."""
    found_ones = await store.of_ids(app.database, dispute_ids)
    return {dispute.id: (dispute.payment_id, dispute.provider_dispute_id) for dispute in found_ones}


async def stage(app: App, asked: Asked, dispute: Dispute, request: StageEvidence) -> Answer:
    """Put evidence beside what is there; null takes a piece away. Nothing is handed in yet.

    What is said is the customer's personal data. Emits dispute.evidence_staged, which tells the names of what there is.
    Idempotent by the claim. Raises DisputeStepUnderWay, Erased.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, dispute.id)
        tx.object_id = before.id
        match_version(before.version, asked.expected_version)
        if not MACHINE.allows(before.status, "stage"):
            raise MACHINE.refusal(before.status, "stage")
        refuse_under_way(before)
        held = await _evidence_in(tx, app, before)
        merged = {**held, **request.evidence}
        evidence = {name: merged[name] for name in sorted(merged) if merged[name] is not None}
        kept_as = None
        if evidence:
            kept_as = await personal.seal(
                tx, app.personal_keys, subject=before.customer_id, kind="dispute", document=evidence
            )
        after = change(
            tx,
            before,
            "stage",
            personal_data_id=kept_as,
            evidence_names=tuple(evidence),
            evidence_staged_at=tx.now,
        )
        return ok(render(after), version=after.version)

    return await app.batcher.run(_command("dispute.stage", asked, dispute, decide))


async def _evidence_in(tx: Tx, app: App, dispute: Dispute) -> dict[str, str]:
    if dispute.personal_data_id is None:
        return {}
    return await personal.unseal_in(tx, app.personal_keys, dispute.personal_data_id) or {}


async def show(app: App, dispute: Dispute) -> dict[str, Any]:
    """The dispute with its evidence, where it has any that was not erased."""
    document = render(dispute)
    if dispute.personal_data_id is not None:
        document["evidence"] = await steps.evidence_of(app, dispute)
    return document


async def submit(app: App, asked: Asked, dispute: Dispute) -> Answer:
    """Hand in what was staged: see steps.submit."""
    return await steps.submit(app, asked, dispute)


async def accept(app: App, asked: Asked, dispute: Dispute) -> Answer:
    """Contest a dispute no more; of an alert, refund the payment: see steps.accept."""
    return await steps.accept(app, asked, dispute)


async def close(app: App, asked: Asked, dispute: Dispute, request: CloseDispute) -> Answer:
    """Say how a dispute ended of which no provider can be asked. Of one that a person wrote down the provider is asked
    first: if it knows it, its word counts.

    Emits dispute.won, .lost or .closed. Posts what is given back. Idempotent by the claim. Raises DisputeIsProviders,
    ProviderDisagrees, ProviderUnavailable.
    """
    is_askable = can_ask(app, dispute.provider)
    reference = dispute.provider_dispute_id
    if dispute.is_by_hand and await find_state(app, dispute.provider, reference) is not None:
        await _told_first(app, asked.origin, dispute)

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, dispute.id)
        tx.object_id = before.id
        if is_askable and not before.is_by_hand:
            raise DisputeIsProviders(f"{before.provider} is asked about it; it is {before.status}")
        match_version(before.version, asked.expected_version)
        action = _CLOSINGS[request.outcome]
        if not MACHINE.allows(before.status, action):
            raise MACHINE.refusal(before.status, f"close as {request.outcome}")
        refuse_under_way(before)
        given_back = {"fee_amount": 0} if action == "win" and request.fee_returned else {}
        after = await step(tx, before, action, **given_back)
        return ok(render(after), version=after.version)

    return await app.batcher.run(_command("dispute.close", asked, dispute, decide))


async def _told_first(app: App, origin: Origin, dispute: Dispute) -> None:
    """Have the provider's word count before anybody's. Raises ProviderUnavailable where it cannot be had now."""
    try:
        await notices.notice(app, origin, provider=dispute.provider, reference=dispute.provider_dispute_id)
    except NotYet as error:
        raise ProviderUnavailable(str(error), retry_after=UNAVAILABLE_RETRY_SECONDS) from error


async def on_provider_notice(app: App, origin: Origin, *, provider: str, reference: str) -> Noticed | None:
    """A provider tells of one of its disputes: how it stands is asked for and booked. Returns what was done; None where
    the payment is not known, or not yet.

    Emits what the dispute's table names. Posts what opens and what is won. Safe to repeat, in any order.
    Raises NotYet where it has to be told again, ProviderDisagrees.
    """
    return await notices.notice(app, origin, provider=provider, reference=reference)


async def preview_notice(app: App, *, provider: str, reference: str) -> Noticed | None:
    """What on_provider_notice would do; nothing is done. Raises NotYet, ProviderDisagrees."""
    return await notices.preview(app, provider=provider, reference=reference)


async def on_bank_return(app: App, origin: Origin, news: BankNews) -> Dispute | None:
    """A debit that had counted as paid came back: a dispute that is lost already. Returns it; None where the entry was
    no debit of a payment's.

    Emits dispute.received, .opened, .lost. Posts what it takes. Idempotent by the news. Raises RowBusy where it has to
    be told again.
    """
    return await returns.book_return(app, origin, news)


def _command(action: str, asked: Asked, dispute: Dispute, decide: Any) -> Command[Answer]:
    """A command on the payment, behind all others on it."""
    command: Command[Answer] = Command(action, dispute.payment_id, decide, asked.origin, asked.claim)
    return command
