"""What callers send and see of KYC."""

from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, Field, model_validator

from bursar.domains.kyc.model import EVIDENCE_MAX, Level, Status, Subject, SubjectType
from bursar.infra.http.types import ForeignId, Moment, RequestModel, ResponseModel, Text

NOT_TOLD: Final = frozenset({"sanctions_match", "fraud_suspected"})
"""Rejection codes that the subject never learns: it must not be tipped off."""


class StartCheck(RequestModel):
    """evidence: references of documents that lie elsewhere; never a document, never what one says."""

    level: Level = Level.STANDARD
    evidence: Annotated[list[ForeignId], Field(max_length=EVIDENCE_MAX)] = Field(default_factory=list)


class Decide(RequestModel):
    """expires_at: until when a verification holds; for good, where absent."""

    decision: Literal["VERIFIED", "REJECTED"]
    reason: Text
    expires_at: Moment | None = None

    @model_validator(mode="after")
    def _only_a_verification_expires(self) -> "Decide":
        if self.expires_at is not None and self.decision != "VERIFIED":
            raise ValueError("only a verification expires")
        return self


class SubjectView(ResponseModel):
    """How a customer or vendor stands. id, createdAt, updatedAt: null while nothing was asked for."""

    id: str | None
    version: int
    subject_type: SubjectType
    subject_id: str
    status: Status
    level: Level | None
    evidence: list[str]
    provider: str | None
    provider_reference: str | None
    rejection_code: str | None
    decided_by: str | None
    decision_reason: str | None
    requested_at: AwareDatetime | None
    decided_at: AwareDatetime | None
    expires_at: AwareDatetime | None
    metadata: dict[str, str]
    created_at: AwareDatetime | None
    updated_at: AwareDatetime | None


class SubjectList(ResponseModel):
    data: list[SubjectView]
    has_more: bool
    next_cursor: str | None


def render(subject: Subject) -> dict[str, Any]:
    """The subject as SubjectView, whole, as staff see it."""
    is_known = subject.version > 0
    return {
        "id": subject.id if is_known else None,
        "version": subject.version,
        "subjectType": subject.subject_type,
        "subjectId": subject.subject_id,
        "status": subject.status,
        "level": subject.level if is_known else None,
        "evidence": subject.evidence,
        "provider": subject.provider,
        "providerReference": subject.provider_reference,
        "rejectionCode": subject.rejection_code,
        "decidedBy": subject.decided_by,
        "decisionReason": subject.decision_reason,
        "requestedAt": subject.requested_at,
        "decidedAt": subject.decided_at,
        "expiresAt": subject.expires_at,
        "metadata": subject.metadata,
        "createdAt": subject.created_at if is_known else None,
        "updatedAt": subject.updated_at if is_known else None,
    }


def render_own(subject: Subject) -> dict[str, Any]:
    """The subject as SubjectView, as it sees itself: not who decided and why, and no hint of a suspicion."""
    code = "rejected_by_service" if subject.rejection_code in NOT_TOLD else subject.rejection_code
    return {**render(subject), "decidedBy": None, "decisionReason": None, "rejectionCode": code}
