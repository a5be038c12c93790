"""Payment methods: given to Stripe, verified by a SetupIntent, described, and given up.

Stripe lets a PaymentMethod be used again only while a Customer of its own holds it, and wants to be told which. So our
token is `pm_…:cus_…` for one that we verified; a bare `pm_…` is used as it is.
"""

from typing import Any, Final

import msgspec
import stripe

from bursar.providers.declines import declined
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Description,
    Forgetting,
    MethodDetails,
    Outcome,
    Pending,
    Unavailable,
    Unknown,
    Verification,
)
from bursar.providers.stripe import answers
from bursar.providers.stripe.answers import PaymentMethod, SetupIntent, is_replayed, read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls, first_of, labels, made_by, once
from bursar.providers.stripe.errors import Mismatch, NotBegun, Settled, decline_of, is_gone, outcome_of, surely

WALLETS: Final = frozenset({"APPLE_PAY", "GOOGLE_PAY"})
"""Wallets whose tokens Stripe makes (`tok_…`) and takes as cards."""


class Token(msgspec.Struct, frozen=True):
    """A PaymentMethod, and the Customer that holds it."""

    id: str
    customer: str | None = None

    @classmethod
    def parse(cls, token: str) -> "Token":
        method, _, customer = token.partition(":")
        return cls(method, customer or None)

    def __str__(self) -> str:
        return self.id if self.customer is None else f"{self.id}:{self.customer}"


async def given(calls: Calls, request: Authorization | Verification) -> Token:
    """The PaymentMethod of a request's instrument, made for it where Stripe has none yet. Raises Settled.

    Without one nothing of what was asked for can begin, so a failure here is a decline or certainly not done. The
    security code is not there when the same is asked again later: that is another call, so under another key.
    """
    instrument, key = request.instrument, f"{request.key}:pm"
    if instrument.is_gone:
        raise Settled(Unknown("the payment method was removed, so the call cannot be repeated"))
    if instrument.token is not None:
        return Token.parse(instrument.token)
    params: dict[str, Any] = {"type": "card"}
    if instrument.card is not None:
        card = instrument.card
        params["card"] = {"number": card.number, "exp_month": card.exp_month, "exp_year": card.exp_year}
        if card.cvc is not None:
            params["card"]["cvc"] = card.cvc
            key += ":cvc"
        if card.holder_name is not None:
            params["billing_details"] = {"name": card.holder_name}
    elif instrument.wallet is not None and instrument.wallet.provider in WALLETS:
        params["card"] = {"token": instrument.wallet.token}
    else:
        raise Settled(declined("card_not_supported", "Stripe is asked for cards, Apple Pay and Google Pay only"))
    try:
        answer = await calls.v1.payment_methods.create_async(params, once(key))
        return Token(read(answer, PaymentMethod).id)
    except (stripe.StripeError, answers.Garbage) as error:
        raise _not_begun(error, request) from error


async def verify(calls: Calls, request: Verification, return_url: str | None) -> Outcome:
    """Confirm a SetupIntent: the card's issuer is asked, no money moves, and the method can be used again. One for
    which the customer has been sent to an action is looked at instead.
    """
    if request.reference is not None:
        expanded = {"expand": ["payment_method"]}
        answer = await calls.v1.setup_intents.retrieve_async(request.reference, expanded)
        return await _verified(calls, request, read(answer, SetupIntent))
    method = await given(calls, request)
    if method.customer is None:
        method = Token(method.id, await _holder(calls, request))
    params: dict[str, Any] = {
        "confirm": True,
        "customer": method.customer,
        "payment_method": method.id,
        "payment_method_types": ["card"],
        "usage": "off_session",
        "expand": ["payment_method"],
        "metadata": labels(request),
    }
    if return_url is not None:
        params["return_url"] = return_url
    answer = await calls.v1.setup_intents.create_async(params, once(request.key))
    intent = read(answer, SetupIntent)
    if is_replayed(answer) and intent.status in ("requires_action", "processing"):
        again = calls.v1.setup_intents.retrieve_async(intent.id, {"expand": ["payment_method"]})
        intent = read(await surely(again), SetupIntent)
    return await _verified(calls, request, intent)


async def find_verification(calls: Calls, request: Verification) -> Outcome | None:
    """By our key among the SetupIntents that were made since."""
    filters = {"created": made_by(request.asked_at), "limit": PAGE_SIZE}
    found = await first_of(await calls.v1.setup_intents.list_async(filters), SetupIntent, request.key)
    return None if found is None else await _verified(calls, request, found)


async def describe(calls: Calls, request: Description) -> Outcome:
    """What Stripe knows of a PaymentMethod. One that its Customer holds no more can never be used again."""
    token = Token.parse(request.token)
    try:
        method = read(await calls.v1.payment_methods.retrieve_async(token.id), PaymentMethod)
    except stripe.InvalidRequestError as refusal:
        if not is_gone(refusal):
            raise
        return declined("method_revoked", "Stripe knows no such payment method")
    if token.customer is not None and method.customer != token.customer:
        return declined("method_revoked", "the payment method was given up")
    return Approved(request.token, details=_details(method))


async def forget(calls: Calls, request: Forgetting) -> Outcome:
    """Take a PaymentMethod from its Customer. One that nobody holds is forgotten already."""
    token = Token.parse(request.token)
    try:
        answer = await calls.v1.payment_methods.detach_async(token.id, {}, once(request.key))
    except stripe.InvalidRequestError as refusal:
        if not is_gone(refusal):
            answer = await calls.v1.payment_methods.retrieve_async(token.id)
            if read(answer, PaymentMethod).customer is not None:
                raise
        return Approved(request.token)
    if read(answer, PaymentMethod).customer is not None:
        raise Mismatch(f"{token.id} is held after it was taken from its Customer")
    return Approved(request.token)


def next_action(action: dict[str, Any] | None, client_secret: str | None) -> dict[str, Any]:
    """What the customer has to do. A page to go to where we gave Stripe an address to come back to; else it is left to
    Stripe's own script in the customer's browser. Raises Mismatch.
    """
    kind = (action or {}).get("type")
    redirect = (action or {}).get("redirect_to_url")
    if kind == "redirect_to_url" and isinstance(redirect, dict) and isinstance(redirect.get("url"), str):
        return {"type": "REDIRECT_TO_URL", "url": redirect["url"]}
    if kind == "use_stripe_sdk":
        return {"type": "USE_STRIPE_SDK", "clientSecret": client_secret}
    raise Mismatch(f"an action is required, but which one is not known: {kind}")


def _not_begun(error: Exception, request: Authorization | Verification) -> NotBegun:
    """A PaymentMethod or a Customer alone reserves nothing: whatever became of it, what it was for has not begun."""
    outcome = outcome_of(error, request)
    return NotBegun(Unavailable(outcome.reason) if isinstance(outcome, Unknown) else outcome)


async def _holder(calls: Calls, request: Verification) -> str:
    """A Customer for one payment method. Who the customer is, Stripe is not told."""
    try:
        answer = await calls.v1.customers.create_async({"metadata": labels(request)}, once(f"{request.key}:customer"))
        return read(answer, answers.Customer).id
    except (stripe.StripeError, answers.Garbage) as error:
        raise _not_begun(error, request) from error


async def _verified(calls: Calls, request: Verification, intent: SetupIntent) -> Outcome:
    if intent.status == "succeeded":
        method = intent.payment_method
        if method is None:
            raise Mismatch(f"{intent.id} has succeeded without a payment method")
        if isinstance(method, str):
            method = read(await calls.v1.payment_methods.retrieve_async(method), PaymentMethod)
        return Approved(str(Token(method.id, intent.customer)), details=_details(method))
    if intent.status == "requires_action":
        return ActionRequired(intent.id, next_action(intent.next_action, intent.client_secret))
    if intent.status in ("requires_payment_method", "canceled") and intent.last_setup_error is not None:
        return decline_of(request, intent.last_setup_error, "Stripe declined the payment method")
    return Pending() if intent.status == "processing" else Unknown(f"the SetupIntent is {intent.status}")


def _details(method: PaymentMethod) -> MethodDetails:
    card = method.card
    if card is None:
        return MethodDetails()
    return MethodDetails(
        brand=card.brand.upper() if card.brand else None,
        last4=card.last4,
        exp_month=card.exp_month,
        exp_year=card.exp_year,
        country=card.country,
    )
