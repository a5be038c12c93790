"""Payments v2: authorizations captured and voided, captures refunded."""

import json
from collections.abc import Sequence
from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.paypal.desk import Desk, shown
from simulators.paypal.orders import Orders
from simulators.paypal.state import Capture, Order, Refund, told_authorization, told_capture, told_refund
from simulators.paypal.words import minor, missing, refused

KEY_SECONDS: Final = 45 * 86_400
"""The document: the server stores keys for 45 days."""
OVERAGE_PERCENT: Final = 115
"""What may be captured of an authorization."""


class Payments:
    """What is done with the authorizations and captures of orders."""

    def __init__(self, desk: Desk, orders: Orders) -> None:
        self.desk = desk
        self.orders = orders

    def routes(self) -> Sequence[Route]:
        """Payments v2, and what others do: POST /test/refunds {capture_id, amount?}, POST /test/refunds/{id}/decision
        {status}. A void has no memory of keys: the authorization itself says that it is void.
        """
        capture = self.desk.once(self._capture, seconds=KEY_SECONDS, refresh=self._capture_again)
        refund = self.desk.once(self._refund, seconds=KEY_SECONDS)
        return (
            Route("GET", "/v2/payments/authorizations/{authorization_id}", self._get_authorization),
            Route("POST", "/v2/payments/authorizations/{authorization_id}/capture", capture),
            Route("POST", "/v2/payments/authorizations/{authorization_id}/void", self._void),
            Route("GET", "/v2/payments/captures/{capture_id}", self._get_capture),
            Route("POST", "/v2/payments/captures/{capture_id}/refund", refund),
            Route("GET", "/v2/payments/refunds/{refund_id}", self._get_refund),
            Route("POST", "/test/refunds", self._refund_by_hand, is_documented=False, has_faults=False),
            Route("POST", "/test/refunds/{refund_id}/decision", self._decide, is_documented=False, has_faults=False),
        )

    def captured(self, capture_id: str) -> tuple[Order, Capture]:
        """A capture and its order; a refusal (404) of one that is not there."""
        for order in self.orders.by_id.values():
            for capture in order.captures:
                if capture.id == capture_id:
                    return order, capture
        raise missing()

    def _authorized(self, request: Request) -> Order:
        authorization_id = request.path_values["authorization_id"]
        for order in self.orders.by_id.values():
            if order.authorization is not None and order.authorization.id == authorization_id:
                return order
        raise missing()

    def _get_authorization(self, request: Request) -> Answer:
        order = self._authorized(request)
        related = {"supplementary_data": {"related_ids": {"order_id": order.id}}}
        return Answer(200, told_authorization(order, request.base_url) | related)

    def _get_capture(self, request: Request) -> Answer:
        order, capture = self.captured(request.path_values["capture_id"])
        related = {"supplementary_data": {"related_ids": {"order_id": order.id}}}
        return Answer(200, told_capture(order, capture, request.base_url) | related)

    def _get_refund(self, request: Request) -> Answer:
        return Answer(200, told_refund(*self._refunded(request.path_values["refund_id"]), request.base_url))

    def _refunded(self, refund_id: str) -> tuple[Order, Capture, Refund]:
        for order in self.orders.by_id.values():
            for capture in order.captures:
                for refund in capture.refunds:
                    if refund.id == refund_id:
                        return order, capture, refund
        raise missing()

    def _decide(self, request: Request) -> Answer:
        """A refund is from now on what a test says: COMPLETED, FAILED or CANCELLED."""
        order, capture, refund = self._refunded(request.path_values["refund_id"])
        refund.status = json.loads(request.body)["status"]
        if refund.status != "COMPLETED":
            self.desk.record("refund", order, -refund.amount, request, id=f"{refund.id}-back")
            capture.status = "PARTIALLY_REFUNDED" if capture.refunded else "COMPLETED"
        told = told_refund(order, capture, refund, request.base_url)
        word = "CAPTURE.REFUNDED" if refund.status == "COMPLETED" else "REFUND.FAILED"
        self.desk.emit(f"PAYMENT.{word}", "refund", told, f"refund of {order.id}: {refund.status}")
        return Answer(200, told)

    def _refund_by_hand(self, request: Request) -> Answer:
        order, capture = self.captured(request.params["capture_id"])
        return Answer(201, self._give_back(order, capture, request.params.get("amount", capture.refundable), request))

    def _capture(self, request: Request) -> Answer:
        order = self._authorized(request)
        held, asked = order.authorization, request.params
        assert held is not None
        problem = {"VOIDED": "AUTHORIZATION_VOIDED", "DENIED": "AUTHORIZATION_DENIED"}.get(held.status)
        if held.status == "CAPTURED":
            problem = "AUTHORIZATION_ALREADY_CAPTURED"
        elif self.desk.clock.now() > held.expires_at:
            problem = "AUTHORIZATION_EXPIRED"
        if problem or request.is_declined:
            raise refused(problem or "TRANSACTION_REFUSED")
        amount = minor(asked["amount"]) if "amount" in asked else held.amount - order.captured
        if "amount" in asked and asked["amount"]["currency_code"] != order.currency:
            raise refused("AUTH_CAPTURE_CURRENCY_MISMATCH")
        if (order.captured + amount) * 100 > held.amount * OVERAGE_PERCENT:
            raise refused("MAX_CAPTURE_AMOUNT_EXCEEDED")
        invoice_id = asked.get("invoice_id", "")
        self.desk.take_invoice(invoice_id)
        is_final = bool(asked.get("final_capture", False))
        status = "DECLINED" if order.behaviour.is_capture_declined else "COMPLETED"
        capture = Capture(self.desk.new_id("C"), amount, request.now, status, invoice_id, is_final)
        order.captures = [*order.captures, capture]
        told = told_capture(order, capture, request.base_url)
        if status == "COMPLETED":
            is_whole = is_final or order.captured >= held.amount
            held.status = "CAPTURED" if is_whole else "PARTIALLY_CAPTURED"
            self.desk.record("capture", order, amount, request, id=capture.id, invoice_id=invoice_id)
        self.desk.emit(f"PAYMENT.CAPTURE.{status}", "capture", told, f"capture of {order.id}")
        return shown(request, 201, told)

    def _capture_again(self, request: Request) -> Answer:
        order, capture = self.captured(request.params["id"])
        return shown(request, 201, told_capture(order, capture, request.base_url))

    def _void(self, request: Request) -> Answer:
        order = self._authorized(request)
        held = order.authorization
        assert held is not None
        if held.status in ("CAPTURED", "DENIED"):
            raise refused("PREVIOUSLY_CAPTURED" if held.status == "CAPTURED" else "CANNOT_BE_VOIDED")
        if held.status == "VOIDED":
            raise refused("PREVIOUSLY_VOIDED")
        held.status = "VOIDED"
        self.desk.record("void", order, held.amount - order.captured, request, id=f"{held.id}-void")
        told = told_authorization(order, request.base_url)
        self.desk.emit("PAYMENT.AUTHORIZATION.VOIDED", "authorization", told, f"void of {order.id}")
        return Answer(200, told) if request.headers.get("prefer") == "return=representation" else Answer(204)

    def _refund(self, request: Request) -> Answer:
        order, capture = self.captured(request.path_values["capture_id"])
        asked = request.params
        amount = minor(asked["amount"]) if "amount" in asked else capture.refundable
        self._refuse_refund(order, capture, request, amount)
        self.desk.take_invoice(asked.get("invoice_id", ""))
        return shown(request, 201, self._give_back(order, capture, amount, request))

    def _give_back(self, order: Order, capture: Capture, amount: int, request: Request) -> dict[str, Any]:
        """Refund `amount` of a capture. Returns the refund as PayPal shows it."""
        refund = Refund(
            id=self.desk.new_id("R"),
            amount=amount,
            at=request.now,
            invoice_id=request.params.get("invoice_id", ""),
            custom_id=request.params.get("custom_id", ""),
            status="PENDING" if order.behaviour.is_refund_pending else "COMPLETED",
        )
        capture.refunds = [*capture.refunds, refund]
        capture.status = "PARTIALLY_REFUNDED" if capture.refundable else "REFUNDED"
        self.desk.record("refund", order, amount, request, id=refund.id, invoice_id=refund.invoice_id)
        told = told_refund(order, capture, refund, request.base_url)
        word = "REFUND.PENDING" if refund.status == "PENDING" else "CAPTURE.REFUNDED"
        self.desk.emit(f"PAYMENT.{word}", "refund", told, f"refund of {order.id}")
        return told

    def _refuse_refund(self, order: Order, capture: Capture, request: Request, amount: int) -> None:
        if request.is_declined:
            raise refused("REFUND_NOT_ALLOWED")
        if capture.status in ("PENDING", "DECLINED"):
            raise refused("PENDING_CAPTURE" if capture.status == "PENDING" else "REFUND_NOT_ALLOWED")
        if "amount" in request.params and request.params["amount"]["currency_code"] != order.currency:
            raise refused("REFUND_CAPTURE_CURRENCY_MISMATCH")
        if not capture.refundable:
            raise refused("CAPTURE_FULLY_REFUNDED")
        if amount > capture.refundable:
            raise refused("REFUND_AMOUNT_EXCEEDED")
