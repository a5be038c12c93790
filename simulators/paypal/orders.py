"""Orders v2: made, approved by the payer, authorized or captured; each pays once only."""

from collections.abc import Sequence
from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.paypal import methods
from simulators.paypal.desk import Desk, shown
from simulators.paypal.methods import APPROVED, Behaviour
from simulators.paypal.state import Authorization, Capture, Order, told_authorization, told_capture, told_order
from simulators.paypal.vault import Vault
from simulators.paypal.words import minor, missing, refused

KEY_SECONDS: Final = 6 * 3_600
"""The document: the server stores keys for 6 hours."""
UNPAID_SECONDS: Final = 3 * 86_400
"""How long an order lives that nobody pays."""
AUTHORIZATION_SECONDS: Final = 29 * 86_400


class Orders:
    """All orders by id."""

    def __init__(self, desk: Desk, vault: Vault) -> None:
        self.desk = desk
        self.vault = vault
        self.by_id: dict[str, Order] = {}

    def routes(self) -> Sequence[Route]:
        """Orders v2, and the page to which a payer is sent."""
        create = self.desk.once(self._create, seconds=KEY_SECONDS, refresh=self._again)
        authorize = self.desk.once(self._authorize, seconds=KEY_SECONDS, refresh=self._again)
        capture = self.desk.once(self._capture, seconds=KEY_SECONDS, refresh=self._again)
        return (
            Route("POST", "/v2/checkout/orders", create),
            Route("GET", "/v2/checkout/orders/{id}", self._get),
            Route("POST", "/v2/checkout/orders/{id}/authorize", authorize),
            Route("POST", "/v2/checkout/orders/{id}/capture", capture),
            Route("GET", "/checkoutnow", self._approve, is_documented=False, has_faults=False),
        )

    def known(self, order_id: str) -> Order:
        """An order; a refusal (404) of one that is not there, or that nobody paid for days."""
        order = self.by_id.get(order_id)
        is_old = order is not None and order.status != "COMPLETED" and self.desk.clock.now() > order.at + UNPAID_SECONDS
        if order is None or is_old:
            raise missing()
        return order

    def _create(self, request: Request) -> Answer:
        asked = request.params
        if len(asked["purchase_units"]) != 1:
            raise refused("UNSUPPORTED_PAYMENT_INSTRUCTION")
        unit = asked["purchase_units"][0]
        amount = minor(unit["amount"])
        behaviour, shown_source, is_paid_at_once = self._source(asked.get("payment_source", {}))
        order = Order(
            id=self.desk.new_id("O"),
            intent=asked["intent"],
            amount=amount,
            currency=unit["amount"]["currency_code"],
            at=request.now,
            behaviour=behaviour,
            shown=shown_source,
            invoice_id=unit.get("invoice_id", ""),
            custom_id=unit.get("custom_id", ""),
        )
        if not is_paid_at_once or behaviour.needs_action:
            has_source = bool(asked.get("payment_source"))
            order.status = "PAYER_ACTION_REQUIRED" if has_source else "CREATED"
        else:
            self._pay(order, request)
        self.by_id[order.id] = order
        return shown(request, 201, told_order(order, request.base_url))

    def _source(self, source: dict[str, Any]) -> tuple[Behaviour, dict[str, Any], bool]:
        """What the payment source does, what is shown of it, and whether it pays without the payer's approval."""
        for name in ("paypal", "card"):
            given = source.get(name, {})
            if "vault_id" in given:
                behaviour, told = self.vault.behaviour(given["vault_id"], name)
                return behaviour, told, True
        if "card" in source:
            card = source["card"]
            if not {"number", "expiry"} <= card.keys():
                raise refused("CARD_NUMBER_REQUIRED")
            return methods.of_card(card), methods.shown_card(card), True
        return APPROVED, methods.PAYER, False

    def _approve(self, request: Request) -> Answer:
        """The payer at PayPal's page: approves at once."""
        order = self.known(request.query.get("token", ""))
        if order.status in ("CREATED", "PAYER_ACTION_REQUIRED"):
            order.status = "APPROVED"
            self.desk.emit("CHECKOUT.ORDER.APPROVED", "checkout-order", told_order(order, request.base_url), "approved")
        return Answer(200, f"<p>Order {order.id} is {order.status.lower()}.</p>")

    def _get(self, request: Request) -> Answer:
        order = self.known(request.path_values["id"])
        settle(order)
        return Answer(200, told_order(order, request.base_url))

    def _again(self, request: Request) -> Answer:
        """What was done for a key, as it is now."""
        order = self.known(request.params["id"])
        settle(order)
        return shown(request, 200, told_order(order, request.base_url))

    def _authorize(self, request: Request) -> Answer:
        return self._complete(request, "AUTHORIZE", "ORDER_ALREADY_AUTHORIZED")

    def _capture(self, request: Request) -> Answer:
        return self._complete(request, "CAPTURE", "ORDER_ALREADY_CAPTURED")

    def _complete(self, request: Request, intent: str, already: str) -> Answer:
        order = self.known(request.path_values["id"])
        if order.intent != intent:
            raise refused("ACTION_DOES_NOT_MATCH_INTENT" if intent == "AUTHORIZE" else "INCOMPATIBLE_PARAMETER_VALUE")
        if order.status == "COMPLETED":
            raise refused(already)
        if order.status != "APPROVED":
            raise refused("ORDER_NOT_APPROVED")
        self._pay(order, request)
        return shown(request, 201, told_order(order, request.base_url))

    def _pay(self, order: Order, request: Request) -> None:
        """Authorize or capture the whole order. Raises the refusal of the payer's source, and of a used invoice_id."""
        behaviour = order.behaviour
        if request.is_declined or behaviour.issue:
            raise refused("INSTRUMENT_DECLINED" if request.is_declined else behaviour.issue)
        self.desk.take_invoice(order.invoice_id)
        order.status = "COMPLETED"
        if order.intent == "AUTHORIZE":
            kind, told, status = "authorization", *self._hold(order, request)
        else:
            kind, told, status = "capture", *self._take(order, request)
        if status not in ("DENIED", "DECLINED"):
            self.desk.record(kind, order, order.amount, request, id=told["id"], invoice_id=order.invoice_id)
        self.desk.emit(f"PAYMENT.{kind.upper()}.{status}", kind, told, f"{kind} of {order.id}")

    def _hold(self, order: Order, request: Request) -> tuple[dict[str, Any], str]:
        """Authorize; what is told of it, and its status."""
        behaviour = order.behaviour
        status = "DENIED" if behaviour.response_code else "PENDING" if behaviour.is_pending else "CREATED"
        order.authorization = Authorization(
            id=self.desk.new_id("A"),
            amount=order.amount,
            at=request.now,
            expires_at=request.now + AUTHORIZATION_SECONDS,
            status=status,
            response_code=behaviour.response_code,
        )
        return told_authorization(order, request.base_url), status

    def _take(self, order: Order, request: Request) -> tuple[dict[str, Any], str]:
        """Capture; what is told of it, and its status."""
        behaviour = order.behaviour
        status = "DECLINED" if behaviour.response_code else "PENDING" if behaviour.is_pending else "COMPLETED"
        capture = Capture(
            id=self.desk.new_id("C"),
            amount=order.amount,
            at=request.now,
            status=status,
            invoice_id=order.invoice_id,
            is_final=True,
            response_code=behaviour.response_code,
        )
        order.captures = [capture]
        return told_capture(order, capture, request.base_url), status


def settle(order: Order) -> None:
    """What was pending is decided when it is looked at again."""
    if order.authorization is not None and order.authorization.status == "PENDING":
        order.authorization.status = "CREATED"
    for capture in order.captures:
        if capture.status == "PENDING":
            capture.status = "COMPLETED"
