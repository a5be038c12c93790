"""The tables of the ordinary stack in SQLAlchemy: those of Bursar's migrations, as far as a checkout uses them."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Text, Uuid
from sqlalchemy.dialects.postgresql import ENUM, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Id = Annotated[str, mapped_column(Uuid(as_uuid=False))]
Key = Annotated[str, mapped_column(Uuid(as_uuid=False), primary_key=True)]
Amount = Annotated[int, mapped_column(BigInteger)]
Json = Annotated[Any, mapped_column(JSONB(none_as_null=True))]


def _enum(name: str, *values: str) -> ENUM:
    return ENUM(*values, name=name, create_type=False)


RISK_LEVEL = _enum("risk_level", "LOW", "MEDIUM", "HIGH")
DECISION = _enum("fraud_decision", "APPROVE", "REVIEW", "DECLINE")
CHECK_STATUS = _enum("fraud_check_status", "COMPLETED", "PENDING_REVIEW", "APPROVED", "REJECTED")
CAPTURE_METHOD = _enum("capture_method", "MANUAL", "AUTOMATIC")
PAYMENT_STATUS = _enum(
    "payment_status",
    "PENDING",
    "AUTHORIZING",
    "AUTHORIZED",
    "CAPTURING",
    "CAPTURED",
    "COMPLETED",
    "FAILED",
    "CANCELLED",
)
ACCOUNT_KIND = _enum("account_kind", "ASSET", "LIABILITY", "REVENUE", "EXPENSE")

RISK_LEVEL = ENUM("LOW", "MEDIUM", "HIGH", name="risk_level", create_type=False)
FRAUD_DECISION = ENUM("APPROVE", "REVIEW", "DECLINE", name="fraud_decision", create_type=False)
FRAUD_CHECK_STATUS = ENUM(
    "COMPLETED", "PENDING_REVIEW", "APPROVED", "REJECTED", name="fraud_check_status", create_type=False
)
CAPTURE_METHOD = ENUM("MANUAL", "AUTOMATIC", name="capture_method", create_type=False)
PAYMENT_STATUS = ENUM(
    *("PENDING", "IN_REVIEW", "REQUIRES_ACTION", "AUTHORIZING", "AUTHORIZED", "CAPTURING", "PARTIALLY_CAPTURED"),
    *("CAPTURED", "VOIDING", "COMPLETED", "FAILED", "CANCELLED", "EXPIRED"),
    name="payment_status",
    create_type=False,
)
ACCOUNT_KIND = ENUM("ASSET", "LIABILITY", "REVENUE", "EXPENSE", name="account_kind", create_type=False)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: DateTime(timezone=True), str: Text}


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"

    scope: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[str | None]
    headers: Mapped[Json | None]


class FraudCheck(Base):
    __tablename__ = "fraud_checks"

    id: Mapped[Key]
    version: Mapped[int]
    payment_id: Mapped[Id]
    customer_id: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    risk_score: Mapped[int]
    risk_level: Mapped[str] = mapped_column(RISK_LEVEL)
    decision: Mapped[str] = mapped_column(DECISION)
    status: Mapped[str] = mapped_column(CHECK_STATUS)
    reasons: Mapped[Json]
    rules_version: Mapped[str]
    latency_micros: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Payment(Base):
    __tablename__ = "payments"

    id: Mapped[Key]
    version: Mapped[int]
    payment_number: Mapped[str]
    order_id: Mapped[str]
    customer_id: Mapped[str]
    amount: Mapped[Amount]
    currency: Mapped[str]
    capture_method: Mapped[str] = mapped_column(CAPTURE_METHOD)
    status: Mapped[str] = mapped_column(PAYMENT_STATUS)
    payment_method_id: Mapped[str | None]
    splits: Mapped[Json | None]
    description: Mapped[str | None]
    # `metadata` is SQLAlchemy's own name in a declarative class
    labels: Mapped[Json] = mapped_column("metadata")
    amount_authorized: Mapped[Amount]
    amount_capturing: Mapped[Amount]
    amount_captured: Mapped[Amount]
    amount_refunded: Mapped[Amount]
    is_capture_final: Mapped[bool]
    dispute_status: Mapped[str | None]
    failure_code: Mapped[str | None]
    failure_reason: Mapped[str | None]
    fraud_check_id: Mapped[Id | None] = mapped_column(ForeignKey("fraud_checks.id"))
    risk_level: Mapped[str | None] = mapped_column(RISK_LEVEL)
    provider: Mapped[str]
    provider_transaction_id: Mapped[str | None]
    next_action: Mapped[Json | None]
    attempts: Mapped[Json]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    authorized_at: Mapped[datetime | None]
    authorization_expires_at: Mapped[datetime | None]
    captured_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]

    fraud_check: Mapped[FraudCheck | None] = relationship(lazy="raise")


class Event(Base):
    """The table's key is (tx, position), made by the database; `id` serves the mapper and need not be fetched."""

    __tablename__ = "events"

    id: Mapped[Key]
    stream: Mapped[Id]
    version: Mapped[int]
    type: Mapped[str]
    about: Mapped[Id]
    data: Mapped[Json]
    occurred_at: Mapped[datetime]


class AuditLine(Base):
    __tablename__ = "audit"

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    object_id: Mapped[str | None]
    request_id: Mapped[str | None]
    outcome: Mapped[str]


class Account(Base):
    __tablename__ = "accounts"

    name: Mapped[str] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(ACCOUNT_KIND)
    can_overdraw: Mapped[bool]
    balance: Mapped[Amount]


class Journal(Base):
    __tablename__ = "journals"

    id: Mapped[Key]
    type: Mapped[str]
    reference: Mapped[str]
    line_count: Mapped[int]
    digest: Mapped[str]
    occurred_at: Mapped[datetime]


class Posting(Base):
    __tablename__ = "postings"

    journal_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("journals.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    account: Mapped[str]
    currency: Mapped[str]
    amount: Mapped[Amount]
    about: Mapped[Id]
