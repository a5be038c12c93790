"""Clients as they ought to be: each step has its key, and is sent again with it until there is an answer."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.api import CORE, keep_contract

TRY_SECONDS_MAX = 120
METHODS = {
    "pm_sandbox_visa": 50,
    "pm_sandbox_slow": 25,
    "pm_sandbox_declined": 4,
    "pm_sandbox_requires_action": 4,
    "pm_sandbox_pending": 3,
    "pm_sandbox_timeout_after_effect": 4,
    "pm_sandbox_timeout_before_effect": 3,
    "pm_sandbox_capture_declined": 2,
    "pm_sandbox_capture_timeout_after_effect": 3,
    "pm_sandbox_capture_timeout_before_effect": 2,
}


@asynccontextmanager
async def crowd(count: int, bases: Sequence[str], token: str, seed: int) -> AsyncIterator[list["Shopper"]]:
    """So many shoppers, whose connections are closed at the end."""
    async with httpx.AsyncClient(timeout=20, trust_env=False, limits=httpx.Limits(max_connections=200)) as client:
        yield [Shopper(f"shopper-{number}", bases, token, client, seed + number) for number in range(count)]


class Shopper:
    """Takes checkouts to their end, whoever dies meanwhile.

    answers: the last answer about each order, which is what this client believes. sent: every keyed request by its key
    with the answer that it got.
    """

    def __init__(self, name: str, bases: Sequence[str], token: str, client: httpx.AsyncClient, seed: int) -> None:
        self.name = name
        self.bases = bases
        self.random = random.Random(seed)
        self.answers: dict[str, dict[str, Any]] = {}
        self.sent: dict[str, tuple[str, str, Any, httpx.Response]] = {}
        self.retries = 0
        self.errors: dict[int, int] = {}
        self._headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        self._client = client

    async def shop(self, stopping: asyncio.Event) -> None:
        number = 0
        while not stopping.is_set():
            number += 1
            await self.check_out(f"{self.name}-{number}")

    async def check_out(self, order_id: str, method: str = "", course: str = "") -> None:
        """One order, from the creation to whatever end it takes."""
        dice = self.random
        method = method or dice.choices(list(METHODS), list(METHODS.values()))[0]
        course = course or dice.choice(["complete"] * 5 + ["automatic", "parts", "less", "cancel", "fail"])
        amount = dice.randint(2, 40_000)
        creation = {
            "orderId": order_id,
            "customerId": f"customer-{self.name}",
            "amount": amount,
            "currency": dice.choice(["EUR", "EUR", "JPY", "KWD"]),
            "captureMethod": "AUTOMATIC" if course == "automatic" else "MANUAL",
            "paymentMethodId": method,
        }
        payment = await self.ask(order_id, "create", "POST", CORE, creation)
        if payment["status"] == "IN_REVIEW":  # the database was away when it was to be scored
            return
        steps: list[tuple[str, str, dict[str, Any]]] = [("authorize", "authorize", {})]
        if method == "pm_sandbox_requires_action":
            steps.append(("authorize-again", "authorize", {}))
        if course in ("cancel", "fail"):
            steps.append((course, course, {"reason": "out of stock"}))
        if course in ("parts", "less"):
            steps.append(("capture-1", "capture", {"amount": amount // 2, "finalCapture": False}))
        if course in ("parts", "complete"):
            steps.append(("capture", "capture", {}))
        if course not in ("cancel", "fail"):
            steps.append(("complete", "complete", {}))
        for key, action, body in steps:
            before = payment["status"]
            payment = await self.act(order_id, payment, key, action, body)
            if payment["status"] == "FAILED":
                return
            if payment["status"] == before:  # it was not done, for good or for now: call the order off
                if before in ("PENDING", "AUTHORIZED", "REQUIRES_ACTION"):
                    await self.act(order_id, payment, "call-off", "cancel", {"reason": "it does not work"})
                return

    async def act(
        self, order_id: str, payment: dict[str, Any], key: str, action: str, body: dict[str, Any]
    ) -> dict[str, Any]:
        """Ask for an action and wait until its outcome is known."""
        path = f"{CORE}/{payment['id']}"
        answer = await self.ask(order_id, key, "PUT", f"{path}/{action}", body)
        if "code" in answer:
            assert answer["code"] == "payment_declined", f"{order_id} {key}: {answer}"
            answer = await self.ask(order_id, "", "GET", path)
        async with asyncio.timeout(TRY_SECONDS_MAX):
            while answer["status"] == "PROCESSING":
                await asyncio.sleep(0.2)
                answer = await self.ask(order_id, "", "GET", path)
        return answer

    async def ask(self, order_id: str, key: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request to any API until one of them answers for good."""
        headers = {**self._headers, **({"idempotency-key": f"{order_id}:{key}"} if key else {})}
        async with asyncio.timeout(TRY_SECONDS_MAX):
            while True:
                response = await self._try(method, path, body, headers)
                if response is not None:
                    break
                self.retries += 1
                await asyncio.sleep(self.random.uniform(0.05, 0.3))
        document: dict[str, Any] = response.json()
        assert response.status_code in (200, 201, 202, 402), f"{order_id} {key}: {response.status_code} {document}"
        if "code" not in document:
            self.answers[order_id] = document
        if key:
            self.sent[f"{order_id}:{key}"] = (method, path, body, response)
        return document

    async def _try(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response | None:
        """One try; None where it has to be sent again as it is."""
        try:
            base = self.random.choice(self.bases)
            response = await self._client.request(method, base + path, json=body, headers=headers)
        except httpx.TransportError:
            return None
        if response.status_code >= 500 or "retry-after" in response.headers:
            self.errors[response.status_code] = self.errors.get(response.status_code, 0) + 1
            return None
        keep_contract(response)
        return response

    async def replays_hold(self, base: str) -> list[str]:
        """Send some of what was answered once more: each key still answers what it answered, to the letter."""
        found = []
        for name in self.random.sample(sorted(self.sent), min(20, len(self.sent))):
            method, path, body, first = self.sent[name]
            if first.status_code == 202:
                continue
            again = await self._client.request(
                method, base + path, json=body, headers={**self._headers, "idempotency-key": name}
            )
            if (again.status_code, again.content) != (first.status_code, first.content):
                found.append(f"{name}: was {first.status_code} {first.text}, is {again.status_code} {again.text}")
        return found
