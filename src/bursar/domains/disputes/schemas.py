"""What callers send and see of disputes."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from bursar.domains.disputes.model import Dispute, Status
from bursar.infra.http.types import (
    Amount,
    Currency,
    ForeignId,
    Metadata,
    Moment,
    NoCardNumber,
    PageQuery,
    RequestModel,
    ResponseModel,
)
from bursar.kit import money
from bursar.providers.port import EVIDENCE, DisputeReason

EVIDENCE_LENGTH_MAX: Final = 20_000
"""Characters of one piece of evidence."""

Fee = Annotated[int, Field(strict=True, ge=0, le=money.AMOUNT_MAX, description="minor units", examples=[1500])]
Reference = Annotated[str, StringConstraints(pattern=r"^[!#-\[\]-~]{1,255}$"), NoCardNumber]
EvidenceText = Annotated[
    str, StringConstraints(min_length=1, max_length=EVIDENCE_LENGTH_MAX, pattern=r"^[^\x00]*$"), NoCardNumber
]
PaymentId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


def _known(name: str) -> str:
    if name not in EVIDENCE:
        raise ValueError(f"evidence is one of {', '.join(sorted(EVIDENCE))}")
    return name


EvidenceName = Annotated[str, AfterValidator(_known)]


class CreateDispute(RequestModel):
    """A dispute that a person was told of. status: ALERT where no money was taken yet."""

    payment_id: PaymentId
    provider_dispute_id: Reference
    amount: Amount
    reason: DisputeReason
    fee: Fee = 0
    evidence_due_at: Moment | None = None
    status: Literal["ALERT", "NEEDS_RESPONSE"] = "NEEDS_RESPONSE"
    metadata: Metadata = Field(default_factory=dict)


class StageEvidence(RequestModel):
    """Only what is sent changes; a null takes away. It is handed in by submit, or by itself before the deadline."""

    evidence: Annotated[dict[EvidenceName, EvidenceText | None], Field(min_length=1, max_length=len(EVIDENCE))]


class SubmitEvidence(RequestModel):
    """Takes nothing."""


class AcceptDispute(RequestModel):
    """Takes nothing."""


class CloseDispute(RequestModel):
    """outcome: CLOSED of an alert, WON or LOST of a dispute. fee_returned: with a dispute that was won, its fee."""

    outcome: Literal["WON", "LOST", "CLOSED"]
    fee_returned: bool = False


class DisputeQuery(PageQuery):
    """Which disputes: in a status, of which a vendor bears a share."""

    status: Status | None = None
    vendor_id: ForeignId | None = None


class ShareView(ResponseModel):
    """What one allocation bears: gross = commission + net; the vendor bears net, the platform its commission."""

    vendor_id: str
    category_id: str | None
    transaction_id: str
    gross_amount: int
    commission_amount: int
    net_amount: int


class DisputeView(ResponseModel):
    """A dispute as callers see it. Amounts in minor units of `currency`: amount = shares + amountUnallocated +
    amountLost, once money was taken. transactionId: of the CHARGEBACK. evidence: shown of one dispute, not in lists.
    """

    id: str
    version: int
    payment_id: str
    order_id: str
    customer_id: str
    provider: str
    provider_dispute_id: str
    amount: int
    currency: Currency
    fee_amount: int
    reason: DisputeReason
    status: Status
    step_under_way: Literal["EVIDENCE", "ACCEPTANCE", "REFUND"] | None
    evidence_names: list[str]
    evidence: dict[str, str] | None = None
    evidence_due_at: AwareDatetime | None
    evidence_staged_at: AwareDatetime | None
    evidence_submitted_at: AwareDatetime | None
    deadline_missed_at: AwareDatetime | None
    decline_code: str | None
    shares: list[ShareView]
    amount_unallocated: int
    amount_lost: int
    transaction_id: str | None
    refund_id: str | None
    is_by_hand: bool
    metadata: dict[str, str]
    opened_at: AwareDatetime
    created_at: AwareDatetime
    updated_at: AwareDatetime
    closed_at: AwareDatetime | None


class DisputeList(ResponseModel):
    data: list[DisputeView]
    has_more: bool
    next_cursor: str | None


def render(dispute: Dispute) -> dict[str, Any]:
    """The dispute as DisputeView, without its evidence: what is kept for idempotency keys and shown in lists."""
    return {
        "id": dispute.id,
        "version": dispute.version,
        "paymentId": dispute.payment_id,
        "orderId": dispute.order_id,
        "customerId": dispute.customer_id,
        "provider": dispute.provider,
        "providerDisputeId": dispute.provider_dispute_id,
        "amount": dispute.amount,
        "currency": dispute.currency,
        "feeAmount": dispute.fee_amount,
        "reason": dispute.reason,
        "status": dispute.status,
        "stepUnderWay": None if dispute.attempt is None else dispute.attempt.kind,
        "evidenceNames": dispute.evidence_names,
        "evidenceDueAt": dispute.evidence_due_at,
        "evidenceStagedAt": dispute.evidence_staged_at,
        "evidenceSubmittedAt": dispute.evidence_submitted_at,
        "deadlineMissedAt": dispute.deadline_missed_at,
        "declineCode": dispute.decline_code,
        "shares": [
            {
                "vendorId": share.vendor_id,
                "categoryId": share.category_id,
                "transactionId": share.transaction_id,
                "grossAmount": share.gross,
                "commissionAmount": share.commission,
                "netAmount": share.net,
            }
            for share in dispute.shares
        ],
        "amountUnallocated": dispute.amount_unallocated,
        "amountLost": dispute.amount_lost,
        "transactionId": dispute.transaction_id,
        "refundId": dispute.refund_id,
        "isByHand": dispute.is_by_hand,
        "metadata": dispute.metadata,
        "openedAt": dispute.opened_at,
        "createdAt": dispute.created_at,
        "updatedAt": dispute.updated_at,
        "closedAt": dispute.closed_at,
    }
