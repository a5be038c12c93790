"""The JSON that an application would send to PostgreSQL, for pgbench: taken from a real checkout of the service."""

import asyncio
import json
import urllib.request
from typing import Any

from tests.bench import machine

PATH = "/api/v1/payments/core"
CLEARING = "provider:sandbox:clearing"
STEPS = ("authorize", "capture", "complete")
NAME_BY_EVENT = {
    "fraud_check.completed": "event_scored",
    "payment.created": "event_created",
    "payment.authorization_requested": "event_authorizing",
    "payment.authorized": "event_authorized",
    "payment.capture_requested": "event_capturing",
    "payment.captured": "event_captured",
    "payment.completed": "event_completed",
}


def check_out(base: str, token: str, name: str) -> str:
    """Carry out one checkout over HTTP. name: makes its order and keys unique. Returns the payment's id."""
    order = f"order-{name}-00000001"
    request: dict[str, Any] = {"orderId": order, "customerId": "customer-012345", "amount": 12_345, "currency": "EUR"}
    answer = _ask("POST", base + PATH, token, f"key-{name}-00000001", request | {"paymentMethodId": "pm_sandbox_visa"})
    payment_id: str = answer["id"]
    for number, step in enumerate(STEPS, 2):
        answer = _ask("PUT", f"{base}{PATH}/{payment_id}/{step}", token, f"key-{name}-{number:08d}", {})
    assert answer["status"] == "COMPLETED", answer
    return payment_id


def sample(base: str, token: str, url: str) -> dict[str, str]:
    """The documents of one checkout by name, as `peers/*.sql` use them. url: the database of the service at `base`."""
    payment_id = check_out(base, token, "sample")
    return asyncio.run(_documents(url, payment_id))


async def _documents(url: str, payment_id: str) -> dict[str, str]:
    found = {"digest": "0" * 32, "journal_digest": "0" * 64, "clearing": CLEARING}
    for row in await machine.fetch(url, "select type, data::text from events where about = $1::text::uuid", payment_id):
        name = NAME_BY_EVENT.get(row["type"])
        if name is not None:
            found[name] = row["data"]
    for name in ("authorize", "capture"):
        event = json.loads(found[{"authorize": "event_authorizing", "capture": "event_capturing"}[name]])
        found[f"attempts_{name}"] = json.dumps(event["attempts"])
    kept = await machine.fetch(
        url,
        "select body, headers::text from idempotency_keys where body like '%' || $1 || '%' order by created_at",
        payment_id,
    )
    for name, row in zip(("create", *STEPS), kept, strict=True):
        found[f"body_{name}"] = row["body"]
        found["headers_create" if name == "create" else "headers_put"] = row["headers"]
    return found


def _ask(method: str, address: str, token: str, key: str, document: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(document).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        body: dict[str, Any] = json.loads(answer.read())
        return body
