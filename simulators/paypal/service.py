"""The simulator: its parts put together, its callers known by an OAuth token, its documents with one correction."""

import base64
import copy
import json
import secrets
from collections.abc import Sequence
from email import message_from_bytes
from email.policy import HTTP
from functools import cache
from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.kit.openapi import DATA, Document, Violation, read
from simulators.kit.provider import Provider, Trouble
from simulators.paypal import methods, payouts
from simulators.paypal.desk import Desk
from simulators.paypal.disputes import Disputes
from simulators.paypal.notifications import Notifications
from simulators.paypal.orders import Orders
from simulators.paypal.payments import Payments
from simulators.paypal.payouts import Payouts
from simulators.paypal.reports import Reports
from simulators.paypal.vault import Vault
from simulators.paypal.words import distorted, error

CLIENT_ID: Final = "paypal_test_client"
CLIENT_SECRET: Final = "paypal_test_secret"
TOKEN_SECONDS: Final = 32_400

DOCUMENTS: Final = (
    "checkout_orders_v2",
    "payments_payment_v2",
    "payments_payouts_batch_v1",
    "vault_payment_tokens_v3",
    "customer_disputes_v1",
    "notifications_webhooks_v1",
)
OPEN_PATHS: Final = ("/checkoutnow", "/agreements/approve", "/v1/notifications/certs/", "/test/")
"""Pages of the payer, certificates, and what tests do in others' place: nobody has to be known there."""

WORDLESS: Final = "/v2/payments/"
"""The document of Payments knows no body of a 500."""

ABOUT: Final = "\n".join(
    [
        f"    client {CLIENT_ID}, secret {CLIENT_SECRET}",
        *methods.about(),
        *(f"    payout to {name}…@…: {status} {reason}" for name, (status, reason) in payouts.ENDS.items()),
        f"    payout to {payouts.POOR}…@…: refused, INSUFFICIENT_FUNDS; to anybody else: SUCCESS once it is looked at",
    ]
)


class PayPal(Provider):
    """The simulator."""

    name = "paypal"
    about = ABOUT

    def __init__(self, *, document: Document | None = None, seed: int = 0) -> None:
        super().__init__(document=document, seed=seed)
        self.tokens: dict[str, float] = {}
        """OAuth tokens, and when each ends (Unix seconds)."""
        desk = Desk(self.books, self.clock, self.webhooks)
        self.vault = Vault(desk)
        self.orders = Orders(desk, self.vault)
        self.payments = Payments(desk, self.orders)
        self.payouts = Payouts(desk)
        self.disputes = Disputes(desk, self.payments)
        self.notifications = Notifications(self.webhooks)
        parts = (self.vault, self.orders, self.payments, self.payouts, self.disputes, self.notifications)
        self.routes = (
            Route("POST", "/v1/oauth2/token", self._give_token, is_documented=False),
            *(route for part in (*parts, Reports(desk, self.orders)) for route in part.routes()),
        )

    def authenticate(self, request: Request) -> Answer | None:
        self.notifications.base = request.base_url
        if request.path.startswith(OPEN_PATHS):
            return None
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if request.path == "/v1/oauth2/token":
            expected = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
            if (scheme, given) == ("Basic", expected):
                return None
            return Answer(401, {"error": "invalid_client", "error_description": "Client Authentication failed"})
        if scheme == "Bearer" and self.tokens.get(given, 0) > self.clock.now():
            return None
        return error(401)

    def key_of(self, request: Request) -> str | None:
        """PayPal-Request-Id; for payouts the sender_batch_id. A form is unpacked on the way: its part `input` is the
        JSON that the handlers get.
        """
        if request.headers.get("content-type", "").startswith("multipart/"):
            request.body = _input(request)
        if request.path == "/v1/payments/payouts":
            try:
                return str(json.loads(request.body)["sender_batch_header"].get("sender_batch_id"))
            except (ValueError, KeyError, TypeError, AttributeError):
                return None
        return request.headers.get("paypal-request-id")

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        return {
            Trouble.NOT_FOUND: error(404),
            Trouble.KEY_IN_FLIGHT: error(422, "PREVIOUS_REQUEST_IN_PROGRESS"),
            Trouble.KEY_REUSED: error(422, "DUPLICATE_REQUEST_ID"),
            Trouble.TOO_MANY_REQUESTS: error(429),
            Trouble.SERVER_ERROR: Answer(500) if request.path.startswith(WORDLESS) else error(500),
        }[trouble]

    def refuse(self, request: Request, violations: Sequence[Violation]) -> Answer:
        details = [{"field": each.parameter, "issue": _issue(each)} for each in violations]
        return error(400, details=details)

    def distort(self, answer: Answer) -> Answer:
        return Answer(answer.status, distorted(answer.body), answer.headers)

    def headers(self, request: Request) -> dict[str, str]:
        return {"Paypal-Debug-Id": "90957fca61718"}

    def sign(self, body: bytes, event: dict[str, Any], at: int) -> dict[str, str]:
        return self.notifications.sign(body, event, at)

    def _give_token(self, request: Request) -> Answer:
        if request.params.get("grant_type") != "client_credentials":
            return Answer(400, {"error": "unsupported_grant_type", "error_description": "Grant Type is NULL"})
        token = f"A21AA{secrets.token_urlsafe(24)}"
        self.tokens[token] = self.clock.now() + TOKEN_SECONDS
        body = {"scope": "*", "access_token": token, "token_type": "Bearer", "app_id": "APP-80W284485P519543T"}
        return Answer(200, body | {"expires_in": TOKEN_SECONDS})


def provider(*, seed: int = 0) -> PayPal:
    """A new PayPal with empty books."""
    return PayPal(document=document(), seed=seed)


@cache
def document() -> Document | None:
    """PayPal's documents, read once a process; None where they are absent."""
    paths = [DATA / "paypal" / f"{name}.json" for name in DOCUMENTS]
    if Document.load(*paths) is None:
        return None
    return Document([corrected(read(path)) for path in paths])


def corrected(document: dict[str, Any]) -> dict[str, Any]:
    """A document, where it is behind the API that it describes: in one place.

    Of token_id_request.type the Vault's document has BILLING_AGREEMENT alone, and gives a setup token's id as its
    example; PayPal's guides and its own SDKs say SETUP_TOKEN for those.
    """
    result = copy.deepcopy(document)
    kinds = result["components"]["schemas"].get("token_id_request", {}).get("properties", {}).get("type", {})
    if kinds.get("enum") == ["BILLING_AGREEMENT"]:
        kinds["enum"] = ["BILLING_AGREEMENT", "SETUP_TOKEN"]
    return result


def _input(request: Request) -> bytes:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    for part in message_from_bytes(head + request.body, policy=HTTP).walk():
        if part.get_param("name", header="content-disposition") == "input":
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) else b""
    return b""


def _issue(violation: Violation) -> str:
    return {
        "required": "MISSING_REQUIRED_PARAMETER",
        "pattern": "INVALID_PARAMETER_SYNTAX",
        "maxLength": "INVALID_STRING_LENGTH",
        "minLength": "INVALID_STRING_LENGTH",
        "maxItems": "INVALID_ARRAY_MAX_ITEMS",
        "minItems": "INVALID_ARRAY_MIN_ITEMS",
    }.get(violation.rule, "INVALID_PARAMETER_VALUE")
