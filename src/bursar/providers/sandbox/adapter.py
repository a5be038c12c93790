"""The adapter: what each request does to the books, and what is said of it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

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
    DisputeInspection,
    DisputeReason,
    DisputeStatus,
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
    RefundInspection,
    RefundState,
    RefundStatus,
    Request,
    Unavailable,
    Unknown,
    Verification,
    Void,
)
from bursar.providers.sandbox import disputes
from bursar.providers.sandbox.books import Books, Entry
from bursar.providers.sandbox.methods import DEFAULT, METHODS, Behaviour, Step, behaviour_of, details_of

MOVING: Final = (Authorization, Capture, Void, Refund)
"""Requests that move money of a payment; faults of a test method are of these alone."""

STEPS: Final[dict[type[Request], Step]] = {
    Authorization: Step.AUTHORIZE,
    Capture: Step.CAPTURE,
    Void: Step.CAPTURE,
    Refund: Step.REFUND,
}


INSPECTIONS: Final = (Inspection, RefundInspection, DisputeInspection)

PREFIX: Final = "sbx_"
BY_HAND: Final = "by_hand_"
"""Keys of what nobody of ours has asked for begin so."""


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
            RefundInspection,
            DisputeInspection,
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
        if isinstance(request, INSPECTIONS):
            return self._inspected(request)
        if isinstance(request, DisputeEvidence | DisputeAcceptance):
            return self._outcome_of(
                request, self.books.once(request.key, lambda: disputes.decided(self.books, request))
            )
        if not isinstance(request, MOVING):
            return self._outcome_of(request, self.books.once(request.key, lambda: _decide_beside(request)))
        behaviour = METHODS[self._method_of(request)]
        is_now = behaviour.step is STEPS[type(request)]
        fault = behaviour.fault if is_now else ""
        if behaviour.is_slow and is_now:
            await asyncio.sleep(self._slow_seconds)
        if fault == "unavailable":
            return Unavailable("the sandbox is down for this method")
        if fault == "before_effect":
            return Unknown("the answer was lost")
        entry = self.books.once(request.key, lambda: self._decide(request, behaviour, is_now))
        if behaviour.dispute is not None and entry.kind in ("CAPTURED", "CHARGED"):
            self._dispute(entry.reference, 1, status=behaviour.dispute)
        outcome = self._outcome_of(request, entry)
        if fault == "after_effect":
            return Unknown("the answer was lost")
        return Pending() if fault == "pending" else outcome

    async def inquire(self, request: Request) -> Outcome:
        """What was done for the key; where nothing was, the key is dead from now on: a late arrival does nothing."""
        if isinstance(request, INSPECTIONS):
            return self._inspected(request)
        reference = getattr(request, "reference", None) or request.key
        entry = self.books.once(request.key, lambda: Entry(request.key, "DEAD", reference, 0, "", ""))
        if entry.kind == "REFUNDED" and METHODS[entry.method_id].sends_back:
            self.send_back(request.key)
        return self._outcome_of(request, entry)

    def send_back(self, key: str) -> None:
        """Have the refund that was made for `key` fail, though it was done: the customer's bank has sent it back."""
        entry = self.books.by_key[key]
        assert entry.kind == "REFUNDED", entry
        failed = msgspec.structs.replace(entry, key=_failure_of(key), kind="SENT_BACK")
        self.books.once(failed.key, lambda: failed)

    def refund_by_hand(self, payment_reference: str, amount: int) -> str:
        """Refund a payment as a person does at the provider's own site. Returns the refund's reference."""
        account = self.books.account(payment_reference)
        key = f"{BY_HAND}{payment_reference}_{len(self.books.by_key)}"
        entry = Entry(key, "REFUNDED", payment_reference, amount, account.currency, account.method_id)
        self.books.once(key, lambda: entry)
        return PREFIX + key

    def open_dispute(
        self,
        payment_reference: str,
        *,
        amount: int | None = None,
        reason: DisputeReason = DisputeReason.FRAUDULENT,
        status: DisputeStatus = DisputeStatus.NEEDS_RESPONSE,
        fee: int = disputes.FEE,
    ) -> str:
        """Have the customer's bank dispute a payment (as ALERT: warn of it). amount: of all that was captured and not
        given back, if None. Returns the dispute's reference.
        """
        self.books.refresh()
        claims = [entry.claim for entry in self.books.disputes.values() if entry.claim is not None]
        number = 1 + sum(claim.payment_reference == payment_reference for claim in claims)
        return self._dispute(payment_reference, number, amount=amount, reason=reason, status=status, fee=fee)

    def move_dispute(self, reference: str, status: DisputeStatus, *, fee: int | None = None) -> None:
        """Have the customer's bank decide a dispute, or go on with it. fee: None is the usual."""
        self.books.refresh()
        key = f"{reference}:{len(self.books.by_key)}"
        disputes.moved(self.books, key=key, reference=reference, status=status, fee=fee)

    def _dispute(self, payment_reference: str, number: int, **facts: Any) -> str:
        now = self._clock.now()
        return disputes.begin(self.books, now, payment_reference=payment_reference, number=number, **facts)

    async def close(self) -> None:
        self.books.close()

    def _inspected(self, request: Inspection | RefundInspection | DisputeInspection) -> Outcome:
        self.books.refresh()
        if isinstance(request, DisputeInspection):
            entry = self.books.disputes.get(request.dispute_reference)
            if entry is None:
                return Unknown("the sandbox has no such dispute")
            return Approved(entry.reference, dispute=disputes.state_of(entry))
        if isinstance(request, RefundInspection):
            return self._refund_inspected(request)
        account = self.books.accounts.get(request.reference)
        if account is None or account.currency != request.currency:
            return Unknown("the sandbox has no such payment")
        is_open = not account.is_closed and account.captured < account.authorized
        state = PaymentState(account.authorized, account.captured, account.refunded, is_open)
        return Approved(request.reference, state=state)

    def _refund_inspected(self, request: RefundInspection) -> Outcome:
        key = request.refund_reference.removeprefix(PREFIX)
        entry = self.books.by_key.get(key)
        if entry is None or entry.kind != "REFUNDED":
            return Unknown("the sandbox has no such refund")
        status = RefundStatus.FAILED if _failure_of(key) in self.books.by_key else RefundStatus.DONE
        made_by = None if key.startswith(BY_HAND) else key
        state = RefundState(
            request.refund_reference, entry.reference, entry.amount, entry.currency, status, made_by=made_by
        )
        return Approved(entry.reference, refund=state)

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
            left, kind, is_final = account.captured - account.refunded - account.disputed, "REFUNDED", False
        else:
            left = 0 if account.is_closed else account.authorized - account.captured
            kind, is_final = "CAPTURED", request.is_final
        is_declined = is_now and bool(behaviour.decline_code)
        if is_declined or request.amount > left or request.currency != account.currency:
            return Entry(request.key, "DECLINED", request.reference, 0, *rest)
        return Entry(request.key, kind, request.reference, request.amount, *rest, is_final)

    def _outcome_of(self, request: Request, entry: Entry) -> Outcome:
        if entry.kind == "DEAD":
            return Unavailable("the sandbox never carried this out")
        if entry.kind in ("DECLINED", "REFUSED"):
            code = _code_of(request, entry)
            return declined(code, f"the sandbox declined: {code}")
        if _failure_of(entry.key) in self.books.by_key:
            return declined("refund_declined", "the customer's bank has sent the refund back")
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
        return Approved(entry.reference, step_reference=PREFIX + entry.key)


def _failure_of(key: str) -> str:
    """The key under which the books say that a refund did not stay done."""
    return f"{key}:sent_back"


def _code_of(request: Request, entry: Entry) -> str:
    """Why a request was refused."""
    if isinstance(request, DisputeEvidence | DisputeAcceptance):
        return "processing_error"
    otherwise = "amount_not_refundable" if isinstance(request, Refund) else "amount_not_capturable"
    behaviour = METHODS[entry.method_id]
    is_meant = not isinstance(request, MOVING) or behaviour.step is STEPS[type(request)]
    return behaviour.decline_code if behaviour.decline_code and is_meant else otherwise


def _authorize(request: Authorization, behaviour: Behaviour, is_now: bool) -> Entry:
    reference = request.reference or PREFIX + request.key
    kind = "CHARGED" if request.capture else "AUTHORIZED"
    if behaviour.needs_action and request.reference is None:
        kind = "ACTION"
    elif is_now and behaviour.decline_code:
        kind = "DECLINED"
    return Entry(request.key, kind, reference, request.amount, request.currency, behaviour_of(request.instrument))


def _decide_beside(request: Request) -> Entry:
    """What moves no payment's money: verifications, payouts, tokens."""
    method_id, amount, currency, reference = DEFAULT, 0, "", PREFIX + request.key
    if isinstance(request, Verification | MicroDeposits):
        method_id = behaviour_of(request.instrument)
        if isinstance(request, Verification):
            reference = method_id
    elif isinstance(request, Payout):
        method_id, amount, currency = behaviour_of(request.destination), request.amount, request.currency
    elif isinstance(request, Description | Forgetting):
        method_id = reference = request.token if request.token in METHODS else DEFAULT
    behaviour = METHODS[method_id]
    if (
        behaviour.decline_code
        and behaviour.step is Step.AUTHORIZE
        and not isinstance(request, Description | Forgetting)
    ):
        return Entry(request.key, "REFUSED", reference, amount, currency, method_id)
    if behaviour.needs_action and isinstance(request, Verification) and request.reference is None:
        return Entry(request.key, "CHALLENGED", reference, amount, currency, method_id)
    return Entry(request.key, "DONE", reference, amount, currency, method_id)
