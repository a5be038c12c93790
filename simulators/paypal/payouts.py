"""Payouts v1: batches, whose items are on their way until they are looked at. What happens depends on the receiver."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.paypal.desk import Desk
from simulators.paypal.words import error, link, minor, moment, money

BATCH_ID_SECONDS: Final = 30 * 86_400
"""The document: a sender_batch_id that was used in the last 30 days is refused."""

ENDS: Final[dict[str, tuple[str, str]]] = {
    "failed": ("FAILED", "RECEIVER_ACCOUNT_LOCKED"),
    "unclaimed": ("UNCLAIMED", "RECEIVER_UNREGISTERED"),
    "returned": ("RETURNED", "RECEIVER_UNREGISTERED"),
    "blocked": ("BLOCKED", ""),
    "pending": ("PENDING", ""),
    "onhold": ("ONHOLD", ""),
    "claimed": ("UNCLAIMED", "RECEIVER_UNREGISTERED"),
}
"""An item's status and error by how its receiver's e-mail address begins; of any other it is SUCCESS."""
POOR: Final = "poor"
"""A receiver that begins so meets an empty balance: the batch is refused."""
CLAIMED: Final = "claimed"
"""A receiver that begins so claims his money when it is about to be called back."""


class Item(msgspec.Struct):
    """One payment of a batch. amount: minor units."""

    id: str
    asked: dict[str, Any]
    amount: int
    status: str = "PENDING"
    error: str = ""


class Batch(msgspec.Struct):
    """A batch. looks: how often it was looked at; it is processed at the first."""

    id: str
    sender_batch_id: str
    at: int
    items: list[Item]
    status: str = "PENDING"


class Payouts:
    """Batches by id. PayPal-Request-Id does nothing here, as at PayPal; sender_batch_id does."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.batches: dict[str, Batch] = {}

    def routes(self) -> Sequence[Route]:
        """Payouts v1."""
        return (
            Route("POST", "/v1/payments/payouts", self._create),
            Route("GET", "/v1/payments/payouts/{id}", self._get),
            Route("GET", "/v1/payments/payouts-item/{payout_item_id}", self._get_item),
            Route("POST", "/v1/payments/payouts-item/{payout_item_id}/cancel", self._cancel),
        )

    def _create(self, request: Request) -> Answer:
        header, base = request.params["sender_batch_header"], request.base_url
        sender_batch_id = header.get("sender_batch_id", "")
        for batch in self.batches.values():
            if sender_batch_id == batch.sender_batch_id and request.now - batch.at < BATCH_ID_SECONDS:
                raise _duplicate(batch, base)
        asked = request.params["items"]
        if request.is_declined or any(item["receiver"].startswith(POOR) for item in asked):
            message = "Sender does not have sufficient funds. Please add funds and retry."
            raise Refusal(error(422, name="INSUFFICIENT_FUNDS", message=message))
        items = [Item(self.desk.new_id("I"), item, _minor(item["amount"])) for item in asked]
        batch = Batch(self.desk.new_id("B"), sender_batch_id, request.now, items)
        self.batches[batch.id] = batch
        for item in items:
            currency = item.asked["amount"]["currency"]
            self.desk.books.record("payout", batch.id, item.amount, currency, at=request.now, key=sender_batch_id)
        return Answer(201, {"batch_header": _told_header(batch), "links": [_link(batch, base)]})

    def _get(self, request: Request) -> Answer:
        batch = self.batches.get(request.path_values["id"])
        if batch is None:
            raise _missing()
        self._process(batch, request)
        told = {"batch_header": _told_header(batch), "items": [_told(batch, item) for item in batch.items]}
        return Answer(200, told | {"links": [_link(batch, request.base_url)]})

    def _get_item(self, request: Request) -> Answer:
        batch, item = self._known(request)
        self._process(batch, request)
        return Answer(200, _told(batch, item))

    def _cancel(self, request: Request) -> Answer:
        """Only what nobody claimed can be called back."""
        batch, item = self._known(request)
        if item.status == "UNCLAIMED" and item.asked["receiver"].startswith(CLAIMED):
            self._end(batch, item, "SUCCESS", "", request.now)
        if item.status != "UNCLAIMED":
            message = "The payout item is not in an unclaimed state."
            raise Refusal(error(400, name="ITEM_NOT_CANCELLABLE", message=message))
        self._end(batch, item, "RETURNED", item.error, request.now)
        return Answer(200, _told(batch, item))

    def _known(self, request: Request) -> tuple[Batch, Item]:
        for batch in self.batches.values():
            for item in batch.items:
                if item.id == request.path_values["payout_item_id"]:
                    return batch, item
        raise _missing()

    def _process(self, batch: Batch, request: Request) -> None:
        if batch.status != "PENDING":
            return
        batch.status = "SUCCESS"
        for item in batch.items:
            start = item.asked["receiver"].partition("@")[0]
            status, reason = next((end for name, end in ENDS.items() if start.startswith(name)), ("SUCCESS", ""))
            self._end(batch, item, status, reason, request.now)

    def _end(self, batch: Batch, item: Item, status: str, reason: str, now: int) -> None:
        item.status, item.error = status, reason
        currency = item.asked["amount"]["currency"]
        if status in ("FAILED", "RETURNED", "BLOCKED"):
            self.desk.books.record("payout_return", batch.id, item.amount, currency, at=now, key=batch.sender_batch_id)
        word = {"SUCCESS": "SUCCEEDED"}.get(status, status)
        if status != "PENDING":
            self.desk.emit(f"PAYMENT.PAYOUTS-ITEM.{word}", "payouts_item", _told(batch, item), f"{item.id}: {status}")


def _minor(amount: dict[str, str]) -> int:
    return minor({"currency_code": amount["currency"], "value": amount["value"]})


def _duplicate(batch: Batch, base: str) -> Refusal:
    message = "User business error."
    details = [{"field": "SENDER_BATCH_ID", "location": "body", "issue": "Duplicate batch request"}]
    return Refusal(error(400, name="USER_BUSINESS_ERROR", message=message, details=details, links=[_link(batch, base)]))


def _missing() -> Refusal:
    return Refusal(error(404, name="RESOURCE_NOT_FOUND", message="The requested resource was not found"))


def _link(batch: Batch, base: str) -> dict[str, str]:
    return link(f"{base}/v1/payments/payouts/{batch.id}", "self")


def _told_header(batch: Batch) -> dict[str, Any]:
    return {
        "payout_batch_id": batch.id,
        "batch_status": batch.status,
        "time_created": moment(batch.at),
        "sender_batch_header": {"sender_batch_id": batch.sender_batch_id},
    }


def _told(batch: Batch, item: Item) -> dict[str, Any]:
    asked = item.asked
    kept = {name: asked[name] for name in ("recipient_type", "note", "receiver", "sender_item_id") if name in asked}
    written = money(item.amount, asked["amount"]["currency"])["value"]
    told: dict[str, Any] = {
        "payout_item_id": item.id,
        "payout_batch_id": batch.id,
        "transaction_status": item.status,
        "payout_item": kept | {"amount": {"currency": asked["amount"]["currency"], "value": written}},
    }
    if item.status in ("SUCCESS", "UNCLAIMED", "RETURNED"):
        told["transaction_id"] = f"T{item.id[1:]}"
    if item.error:
        told["errors"] = {"name": item.error, "message": item.error.lower(), "debug_id": "90957fca61718"}
    return told
