"""The types of events that we know, and the fields of each that we keep. Pure."""

from typing import Any, Final, Literal, NamedTuple

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from bursar.infra.http.types import ForeignId, Moment, Text
from bursar.kit.errors import Fault, Invalid


class Known(BaseModel):
    """What we know of an event's data; anything else in it is dropped, since it may be personal."""

    model_config = ConfigDict(extra="ignore", strict=True, alias_generator=to_camel, frozen=True)


class OrderCancelled(Known):
    order_id: ForeignId
    reason: Text | None = None


class OrderDelivered(Known):
    order_id: ForeignId
    delivered_at: Moment | None = None


class InventoryChanged(Known):
    order_id: ForeignId | None = None
    item_id: ForeignId | None = None
    reservation_id: ForeignId | None = None
    quantity: int | None = None


class CustomerNamed(Known):
    customer_id: ForeignId


class _Verified(Known):
    """reference: the KYC service's id of its check. rejection_code: see docs of KYC; another one counts as
    `rejected_by_service`.
    """

    status: Literal["PENDING", "VERIFIED", "REJECTED", "EXPIRED"]
    reference: ForeignId | None = None
    rejection_code: ForeignId | None = None
    expires_at: Moment | None = None


class CustomerVerified(_Verified):
    customer_id: ForeignId


class VendorVerified(_Verified):
    vendor_id: ForeignId


class Kind(NamedTuple):
    """A type of event. subject: the field that names what it is about. says: what we do about it. is_recorded: that is
    to keep it, and nothing else.
    """

    data: type[Known]
    subject: str
    says: str
    is_recorded: bool = False


KINDS: Final[dict[str, Kind]] = {
    "order.cancelled": Kind(
        OrderCancelled,
        "orderId",
        "Every payment of the order is cancelled, its authorization voided; what was captured is refunded, once for "
        "each event and payment. Until all of it was, the event stays `WAITING`: for `refunds`, for `refund_approval` "
        "where a person has to approve one, for `refund_refused` where one came to nothing and a person has to look.",
    ),
    "order.delivered": Kind(OrderDelivered, "orderId", "Recorded.", is_recorded=True),
    "inventory.*": Kind(InventoryChanged, "itemId", "Recorded.", is_recorded=True),
    "customer.updated": Kind(CustomerNamed, "customerId", "Recorded.", is_recorded=True),
    "customer.erased": Kind(
        CustomerNamed,
        "customerId",
        "The key of the customer's personal data is destroyed, for good, and its payment methods are removed.",
    ),
    "customer.kyc.updated": Kind(
        CustomerVerified, "customerId", "The customer's verification is what the event says, unless a later one spoke."
    ),
    "vendor.kyc.updated": Kind(
        VendorVerified, "vendorId", "The vendor's verification is what the event says, unless a later one spoke."
    ),
}
"""By type, or by `prefix.*`."""


def kind_of(event_type: str) -> Kind | None:
    """What we know of a type; None where it is none of ours."""
    return KINDS.get(event_type) or KINDS.get(event_type.partition(".")[0] + ".*")


def known(kind: Kind, data: Any) -> dict[str, Any]:
    """The fields of an event's data that we keep. Raises Invalid with every fault found."""
    try:
        read = kind.data.model_validate_json(msgspec.json.encode({} if data is None else data))
    except ValidationError as error:
        faults = faults_of(error, below="data")
        raise Invalid(f"{len(faults)} fault(s)", errors=faults) from error
    return read.model_dump(mode="json", by_alias=True, exclude_none=True)


def faults_of(error: ValidationError, *, below: str = "") -> tuple[Fault, ...]:
    """The faults that were found, without the values that have them. below: the field that was read."""
    items = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(
        Fault(".".join(map(str, (below, *item["loc"]) if below else item["loc"])) or "body", item["type"], item["msg"])
        for item in items
    )
