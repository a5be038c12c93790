"""What callers send and see of transactions."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from bursar.domains.transactions.model import Allocation, Status, Transaction, Type
from bursar.infra.http.types import Amount, ForeignId, Metadata, Moment, RequestModel, ResponseModel, Text

ALLOCATIONS_MAX = 200

Uuid = Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", description="UUIDv7")]


class AllocationRequest(RequestModel):
    """What a vendor sold, in minor units; the platform's commission comes out of it."""

    vendor_id: ForeignId
    amount: Amount
    category_id: ForeignId | None = None


class CreateTransaction(RequestModel):
    """transactionId: the id that the caller has for it. The allocations sum to the amount."""

    payment_id: Uuid
    amount: Amount
    allocations: Annotated[list[AllocationRequest], Field(min_length=1, max_length=ALLOCATIONS_MAX)]
    transaction_id: Text | None = None
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("allocations")
    @classmethod
    def _sum_to_the_amount(cls, allocations: list[AllocationRequest], info: ValidationInfo) -> list[AllocationRequest]:
        total, amount = sum(allocation.amount for allocation in allocations), info.data.get("amount")
        if amount is not None and total != amount:
            raise PydanticCustomError(
                "allocations_do_not_sum",
                "the allocations sum to {total}, the amount is {amount}",
                {"total": total, "amount": amount},
            )
        return allocations


class CompleteTransaction(RequestModel):
    """gatewayReference: of the effect at the provider."""

    gateway_reference: Text | None = None


class FailTransaction(RequestModel):
    reason: Text


class Backtest(RequestModel):
    """Over which past charges a rule is tried: those completed from `from`, included, to `to`, not included."""

    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")

    @field_validator("until")
    @classmethod
    def _ends_after_it_begins(cls, until: datetime, info: ValidationInfo) -> datetime:
        since = info.data.get("since")
        if since is not None and until <= since:
            raise PydanticCustomError("ends_before_it_begins", "to is not after from")
        return until


class AllocationView(ResponseModel):
    """A vendor's share, minor units; grossAmount = commissionAmount + netAmount. Of a REFUND or CHARGEBACK: what was
    taken back, from the allocation at index chargeLine of the charge chargeId. A customer sees no commissions.
    """

    vendor_id: str
    category_id: str | None
    gross_amount: int
    commission_amount: int | None
    net_amount: int | None
    commission_rule_id: str | None
    commission_rule_version: int | None
    settlement_id: str | None
    amount_refunding: int
    amount_refunded: int
    amount_disputed: int
    charge_id: str | None
    charge_line: int | None


class TransactionView(ResponseModel):
    """A transaction as its reader may see it, amounts in minor units of `currency`.

    A vendor sees its own allocations alone, with amounts that are their sums, and neither customerId nor metadata; a
    customer sees no commissions.
    """

    id: str
    version: int
    payment_id: str
    order_id: str
    customer_id: str | None
    type: Type
    status: Status
    amount: int
    currency: str
    transaction_id: str | None
    gateway_reference: str | None
    parent_transaction_id: str | None
    refund_id: str | None
    dispute_id: str | None
    amount_refunded: int
    commission_total: int | None
    allocations: list[AllocationView]
    failure_reason: str | None
    metadata: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None
    failed_at: AwareDatetime | None


class TransactionList(ResponseModel):
    data: list[TransactionView]
    has_more: bool
    next_cursor: str | None


class ChargedView(ResponseModel):
    """By which rule, null where by none, and how much."""

    rule_id: str | None
    commission_amount: int


class BacktestSumsView(ResponseModel):
    """Of one currency, minor units. earned: what was charged in fact; withoutRule, withRule: by the rules that are
    active now, without the tried one and with it; changed: for how many allocations another one counts with it.
    """

    currency: str
    allocations: int
    gross: int
    earned: int
    without_rule: int
    with_rule: int
    changed: int


class BacktestSampleView(ResponseModel):
    """An allocation for which another rule counts with the tried one."""

    transaction_id: str
    line: int
    vendor_id: str
    category_id: str | None
    amount: int
    currency: str
    at: AwareDatetime
    earned: ChargedView
    without_rule: ChargedView
    with_rule: ChargedView


class BacktestView(ResponseModel):
    """isComplete: all charges of the window were looked at; else those after `through` were not."""

    rule_id: str
    rule_version: int
    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime = Field(alias="to")
    through: AwareDatetime
    is_complete: bool
    charges: int
    currencies: list[BacktestSumsView]
    samples: list[BacktestSampleView]


def render(transaction: Transaction) -> dict[str, Any]:
    """The transaction as TransactionView, whole, as staff see it."""
    return {
        "id": transaction.id,
        "version": transaction.version,
        "paymentId": transaction.payment_id,
        "orderId": transaction.order_id,
        "customerId": transaction.customer_id,
        "type": transaction.type,
        "status": transaction.status,
        "amount": transaction.amount,
        "currency": transaction.currency,
        "transactionId": transaction.transaction_id,
        "gatewayReference": transaction.gateway_reference,
        "parentTransactionId": transaction.parent_transaction_id,
        "refundId": transaction.refund_id,
        "disputeId": transaction.dispute_id,
        "amountRefunded": transaction.amount_refunded,
        "commissionTotal": transaction.commission_total,
        "allocations": [_render_allocation(allocation) for allocation in transaction.allocations],
        "failureReason": transaction.failure_reason,
        "metadata": transaction.metadata,
        "createdAt": transaction.created_at,
        "updatedAt": transaction.updated_at,
        "completedAt": transaction.completed_at,
        "failedAt": transaction.failed_at,
    }


def render_for_vendor(transaction: Transaction, vendor_id: str) -> dict[str, Any]:
    """The transaction as far as it is a vendor's: nothing of other vendors shows, not even in a sum."""
    own = [allocation for allocation in transaction.allocations if allocation.vendor_id == vendor_id]
    return {
        **render(transaction),
        "customerId": None,
        "amount": sum(allocation.gross_amount for allocation in own),
        "amountRefunded": sum(allocation.refunded for allocation in own),
        "commissionTotal": sum(allocation.commission_amount for allocation in own),
        "allocations": [_render_allocation(allocation) for allocation in own],
        "metadata": {},
    }


def render_for_customer(transaction: Transaction) -> dict[str, Any]:
    """The transaction without what lies between the platform and its vendors."""
    hidden = dict.fromkeys(
        ("commissionAmount", "netAmount", "commissionRuleId", "commissionRuleVersion", "settlementId")
    )
    shown = [{**_render_allocation(allocation), **hidden} for allocation in transaction.allocations]
    return {**render(transaction), "commissionTotal": None, "allocations": shown, "metadata": {}}


def _render_allocation(allocation: Allocation) -> dict[str, Any]:
    return {
        "vendorId": allocation.vendor_id,
        "categoryId": allocation.category_id,
        "grossAmount": allocation.gross_amount,
        "commissionAmount": allocation.commission_amount,
        "netAmount": allocation.net_amount,
        "commissionRuleId": allocation.commission_rule_id,
        "commissionRuleVersion": allocation.commission_rule_version,
        "settlementId": allocation.settlement_id,
        "amountRefunding": allocation.refunding,
        "amountRefunded": allocation.refunded,
        "amountDisputed": allocation.disputed,
        "chargeId": allocation.charge_id,
        "chargeLine": allocation.charge_line,
    }
