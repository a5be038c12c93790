"""The adapter: what each request does to the books, and what is said of it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from bursar.kit.clock import Clock
from bursar.providers.declines import declined
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Capture,
    Description,
    DisputeAcceptance,
    DisputeEvidence,
    Forgetting,
    Inspection,
    Instrument,
    MethodType,
    MicroDeposits,
    Outcome,
    PaymentState,
    Payout,
    Pending,
    Refund,
    Request,
    Unavailable,
    Unknown,
    Verification,
    Void,
)
from bursar.providers.sandbox.books import Books, Entry
from bursar.providers.sandbox.methods import DEFAULT, METHODS, Behaviour, behaviour_of, details_of

MOVING: Final = (Authorization, Capture, Void, Refund)
"""Requests that move money of a payment; faults of a test method are of these alone."""


class Sandbox:
    """The adapter."""

    name = "sandbox"
    method_types = frozenset(MethodType)
    requests: frozenset[type[Request]] = frozenset(
        {
            Authorization,
            Capture,
            Void,
            Refund,
            Payout,
            Verification,
            MicroDeposits,
            Description,
            Forgetting,
            Inspection,
            DisputeEvidence,
            DisputeAcceptance,
        }
    )

    def __init__(self, *, books: Path | None, clock: Clock, slow_seconds: float, authorization_days: int) -> None:
        self.books = Books(books)
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._authorization_days = authorization_days

    def accepts(self, currency: str) -> bool:
        """Whatever ISO 4217 names."""
        return True

    async def execute(self, request: Request) -> Outcome:
        """Do what the test method does, once for each key."""
        if isinstance(request, Inspection):
            return self._inspected(request)
        if not isinstance(request, MOVING):
            return self._outcome_of(request, self.books.once(request.key, lambda: _decide_beside(request)))
        behaviour = METHODS[self._method_of(request)]
        is_now = behaviour.later is not isinstance(request, Authorization)
        fault = behaviour.fault if is_now else ""
        if behaviour.is_slow and is_now:
            await asyncio.sleep(self._slow_seconds)
        if fault == "unavailable":
            return Unavailable("the sandbox is down for this method")
        if fault == "before_effect":
            return Unknown("the answer was lost")
        entry = self.books.once(request.key, lambda: self._decide(request, behaviour, is_now))
        outcome = self._outcome_of(request, entry)
        if fault == "after_effect":
            return Unknown("the answer was lost")
        return Pending() if fault == "pending" else outcome

    async def inquire(self, request: Request) -> Outcome:
        """What was done for the key; where nothing was, the key is dead from now on: a late arrival does nothing."""
        if isinstance(request, Inspection):
            return self._inspected(request)
        reference = getattr(request, "reference", None) or request.key
        entry = self.books.once(request.key, lambda: Entry(request.key, "DEAD", reference, 0, "", ""))
        return self._outcome_of(request, entry)

    async def close(self) -> None:
        self.books.close()

    def _inspected(self, request: Inspection) -> Outcome:
        self.books.refresh()
        account = self.books.accounts.get(request.reference)
        if account is None or account.currency != request.currency:
            return Unknown("the sandbox has no such payment")
        is_open = not account.is_closed and account.captured < account.authorized
        state = PaymentState(account.authorized, account.captured, account.refunded, is_open)
        return Approved(request.reference, state=state)

    def _method_of(self, request: Request) -> str:
        if isinstance(request, Authorization):
            return behaviour_of(request.instrument)
        assert isinstance(request, MOVING)
        return self.books.account(request.reference).method_id

    def _decide(self, request: Request, behaviour: Behaviour, is_now: bool) -> Entry:
        if isinstance(request, Authorization):
            return _authorize(request, behaviour, is_now)
        assert isinstance(request, MOVING)
        account = self.books.accounts[request.reference]
        rest = (account.currency, account.method_id)
        if isinstance(request, Void):
            return Entry(request.key, "VOIDED", request.reference, 0, *rest)
        if isinstance(request, Refund):
            left, kind, is_declined, is_final = account.captured - account.refunded, "REFUNDED", False, False
        else:
            left = 0 if account.is_closed else account.authorized - account.captured
            kind, is_declined, is_final = "CAPTURED", is_now and bool(behaviour.decline_code), request.is_final
        if is_declined or request.amount > left or request.currency != account.currency:
            return Entry(request.key, "DECLINED", request.reference, 0, *rest)
        return Entry(request.key, kind, request.reference, request.amount, *rest, is_final)

    def _outcome_of(self, request: Request, entry: Entry) -> Outcome:
        if entry.kind == "DEAD":
            return Unavailable("the sandbox never carried this out")
        if entry.kind in ("DECLINED", "REFUSED"):
            otherwise = "amount_not_refundable" if isinstance(request, Refund) else "amount_not_capturable"
            code = METHODS[entry.method_id].decline_code or otherwise
            return declined(code, f"the sandbox declined: {code}")
        if entry.kind in ("ACTION", "CHALLENGED"):
            action: dict[str, Any] = {
                "type": "REDIRECT_TO_URL",
                "url": f"https://sandbox.invalid/3ds/{entry.reference}",
            }
            return ActionRequired(entry.reference, action)
        if entry.kind == "AUTHORIZED":
            return Approved(entry.reference, self._clock.now() + timedelta(days=self._authorization_days))
        if isinstance(request, Verification):
            return Approved(entry.reference, details=details_of(request.instrument))
        if isinstance(request, Description):
            return Approved(entry.reference, details=details_of(Instrument("", MethodType.CARD, token=entry.method_id)))
        return Approved(entry.reference, step_reference=f"sbx_{entry.key}")


def _authorize(request: Authorization, behaviour: Behaviour, is_now: bool) -> Entry:
    reference = request.reference or "sbx_" + request.key
    kind = "CHARGED" if request.capture else "AUTHORIZED"
    if behaviour.needs_action and request.reference is None:
        kind = "ACTION"
    elif is_now and behaviour.decline_code:
        kind = "DECLINED"
    return Entry(request.key, kind, reference, request.amount, request.currency, behaviour_of(request.instrument))


def _decide_beside(request: Request) -> Entry:
    """What moves no payment's money: verifications, payouts, tokens, disputes."""
    method_id, amount, currency, reference = DEFAULT, 0, "", "sbx_" + request.key
    if isinstance(request, Verification | MicroDeposits):
        method_id = behaviour_of(request.instrument)
        if isinstance(request, Verification):
            reference = method_id
    elif isinstance(request, Payout):
        method_id, amount, currency = behaviour_of(request.destination), request.amount, request.currency
    elif isinstance(request, Description | Forgetting):
        method_id = reference = request.token if request.token in METHODS else DEFAULT
    behaviour = METHODS[method_id]
    if behaviour.decline_code and not behaviour.later and not isinstance(request, Description | Forgetting):
        return Entry(request.key, "REFUSED", reference, amount, currency, method_id)
    if behaviour.needs_action and isinstance(request, Verification) and request.reference is None:
        return Entry(request.key, "CHALLENGED", reference, amount, currency, method_id)
    return Entry(request.key, "DONE", reference, amount, currency, method_id)
