"""What a provider tells of a payment by itself. It is believed nothing: it says where to look.

An open attempt is inquired about and settled as the inquiry job would; a payment that waits for its customer goes on;
of one at rest the provider is asked how it stands, and what it did by itself is booked. So neither the order nor the
number of notices matters, and none moves a payment back.
"""

from contextlib import suppress
from typing import Final

import msgspec

from bursar.domains.context import App
from bursar.domains.payments import steps, store
from bursar.domains.payments.model import PROCESSING, Named, Payment, ProviderDisagrees, Says, Status, caught_up
from bursar.domains.payments.settle import book_state
from bursar.infra import jobs
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.jobs import NotYet
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import InvalidTransition
from bursar.providers import port

AT_REST: Final = frozenset({Status.AUTHORIZED, Status.PARTIALLY_CAPTURED})
"""What a provider may change by itself."""

NOTHING: Final = "nothing: it is known already"

GIVEN_UP: Final = frozenset({Status.CANCELLED, Status.EXPIRED, Status.FAILED})
"""Of these nothing can have been captured; a provider that says so is asked."""


TRIES_MAX: Final = 5


class _Moved(NotYet):
    """What was asked is of a payment that has changed since."""


class Noticed(msgspec.Struct, frozen=True):
    """did: in a few words, what was done, or would be."""

    payment_id: str
    did: str


async def notice(app: App, origin: Origin, *, provider: str, says: Says, named: Named) -> Noticed | None:
    """See service.on_provider_notice. Two notices of one change find each other at work; the second looks again."""
    for _ in range(TRIES_MAX):
        with suppress(_Moved):
            return await _notice(app, origin, provider, says, named)
    raise NotYet("the payment keeps changing")


async def _notice(app: App, origin: Origin, provider: str, says: Says, named: Named) -> Noticed | None:
    payment = await _named(app, provider, named)
    if payment is None:
        return None
    if payment.provider == provider and payment.status in PROCESSING:
        return await _settle_open(app, payment)
    await _refuse_strange(app, payment, provider, says, named)
    if payment.provider != provider:
        return Noticed(payment.id, NOTHING)
    if payment.status is Status.REQUIRES_ACTION and _is_same(payment, named):
        return await _go_on(app, origin, payment)
    if not _may_differ(app, payment, says, named):
        return Noticed(payment.id, NOTHING)
    after = await look(app, origin, payment)
    return Noticed(payment.id, NOTHING if after.version == payment.version else f"it is {after.status} now")


async def preview(app: App, *, provider: str, says: Says, named: Named) -> Noticed | None:
    """See service.preview_notice."""
    payment = await _named(app, provider, named)
    if payment is None:
        return None
    if payment.provider == provider and payment.status in PROCESSING:
        return Noticed(payment.id, f"the provider would be asked for {len(payment.attempts)} open step(s)")
    await _refuse_strange(app, payment, provider, says, named)
    if payment.provider != provider:
        return Noticed(payment.id, NOTHING)
    if payment.status is Status.REQUIRES_ACTION and _is_same(payment, named):
        return Noticed(payment.id, "the authorization would go on")
    if not _may_differ(app, payment, says, named):
        return Noticed(payment.id, NOTHING)
    state = await _state(app, payment)
    behind = caught_up(payment, state)
    if behind is None:
        return Noticed(payment.id, NOTHING)
    captured = state.amount_captured - payment.amount_captured
    return Noticed(payment.id, f"{behind[0]}: {captured} captured would be booked")


async def look(app: App, origin: Origin, payment: Payment) -> Payment:
    """Ask the provider how a payment at rest stands, and book what it did by itself. Raises NotYet where it does not
    say, or the payment has moved on.
    """
    state = await _state(app, payment)

    async def decide(tx: Tx) -> Payment:
        before = await store.lock(tx, payment.id)
        if before.version != payment.version:
            raise _Moved("the payment has moved on")
        return await book_state(tx, app, before, state)

    return await app.batcher.run(Command("payment.catch_up", payment.id, decide, origin))


async def find(app: App, provider: str, named: Named) -> Payment | None:
    """The payment that is named, if it goes through that provider."""
    payment = await _named(app, provider, named)
    return payment if payment is not None and payment.provider == provider else None


async def _named(app: App, provider: str, named: Named) -> Payment | None:
    """The payment of that id, wherever it goes through now; else the one that goes through that provider."""
    if named.payment_id is not None:
        payment: Payment | None = await app.reader.get(store.TABLE, named.payment_id)
        if payment is not None:
            return payment
    payment = None
    if named.reference is not None:
        payment = await store.find_by_provider_transaction(app.database, named.reference)
    if payment is None and named.key is not None:
        payment = await store.find_by_open_attempt(app.database, named.key)
    return payment if payment is not None and payment.provider == provider else None


def _is_same(payment: Payment, named: Named) -> bool:
    """Whether the notice is of what the payment goes by now: an earlier authorization may have been given up."""
    return named.reference is None or named.reference == payment.provider_transaction_id


async def _refuse_strange(app: App, payment: Payment, provider: str, says: Says, named: Named) -> None:
    """Raise ProviderDisagrees where a provider holds or took what we believe that it does not, or that the payment has
    left for another one. What it held for a while and we have given up since is no news, as any end is none.
    """
    is_never_begun = payment.status in (Status.PENDING, Status.IN_REVIEW)
    is_ours = payment.provider == provider and not is_never_begun and _is_same(payment, named)
    if says is Says.ENDED or is_ours or await _is_given_up(app, payment, provider, named):
        return
    raise ProviderDisagrees(
        f"{says} under {named.reference} at {provider}, where the payment is {payment.status} at {payment.provider}"
    )


async def _is_given_up(app: App, payment: Payment, provider: str, named: Named) -> bool:
    """Whether the provider says that it neither holds nor took anything under the reference that is named."""
    held_by = app.providers.get(provider)
    if named.reference is None or held_by is None or port.Inspection not in held_by.requests:
        return False
    state = await _state_of(app, provider, named.reference, payment.currency)
    return not state.is_open and not state.amount_captured


async def _settle_open(app: App, payment: Payment) -> Noticed:
    """Inquire about every open attempt whose asker has gone. One that somebody waits for is his to settle."""
    age = (app.clock.now() - payment.updated_at).total_seconds()
    is_left = age >= app.settings.inquiry_after_seconds
    asked_for = await jobs.waiting(app.database, [steps.ask_key(attempt.id) for attempt in payment.attempts])
    left = [
        attempt
        for attempt in payment.attempts
        if (attempt.is_unknown or is_left) and steps.ask_key(attempt.id) not in asked_for
    ]
    settled = [await steps.resolve(app, payment.id, attempt.id) for attempt in left]
    if len(left) < len(payment.attempts) or not all(settled):
        raise NotYet("a step is under way")
    return Noticed(payment.id, f"{len(settled)} open step(s) settled")


async def _go_on(app: App, origin: Origin, payment: Payment) -> Noticed:
    """The customer has done, or failed to do, what was asked of him: the provider is asked for the authorization."""
    try:
        answer = await steps.authorize(app, Asked(origin), payment.id, method_id=None)
    except InvalidTransition as error:  # somebody else goes on with it
        raise NotYet("a step is under way") from error
    if answer.status == steps.HTTP_ACCEPTED or answer.status >= 500:
        raise NotYet("the provider did not say what became of the authorization")
    return Noticed(payment.id, "the authorization went on")


def can_look(app: App, payment: Payment) -> bool:
    """Whether its provider can be asked how a payment stands."""
    provider = app.providers.get(payment.provider)
    is_known = payment.provider_transaction_id is not None
    return is_known and provider is not None and port.Inspection in provider.requests


def _may_differ(app: App, payment: Payment, says: Says, named: Named) -> bool:
    """Whether a payment at rest may be behind what is said of it."""
    is_news = payment.status in AT_REST and says is not Says.AUTHORIZED
    is_strange = payment.status in GIVEN_UP and says is Says.CAPTURED
    return (is_news or is_strange) and _is_same(payment, named) and can_look(app, payment)


async def _state(app: App, payment: Payment) -> port.PaymentState:
    assert payment.provider_transaction_id is not None
    return await _state_of(app, payment.provider, payment.provider_transaction_id, payment.currency)


async def _state_of(app: App, provider: str, reference: str, currency: str) -> port.PaymentState:
    now = app.clock.now()
    outcome = await app.providers[provider].execute(port.Inspection(ids.new(now), reference, currency, now))
    if not isinstance(outcome, port.Approved) or outcome.state is None:
        raise NotYet("the provider did not say how the payment stands")
    return outcome.state
