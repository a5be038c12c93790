"""What a shop does with an order: create, authorize, capture, complete; and what it does when that goes otherwise."""

import asyncio
import secrets
import time
from collections import Counter, defaultdict
from typing import Any, Final

from bursar.cli.demo.client import Connection
from bursar.cli.demo.orders import Order
from bursar.providers.sandbox.methods import METHODS, Step

PAYMENTS: Final = "/api/v1/payments/core"
POLL_SECONDS: Final = 0.25
SETTLED_SECONDS_MAX: Final = 60
FINAL: Final = {"cancel": "CANCELLED", "cancel_early": "CANCELLED", "fail": "FAILED"}
"""The final status by course, where nothing comes between; else COMPLETED."""


class Day:
    """What happened: the end and the money of every order, the time that each request took, what nobody expected."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        self.statuses: Counter[str] = Counter()
        self.money: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])  # orders, amount, captured
        self.microseconds: defaultdict[str, list[int]] = defaultdict(list)
        self.surprises: list[str] = []

    def close(self, order: Order, payment: dict[str, Any]) -> None:
        """Count an order whose checkout is over."""
        self.statuses[payment["status"]] += 1
        entry = self.money[(payment["status"], order.currency)]
        entry[0] += 1
        entry[1] += order.amount
        entry[2] += payment["amountCaptured"]


class Surprise(Exception):  # noqa: N818  a signal within this module
    """An answer that nobody expected."""


class Shop:
    """One cash desk: takes one order after another through its own connection."""

    def __init__(self, connection: Connection, day: Day) -> None:
        self._connection = connection
        self._day = day

    async def check_out(self, order: Order) -> None:
        """Take an order to its end, and note what became of it."""
        try:
            payment = await self._check_out(order)
            wanted = _final(order)
            if payment["status"] not in (wanted, "IN_REVIEW") and payment["failureCode"] != "fraud_declined":
                raise Surprise(f"ended {payment['status']}, {wanted} was expected")
            if payment["status"] == "COMPLETED" and payment["amountCaptured"] != _captured(order):
                raise Surprise(f"captured {payment['amountCaptured']}, {_captured(order)} was expected")
            self._day.close(order, payment)
        except (Surprise, OSError) as surprise:
            self._day.statuses["surprise"] += 1
            self._day.surprises.append(f"order {order.order_id} ({order.method}, {order.course}): {surprise}")

    async def _check_out(self, order: Order) -> dict[str, Any]:
        payment = await self._ask(order, "create", "POST", PAYMENTS, _creation(order), allowed=(201,))
        if payment["status"] != "PENDING":  # a person has to look at it, or the fraud check refused it
            return payment
        if order.course == "cancel_early":
            return await self._step(order, payment, "cancel", {"reason": "the customer changed his mind"})
        payment = await self._step(order, payment, "authorize", {})
        if payment["status"] == "REQUIRES_ACTION":  # which the customer has done meanwhile
            payment = await self._step(order, payment, "authorize", {}, key="authorize-again")
        if payment["status"] == "PENDING":  # the provider never did it
            return await self._step(order, payment, "cancel", {"reason": "the provider did not authorize"})
        if payment["status"] == "FAILED":
            return payment
        if order.course in ("cancel", "fail"):
            return await self._step(order, payment, order.course, {"reason": "out of stock"})
        return await self._deliver(order, payment)

    async def _deliver(self, order: Order, payment: dict[str, Any]) -> dict[str, Any]:
        first = order.amount // 2
        if order.course in ("parts", "less"):
            part = {"amount": first, "finalCapture": False}
            payment = await self._step(order, payment, "capture", part, key="capture-1")
        if order.course != "less" and payment["status"] != "CAPTURED":
            payment = await self._step(order, payment, "capture", {})
        if payment["status"] == "AUTHORIZED":  # the provider took nothing
            return await self._step(order, payment, "cancel", {"reason": "the capture was declined"})
        return await self._step(order, payment, "complete", {})

    async def _step(
        self, order: Order, payment: dict[str, Any], action: str, body: dict[str, Any], *, key: str = ""
    ) -> dict[str, Any]:
        """Ask for an action, and wait until its outcome is known."""
        path = f"{PAYMENTS}/{payment['id']}"
        answer = await self._ask(
            order, action, "PUT", f"{path}/{action}", body, allowed=(200, 202, 402), key=key or action
        )
        if "code" in answer:  # declined
            return await self._ask(order, "get", "GET", path)
        deadline = time.monotonic() + SETTLED_SECONDS_MAX
        while answer["status"] == "PROCESSING":
            if time.monotonic() > deadline:
                raise Surprise(f"{action} is not settled after {SETTLED_SECONDS_MAX} s")
            await asyncio.sleep(POLL_SECONDS)
            answer = await self._ask(order, "get", "GET", path)
        return answer

    async def _ask(
        self,
        order: Order,
        operation: str,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        allowed: tuple[int, ...] = (200,),
        key: str = "",
    ) -> dict[str, Any]:
        name = "" if body is None else f"demo-{self._day.run}:{order.order_id}:{key or operation}"
        started = time.perf_counter_ns()
        status, document = await self._connection.request(method, path, body, key=name)
        self._day.microseconds[operation].append((time.perf_counter_ns() - started) // 1_000)
        if status not in allowed:
            raise Surprise(f"{operation} answered {status}: {document}")
        answer: dict[str, Any] = document
        return answer


def _creation(order: Order) -> dict[str, Any]:
    return {
        "orderId": order.order_id,
        "customerId": order.customer_id,
        "amount": order.amount,
        "currency": order.currency,
        "captureMethod": "AUTOMATIC" if order.course == "automatic" else "MANUAL",
        "paymentMethodId": order.method,
        "splits": [
            {"vendorId": vendor, "amount": share, "categoryId": order.category} for vendor, share in order.vendors
        ],
    }


def _final(order: Order) -> str:
    """The status in which this order has to end."""
    behaviour = METHODS[order.method]
    if order.course == "cancel_early":
        return "CANCELLED"
    if behaviour.decline_code and behaviour.step is Step.AUTHORIZE:
        return "FAILED"
    if behaviour.fault == "before_effect" and behaviour.step is Step.AUTHORIZE:
        return "CANCELLED"
    is_captured = order.course not in FINAL and order.course != "automatic"
    is_refused = bool(behaviour.decline_code) or behaviour.fault == "before_effect"
    if behaviour.step is Step.CAPTURE and is_captured and is_refused:
        return "CANCELLED"
    return FINAL.get(order.course, "COMPLETED")


def _captured(order: Order) -> int:
    return order.amount // 2 if order.course == "less" else order.amount
