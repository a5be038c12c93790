"""The first step: what a caller asks for is checked against the payment and written down before any provider hears of
it.
"""

from typing import Any

import msgspec

from bursar.domains.context import App
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import store
from bursar.domains.payments.change import change
from bursar.domains.payments.model import (
    MACHINE,
    Asker,
    Attempt,
    Kind,
    Payment,
    PaymentMethodMissing,
    Status,
    refuse_capture,
)
from bursar.domains.routing import service as routing
from bursar.domains.routing.model import Facts
from bursar.infra.db import Tx
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.errors import NotFound
from bursar.kit.machine import match_version


async def authorize(
    tx: Tx,
    app: App,
    payment_id: str,
    *,
    claim: Claim | None,
    method_id: str | None,
    expected_version: int | None,
) -> tuple[Payment, Attempt]:
    """Intend to authorize the whole amount on `method_id`, or on the payment's own method, with the provider that the
    routing rules choose; with the one that has begun, where the customer comes back from an action. Where he takes
    another method instead, what waits for him is to be given up first.
    """
    payment = await _locked(tx, payment_id, expected_version)
    if not MACHINE.allows(payment.status, "authorize"):
        raise MACHINE.refusal(payment.status, "authorize")
    method_id = method_id or payment.payment_method_id
    if method_id is None:
        raise PaymentMethodMissing
    is_begun = payment.status is Status.REQUIRES_ACTION
    if is_begun and method_id == payment.payment_method_id:
        providers: tuple[str, ...] = (payment.provider,)
    else:
        providers = await _providers(tx, app, payment, method_id)
        if is_begun:
            return _void(tx, payment, "replace", claim, method_id=method_id, fallbacks=providers)
    attempt = _attempt(tx, payment, Kind.AUTHORIZE, payment.amount, method_id=method_id, fallbacks=providers[1:])
    after = change(
        tx,
        payment,
        "authorize",
        asker=_asker(tx, attempt, claim),
        attempts=(attempt,),
        payment_method_id=method_id,
        provider=providers[0],
    )
    return after, attempt


async def _providers(tx: Tx, app: App, payment: Payment, method_id: str) -> tuple[str, ...]:
    method = await payment_methods.usable(tx, app, method_id, customer_id=payment.customer_id)
    facts = Facts(
        payment_id=payment.id,
        method_type=method.type,
        amount=payment.amount,
        currency=payment.currency,
        country=method.country,
        tokens=method.tokens,
        is_portable=method.is_portable,
    )
    return routing.providers_for(app, facts)


def reroute(tx: Tx, payment: Payment, attempt: Attempt) -> tuple[Payment, Attempt]:
    """Intend the same authorization with the next provider: the one before has certainly done nothing. It is another
    attempt, under a key of its own.
    """
    again = _attempt(
        tx, payment, Kind.AUTHORIZE, attempt.amount, method_id=attempt.method_id, fallbacks=attempt.fallbacks[1:]
    )
    again = msgspec.structs.replace(again, back_to=attempt.back_to)
    asker = msgspec.structs.replace(payment.asker(attempt), attempt_id=again.id)
    after = change(tx, payment, "reroute", asker=asker, attempts=(again,), provider=attempt.fallbacks[0])
    return after, again


def authorize_anew(tx: Tx, payment: Payment, given_up: Attempt) -> tuple[Payment, Attempt]:
    """Intend the authorization with the method that the customer took instead: what waited for him is given up."""
    attempt = _attempt(
        tx, payment, Kind.AUTHORIZE, payment.amount, method_id=given_up.method_id, fallbacks=given_up.fallbacks[1:]
    )
    attempt = msgspec.structs.replace(attempt, back_to=Status.PENDING)
    after = change(
        tx,
        payment,
        "voided_to_replace",
        asker=msgspec.structs.replace(payment.asker(given_up), attempt_id=attempt.id),
        attempts=(attempt,),
        payment_method_id=attempt.method_id,
        provider=given_up.fallbacks[0],
        provider_transaction_id=None,
        next_action=None,
    )
    return after, attempt


async def capture(
    tx: Tx, payment_id: str, *, claim: Claim | None, amount: int | None, is_final: bool, expected_version: int | None
) -> tuple[Payment, Attempt]:
    """Intend to capture `amount` minor units, all that is left where None; its amount is reserved from now on."""
    payment = await _locked(tx, payment_id, expected_version)
    if not MACHINE.allows(payment.status, "capture"):
        raise MACHINE.refusal(payment.status, "capture")
    amount = payment.amount_capturable if amount is None else amount
    refuse_capture(payment, amount)
    attempt = _attempt(tx, payment, Kind.CAPTURE, amount, is_final=is_final)
    after = change(
        tx,
        payment,
        "capture",
        asker=_asker(tx, attempt, claim),
        attempts=(*payment.attempts, attempt),
        amount_capturing=payment.amount_capturing + amount,
        is_capture_final=is_final,
    )
    return after, attempt


async def complete(
    tx: Tx, payment_id: str, *, claim: Claim | None, expected_version: int | None
) -> tuple[Payment, Attempt | None]:
    """Complete a captured payment; one captured in part gives the rest back first. None: nothing to ask the
    provider.
    """
    payment = await _locked(tx, payment_id, expected_version)
    if payment.status is not Status.PARTIALLY_CAPTURED:
        return change(tx, payment, "complete", completed_at=tx.now), None
    return _void(tx, payment, "complete", claim)


async def end(
    tx: Tx,
    payment_id: str,
    action: str,
    *,
    claim: Claim | None,
    reason: str,
    failure_code: str | None = None,
    owner: str | None = None,
    expected_version: int | None = None,
) -> tuple[Payment, Attempt | None]:
    """Fail or cancel a payment; what a provider still reserves is given back first. None: nothing to ask the provider.

    owner: the customer who asks, who may do so for his own payment, and while it is PENDING only.
    """
    payment = await store.lock(tx, payment_id)
    if owner is not None and payment.customer_id != owner:
        raise NotFound("no such payment")
    match_version(payment.version, expected_version)
    if owner is not None and payment.status is not Status.PENDING:
        refusal = MACHINE.refusal(payment.status, action)
        refusal.context["allowed"] = []
        raise refusal
    if payment.status in (Status.PENDING, Status.IN_REVIEW):
        ended: dict[str, Any] = {"failed_at" if action == "fail" else "cancelled_at": tx.now}
        return change(tx, payment, action, failure_code=failure_code, failure_reason=reason, **ended), None
    return _void(tx, payment, action, claim, reason=reason, failure_code=failure_code)


async def expire(tx: Tx, payment_id: str) -> tuple[Payment, Attempt | None]:
    """Give back an authorization that ran out; None where there is nothing to give back any more."""
    payment = await store.lock(tx, payment_id)
    expires_at = payment.authorization_expires_at
    if not MACHINE.allows(payment.status, "expire") or expires_at is None or expires_at > tx.now:
        return payment, None
    return _void(tx, payment, "expire", None, reason="authorization expired")


def _void(tx: Tx, payment: Payment, action: str, claim: Claim | None, **further: Any) -> tuple[Payment, Attempt]:
    ends_in = "keep_captured" if action == "expire" and payment.status is Status.PARTIALLY_CAPTURED else action
    attempt = _attempt(tx, payment, Kind.VOID, payment.amount_capturable, ends_in=ends_in, **further)
    return change(tx, payment, action, asker=_asker(tx, attempt, claim), attempts=(attempt,)), attempt


def _attempt(tx: Tx, payment: Payment, kind: Kind, amount: int, **rest: Any) -> Attempt:
    return Attempt(ids.new(tx.now), kind, amount, tx.now, payment.status, **rest)


def _asker(tx: Tx, attempt: Attempt, claim: Claim | None) -> Asker:
    return Asker(attempt.id, tx.origin.request_id, tx.origin.instance, claim)


async def _locked(tx: Tx, payment_id: str, expected_version: int | None) -> Payment:
    payment = await store.lock(tx, payment_id)
    match_version(payment.version, expected_version)
    return payment
