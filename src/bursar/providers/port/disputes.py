"""Disputes: what an adapter is asked about them, in our words, and how they stand."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec


class DisputeReason(StrEnum):
    """Why a customer, or his bank, wants money back: our words for every provider's."""

    FRAUDULENT = "FRAUDULENT"
    DUPLICATE = "DUPLICATE"
    NOT_RECEIVED = "NOT_RECEIVED"
    NOT_AS_DESCRIBED = "NOT_AS_DESCRIBED"
    CREDIT_NOT_PROCESSED = "CREDIT_NOT_PROCESSED"
    SUBSCRIPTION_CANCELLED = "SUBSCRIPTION_CANCELLED"
    UNRECOGNIZED = "UNRECOGNIZED"
    OTHER = "OTHER"


class DisputeStatus(StrEnum):
    """How a dispute stands at the provider. ALERT: somebody asks or warns, and no money has moved. CLOSED: an alert
    that ended without money.
    """

    ALERT = "ALERT"
    NEEDS_RESPONSE = "NEEDS_RESPONSE"
    UNDER_REVIEW = "UNDER_REVIEW"
    WON = "WON"
    LOST = "LOST"
    CLOSED = "CLOSED"


EVIDENCE: Final = frozenset(
    {
        "product_description",
        "customer_communication",
        "receipt",
        "shipping_carrier",
        "shipping_tracking_number",
        "shipping_date",
        "service_date",
        "refund_policy",
        "cancellation_rebuttal",
        "duplicate_explanation",
        "uncategorized_text",
    }
)
"""What a dispute can be contested with: our names, which each adapter maps to its provider's."""


class DisputeInspection(msgspec.Struct, frozen=True):
    """Say how a dispute stands at the provider. Approved.dispute says it."""

    key: str
    dispute_reference: str
    asked_at: datetime


class DisputeEvidence(msgspec.Struct, frozen=True):
    """Contest a dispute. evidence: texts by the names of EVIDENCE; an adapter declines what it has no name for."""

    key: str
    dispute_reference: str
    evidence: dict[str, str]
    asked_at: datetime


class DisputeAcceptance(msgspec.Struct, frozen=True):
    """Contest a dispute no more."""

    key: str
    dispute_reference: str
    asked_at: datetime


class DisputeState(msgspec.Struct, frozen=True):
    """How a dispute stands at the provider. payment_reference: its id of the payment. amount, fee: minor units of
    `currency`; fee: what we have to bear for it as things stand, 0 where it was given back. takes_money: the amount is,
    or was, taken from us, which no alert does. evidence_due_at: until when it can be contested, where it can.
    """

    reference: str
    payment_reference: str
    amount: int
    currency: str
    fee: int
    reason: DisputeReason
    status: DisputeStatus
    opened_at: datetime
    evidence_due_at: datetime | None = None
    takes_money: bool = True
