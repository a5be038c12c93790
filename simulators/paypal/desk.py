"""What the parts of the simulator share: books, memory of keys, ids, invoices, and events."""

from collections.abc import Callable
from typing import Any

from simulators.kit.books import Books
from simulators.kit.clock import Clock
from simulators.kit.idempotency import Store
from simulators.kit.message import Answer, Request
from simulators.kit.webhooks import Webhooks
from simulators.paypal.state import Order
from simulators.paypal.words import moment, refused

Handle = Callable[[Request], Answer]


class Desk:
    """Given to every part. invoices: every invoice_id that was paid or refunded, which PayPal takes once only."""

    def __init__(self, books: Books, clock: Clock, webhooks: Webhooks) -> None:
        self.books = books
        self.clock = clock
        self.webhooks = webhooks
        self.invoices: set[str] = set()
        self._count = 0

    def new_id(self, prefix: str) -> str:
        """The next id: a letter and 16 digits."""
        self._count += 1
        return f"{prefix}{self._count:016}"

    def take_invoice(self, invoice_id: str) -> None:
        """Use an invoice_id up. Raises the refusal of one that was used before."""
        if invoice_id and invoice_id in self.invoices:
            raise refused("DUPLICATE_INVOICE_ID")
        self.invoices.add(invoice_id)

    def record(self, kind: str, order: Order, amount: int, request: Request, **facts: str) -> None:
        """Write into the books what was done on an order, under the request's key."""
        key = request.headers.get("paypal-request-id")
        self.books.record(kind, order.id, amount, order.currency, at=request.now, key=key, **facts)

    def emit(self, event_type: str, resource_type: str, resource: dict[str, Any], summary: str) -> None:
        """Send a webhook."""
        event_id = self.new_id("WH-")
        event = {
            "id": event_id,
            "event_version": "1.0",
            "create_time": moment(self.clock.unix()),
            "resource_type": resource_type,
            "resource_version": "2.0",
            "event_type": event_type,
            "summary": summary,
            "resource": resource,
        }
        self.webhooks.emit(event_id, event_type, event)

    def once(self, handle: Handle, *, seconds: float, refresh: Handle | None = None) -> Handle:
        """The handler, answering a PayPal-Request-Id that it had within `seconds` with what was done for it then.

        Another request under the same id gets the first one's answer, and refusals are not remembered. refresh: gives
        what was done as it is now, of a request whose `params` are the first answer.
        """
        store = Store(seconds=seconds, compares=False, keeps=lambda answer: answer.status < 300)

        def handled(request: Request) -> Answer:
            key = request.headers.get("paypal-request-id")
            if key is None:
                return handle(request)
            begun = store.begin(key, b"", self.clock.now())
            if isinstance(begun, Answer):
                return begun if refresh is None else refresh(_looking(request, begun))
            answer = None
            try:
                answer = handle(request)
            finally:
                store.end(key, answer)
            return answer

        return handled


def shown(request: Request, status: int, body: dict[str, Any]) -> Answer:
    """The whole representation, or the least, as the request prefers."""
    if request.headers.get("prefer") == "return=representation":
        return Answer(status, body)
    return Answer(status, {name: body[name] for name in ("id", "status", "links") if name in body})


def _looking(request: Request, first: Answer) -> Request:
    request.params = dict(first.body) if isinstance(first.body, dict) else {}
    return request
