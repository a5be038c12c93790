"""What asks a provider for a refund, in three steps: intend (transaction), ask (no transaction), settle (transaction,
idempotent).

The request, the inquiry job, the sweep and the provider's notices settle through the same function, so that each
outcome is booked once. A crash between two steps leaves the refund in PROCESSING with its attempt; the sweep finds it
and has the provider asked.
"""

from typing import Final

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.refunds import settle, store
from bursar.domains.refunds.begin import Wanted, begin
from bursar.domains.refunds.model import Refund, Shown, Status
from bursar.domains.refunds.schemas import render
from bursar.domains.transactions import service as transactions
from bursar.infra import jobs, steps
from bursar.infra.answer import Answer, accepted
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.machine import match_version
from bursar.providers import port

ASK: Final = "refund.ask"
"""The job that asks a provider on behalf of a caller who did not wait."""

HTTP_ACCEPTED: Final = 202


async def process(app: App, asked: Asked, refund: Refund) -> Answer:
    """Give the money of an approved refund back through the provider.

    Emits refund.processing and what follows. Posts what `books` says. Raises PaymentDisputed.
    """

    async def first(tx: Tx) -> Answer | Refund:
        payment = await payments.locked(tx, refund.payment_id)
        before = await store.lock(tx, refund.id)
        match_version(before.version, asked.expected_version)
        claim = asked.claim if asked.is_waiting else None
        after = settle.send(tx, before, payment, claim=claim, shown=Shown.REFUND)
        if asked.is_waiting:
            return after
        defer_asking(tx, after)
        return accepted(render(after), version=after.version)

    intended = await app.batcher.run(Command("refund.process", refund.payment_id, first, asked.origin, asked.claim))
    return intended if isinstance(intended, Answer) else await _ask_and_settle(app, asked, intended)


async def refund_transaction(app: App, asked: Asked, wanted: Wanted) -> Answer:
    """Ask for a refund and, where nobody has to approve it, process it at once. Answers with the REFUND transaction:
    202 while it waits for approval or its outcome is not known. Where the provider does nothing, the refund fails.

    Emits refund.created, .approved, .processing and what follows. Raises what `begin` and `process` do.
    """

    async def first(tx: Tx) -> Answer | Refund:
        claim = asked.claim if asked.is_waiting else None
        refund = await begin(
            tx,
            app,
            wanted,
            then=lambda refund, payment: settle.send(
                tx, refund, payment, claim=claim, shown=Shown.TRANSACTION, is_new=True
            ),
        )
        if refund.status is Status.PROCESSING and asked.is_waiting:
            return refund
        if refund.status is Status.PROCESSING:
            defer_asking(tx, refund)
        return await settle.shown(tx, refund, Shown.TRANSACTION)

    command = Command("refund.create", wanted.payment_id, first, asked.origin, asked.claim)
    intended = await app.batcher.run(command)
    return intended if isinstance(intended, Answer) else await _ask_and_settle(app, asked, intended)


async def _ask_and_settle(app: App, asked: Asked, refund: Refund) -> Answer:
    return await book(app, asked.origin, refund, await _ask(app, refund), claim=asked.claim)


async def _ask(app: App, refund: Refund) -> port.Outcome:
    provider = app.providers.get(refund.provider)
    if provider is None:
        return port.Unavailable(f"{refund.provider} is not configured here")
    if refund.is_foreign:
        return await _inspect(app, provider, refund)
    return await provider.execute(request_of(refund))


async def inquire(app: App, refund: Refund) -> port.Outcome:
    """What the provider says of the last attempt of a refund."""
    provider = app.providers.get(refund.provider)
    if provider is None:
        return port.Unknown(f"{refund.provider} is not configured here")
    if refund.is_foreign:
        return await _inspect(app, provider, refund)
    return await provider.inquire(request_of(refund))


async def _inspect(app: App, provider: port.PaymentProvider, refund: Refund) -> port.Outcome:
    """How a refund stands that was made at the provider under no key of ours."""
    assert refund.provider_reference is not None
    now = app.clock.now()
    outcome = await provider.execute(port.RefundInspection(ids.new(now), refund.provider_reference, now))
    if not isinstance(outcome, port.Approved) or outcome.refund is None:
        return port.Unknown("the provider did not say how the refund stands")
    return outcome_of(outcome.refund)


def outcome_of(state: port.RefundState) -> port.Outcome:
    """A refund's state at the provider as the outcome of a step."""
    match state.status:
        case port.RefundStatus.DONE:
            return port.Approved(state.payment_reference or state.reference, step_reference=state.reference)
        case port.RefundStatus.FAILED:
            return port.Declined("refund_declined", "the provider says that the refund failed")
        case _:
            return port.Pending()


def request_of(refund: Refund) -> port.Refund:
    """What a provider is asked for an attempt: the same for every repeat."""
    assert refund.attempt_id is not None and refund.asked_at is not None
    assert refund.provider_transaction_id is not None, "what was captured has the provider's id"
    return port.Refund(
        key=refund.attempt_id,
        reference=refund.provider_transaction_id,
        amount=refund.amount,
        currency=refund.currency,
        asked_at=refund.asked_at,
    )


def ask_key(attempt_id: str) -> str:
    """The key of the job that asks for an attempt."""
    return f"{ASK}:{attempt_id}"


def defer_asking(tx: Tx, refund: Refund) -> None:
    """Have the provider asked without anybody waiting; one job for each attempt."""
    assert refund.attempt_id is not None
    args = {"refundId": refund.id, "attemptId": refund.attempt_id}
    jobs.defer(tx, ASK, args, key=ask_key(refund.attempt_id))


async def book(
    app: App, origin: Origin, refund: Refund, outcome: port.Outcome, *, claim: Claim | None = None
) -> Answer:
    """Book an outcome of the open attempt; the refund stays PROCESSING where that cannot be done now.

    claim: of the caller who waits: should somebody else have settled the attempt first, he gets what was kept for it.
    """
    attempt_id = refund.attempt_id
    assert attempt_id is not None

    async def decide(tx: Tx) -> Answer:
        return await settle.settle_in(tx, refund, attempt_id, outcome, claim=claim)

    async def otherwise() -> Answer:
        if refund.asked_by is None or refund.asked_by.shown is Shown.REFUND:
            return accepted(render(refund), version=refund.version)
        counter = await transactions.get(app, refund.refund_transaction_id)
        return accepted(transactions.view(counter), version=counter.version)

    command = Command("refund.settle", refund.payment_id, decide, origin)
    return await steps.settle(app.batcher, command, otherwise, refund_id=refund.id, attempt_id=attempt_id)


async def ask_deferred(app: App, refund_id: str, attempt_id: str) -> None:
    """Ask the provider for an attempt whose caller did not wait. Safe to repeat: the key is the attempt's.

    A job may have asked before and been killed; so that nothing was done is believed only when an inquiry says it too.
    """
    refund = await _read(app, refund_id)
    if refund.open_attempt_id != attempt_id:
        return
    outcome = await _ask(app, refund)
    if isinstance(outcome, port.Unavailable):
        outcome = await inquire(app, refund)
    await book(app, SYSTEM, refund, outcome)


async def resolve(app: App, refund_id: str, attempt_id: str) -> bool:
    """Ask the provider what became of an attempt and book it. Returns whether it is settled now."""
    refund = await _read(app, refund_id)
    if refund.open_attempt_id != attempt_id:
        return True
    answer = await book(app, SYSTEM, refund, await inquire(app, refund))
    return answer.status != HTTP_ACCEPTED


async def repair(app: App, refund: Refund) -> Refund:
    """The refund as it is now, after asking for an outcome that is due; what a GET of one in PROCESSING does first."""
    attempt_id = refund.open_attempt_id
    if attempt_id is None:
        return refund
    settings = app.settings
    due = settings.inquiry_on_read_after_seconds if refund.is_unknown else settings.inquiry_after_seconds
    if (app.clock.now() - refund.updated_at).total_seconds() < due:
        return refund
    if not await jobs.waiting(app.database, [ask_key(attempt_id)]):
        await resolve(app, refund.id, attempt_id)
    return await _read(app, refund.id)


async def look(app: App, origin: Origin, refund: Refund) -> Refund:
    """Ask the provider whether a refund that counts as done still is, and book it where it came back. Returns the
    refund as it is now.

    Emits refund.reversed. Posts the opposite of what was posted.
    """
    attempt_id = refund.attempt_id
    outcome = await inquire(app, refund)
    if not isinstance(outcome, port.Declined) or attempt_id is None:
        return refund

    async def decide(tx: Tx) -> Refund:
        return await settle.reverse_in(tx, refund, attempt_id, outcome)

    return await app.batcher.run(Command("refund.reverse", refund.payment_id, decide, origin))


async def _read(app: App, refund_id: str) -> Refund:
    refund = await app.reader.get(store.TABLE, refund_id)
    assert refund is not None, f"no refund {refund_id}"
    return refund
