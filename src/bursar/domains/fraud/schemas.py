"""What callers send and see of fraud checks."""

from typing import Any, Literal

from pydantic import AwareDatetime

from bursar.domains.fraud.model import Decision, FraudCheck, RiskLevel, Status
from bursar.infra.http.types import RequestModel, ResponseModel, Text


class ReviewFraudCheck(RequestModel):
    decision: Literal["APPROVE", "REJECT"]
    notes: Text


class ReasonView(ResponseModel):
    code: str
    contribution: int
    detail: str


class FraudCheckView(ResponseModel):
    """A fraud check as callers see it. riskScore: 0 (no risk) to 100."""

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
    reasons: list[ReasonView]
    rules_version: str
    latency_micros: int
    reviewed_by: str | None
    review_notes: str | None
    reviewed_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class FraudCheckList(ResponseModel):
    data: list[FraudCheckView]
    has_more: bool
    next_cursor: str | None


def render(check: FraudCheck) -> dict[str, Any]:
    """The check as FraudCheckView."""
    return {
        "id": check.id,
        "version": check.version,
        "paymentId": check.payment_id,
        "customerId": check.customer_id,
        "amount": check.amount,
        "currency": check.currency,
        "riskScore": check.risk_score,
        "riskLevel": check.risk_level,
        "decision": check.decision,
        "status": check.status,
        "reasons": check.reasons,
        "rulesVersion": check.rules_version,
        "latencyMicros": check.latency_micros,
        "reviewedBy": check.reviewed_by,
        "reviewNotes": check.review_notes,
        "reviewedAt": check.reviewed_at,
        "createdAt": check.created_at,
        "updatedAt": check.updated_at,
    }
