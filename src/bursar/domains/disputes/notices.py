"""What a provider tells of its disputes. It is believed nothing: it says where to look.

The provider is asked how the dispute stands, and the dispute catches up, one step a transaction, each only if nothing
has changed since before the provider was asked. So neither the order nor the number of notices matters.
"""

from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from bursar.domains.context import App
from bursar.domains.disputes import book, store
from bursar.domains.disputes.model import Dispute, Noticed, Status
from bursar.domains.disputes.progress import behind, takes_money
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Named, Payment, ProviderDisagrees
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.jobs import NotYet
from bursar.kit import ids
from bursar.kit.errors import RowBusy
from bursar.providers import port
from bursar.providers.port import DisputeState

T = TypeVar("T")

TRIES_MAX: Final = 10
NOTHING: Final = "nothing: it is known already"


class _Moved(NotYet):
    """What was asked is of a dispute that has changed since."""


async def notice(app: App, origin: Origin, *, provider: str, reference: str) -> Noticed | None:
    """See service.on_provider_notice. Notices of one change find each other at work; the later ones look again."""
    for _ in range(TRIES_MAX):
        with suppress(_Moved, RowBusy):
            return await _notice(app, origin, provider, reference)
    raise NotYet("the dispute keeps changing")


async def _notice(app: App, origin: Origin, provider: str, reference: str) -> Noticed | None:
    dispute = await store.find(app.reader, provider, reference)
    state = await state_of(app, provider, reference)
    payment = await _payment_of(app, provider, dispute, state)
    if payment is None:
        return None
    done = []
    if dispute is None:
        dispute = await _receive(app, origin, payment, state)
        done.append(f"{'a dispute' if takes_money(state) else 'an alert'} of {state.amount} was written down")
    while (what := behind(dispute, state)) is not None:
        dispute = await _advance(app, origin, dispute, *what)
        done.append(f"{what[0]}: it is {dispute.status} now")
    return Noticed(payment.id, "; ".join(done) or NOTHING)


async def preview(app: App, *, provider: str, reference: str) -> Noticed | None:
    """See service.preview_notice."""
    dispute = await store.find(app.reader, provider, reference)
    state = await state_of(app, provider, reference)
    payment = await _payment_of(app, provider, dispute, state)
    if payment is None:
        return None
    if dispute is None:
        what = "a dispute" if takes_money(state) else "an alert"
        return Noticed(payment.id, f"{what} of {state.amount} would be written down: {state.status}")
    told = behind(dispute, state)
    return Noticed(payment.id, NOTHING if told is None else f"{told[0]}, since it is {state.status} there")


def can_ask(app: App, provider: str) -> bool:
    """Whether the provider can be asked how a dispute stands."""
    adapter = app.providers.get(provider)
    return adapter is not None and port.DisputeInspection in adapter.requests


async def find_state(app: App, provider: str, reference: str) -> DisputeState | None:
    """How a dispute stands at its provider; None where it does not say, or cannot be asked."""
    if not can_ask(app, provider):
        return None
    now = app.clock.now()
    outcome = await app.providers[provider].execute(port.DisputeInspection(ids.new(now), reference, now))
    return outcome.dispute if isinstance(outcome, port.Approved) else None


async def state_of(app: App, provider: str, reference: str) -> DisputeState:
    """How a dispute stands at its provider. Raises NotYet."""
    state = await find_state(app, provider, reference)
    if state is None:
        raise NotYet("the provider did not say how the dispute stands")
    return state


async def _payment_of(app: App, provider: str, dispute: Dispute | None, state: DisputeState) -> Payment | None:
    """The payment of a dispute. Raises NotYet where what was taken of it is not known here to have been captured,
    ProviderDisagrees where somebody wrote it down of another one.
    """
    payment = await payments.find(app, provider=provider, named=Named(reference=state.payment_reference))
    if dispute is not None:
        if payment is not None and payment.id != dispute.payment_id:
            raise ProviderDisagrees(f"the dispute is of payment {payment.id} there, of {dispute.payment_id} here")
        return await payments.get(app, dispute.payment_id)
    if payment is None:
        return None
    if state.currency != payment.currency:
        raise ProviderDisagrees(f"the dispute is in {state.currency}, its payment in {payment.currency}")
    if takes_money(state) and not payment.amount_captured:
        raise NotYet("the payment is not captured here yet")
    return payment


async def _receive(app: App, origin: Origin, payment: Payment, state: DisputeState) -> Dispute:
    async def decide(tx: Tx) -> Dispute | None:
        if await store.find_locked(tx, payment.provider, state.reference) is not None:
            return None
        new = book.draft(
            tx.now,
            payment,
            reference=state.reference,
            amount=state.amount,
            fee=state.fee,
            reason=state.reason,
            opened_at=state.opened_at,
            evidence_due_at=state.evidence_due_at,
        )
        return await book.receive(tx, new, as_=Status.NEEDS_RESPONSE if takes_money(state) else Status.ALERT)

    return _unmoved(await once(app, Command("dispute.receive", payment.id, decide, origin)))


async def once(app: App, command: Command[T]) -> T:
    """Run a command that may write a dispute; should another process have written it in between, it is found now."""
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.UNIQUE_REFERENCE:
            raise
        return await app.batcher.run(command)


async def _advance(app: App, origin: Origin, dispute: Dispute, action: str, changes: dict[str, Any]) -> Dispute:
    if dispute.status is Status.ALERT and dispute.attempt is not None and action != "update":
        raise NotYet("a step is under way")

    async def decide(tx: Tx) -> Dispute | None:
        before = await store.lock(tx, dispute.id)
        tx.object_id = before.id
        return await book.step(tx, before, action, **changes) if before.version == dispute.version else None

    return _unmoved(await app.batcher.run(Command("dispute.catch_up", dispute.payment_id, decide, origin)))


def _unmoved(dispute: Dispute | None) -> Dispute:
    if dispute is None:
        raise _Moved("the dispute has moved on")
    return dispute
