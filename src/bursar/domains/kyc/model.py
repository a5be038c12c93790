"""A subject of KYC and its life: the statuses and the table of transitions. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.kit.errors import Problem
from bursar.kit.machine import Machine

EVIDENCE_MAX: Final = 20
"""References that one check can bring."""


class SubjectType(StrEnum):
    CUSTOMER = "CUSTOMER"
    VENDOR = "VENDOR"


class Level(StrEnum):
    """How thorough a check is: the three of customer due diligence."""

    SIMPLIFIED = "SIMPLIFIED"
    STANDARD = "STANDARD"
    ENHANCED = "ENHANCED"


class Status(StrEnum):
    NOT_STARTED = "NOT_STARTED"
    PENDING = "PENDING"
    VERIFIED = "VERIFIED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of kyc_subjects. version 0: nothing was ever asked for, and there is no row yet.

    attempt: the number of the check under way, or of the last one. evidence: references of documents that lie
    elsewhere. provider: who checks; None where people do.
    """

    id: str
    version: int
    subject_type: SubjectType
    subject_id: str
    status: Status
    level: Level
    evidence: tuple[str, ...]
    attempt: int
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    provider: str | None = None
    provider_reference: str | None = None
    rejection_code: str | None = None
    decided_by: str | None = None
    decision_reason: str | None = None
    requested_at: datetime | None = None
    decided_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def check_key(self) -> str:
        """The key under which the service is asked for the check under way: the same for every repeat."""
        return f"{self.id}:{self.attempt}"


class News(msgspec.Struct, frozen=True):
    """What another service of the platform says of a subject. happened_at: when that became so."""

    status: Status
    happened_at: datetime
    reference: str | None = None
    rejection_code: str | None = None
    expires_at: datetime | None = None


class KycRequired(Problem):
    """The customer or vendor has to be verified first; `kycStatus` says how it stands."""

    status, code, title = 409, "kyc_required", "This needs a verified customer or vendor"


MACHINE: Final = Machine(
    "kyc",
    initial=Status.NOT_STARTED,
    actions=("request", "verify", "reject"),
    edges=[
        # from                action     to               event
        (Status.NOT_STARTED, "request", Status.PENDING, "kyc.requested"),
        (Status.PENDING, "accept", Status.PENDING, "kyc.in_progress"),
        (Status.PENDING, "verify", Status.VERIFIED, "kyc.verified"),
        (Status.PENDING, "reject", Status.REJECTED, "kyc.rejected"),
        (Status.VERIFIED, "expire", Status.EXPIRED, "kyc.expired"),
        (Status.REJECTED, "request", Status.PENDING, "kyc.requested"),
        (Status.EXPIRED, "request", Status.PENDING, "kyc.requested"),
        (Status.NOT_STARTED, "told_verified", Status.VERIFIED, "kyc.verified"),
        (Status.VERIFIED, "told_verified", Status.VERIFIED, "kyc.verified"),
        (Status.REJECTED, "told_verified", Status.VERIFIED, "kyc.verified"),
        (Status.EXPIRED, "told_verified", Status.VERIFIED, "kyc.verified"),
        (Status.NOT_STARTED, "told_rejected", Status.REJECTED, "kyc.rejected"),
        (Status.VERIFIED, "told_rejected", Status.REJECTED, "kyc.rejected"),
        (Status.REJECTED, "told_rejected", Status.REJECTED, "kyc.rejected"),
        (Status.EXPIRED, "told_rejected", Status.REJECTED, "kyc.rejected"),
        (Status.NOT_STARTED, "told_expired", Status.EXPIRED, "kyc.expired"),
        (Status.VERIFIED, "told_expired", Status.EXPIRED, "kyc.expired"),
        (Status.REJECTED, "told_expired", Status.EXPIRED, "kyc.expired"),
        (Status.EXPIRED, "told_expired", Status.EXPIRED, "kyc.expired"),
    ],
)

EVENT_REQUESTED: Final = "kyc.requested"


def not_started(row_id: str, subject_type: SubjectType, subject_id: str, now: datetime) -> Subject:
    """A subject of whom nothing is known."""
    return Subject(
        id=row_id,
        version=0,
        subject_type=subject_type,
        subject_id=subject_id,
        status=MACHINE.initial,
        level=Level.STANDARD,
        evidence=(),
        attempt=0,
        metadata={},
        created_at=now,
        updated_at=now,
    )
