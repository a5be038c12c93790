"""A caller of the API: one client, one token, and the contract that every answer has to keep."""

from itertools import count
from typing import Any

import httpx
import msgspec

from bursar.infra.auth import Key
from tests.support.tokens import token

CORE = "/api/v1/payments/core"
VISA = "pm_sandbox_visa"
_numbers = count(1)


def unique(prefix: str) -> str:
    """A name that no other test has: `prefix`, a dash, a number."""
    return f"{prefix}-{next(_numbers)}"


def keep_contract(response: httpx.Response) -> None:
    """Every answer names its request, none is a fault of ours, every refusal is whole problem+json."""
    assert response.status_code != 500, response.text
    assert response.headers["x-request-id"]
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json", response.text
        body = response.json()
        assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= body.keys(), body
        assert body["status"] == response.status_code
        assert body["type"].endswith("/" + body["code"]) and body["requestId"]
        if response.status_code == 422 and body["code"] == "validation_failed":
            assert body["errors"] and all({"field", "code", "message"} == fault.keys() for fault in body["errors"]), (
                body
            )


class Api:
    """Calls the service as one caller."""

    def __init__(self, client: httpx.AsyncClient, key: Key, bearer: str = "") -> None:
        self.client = client
        self.key = key
        self.bearer = bearer

    def as_(self, *roles: str, customer_id: str | None = None, subject: str | None = None, **claims: Any) -> "Api":
        """The same service, called by somebody with `roles`."""
        changes = {"customerId": customer_id, **claims}
        if subject or customer_id:
            changes["sub"] = subject or customer_id
        return Api(self.client, self.key, token(self.key, *roles, **changes))

    def with_token(self, bearer: str) -> "Api":
        return Api(self.client, self.key, bearer)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """Send a request. body: bytes as they are, anything else as JSON. Checks the contract of the answer."""
        sent = {"authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        if body is not None:
            options["content"] = body if isinstance(body, bytes) else msgspec.json.encode(body)
            sent["content-type"] = "application/json"
        if key is not None:
            sent["idempotency-key"] = key
        response = await self.client.request(method, path, headers={**sent, **(headers or {})}, **options)
        if not path.startswith(("/docs", "/openapi.json")):
            keep_contract(response)
        return response

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.call("GET", path, params=params or None)

    async def show(self, payment_id: str) -> dict[str, Any]:
        """The payment as a GET shows it."""
        return json_of(await self.get(f"{CORE}/{payment_id}"), 200)

    def new_payment(self, **changes: Any) -> dict[str, Any]:
        """A request that creates a payment of 100."""
        request = {
            "orderId": unique("order"),
            "customerId": unique("customer"),
            "amount": 100,
            "currency": "EUR",
            "paymentMethodId": VISA,
            **changes,
        }
        return {name: value for name, value in request.items() if value is not None}

    async def post_payment(self, *, key: str | None = None, **changes: Any) -> httpx.Response:
        return await self.call("POST", CORE, self.new_payment(**changes), key=key)

    async def create_payment(self, *, key: str | None = None, **changes: Any) -> dict[str, Any]:
        """A new payment of 100 EUR on a card that is approved, changed by `changes`; None takes a field away."""
        return json_of(await self.post_payment(key=key, **changes), 201)

    async def act(
        self,
        payment_id: str,
        action: str,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """Ask for one of the five actions."""
        if action in ("fail", "cancel"):
            body = {"reason": "changed my mind", **body}
        return await self.call("PUT", f"{CORE}/{payment_id}/{action}", body, key=key, headers=headers)

    async def authorize(self, payment_id: str, **options: Any) -> httpx.Response:
        return await self.act(payment_id, "authorize", **options)

    async def capture(self, payment_id: str, amount: int | None = None, **options: Any) -> httpx.Response:
        if amount is not None:
            options["amount"] = amount
        return await self.act(payment_id, "capture", **options)

    async def authorized(self, **changes: Any) -> dict[str, Any]:
        """A new payment that is authorized."""
        payment = await self.create_payment(**changes)
        return json_of(await self.authorize(payment["id"]), 200)


def json_of(response: httpx.Response, status: int) -> Any:
    """The body of an answer of this status."""
    assert response.status_code == status, f"{response.status_code}: {response.text}"
    return response.json()


def problem_of(response: httpx.Response, status: int, code: str) -> Any:
    """The body of a refusal of this status and code."""
    body = json_of(response, status)
    assert body["code"] == code, body
    return body


def fields_of(response: httpx.Response) -> set[str]:
    """The fields that a 422 names."""
    return {fault["field"] for fault in problem_of(response, 422, "validation_failed")["errors"]}
