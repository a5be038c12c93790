"""PaymentIntents: authorize, capture, void, refund; and what is to be seen of each afterwards."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import stripe

from bursar.kit.clock import Clock
from bursar.providers.declines import declined
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Capture,
    Outcome,
    Pending,
    Refund,
    Unknown,
    Void,
)
from bursar.providers.stripe import answers, methods
from bursar.providers.stripe.answers import Event, PaymentIntent, is_replayed, read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls, entries_of, first_of, labels, made_by, once
from bursar.providers.stripe.errors import Mismatch, decline_of, is_gone, our_code, surely
from bursar.providers.stripe.money import to_stripe

UNFINISHED: Final = frozenset({"requires_action", "requires_confirmation", "processing"})
"""Statuses that change without us, so that a repeated answer may be behind the truth."""

CAPTURED: Final = ("charge.captured", "payment_intent.succeeded", "payment_intent.amount_capturable_updated")
"""Events that a capture causes; each names the key of the call that caused it."""

EXPANDED: Final = ["latest_charge"]
"""What is asked for in full: a charge says when its authorization ends."""

EVENTS_KEPT: Final = timedelta(days=29)
"""Stripe shows events for 30 days."""


class Payments:
    """The four steps of a payment. authorization_days: where Stripe does not say when an authorization ends."""

    def __init__(
        self, calls: Calls, clock: Clock, *, authorization_days: int, return_url: str | None, multicapture: bool
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._authorization_days = authorization_days
        self._return_url = return_url
        self._multicapture = multicapture

    async def authorize(self, request: Authorization) -> Outcome:
        """Create and confirm a PaymentIntent; where the customer comes back to one, see what became of it."""
        if request.reference is not None:
            return await self._come_back(request, request.reference)
        amount = to_stripe(request.amount, request.currency)
        method = await methods.given(self._calls, request)
        params: dict[str, Any] = {
            "amount": amount,
            "currency": request.currency.lower(),
            "capture_method": "automatic" if request.capture else "manual",
            "confirm": True,
            "payment_method": method.id,
            "payment_method_types": ["card"],
            "metadata": labels(request),
            "expand": EXPANDED,
        }
        if method.customer is not None:
            params["customer"] = method.customer
        if self._return_url is not None:
            params["return_url"] = self._return_url
        if self._multicapture and not request.capture:
            params["payment_method_options"] = {"card": {"request_multicapture": "if_available"}}
        answer = await self._calls.v1.payment_intents.create_async(params, once(request.key))
        intent = read(answer, PaymentIntent)
        if is_replayed(answer) and intent.status in UNFINISHED:
            intent = await surely(self._retrieve(intent.id))
        return self._authorized(request, intent)

    async def capture(self, request: Capture) -> Outcome:
        """Take a part or all of an authorization; where it is refused, say why by the PaymentIntent's own state."""
        params: dict[str, Any] = {"amount_to_capture": to_stripe(request.amount, request.currency)}
        if not request.is_final:
            params["final_capture"] = False
        try:
            answer = await self._calls.v1.payment_intents.capture_async(request.reference, params, once(request.key))
        except stripe.InvalidRequestError as refusal:
            code = await self._why_not(request, refusal)
            return declined(code, refusal.user_message or "Stripe refused the capture")
        return _captured(request, read(answer, PaymentIntent))

    async def void(self, request: Void) -> Outcome:
        """Cancel a PaymentIntent; where that is refused, its state tells whether anything is still reserved."""
        try:
            answer = await self._calls.v1.payment_intents.cancel_async(request.reference, {}, once(request.key))
        except stripe.InvalidRequestError as refusal:
            if is_gone(refusal):
                raise
            try:
                intent = await self._retrieve(request.reference)
            except (stripe.StripeError, answers.Garbage):
                return Unknown("Stripe refused to cancel, and does not say what the PaymentIntent's state is")
            message = refusal.user_message or "Stripe refused the cancellation"
            return _released(request, intent) or declined(our_code(request), message)
        intent = read(answer, PaymentIntent)
        outcome = _released(request, intent)
        if intent.id != request.reference or outcome is None:
            raise Mismatch(f"{intent.id} is {intent.status} after its cancellation")
        return outcome

    async def refund(self, request: Refund) -> Outcome:
        """Refund a part or all of what was captured."""
        params = {
            "payment_intent": request.reference,
            "amount": to_stripe(request.amount, request.currency),
            "metadata": labels(request),
        }
        answer = await self._calls.v1.refunds.create_async(params, once(request.key))
        refund = read(answer, answers.Refund)
        if is_replayed(answer) and refund.status not in ("succeeded", "failed", "canceled"):
            refund = read(await surely(self._calls.v1.refunds.retrieve_async(refund.id)), answers.Refund)
        return _refunded(request, refund)

    async def find_authorization(self, request: Authorization) -> Outcome | None:
        """By the customer's PaymentIntent, or by our key in Stripe's index of metadata, which runs up to a minute
        behind: so absence proves nothing until much later.
        """
        if request.reference is not None:
            return await self._come_back(request, request.reference)
        query = f"metadata['bursar_key']:'{request.key}'"
        pages = await self._calls.v1.payment_intents.search_async({"query": query, "limit": 1})
        found = await first_of(pages, PaymentIntent, request.key)
        return None if found is None else self._authorized(request, await self._retrieve(found.id))

    async def find_capture(self, request: Capture) -> Outcome | None:
        """By the event that a capture under our key has caused."""
        intent = await self._retrieve(request.reference)
        if intent.amount_received == 0:
            return None
        filters = {"types": list(CAPTURED), "created": made_by(request.asked_at), "limit": PAGE_SIZE}
        async for event in entries_of(await self._calls.v1.events.list_async(filters), Event):
            subject = event.data.object
            is_ours = event.request is not None and event.request.idempotency_key == request.key
            if is_ours and request.reference in (subject.id, subject.payment_intent):
                return _captured(request, intent)
        is_certain = self._clock.now() - request.asked_at < EVENTS_KEPT
        return None if is_certain else Unknown("something was captured, and it is not to be seen under which key")

    async def find_void(self, request: Void) -> Outcome | None:
        """By the PaymentIntent's state, whoever brought it about."""
        return _released(request, await self._retrieve(request.reference))

    async def find_refund(self, request: Refund) -> Outcome | None:
        """By our key among the refunds of the PaymentIntent."""
        pages = await self._calls.v1.refunds.list_async({"payment_intent": request.reference, "limit": PAGE_SIZE})
        found = await first_of(pages, answers.Refund, request.key)
        return None if found is None else _refunded(request, found)

    async def _retrieve(self, intent_id: str) -> PaymentIntent:
        return read(await self._calls.v1.payment_intents.retrieve_async(intent_id, {"expand": EXPANDED}), PaymentIntent)

    async def _come_back(self, request: Authorization, reference: str) -> Outcome:
        intent = await self._retrieve(reference)
        if intent.status == "requires_confirmation":
            params: dict[str, Any] = {"expand": EXPANDED}
            if self._return_url is not None:
                params["return_url"] = self._return_url
            answer = await self._calls.v1.payment_intents.confirm_async(reference, params, once(request.key))
            intent = read(answer, PaymentIntent)
        return self._authorized(request, intent)

    async def _why_not(self, request: Capture, refusal: stripe.InvalidRequestError) -> str:
        """The decline code of a refused capture. Nothing was captured by it, whatever this second look brings."""
        try:
            intent = await self._retrieve(request.reference)
        except (stripe.StripeError, answers.Garbage):
            return our_code(request, refusal.code)
        if intent.status == "canceled":
            return _ended(intent)
        return "already_captured" if intent.status == "succeeded" else our_code(request, refusal.code)

    def _authorized(self, request: Authorization, intent: PaymentIntent) -> Outcome:
        """What a PaymentIntent's status says about the authorization. Raises Mismatch."""
        _compare(request, intent.id, "amount", intent.amount, intent.currency)
        if intent.id != (request.reference or intent.id):
            raise Mismatch(f"asked about {request.reference}, answered about {intent.id}")
        if intent.status in ("requires_capture", "succeeded") and request.capture is not (intent.status == "succeeded"):
            raise Mismatch(f"{intent.id} is {intent.status}, asked with capture={request.capture}")
        if intent.status == "requires_capture":
            if intent.amount_capturable is not None:
                _compare(request, intent.id, "amount_capturable", _held(intent), intent.currency)
            return Approved(intent.id, self._expires_at(intent))
        if intent.status == "succeeded":
            if intent.amount_received is not None:
                _compare(request, intent.id, "amount_received", intent.amount_received, intent.currency)
            return Approved(intent.id, step_reference=intent.charge.id if intent.charge else None)
        if intent.status == "requires_action":
            return ActionRequired(intent.id, methods.next_action(intent.next_action, intent.client_secret))
        if intent.status == "requires_payment_method" and intent.last_payment_error is not None:
            return decline_of(request, intent.last_payment_error, "Stripe declined the payment")
        if intent.status == "canceled":
            return declined(_ended(intent), "the PaymentIntent was canceled")
        return Pending() if intent.status == "processing" else Unknown(f"the PaymentIntent is {intent.status}")

    def _expires_at(self, intent: PaymentIntent) -> datetime:
        details = intent.charge.payment_method_details if intent.charge else None
        if details is not None and details.card is not None and details.card.capture_before is not None:
            return datetime.fromtimestamp(details.card.capture_before, UTC)
        return datetime.fromtimestamp(intent.created, UTC) + timedelta(days=self._authorization_days)


def _held(intent: PaymentIntent) -> int:
    """What the authorization reserved: what is left of it, and what has been taken since, in Stripe's unit."""
    return (intent.amount_capturable or 0) + (intent.amount_received or 0)


def _compare(request: Authorization | Capture | Refund, subject: str, name: str, amount: int, currency: str) -> None:
    """Raises Mismatch where Stripe speaks of another amount or currency than was asked for."""
    asked = to_stripe(request.amount, request.currency)
    if (amount, currency.upper()) != (asked, request.currency):
        raise Mismatch(f"{subject}.{name} is {amount} {currency}, asked for {asked} {request.currency}")


def _captured(request: Capture, intent: PaymentIntent) -> Outcome:
    """Approved where the amounts of the PaymentIntent leave room for this capture. Raises Mismatch.

    Its amount_received is the sum of all captures, of which this is one.
    """
    asked, currency = to_stripe(request.amount, request.currency), intent.currency.upper()
    is_over = intent.status == "succeeded" and not intent.amount_capturable
    is_kept = intent.status == "requires_capture" and not request.is_final and _held(intent) == intent.amount
    is_whole = asked <= (intent.amount_received or 0) <= intent.amount
    if intent.id != request.reference or currency != request.currency or not (is_whole and (is_over or is_kept)):
        raise Mismatch(
            f"{intent.id} is {intent.status}, {intent.amount_received} of {intent.amount} {intent.currency} received, "
            f"{intent.amount_capturable} left, after a capture of {asked} {request.currency}"
        )
    return Approved(request.reference, step_reference=intent.charge.id if intent.charge else None)


def _released(request: Void, intent: PaymentIntent) -> Outcome | None:
    """What is said of a void when nothing is reserved any more; None while something is.

    A PaymentIntent that was captured in part gave the rest back then.
    """
    if intent.status == "canceled":
        return Approved(request.reference)
    if intent.status != "succeeded" or intent.amount_capturable:
        return None
    if intent.amount_received is not None and intent.amount_received < intent.amount:
        return Approved(request.reference)
    return declined("already_captured", "all of it was taken")


def _refunded(request: Refund, refund: answers.Refund) -> Outcome:
    _compare(request, refund.id, "amount", refund.amount, refund.currency)
    if refund.status == "succeeded":
        return Approved(request.reference, step_reference=refund.id)
    if refund.status in ("failed", "canceled"):
        return declined(
            "refund_declined", f"the refund is {refund.status}: {refund.failure_reason or 'no reason given'}"
        )
    return Pending()


def _ended(intent: PaymentIntent) -> str:
    """The decline code of a canceled PaymentIntent: Stripe ends what was not captured in time by itself."""
    return "authorization_expired" if intent.cancellation_reason == "automatic" else "already_voided"
