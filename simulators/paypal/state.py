"""What PayPal keeps: orders and what was paid on them. Amounts are ISO 4217 minor units, times Unix seconds."""

from typing import Any

import msgspec

from simulators.paypal.methods import Behaviour
from simulators.paypal.words import link, moment, money


class Refund(msgspec.Struct):
    """Money given back of a capture."""

    id: str
    amount: int
    at: int
    invoice_id: str = ""
    custom_id: str = ""
    status: str = "COMPLETED"


class Capture(msgspec.Struct):
    """Money taken. status: COMPLETED, PARTIALLY_REFUNDED, REFUNDED, PENDING or DECLINED."""

    id: str
    amount: int
    at: int
    status: str
    invoice_id: str = ""
    is_final: bool = False
    response_code: str = ""
    refunds: list[Refund] = []
    disputed: int = 0

    @property
    def refundable(self) -> int:
        """What has not been given back, and is not held for a dispute."""
        return self.amount - self.disputed - self.refunded

    @property
    def refunded(self) -> int:
        """What has been given back, or is about to be."""
        return sum(refund.amount for refund in self.refunds if refund.status in ("COMPLETED", "PENDING"))


class Authorization(msgspec.Struct):
    """Money reserved. status: CREATED, PENDING, PARTIALLY_CAPTURED, CAPTURED, DENIED or VOIDED."""

    id: str
    amount: int
    at: int
    expires_at: int
    status: str
    response_code: str = ""


class Order(msgspec.Struct):
    """An order of one purchase unit. status: CREATED, PAYER_ACTION_REQUIRED, APPROVED or COMPLETED."""

    id: str
    intent: str
    amount: int
    currency: str
    at: int
    behaviour: Behaviour
    shown: dict[str, Any]
    status: str = "CREATED"
    invoice_id: str = ""
    custom_id: str = ""
    authorization: Authorization | None = None
    captures: list[Capture] = []

    @property
    def captured(self) -> int:
        """What was taken on the authorization."""
        return sum(capture.amount for capture in self.captures if capture.status != "DECLINED")


def told_order(order: Order, base: str) -> dict[str, Any]:
    """An order as PayPal shows it."""
    links = [link(f"{base}/v2/checkout/orders/{order.id}", "self")]
    if order.status in ("CREATED", "PAYER_ACTION_REQUIRED"):
        rel = "payer-action" if order.status == "PAYER_ACTION_REQUIRED" else "approve"
        links.append(link(f"{base}/checkoutnow?token={order.id}", rel))
    unit: dict[str, Any] = {"reference_id": "default", "amount": money(order.amount, order.currency)}
    for name in ("custom_id", "invoice_id"):
        if getattr(order, name):
            unit[name] = getattr(order, name)
    payments: dict[str, Any] = {}
    if order.authorization is not None:
        payments["authorizations"] = [told_authorization(order, base)]
    if order.captures:
        payments["captures"] = [told_capture(order, capture, base) for capture in order.captures]
        refunds = [
            told_refund(order, capture, refund, base) for capture in order.captures for refund in capture.refunds
        ]
        payments |= {"refunds": refunds} if refunds else {}
    if payments:
        unit["payments"] = payments
    return {
        "id": order.id,
        "intent": order.intent,
        "status": order.status,
        "payment_source": {order.behaviour.source: order.shown},
        "purchase_units": [unit],
        "create_time": moment(order.at),
        "links": links,
    }


def told_authorization(order: Order, base: str) -> dict[str, Any]:
    """An order's authorization as PayPal shows it."""
    held = order.authorization
    assert held is not None, "an order of intent CAPTURE has none"
    path = f"{base}/v2/payments/authorizations/{held.id}"
    told: dict[str, Any] = {
        "id": held.id,
        "status": held.status,
        "amount": money(held.amount, order.currency),
        "expiration_time": moment(held.expires_at),
        "create_time": moment(held.at),
        "links": [link(path, "self"), link(f"{path}/capture", "capture", "POST"), link(f"{path}/void", "void", "POST")],
    }
    if order.invoice_id:
        told["invoice_id"] = order.invoice_id
    if held.status == "PENDING":
        told["status_details"] = {"reason": "PENDING_REVIEW"}
    if held.response_code:
        told["processor_response"] = {"response_code": held.response_code}
    return told


def told_capture(order: Order, capture: Capture, base: str) -> dict[str, Any]:
    """A capture as PayPal shows it."""
    path = f"{base}/v2/payments/captures/{capture.id}"
    told: dict[str, Any] = {
        "id": capture.id,
        "status": capture.status,
        "amount": money(capture.amount, order.currency),
        "final_capture": capture.is_final,
        "create_time": moment(capture.at),
        "links": [
            link(path, "self"),
            link(f"{path}/refund", "refund", "POST"),
            link(f"{base}/v2/checkout/orders/{order.id}", "up"),
        ],
    }
    if capture.invoice_id:
        told["invoice_id"] = capture.invoice_id
    if capture.status == "PENDING":
        told["status_details"] = {"reason": "PENDING_REVIEW"}
    if capture.response_code:
        told["processor_response"] = {"response_code": capture.response_code}
    return told


def told_refund(order: Order, capture: Capture, refund: Refund, base: str) -> dict[str, Any]:
    """A refund as PayPal shows it."""
    told: dict[str, Any] = {
        "id": refund.id,
        "status": refund.status,
        "amount": money(refund.amount, order.currency),
        "create_time": moment(refund.at),
        "links": [
            link(f"{base}/v2/payments/refunds/{refund.id}", "self"),
            link(f"{base}/v2/payments/captures/{capture.id}", "up"),
        ],
    }
    for name in ("custom_id", "invoice_id"):
        if getattr(refund, name):
            told[name] = getattr(refund, name)
    return told
