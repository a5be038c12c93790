"""What asks a provider, in three steps: intend (transaction), ask (no transaction), settle (transaction, idempotent).

The request, the inquiry job and, later, webhooks settle through the same function, so that each outcome is booked
once. A crash between two steps leaves the payment in PROCESSING with its attempt; the sweep finds it and has the
provider asked.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import intend, store
from bursar.domains.payments.model import PROCESSING, Attempt, CaptureMethod, Kind, Payment, Status
from bursar.domains.payments.schemas import render
from bursar.domains.payments.settle import settle_in
from bursar.infra import jobs, steps
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.steps import Asked
from bursar.providers import port

ASK: Final = "payment.ask"
"""The job that asks a provider on behalf of a caller who did not wait."""

HTTP_ACCEPTED: Final = 202

Intend = Callable[[Tx, Claim | None], Coroutine[Any, Any, tuple[Payment, Attempt | None]]]


async def authorize(app: App, asked: Asked, payment_id: str, *, method_id: str | None) -> Answer:
    """Authorize a payment, and capture it where its capture method is AUTOMATIC.

    Emits payment.authorized, .captured, .action_required or .failed. Raises PaymentMethodMissing, PaymentMethodUnknown,
    PaymentMethodUnusable, KycRequired, NoProvider.
    """

    async def decide(tx: Tx, claim: Claim | None) -> tuple[Payment, Attempt | None]:
        return await intend.authorize(
            tx, app, payment_id, claim=claim, method_id=method_id, expected_version=asked.expected_version
        )

    return await _run(app, asked, "payment.authorize", payment_id, decide)


async def capture(app: App, asked: Asked, payment_id: str, *, amount: int | None, is_final: bool) -> Answer:
    """Capture `amount` minor units of an authorization, all that is left where None.

    Emits payment.captured, .partially_captured or .capture_failed. Posts clearing against unallocated.
    Raises AmountExceedsCapturable, FinalCaptureUnderWay.
    """

    async def decide(tx: Tx, claim: Claim | None) -> tuple[Payment, Attempt | None]:
        return await intend.capture(
            tx, payment_id, claim=claim, amount=amount, is_final=is_final, expected_version=asked.expected_version
        )

    return await _run(app, asked, "payment.capture", payment_id, decide)


async def complete(app: App, asked: Asked, payment_id: str) -> Answer:
    """Complete a captured payment. Emits payment.completed."""

    async def decide(tx: Tx, claim: Claim | None) -> tuple[Payment, Attempt | None]:
        return await intend.complete(tx, payment_id, claim=claim, expected_version=asked.expected_version)

    return await _run(app, asked, "payment.complete", payment_id, decide)


async def end(
    app: App,
    asked: Asked,
    payment_id: str,
    action: str,
    *,
    reason: str,
    failure_code: str | None = None,
    owner: str | None = None,
) -> Answer:
    """Fail or cancel a payment, voiding its authorization at the provider. Emits payment.failed or
    payment.cancelled.
    """

    async def decide(tx: Tx, claim: Claim | None) -> tuple[Payment, Attempt | None]:
        return await intend.end(
            tx,
            payment_id,
            action,
            claim=claim,
            reason=reason,
            failure_code=failure_code,
            owner=owner,
            expected_version=asked.expected_version,
        )

    return await _run(app, asked, f"payment.{action}", payment_id, decide)


async def expire(app: App, payment_id: str) -> None:
    """Void an authorization that ran out. Emits payment.expired, or payment.captured where a part of it was
    captured.
    """

    async def decide(tx: Tx, claim: Claim | None) -> tuple[Payment, Attempt | None]:
        return await intend.expire(tx, payment_id)

    await _run(app, Asked(SYSTEM), "payment.expire", payment_id, decide)


async def _run(app: App, asked: Asked, action: str, payment_id: str, decide: Intend) -> Answer:
    async def first(tx: Tx) -> Answer | tuple[Payment, Attempt]:
        payment, attempt = await decide(tx, asked.claim if asked.is_waiting else None)
        if attempt is None:
            return ok(render(payment), version=payment.version)
        if asked.is_waiting:
            return payment, attempt
        jobs.defer(tx, ASK, {"paymentId": payment_id, "attemptId": attempt.id}, key=ask_key(attempt.id))
        return accepted(render(payment), version=payment.version)

    intended = await app.batcher.run(Command(action, payment_id, first, asked.origin, asked.claim))
    if isinstance(intended, Answer):
        return intended
    return await _ask_and_settle(app, asked, *intended)


async def _ask_and_settle(app: App, asked: Asked, payment: Payment, attempt: Attempt) -> Answer:
    while True:
        outcome = await _ask(app, payment, attempt)
        settled = await settle(app, asked.origin, payment, attempt, outcome, claim=asked.claim, can_reroute=True)
        if isinstance(settled, Answer):
            return settled
        payment, attempt = settled


async def _ask(app: App, payment: Payment, attempt: Attempt) -> port.Outcome:
    provider = app.providers.get(payment.provider)
    if provider is None:
        return port.Unavailable(f"{payment.provider} is not configured here")
    request = await request_of(app, payment, attempt)
    if isinstance(request, port.Authorization) and request.instrument.is_gone and request.reference is None:
        return port.Unavailable("the payment method is gone")
    return await provider.execute(request)


async def _inquire(app: App, payment: Payment, attempt: Attempt) -> port.Outcome:
    provider = app.providers.get(payment.provider)
    if provider is None:
        return port.Unknown(f"{payment.provider} is not configured here")
    return await provider.inquire(await request_of(app, payment, attempt))


def ask_key(attempt_id: str) -> str:
    """The key of the job that asks for an attempt."""
    return f"{ASK}:{attempt_id}"


async def settle(
    app: App,
    origin: Origin,
    payment: Payment,
    attempt: Attempt,
    outcome: port.Outcome,
    *,
    claim: Claim | None = None,
    can_reroute: bool = False,
) -> Answer | tuple[Payment, Attempt]:
    """Book an outcome; the payment stays PROCESSING where that cannot be done now.

    claim: of the caller who waits: should somebody else have settled the attempt first, he gets what was kept for it.
    can_reroute: see settle_in.
    """

    async def decide(tx: Tx) -> Answer | tuple[Payment, Attempt]:
        return await settle_in(tx, app, payment.id, attempt.id, outcome, claim=claim, can_reroute=can_reroute)

    async def otherwise() -> Answer:
        return accepted(render(payment), version=payment.version)

    command = Command("payment.settle", payment.id, decide, origin)
    return await steps.settle(app.batcher, command, otherwise, payment_id=payment.id, attempt_id=attempt.id)


async def request_of(app: App, payment: Payment, attempt: Attempt) -> port.Request:
    """What a provider is asked for an attempt: the same for every repeat, unless the payment method is gone."""
    reference = payment.provider_transaction_id
    if attempt.kind is Kind.AUTHORIZE:
        assert attempt.method_id is not None
        instrument = await payment_methods.instrument(app, attempt.method_id, payment.provider)
        return port.Authorization(
            key=attempt.id,
            payment_id=payment.id,
            amount=attempt.amount,
            currency=payment.currency,
            instrument=instrument,
            capture=payment.capture_method is CaptureMethod.AUTOMATIC,
            asked_at=attempt.asked_at,
            reference=reference if attempt.back_to is Status.REQUIRES_ACTION else None,
        )
    assert reference is not None
    if attempt.kind is Kind.VOID:
        return port.Void(attempt.id, reference, attempt.asked_at)
    return port.Capture(attempt.id, reference, attempt.amount, payment.currency, attempt.is_final, attempt.asked_at)


async def ask_deferred(app: App, payment_id: str, attempt_id: str) -> None:
    """Ask the provider for an attempt whose caller did not wait. Safe to repeat: the key is the attempt's.

    A job may have asked before and been killed; so that nothing was done is believed only when an inquiry says it too.
    """
    payment, attempt = await _open(app, payment_id, attempt_id)
    if attempt is None:
        return
    outcome = await _ask(app, payment, attempt)
    if isinstance(outcome, port.Unavailable):
        outcome = await _inquire(app, payment, attempt)
    settled = await settle(app, SYSTEM, payment, attempt, outcome, can_reroute=True)
    if not isinstance(settled, Answer):
        await _ask_and_settle(app, Asked(SYSTEM), *settled)


async def resolve(app: App, payment_id: str, attempt_id: str) -> bool:
    """Ask the provider what became of an attempt and book it. Returns whether it is settled now."""
    payment, attempt = await _open(app, payment_id, attempt_id)
    if attempt is None:
        return True
    settled = await settle(app, SYSTEM, payment, attempt, await _inquire(app, payment, attempt))
    answer = settled if isinstance(settled, Answer) else await _ask_and_settle(app, Asked(SYSTEM), *settled)
    return answer.status != HTTP_ACCEPTED


async def repair(app: App, payment: Payment) -> Payment:
    """The payment as it is now, after asking for outcomes that are due; what a GET of one in PROCESSING does first."""
    if payment.status not in PROCESSING:
        return payment
    settings = app.settings
    age = (app.clock.now() - payment.updated_at).total_seconds()
    due = [
        attempt
        for attempt in payment.attempts
        if age >= (settings.inquiry_on_read_after_seconds if attempt.is_unknown else settings.inquiry_after_seconds)
    ]
    if not due:
        return payment
    asked_for = await jobs.waiting(app.database, [ask_key(attempt.id) for attempt in due])
    for attempt in due:
        if ask_key(attempt.id) not in asked_for:
            await resolve(app, payment.id, attempt.id)
    return await app.reader.get(store.TABLE, payment.id) or payment


async def _open(app: App, payment_id: str, attempt_id: str) -> tuple[Payment, Attempt | None]:
    payment = await app.reader.get(store.TABLE, payment_id)
    assert payment is not None, f"no payment {payment_id}"
    return payment, payment.attempt(attempt_id)
