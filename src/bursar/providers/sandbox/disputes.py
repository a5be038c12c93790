"""Disputes in the sandbox: how they open, what is done about them, and how they stand.

Evidence decides as Stripe's test mode has it: `winning_evidence` in uncategorized_text wins, `losing_evidence` loses,
anything else goes under review.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from bursar.providers.port import (
    EVIDENCE,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeReason,
    DisputeState,
    DisputeStatus,
)
from bursar.providers.sandbox.books import TAKING, Account, Books, Claim, Entry

FEE: Final = 1_500
"""What each dispute costs, in minor units; given back where it is won."""

EVIDENCE_DAYS: Final = 10
OPEN: Final = frozenset({DisputeStatus.ALERT, DisputeStatus.NEEDS_RESPONSE})
"""As what a dispute takes evidence, or our giving in."""


def begin(
    books: Books,
    now: datetime,
    *,
    payment_reference: str,
    number: int,
    amount: int | None = None,
    reason: DisputeReason = DisputeReason.FRAUDULENT,
    status: DisputeStatus = DisputeStatus.NEEDS_RESPONSE,
    fee: int = FEE,
) -> str:
    """Open the payment's dispute of this number, once. amount: of all that was captured and not given back, if None.
    Returns its reference: the payment's, `_dispute_` and the number.
    """
    account = books.account(payment_reference)
    reference = f"{payment_reference}_dispute_{number}"
    due_at = now + timedelta(days=EVIDENCE_DAYS)
    cost = fee if status in TAKING else 0
    claim = Claim(payment_reference, status, reason, cost, now, due_at)
    disputed = account.captured - account.refunded if amount is None else amount
    books.once(reference, lambda: _entry(reference, reference, disputed, account, claim))
    return reference


def moved(books: Books, *, key: str, reference: str, status: DisputeStatus, fee: int | None = None) -> None:
    """Have the customer's bank decide: the dispute is so from now on. fee: None is what each costs, or nothing where
    no money is taken.
    """
    before, claim = _of(books, reference)
    cost = (FEE if status in TAKING else 0) if fee is None else fee
    after = msgspec.structs.replace(claim, status=status, fee=cost)
    books.once(key, lambda: msgspec.structs.replace(before, key=key, claim=after))


def decided(books: Books, request: DisputeEvidence | DisputeAcceptance) -> Entry:
    """What a request does to the dispute; REFUSED where there is none, it has ended or waits for a word, or a part of
    the evidence has a strange name.
    """
    refused = Entry(request.key, "REFUSED", request.dispute_reference, 0, "", "")
    is_strange = isinstance(request, DisputeEvidence) and not EVIDENCE.issuperset(request.evidence)
    if is_strange or request.dispute_reference not in books.disputes:
        return refused
    before, claim = _of(books, request.dispute_reference)
    is_accepted = isinstance(request, DisputeAcceptance)
    if claim.status not in OPEN and not (is_accepted and claim.status is DisputeStatus.LOST):
        return refused
    status = _given_in(claim) if isinstance(request, DisputeAcceptance) else _answered(claim, request)
    after = msgspec.structs.replace(claim, status=status, fee=claim.fee if status in TAKING else 0)
    return msgspec.structs.replace(before, key=request.key, claim=after)


def state_of(entry: Entry) -> DisputeState:
    """How a dispute stands."""
    claim = entry.claim
    assert claim is not None, "an entry of a dispute has its claim"
    return DisputeState(
        reference=entry.reference,
        payment_reference=claim.payment_reference,
        amount=entry.amount,
        currency=entry.currency,
        fee=claim.fee,
        reason=claim.reason,
        status=claim.status,
        opened_at=claim.opened_at,
        evidence_due_at=claim.evidence_due_at if claim.status in OPEN else None,
        takes_money=claim.status not in (DisputeStatus.ALERT, DisputeStatus.CLOSED),
    )


def _of(books: Books, reference: str) -> tuple[Entry, Claim]:
    entry = books.disputes[reference]
    assert entry.claim is not None, "an entry of a dispute has its claim"
    return entry, entry.claim


def _entry(key: str, reference: str, amount: int, account: Account, claim: Claim) -> Entry:
    return Entry(key, "DISPUTE", reference, amount, account.currency, account.method_id, claim=claim)


def _given_in(claim: Claim) -> DisputeStatus:
    return DisputeStatus.CLOSED if claim.status is DisputeStatus.ALERT else DisputeStatus.LOST


def _answered(claim: Claim, request: DisputeEvidence) -> DisputeStatus:
    text, is_alert = request.evidence.get("uncategorized_text", ""), claim.status is DisputeStatus.ALERT
    if "winning_evidence" in text:
        return DisputeStatus.CLOSED if is_alert else DisputeStatus.WON
    if "losing_evidence" in text:
        return DisputeStatus.NEEDS_RESPONSE if is_alert else DisputeStatus.LOST
    return DisputeStatus.ALERT if is_alert else DisputeStatus.UNDER_REVIEW
