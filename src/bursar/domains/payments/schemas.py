"""What callers send and see of payments."""

from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from bursar.domains.payments.model import PUBLIC, CaptureMethod, Payment, PublicStatus
from bursar.infra.http.history import EventView
from bursar.infra.http.types import (
    Address,
    Amount,
    Currency,
    ForeignId,
    Metadata,
    MetadataChange,
    NoCardNumber,
    RequestModel,
    ResponseModel,
    Text,
)

SPLITS_MAX = 200


class SplitRequest(RequestModel):
    """A vendor's share, in minor units."""

    vendor_id: ForeignId
    amount: Amount
    category_id: ForeignId | None = None


class Device(RequestModel):
    """Where the customer pays from. Kept encrypted under the customer's own key."""

    ip_address: Annotated[Text, Field(max_length=45)] | None = None
    user_agent: Text | None = None
    device_id: Text | None = None


class CreatePayment(RequestModel):
    order_id: ForeignId
    customer_id: ForeignId
    amount: Amount
    currency: Currency
    capture_method: CaptureMethod = CaptureMethod.MANUAL
    payment_method_id: ForeignId | None = None
    splits: Annotated[list[SplitRequest], Field(min_length=1, max_length=SPLITS_MAX)] | None = None
    device: Device | None = None
    billing_address: Address | None = None
    shipping_address: Address | None = None
    description: Text | None = None
    metadata: Metadata = Field(default_factory=dict)

    @model_validator(mode="after")
    def _splits_sum_to_amount(self) -> "CreatePayment":
        if self.splits is not None and sum(split.amount for split in self.splits) != self.amount:
            raise ValueError("the splits do not sum to the amount")
        return self


class UpdatePayment(RequestModel):
    """Only what is sent changes; a null takes away. Metadata is merged key by key."""

    description: Text | None = None
    metadata: MetadataChange | None = None


class AuthorizePayment(RequestModel):
    payment_method_id: ForeignId | None = None


class CapturePayment(RequestModel):
    """amount: all that is left, where absent."""

    amount: Amount | None = None
    final_capture: bool = True


class CompletePayment(RequestModel):
    """Takes nothing."""


class FailPayment(RequestModel):
    reason: Text
    failure_code: Annotated[str, Field(pattern="^[a-z0-9_]{1,64}$"), NoCardNumber] | None = None


class CancelPayment(RequestModel):
    reason: Text


class SplitView(ResponseModel):
    vendor_id: str
    amount: int
    category_id: str | None = None


class PaymentView(ResponseModel):
    """A payment as callers see it. Amounts in minor units of `currency`."""

    id: str
    version: int
    payment_number: str
    order_id: str
    customer_id: str
    amount: int
    currency: str
    capture_method: CaptureMethod
    status: PublicStatus
    payment_method_id: str | None
    splits: list[SplitView] | None
    description: str | None
    metadata: dict[str, str]
    transaction_id: str | None
    amount_authorized: int
    amount_captured: int
    amount_unallocated: int
    amount_refunding: int
    amount_refunded: int
    amount_refundable: int
    amount_disputed: int
    refund_status: Literal["NONE", "PARTIAL", "FULL"]
    dispute_status: str | None
    failure_code: str | None
    failure_reason: str | None
    fraud_check_id: str | None
    risk_level: Literal["LOW", "MEDIUM", "HIGH"] | None
    provider: str
    next_action: dict[str, Any] | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    authorized_at: AwareDatetime | None
    authorization_expires_at: AwareDatetime | None
    captured_at: AwareDatetime | None
    completed_at: AwareDatetime | None
    failed_at: AwareDatetime | None
    cancelled_at: AwareDatetime | None
    device: dict[str, Any] | None = None
    billing_address: dict[str, Any] | None = None
    shipping_address: dict[str, Any] | None = None


class PaymentList(ResponseModel):
    data: list[PaymentView]
    has_more: bool
    next_cursor: str | None


class TimelineQuery(BaseModel):
    """Where to go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cursor: Annotated[str | None, Field(max_length=100)] = None


class Timeline(ResponseModel):
    data: list[EventView]
    has_more: bool
    next_cursor: str | None


def render(payment: Payment) -> dict[str, Any]:
    """The payment as PaymentView, without personal data: what is kept for idempotency keys and shown in lists."""
    is_all_refunded = payment.amount_refunded == payment.amount_captured
    return {
        "id": payment.id,
        "version": payment.version,
        "paymentNumber": payment.payment_number,
        "orderId": payment.order_id,
        "customerId": payment.customer_id,
        "amount": payment.amount,
        "currency": payment.currency,
        "captureMethod": payment.capture_method,
        "status": PUBLIC[payment.status],
        "paymentMethodId": payment.payment_method_id,
        "splits": payment.splits,
        "description": payment.description,
        "metadata": payment.metadata,
        "transactionId": payment.provider_transaction_id,
        "amountAuthorized": payment.amount_authorized,
        "amountCaptured": payment.amount_captured,
        "amountUnallocated": payment.amount_unallocated,
        "amountRefunding": payment.amount_refunding,
        "amountRefunded": payment.amount_refunded,
        "amountRefundable": payment.amount_refundable,
        "amountDisputed": payment.amount_disputed,
        "refundStatus": "NONE" if not payment.amount_refunded else "FULL" if is_all_refunded else "PARTIAL",
        "disputeStatus": payment.dispute_status,
        "failureCode": payment.failure_code,
        "failureReason": payment.failure_reason,
        "fraudCheckId": payment.fraud_check_id,
        "riskLevel": payment.risk_level,
        "provider": payment.provider,
        "nextAction": payment.next_action,
        "createdAt": payment.created_at,
        "updatedAt": payment.updated_at,
        "authorizedAt": payment.authorized_at,
        "authorizationExpiresAt": payment.authorization_expires_at,
        "capturedAt": payment.captured_at,
        "completedAt": payment.completed_at,
        "failedAt": payment.failed_at,
        "cancelledAt": payment.cancelled_at,
    }


SHOWN_OF_REFUNDS: Final = frozenset(
    {"refundNumber", "amount", "currency", "reason", "reasonDetail", "status", "failureReason", "completedAt"}
)
"""What a customer is told of a refund in its payment's timeline."""


def for_customer(timeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of a payment and of its refunds, with what the customer may know; `timeline`: event envelopes."""
    of_payments = {field.alias for field in PaymentView.model_fields.values()}
    shown = {"payment": of_payments, "refund": SHOWN_OF_REFUNDS}
    return [
        {**event, "data": {name: value for name, value in event["data"].items() if name in shown[kind]}}
        for event in timeline
        if (kind := event["type"].partition(".")[0]) in shown
    ]
