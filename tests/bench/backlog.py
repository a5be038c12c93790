"""A consumer that is away: payments come at an even pace while nobody takes what they tell, and what was kept for it is
brought when it comes back.

A p99 is of the creations, each timed from the moment at which it was due, so that a delay counts for all it delayed.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from tests.bench import machine
from tests.bench.load import Figures
from tests.support.receiver import Receiver, streams_of

PER_SECOND: Final = 100
"""Payments, of three events each: created, asked to be authorized, authorized."""

SECONDS_MIN: Final = 20
"""Below it, the 99th percentile would be a matter of three payments."""

EVENTS_EACH: Final = 3
DRAINED_SECONDS_MAX: Final = 120
ENDPOINTS: Final = "/api/v1/webhook-endpoints"
PAYMENTS: Final = "/api/v1/payments/core"


class Consumer:
    """One endpoint that is told of every payment. admin: a token that may register it."""

    def __init__(self, base: str, token: str, admin: str) -> None:
        self._base = base
        self._headers = {"authorization": f"Bearer {token}"}
        self._admin = {"authorization": f"Bearer {admin}"}
        self._runs = 0

    def calm(self, seconds: float) -> Figures:
        """Payments that are told to nobody."""
        return asyncio.run(self._with_client(lambda client: self._pay(client, _count(seconds))))

    def away(self, seconds: float) -> Figures:
        """The same payments while the consumer is away; then it comes back and takes them all, those of each payment in
        their order.
        """
        return asyncio.run(self._with_client(lambda client: self._away(client, _count(seconds))))

    async def _with_client(self, work: Callable[[httpx.AsyncClient], Awaitable[Figures]]) -> Figures:
        async with httpx.AsyncClient(base_url=self._base, headers=self._headers, timeout=30) as client:
            return await work(client)

    async def _away(self, client: httpx.AsyncClient, count: int) -> Figures:
        async with Receiver() as receiver:
            endpoint = await self._register(client, receiver.url)
            await receiver.close()
            figures = await self._pay(client, count)
            began = time.monotonic()
            await receiver.open()
            while len({message.id for message in receiver.taken}) < count * EVENTS_EACH:
                if time.monotonic() - began > DRAINED_SECONDS_MAX:
                    machine.fail(f"{len(receiver.taken)} of {count * EVENTS_EACH} events came back in time")
                await asyncio.sleep(0.05)
            figures |= {"drained_seconds": time.monotonic() - began, "backlog": float(count * EVENTS_EACH)}
            in_order = list(range(1, EVENTS_EACH + 1))
            if wrong := [stream for stream, seen in streams_of(receiver.taken).items() if seen != in_order]:
                machine.fail(f"{len(wrong)} payments' events came out of order")
            (await client.delete(f"{ENDPOINTS}/{endpoint}", headers=self._admin)).raise_for_status()
        return figures

    async def _register(self, client: httpx.AsyncClient, url: str) -> str:
        body = {"url": url, "eventTypes": ["payment.*"]}
        answer = (await client.post(ENDPOINTS, headers=self._admin, json=body)).raise_for_status().json()
        return str(answer["id"])

    async def _pay(self, client: httpx.AsyncClient, count: int) -> Figures:
        """So many payments, each begun when it is due; those of the first second, in which the connections are made,
        are left out of the figures.
        """
        self._runs += 1
        gc.collect()
        gc.disable()  # a collection among all these tasks stops this client for 300 ms: no delay of the service
        began = time.perf_counter()
        under_way: list[asyncio.Task[float]] = []
        for number in range(count):
            due = began + number / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            under_way.append(asyncio.create_task(self._payment(client, number, due)))
        seconds = await asyncio.gather(*under_way)
        gc.enable()
        taken = sorted(seconds[PER_SECOND:])
        return {
            "per_second": count / (time.perf_counter() - began),
            "p50_ms": taken[len(taken) // 2] * 1e3,
            "p99_ms": taken[len(taken) * 99 // 100] * 1e3,
        }

    async def _payment(self, client: httpx.AsyncClient, number: int, due: float) -> float:
        """Create a payment and authorize it. Returns the seconds from when it was due to when it was created."""
        body: dict[str, Any] = {
            "orderId": f"order-{self._runs}-{number}",
            "customerId": f"customer-{self._runs}-{number}",
            "amount": 1_999,
            "currency": "EUR",
            "paymentMethodId": "pm_sandbox_visa",
        }
        created = (await client.post(PAYMENTS, json=body)).raise_for_status().json()
        seconds = time.perf_counter() - due
        (await client.put(f"{PAYMENTS}/{created['id']}/authorize", json={})).raise_for_status()
        return seconds


def _count(seconds: float) -> int:
    return int(PER_SECOND * max(SECONDS_MIN, seconds))
