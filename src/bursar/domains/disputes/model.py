"""A dispute and its life: the statuses, the table of transitions, its problems. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.domains.transactions.shares import Share
from bursar.infra.idempotency import Claim
from bursar.kit.errors import Problem
from bursar.kit.machine import Machine
from bursar.providers.port import DisputeReason


class Status(StrEnum):
    """ALERT: somebody asks or warns, and no money has moved; it ends CLOSED or becomes a dispute."""

    ALERT = "ALERT"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    ACCEPTED = "ACCEPTED"
    WON = "WON"
    LOST = "LOST"
    CLOSED = "CLOSED"


OPEN: Final = frozenset({Status.ALERT, Status.NEEDS_RESPONSE, Status.UNDER_REVIEW})
"""Of these more is to come."""

HOLDING: Final = frozenset({Status.NEEDS_RESPONSE, Status.UNDER_REVIEW, Status.ACCEPTED, Status.LOST})
"""While it is one of these, the amount is taken from us."""

ACTIONS: Final = ("stage", "submit", "accept")
"""What callers may ask for; the other actions of the table are outcomes."""


class Kind(StrEnum):
    """What is asked of the provider; REFUND: of our own refunds: an alert is accepted by giving the money back."""

    EVIDENCE = "EVIDENCE"
    ACCEPTANCE = "ACCEPTANCE"
    REFUND = "REFUND"


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A step that is under way. id: the provider's idempotency key. is_unknown: its outcome is not known."""

    id: str
    kind: Kind
    asked_at: datetime
    is_unknown: bool = False


class Asker(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who waits for the attempt: who he is, his idempotency key, which settling closes, and what a refusal's body
    names. No part of the dispute's events.
    """

    actor: str
    request_id: str
    instance: str
    claim: Claim | None = None


class Dispute(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of disputes. Amounts in minor units of `currency`.

    shares, amount_unallocated, amount_lost: from where the amount was taken: the vendors and the platform's commission,
    money that was in no transaction, and what neither covers; none of them while it is an alert. amount_booked: the
    part of the amount that counts as disputed of the payment, which is never above what was captured. fee_amount: what
    the provider keeps for it as things stand. personal_data_id: of the evidence, texts by the names of port.EVIDENCE;
    here are the names alone. is_by_hand: nobody but a person has said so. transaction_id: of the CHARGEBACK.
    refund_id: by which an alert was accepted.
    """

    id: str
    version: int
    payment_id: str
    order_id: str
    customer_id: str
    provider: str
    provider_dispute_id: str
    amount: int
    currency: str
    fee_amount: int
    reason: DisputeReason
    status: Status
    evidence_names: tuple[str, ...]
    shares: tuple[Share, ...]
    amount_booked: int
    amount_unallocated: int
    amount_lost: int
    is_by_hand: bool
    metadata: dict[str, str]
    opened_at: datetime
    created_at: datetime
    updated_at: datetime
    attempt: Attempt | None = None
    asked_by: Asker | None = None
    evidence_due_at: datetime | None = None
    personal_data_id: str | None = None
    evidence_staged_at: datetime | None = None
    evidence_submitted_at: datetime | None = None
    due_soon_at: datetime | None = None
    deadline_missed_at: datetime | None = None
    step_failed_at: datetime | None = None
    decline_code: str | None = None
    transaction_id: str | None = None
    refund_id: str | None = None
    closed_at: datetime | None = None


class Noticed(msgspec.Struct, frozen=True):
    """did: in a few words, what was done about a provider's notice, or would be."""

    payment_id: str
    did: str


class EvidenceMissing(Problem):
    status, code, title = 409, "evidence_missing", "There is no evidence to hand in"


class DisputeStepUnderWay(Problem):
    status, code, title = 409, "dispute_step_under_way", "The provider is being asked about this dispute"


class DisputeStepDeclined(Problem):
    status, code, title = 402, "dispute_step_declined", "The provider declined this step of the dispute"


class DisputeKnown(Problem):
    status, code, title = 409, "dispute_known", "The provider's dispute is known here already"


class DisputeIsProviders(Problem):
    """Whoever can be asked about a dispute says how it ends."""

    status, code, title = 409, "dispute_is_providers", "The provider says how this dispute ends"


class AmountExceedsCaptured(Problem):
    status, code, title = 409, "amount_exceeds_captured", "More is disputed than was captured"


_S = Status

MACHINE: Final = Machine(
    "dispute",
    initial=_S.ALERT,
    actions=ACTIONS,
    edges=[
        # from                action              to                 event
        (_S.ALERT, "alert", _S.ALERT, "dispute.alerted"),
        (_S.ALERT, "open", _S.NEEDS_RESPONSE, "dispute.opened"),
        (_S.CLOSED, "open", _S.NEEDS_RESPONSE, "dispute.opened"),
        (_S.ALERT, "end", _S.CLOSED, "dispute.closed"),
        (_S.NEEDS_RESPONSE, "review", _S.UNDER_REVIEW, "dispute.under_review"),
        (_S.UNDER_REVIEW, "ask_again", _S.NEEDS_RESPONSE, "dispute.response_needed"),
        (_S.NEEDS_RESPONSE, "win", _S.WON, "dispute.won"),
        (_S.UNDER_REVIEW, "win", _S.WON, "dispute.won"),
        (_S.NEEDS_RESPONSE, "lose", _S.LOST, "dispute.lost"),
        (_S.UNDER_REVIEW, "lose", _S.LOST, "dispute.lost"),
        (_S.ALERT, "stage", _S.ALERT, "dispute.evidence_staged"),
        (_S.NEEDS_RESPONSE, "stage", _S.NEEDS_RESPONSE, "dispute.evidence_staged"),
        (_S.ALERT, "submit", _S.ALERT, "dispute.submission_requested"),
        (_S.NEEDS_RESPONSE, "submit", _S.NEEDS_RESPONSE, "dispute.submission_requested"),
        (_S.ALERT, "submitted", _S.ALERT, "dispute.evidence_submitted"),
        (_S.NEEDS_RESPONSE, "submitted", _S.UNDER_REVIEW, "dispute.evidence_submitted"),
        (_S.UNDER_REVIEW, "submitted", _S.UNDER_REVIEW, "dispute.evidence_submitted"),
        (_S.ALERT, "accept", _S.ALERT, "dispute.acceptance_requested"),
        (_S.NEEDS_RESPONSE, "accept", _S.NEEDS_RESPONSE, "dispute.acceptance_requested"),
        (_S.ALERT, "accepted", _S.CLOSED, "dispute.accepted"),
        (_S.NEEDS_RESPONSE, "accepted", _S.ACCEPTED, "dispute.accepted"),
        (_S.UNDER_REVIEW, "accepted", _S.ACCEPTED, "dispute.accepted"),
        *((status, "wait", status, "dispute.outcome_unknown") for status in sorted(OPEN)),
        *((status, "not_done", status, "dispute.step_not_done") for status in sorted(OPEN)),
        *((status, "declined", status, "dispute.step_declined") for status in sorted(OPEN)),
        (_S.ALERT, "warn", _S.ALERT, "dispute.evidence_due_soon"),
        (_S.NEEDS_RESPONSE, "warn", _S.NEEDS_RESPONSE, "dispute.evidence_due_soon"),
        (_S.ALERT, "miss", _S.ALERT, "dispute.deadline_missed"),
        (_S.NEEDS_RESPONSE, "miss", _S.NEEDS_RESPONSE, "dispute.deadline_missed"),
        *((status, "update", status, "dispute.updated") for status in Status),
    ],
)

EVENT_RECEIVED: Final = "dispute.received"

_WORST_FIRST: Final = (
    _S.NEEDS_RESPONSE,
    _S.UNDER_REVIEW,
    _S.ALERT,
    _S.LOST,
    _S.ACCEPTED,
    _S.WON,
    _S.CLOSED,
)


def shown(statuses: set[Status]) -> Status:
    """What a payment shows of its disputes: the one that asks most of us."""
    return next(status for status in _WORST_FIRST if status in statuses)
