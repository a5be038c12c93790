"""What callers send and see of refunds and of batches of them."""

from collections import Counter
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from bursar.domains.refunds.model import Batch, BatchStatus, Item, ItemStatus, Reason, Refund, Status
from bursar.domains.transactions.shares import Share
from bursar.infra.http.types import (
    Amount,
    ForeignId,
    Metadata,
    MetadataChange,
    RequestModel,
    ResponseModel,
    Text,
)
from bursar.kit import paging

ALLOCATIONS_MAX = 200
ITEMS_MAX = 1_000

Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class AllocationRequest(RequestModel):
    """How much is taken back from a vendor, in minor units; the platform bears its commission's part of it."""

    vendor_id: ForeignId
    amount: Amount


class RefundTerms(RequestModel):
    """amount: all that is left, where absent; where there are allocations, they sum to it."""

    amount: Amount | None = None
    reason: Reason
    reason_detail: Text | None = None
    allocations: Annotated[list[AllocationRequest], Field(min_length=1, max_length=ALLOCATIONS_MAX)] | None = None
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("allocations")
    @classmethod
    def _sum_to_the_amount(cls, allocations: list[AllocationRequest] | None, info: Any) -> Any:
        """The amount stands before them, so it is known here, if it is readable."""
        if allocations is None:
            return None
        total, amount = sum(allocation.amount for allocation in allocations), info.data.get("amount")
        if amount is not None and total != amount:
            raise PydanticCustomError(
                "allocations_do_not_sum",
                "the allocations sum to {total}, the amount is {amount}",
                {"total": total, "amount": amount},
            )
        often = [name for name, count in Counter(each.vendor_id for each in allocations).items() if count > 1]
        if often:
            raise PydanticCustomError("duplicate", "vendor {vendor} is named twice", {"vendor": often[0]})
        return allocations

    @property
    def by_vendor(self) -> dict[str, int] | None:
        """The allocations, by vendor."""
        if self.allocations is None:
            return None
        return {allocation.vendor_id: allocation.amount for allocation in self.allocations}


class CreateRefund(RefundTerms):
    """transactionId: the charge from which alone it is taken; where absent, from all of the payment in proportion."""

    payment_id: Uuid
    transaction_id: Uuid | None = None


class RefundTransaction(RefundTerms):
    """A refund of one charge."""


class ApproveRefund(RequestModel):
    """contentDigest: of what the approver has seen; the refund is not approved where it is another one."""

    content_digest: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")] | None = None


class RejectRefund(RequestModel):
    reason: Text


class CancelRefund(RequestModel):
    reason: Text | None = None


class ProcessRefund(RequestModel):
    """Takes nothing."""


class CompleteRefund(RequestModel):
    """providerReference: the provider's id of the refund, from finance, where the provider itself does not say."""

    provider_reference: Text | None = None


class FailRefund(RequestModel):
    reason: Text


class UpdateRefund(RequestModel):
    """Metadata is merged key by key; a null takes away."""

    metadata: MetadataChange | None


class BatchItem(RequestModel):
    """An order, all of whose payments are meant, or one payment. amount: all that is left, where absent; of an order
    that was paid in one currency.
    """

    order_id: ForeignId | None = None
    payment_id: Uuid | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _names_one(self) -> "BatchItem":
        if (self.order_id is None) == (self.payment_id is None):
            raise ValueError("either orderId or paymentId")
        return self


class CreateBatch(RequestModel):
    """vendorId: whose shares alone are refunded, for a drop-shipment that failed."""

    reason: Reason
    reason_detail: Text | None = None
    vendor_id: ForeignId | None = None
    items: Annotated[list[BatchItem], Field(min_length=1, max_length=ITEMS_MAX)]


class ItemQuery(BaseModel):
    """Which items of a batch, in the order in which they were asked for."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    limit: Annotated[int, Field(ge=1, le=paging.LIMIT_MAX)] = paging.LIMIT_DEFAULT
    cursor: Annotated[str | None, Field(max_length=100)] = None
    status: ItemStatus | None = None


ItemPaging = Annotated[ItemQuery, Query()]


class ShareView(ResponseModel):
    """What is taken back of one allocation; grossAmount = commissionAmount (from the platform) + netAmount (from the
    vendor). commissionKept: what the platform would have given back, and keeps by policy.
    """

    transaction_id: str
    vendor_id: str
    category_id: str | None
    gross_amount: int
    commission_amount: int
    net_amount: int
    commission_kept: int


class ApprovalView(ResponseModel):
    approved_by: str
    approved_at: AwareDatetime
    content_digest: str


class RefundView(ResponseModel):
    """A refund, amounts in minor units of `currency`: amount = amountUnallocated + the shares' grossAmount.
    approvalRule: why so many approvals are needed. A customer sees neither shares nor approvals.
    """

    id: str
    version: int
    refund_number: str
    payment_id: str
    order_id: str
    customer_id: str
    transaction_id: str | None
    refund_transaction_id: str
    amount: int
    currency: str
    reason: Reason
    reason_detail: str | None
    status: Status
    requested_by: str | None
    approvals_needed: int | None
    approval_rule: str | None
    approvals: list[ApprovalView] | None
    content_digest: str | None
    shares: list[ShareView] | None
    amount_unallocated: int | None
    commission_returned: int | None
    commission_kept: int | None
    is_commission_kept: bool | None
    batch_id: str | None
    source: str | None
    provider: str
    provider_reference: str | None
    is_outcome_unknown: bool
    failure_code: str | None
    failure_reason: str | None
    metadata: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime
    approved_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    ended_at: AwareDatetime | None


class RefundList(ResponseModel):
    data: list[RefundView]
    has_more: bool
    next_cursor: str | None


class TotalView(ResponseModel):
    """Refunds of a batch in one status and currency. amount: minor units."""

    status: Status
    currency: str
    count: int
    amount: int


class BatchView(ResponseModel):
    """A batch of refunds. It is COMPLETED when every item was looked at; what became of the refunds, `refunds` says."""

    id: str
    version: int
    status: BatchStatus
    reason: Reason
    reason_detail: str | None
    vendor_id: str | None
    item_count: int
    asked_count: int
    refused_count: int
    requested_by: str
    refunds: list[TotalView]
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None


class ItemView(ResponseModel):
    """An item of a batch. problemCode, problemDetail: why nothing is refunded."""

    position: int
    status: ItemStatus
    order_id: str | None
    payment_id: str | None
    amount: int | None
    refund_ids: list[str]
    problem_code: str | None
    problem_detail: str | None


class ItemList(ResponseModel):
    data: list[ItemView]
    has_more: bool
    next_cursor: str | None


def render(refund: Refund) -> dict[str, Any]:
    """The refund as RefundView, as staff see it."""
    return {
        "id": refund.id,
        "version": refund.version,
        "refundNumber": refund.refund_number,
        "paymentId": refund.payment_id,
        "orderId": refund.order_id,
        "customerId": refund.customer_id,
        "transactionId": refund.transaction_id,
        "refundTransactionId": refund.refund_transaction_id,
        "amount": refund.amount,
        "currency": refund.currency,
        "reason": refund.reason,
        "reasonDetail": refund.reason_detail,
        "status": refund.status,
        "requestedBy": refund.requested_by,
        "approvalsNeeded": refund.approvals_needed,
        "approvalRule": refund.approval_rule,
        "approvals": refund.approvals,
        "contentDigest": refund.content_digest,
        "shares": [_render_share(share) for share in refund.shares],
        "amountUnallocated": refund.amount_unallocated,
        "commissionReturned": refund.commission_returned,
        "commissionKept": sum(share.commission_kept for share in refund.shares),
        "isCommissionKept": refund.keeps_commission,
        "batchId": refund.batch_id,
        "source": refund.source,
        "provider": refund.provider,
        "providerReference": refund.provider_reference,
        "isOutcomeUnknown": refund.is_unknown,
        "failureCode": refund.failure_code,
        "failureReason": refund.failure_reason,
        "metadata": refund.metadata,
        "createdAt": refund.created_at,
        "updatedAt": refund.updated_at,
        "approvedAt": refund.approved_at,
        "completedAt": refund.completed_at,
        "endedAt": refund.ended_at,
    }


HIDDEN = (
    "requestedBy", "approvalsNeeded", "approvalRule", "approvals", "contentDigest", "shares", "amountUnallocated",
    "commissionReturned", "commissionKept", "isCommissionKept", "batchId", "source",
)  # fmt: skip
"""What lies between the platform, its people and its vendors."""


def render_for_customer(refund: Refund) -> dict[str, Any]:
    """The refund as the customer sees it whose money it is."""
    return {**render(refund), **dict.fromkeys(HIDDEN), "metadata": {}}


def _render_share(share: Share) -> dict[str, Any]:
    return {
        "transactionId": share.transaction_id,
        "vendorId": share.vendor_id,
        "categoryId": share.category_id,
        "grossAmount": share.gross,
        "commissionAmount": share.commission,
        "netAmount": share.net,
        "commissionKept": share.commission_kept,
    }


def render_batch(batch: Batch, totals: list[tuple[Status, str, int, int]]) -> dict[str, Any]:
    """The batch as BatchView. totals: of its refunds, as `store.refund_totals` counts them."""
    return {
        "id": batch.id,
        "version": batch.version,
        "status": batch.status,
        "reason": batch.reason,
        "reasonDetail": batch.reason_detail,
        "vendorId": batch.vendor_id,
        "itemCount": batch.item_count,
        "askedCount": batch.asked_count,
        "refusedCount": batch.refused_count,
        "requestedBy": batch.requested_by,
        "refunds": [
            {"status": status, "currency": currency, "count": count, "amount": amount}
            for status, currency, count, amount in totals
        ],
        "createdAt": batch.created_at,
        "updatedAt": batch.updated_at,
        "completedAt": batch.completed_at,
    }


def render_item(item: Item) -> dict[str, Any]:
    """The item as ItemView."""
    return {
        "position": item.position,
        "status": item.status,
        "orderId": item.order_id,
        "paymentId": item.payment_id,
        "amount": item.amount,
        "refundIds": item.refund_ids,
        "problemCode": item.problem_code,
        "problemDetail": item.problem_detail,
    }
