"""What a provider tells of a refund by itself. It is believed nothing: it says where to look.

An open attempt is inquired about and settled as the inquiry job would; of a refund that counts as done the provider is
asked whether it came back. A refund that somebody made at the provider itself is learnt, so that the books follow it.
"""

from typing import Final

import asyncpg

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Named, Payment, ProviderDisagrees
from bursar.domains.refunds import settle, steps, store
from bursar.domains.refunds.begin import MADE_THERE, Wanted, begin_once
from bursar.domains.refunds.model import Noticed, Reason, Refund, RefundNamed, Status
from bursar.infra import jobs
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.jobs import NotYet
from bursar.kit import ids
from bursar.providers import port

NOTHING: Final = "nothing: it is known already"


async def notice(app: App, origin: Origin, *, provider: str, named: RefundNamed) -> Noticed | None:
    """See service.on_provider_notice."""
    refund = await _find(app, provider, named)
    if refund is None:
        return None
    if refund.status is Status.PROCESSING:
        return await _settle_open(app, refund)
    if refund.status is not Status.COMPLETED:
        return Noticed(refund.payment_id, NOTHING, refund.id)
    return _told(refund, await steps.look(app, origin, refund))


async def preview(app: App, *, provider: str, named: RefundNamed) -> Noticed | None:
    """See service.preview_notice."""
    refund = await _find(app, provider, named)
    if refund is None:
        return None
    if refund.status is Status.PROCESSING:
        return Noticed(refund.payment_id, "the provider would be asked for the open step", refund.id)
    if refund.status is not Status.COMPLETED:
        return Noticed(refund.payment_id, NOTHING, refund.id)
    came_back = isinstance(await steps.inquire(app, refund), port.Declined)
    return Noticed(refund.payment_id, "it would be reversed" if came_back else NOTHING, refund.id)


async def foreign(app: App, origin: Origin, *, provider: str, state: port.RefundState) -> Noticed | None:
    """See service.on_foreign_refund."""
    payment = await _payment_of(app, provider, state)
    if payment is None:
        return None
    if state.status is port.RefundStatus.FAILED:
        return await _failed_there(app, origin, provider, state, payment)
    wanted = _wanted(provider, state, payment)
    refund = await _learn(app, origin, wanted, state.reference)
    if refund.status is Status.PROCESSING and state.status is port.RefundStatus.DONE:
        await steps.book(app, origin, refund, steps.outcome_of(state))
    return _told(None, await _read(app, refund.id))


async def preview_foreign(app: App, *, provider: str, state: port.RefundState) -> Noticed | None:
    """See service.preview_foreign_refund."""
    payment = await _payment_of(app, provider, state)
    if payment is None:
        return None
    known = await store.of_sources(app.database, [_source(provider, state.reference)])
    if known:
        return Noticed(payment.id, f"the refund is {known[0].status}, {state.status} there", known[0].id)
    if state.status is port.RefundStatus.FAILED:
        return Noticed(payment.id, "nothing: no money went back")
    return Noticed(payment.id, f"a refund of {state.amount} that was made at the provider would be booked")


async def _payment_of(app: App, provider: str, state: port.RefundState) -> Payment | None:
    """The payment of a refund that was made at its provider. Raises ProviderDisagrees."""
    payment = await payments.find(app, provider=provider, named=Named(reference=state.payment_reference))
    if payment is not None and state.currency != payment.currency:
        raise ProviderDisagrees(f"the refund is in {state.currency}, its payment in {payment.currency}")
    return payment


async def _failed_there(
    app: App, origin: Origin, provider: str, state: port.RefundState, payment: Payment
) -> Noticed | None:
    known = await store.of_sources(app.database, [_source(provider, state.reference)])
    if not known:
        return Noticed(payment.id, "nothing: no money went back")
    if known[0].status is Status.PROCESSING:
        await steps.book(app, origin, known[0], steps.outcome_of(state))
    elif known[0].status is Status.COMPLETED:
        await steps.look(app, origin, known[0])
    return _told(None, await _read(app, known[0].id))


async def _learn(app: App, origin: Origin, wanted: Wanted, reference: str) -> Refund:
    """Write a refund down that the provider has made already: PROCESSING, until it is booked."""

    async def decide(tx: Tx) -> Refund:
        return await begin_once(
            tx,
            app,
            wanted,
            then=lambda refund, _: settle.start(tx, refund, asker=None, is_new=True, reference=reference),
        )

    command = Command("refund.learn", wanted.payment_id, decide, origin)
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.ONCE:
            raise
        return await app.batcher.run(command)


def _wanted(provider: str, state: port.RefundState, payment: Payment) -> Wanted:
    return Wanted(
        payment_id=payment.id,
        reason=Reason.OTHER,
        reason_detail=MADE_THERE,
        roles=frozenset({"service"}),
        amount=state.amount,
        source=_source(provider, state.reference),
        is_foreign=True,
    )


def _source(provider: str, reference: str) -> str:
    return f"provider:{provider}:{reference}"


async def _find(app: App, provider: str, named: RefundNamed) -> Refund | None:
    """The refund that is named by our key or by the provider's id, if it goes through that provider."""
    refund = None
    if named.key is not None and ids.is_uuid(named.key):
        refund = await store.find_by_attempt(app.database, named.key)
    if refund is None and named.reference is not None:
        refund = await store.find_by_reference(app.database, provider, named.reference)
    return refund if refund is not None and refund.provider == provider else None


async def _settle_open(app: App, refund: Refund) -> Noticed:
    """Inquire about the open attempt, unless somebody waits for it: then it is his to settle."""
    attempt_id = refund.open_attempt_id
    assert attempt_id is not None
    age = (app.clock.now() - refund.updated_at).total_seconds()
    is_left = refund.is_foreign or refund.is_unknown or age >= app.settings.inquiry_after_seconds
    if not is_left or await jobs.waiting(app.database, [steps.ask_key(attempt_id)]):
        raise NotYet("the refund is under way")
    if not await steps.resolve(app, refund.id, attempt_id):
        raise NotYet("the provider does not know yet")
    return _told(refund, await _read(app, refund.id))


def _told(before: Refund | None, after: Refund) -> Noticed:
    is_same = before is not None and before.version == after.version
    return Noticed(after.payment_id, NOTHING if is_same else f"the refund is {after.status} now", after.id)


async def _read(app: App, refund_id: str) -> Refund:
    refund = await app.reader.get(store.TABLE, refund_id)
    assert refund is not None, f"no refund {refund_id}"
    return refund
