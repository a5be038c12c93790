"""What callers of the ordinary stack send and see: pydantic models with the fields of Bursar's."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, computed_field
from pydantic.alias_generators import to_camel

ForeignId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
Amount = Annotated[int, Field(strict=True, ge=1, le=10**12)]


class RequestModel(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class CreatePayment(RequestModel):
    order_id: ForeignId
    customer_id: ForeignId
    amount: Amount
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    capture_method: Annotated[str, Field(pattern="^(MANUAL|AUTOMATIC)$")] = "MANUAL"
    payment_method_id: ForeignId | None = None
    description: Annotated[str, Field(max_length=500)] | None = None
    metadata: dict[str, str] = {}


class AuthorizePayment(RequestModel):
    payment_method_id: ForeignId | None = None


class CapturePayment(RequestModel):
    amount: Amount | None = None
    final_capture: bool = True


class CompletePayment(RequestModel):
    pass


class PaymentView(BaseModel):
    """A payment, read from its row."""

    model_config = ConfigDict(from_attributes=True, alias_generator=to_camel, populate_by_name=True)

    id: str
    version: int
    payment_number: str
    order_id: str
    customer_id: str
    amount: int
    currency: str
    capture_method: str
    status: str
    payment_method_id: str | None
    splits: list[dict[str, Any]] | None
    description: str | None
    labels: dict[str, str] = Field(alias="metadata", validation_alias="labels")
    provider_transaction_id: str | None = Field(alias="transactionId", validation_alias="provider_transaction_id")
    amount_authorized: int
    amount_captured: int
    amount_refunded: int
    dispute_status: str | None
    failure_code: str | None
    failure_reason: str | None
    fraud_check_id: str | None
    risk_level: str | None
    provider: str
    next_action: dict[str, Any] | None
    created_at: datetime
    updated_at: datetime
    authorized_at: datetime | None
    authorization_expires_at: datetime | None
    captured_at: datetime | None
    completed_at: datetime | None
    failed_at: datetime | None
    cancelled_at: datetime | None

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def amount_refundable(self) -> int:
        return self.amount_captured - self.amount_refunded

    @computed_field  # type: ignore[prop-decorator]
    @property
    def refund_status(self) -> str:
        if not self.amount_refunded:
            return "NONE"
        return "PARTIAL" if self.amount_refundable else "FULL"
