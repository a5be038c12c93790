"""A fraud check and its life."""

from datetime import datetime
from enum import StrEnum

import msgspec

from bursar.kit.machine import Machine


class RiskLevel(StrEnum):
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Decision(StrEnum):
    APPROVE = "APPROVE"
    REVIEW = "REVIEW"
    DECLINE = "DECLINE"


class Status(StrEnum):
    COMPLETED = "COMPLETED"
    PENDING_REVIEW = "PENDING_REVIEW"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


class Reason(msgspec.Struct, frozen=True):
    """Why a score is what it is. contribution: points of 100."""

    code: str
    contribution: int
    detail: str


class FraudCheck(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of fraud_checks, columns in order. amount: minor units."""

    id: str
    version: int
    payment_id: str
    customer_id: str
    amount: int
    currency: str
    risk_score: int
    risk_level: RiskLevel
    decision: Decision
    status: Status
    reasons: tuple[Reason, ...]
    rules_version: str
    latency_micros: int
    created_at: datetime
    updated_at: datetime
    reviewed_by: str | None = None
    review_notes: str | None = None
    reviewed_at: datetime | None = None


MACHINE = Machine(
    "fraud_check",
    initial=Status.PENDING_REVIEW,
    edges=[
        # from                   action     to               event
        (Status.PENDING_REVIEW, "approve", Status.APPROVED, "fraud_check.approved"),
        (Status.PENDING_REVIEW, "reject", Status.REJECTED, "fraud_check.rejected"),
    ],
)
"""A check whose decision needs nobody is COMPLETED at once and stays so."""
