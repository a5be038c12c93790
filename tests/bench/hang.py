"""A provider that hangs: a server that takes calls and never answers, and customers who keep paying through it, or
through one that answers.
"""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.bench import machine
from tests.bench.load import Figures

COUNT = 24
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 1.0
BREAKER_OPEN_SECONDS = 2.0
LOOK_SECONDS = 0.05
TOKENS = {"stripe": "pm_card_visa", "sandbox": "pm_sandbox_visa"}
"""What customers pay with, through the provider that hangs, and through one that answers."""

ANSWERS = {"stripe": {202, 503}, "sandbox": {200}}
OPEN_TRANSACTIONS = """
select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0) as seconds from pg_stat_activity
where datname = current_database() and state like 'idle in transaction%'
"""


class Provider(NamedTuple):
    """A server that never answers. settings: of a service that has it as its second provider."""

    settings: dict[str, str]


class Customers:
    """Customers who pay through one provider: how their requests ended, how long a transaction stood open."""

    def __init__(self, base: str, token: str, url: str) -> None:
        self._base, self._url = base, url
        self._headers = {"authorization": f"Bearer {token}"}
        self._stopping = threading.Event()
        self._runs = 0
        self._provider = ""
        self.statuses: dict[int, int] = {}
        self.open_seconds_max = 0.0

    @contextmanager
    def paid_through(self, provider: str) -> Iterator[None]:
        """Customers pay through a provider, for the time of a `with`."""
        self._provider = provider
        self._stopping.clear()
        self._runs += 1
        self.statuses = {}
        self.open_seconds_max = 0.0
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(lambda: asyncio.run(self._run()))
            try:
                yield
            finally:
                self._stopping.set()
                running.result()

    def figures(self) -> Figures:
        """What was seen of the last time: how authorizations were answered, how long a transaction stood open."""
        if not self.statuses or set(self.statuses) - ANSWERS[self._provider]:
            machine.fail(f"{self._provider} was answered for with {self.statuses}")
        counts = {f"answered_{status}": float(count) for status, count in self.statuses.items()}
        return {**counts, "open_transaction_seconds_max": self.open_seconds_max}

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=COUNT)
        async with httpx.AsyncClient(base_url=self._base, headers=self._headers, limits=limits, timeout=30) as client:
            await asyncio.gather(self._look(), *(self._customer(client, number) for number in range(COUNT)))

    async def _customer(self, client: httpx.AsyncClient, number: int) -> None:
        token = {"provider": self._provider, "token": TOKENS[self._provider]}
        customer = {"customerId": f"stuck-{self._runs}-{number}"}
        method = (
            await client.post("/api/v1/payment-methods", json={"type": "CARD", "providerToken": token, **customer})
        ).json()
        while not self._stopping.is_set():
            body = {**customer, "orderId": "stuck", "amount": 100, "currency": "EUR", "paymentMethodId": method["id"]}
            payment = (await client.post("/api/v1/payments/core", json=body)).json()
            answer = await client.put(f"/api/v1/payments/core/{payment['id']}/authorize", json={})
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _look(self) -> None:
        while not self._stopping.is_set():
            rows = await machine.fetch(self._url, OPEN_TRANSACTIONS)
            self.open_seconds_max = max(self.open_seconds_max, float(rows[0]["seconds"]))
            await asyncio.sleep(LOOK_SECONDS)


@contextmanager
def provider() -> Iterator[Provider]:
    """A server that hangs, for the time of a `with`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server: Any = asyncio.run_coroutine_threadsafe(asyncio.start_server(_never, "127.0.0.1", 0), loop).result()
    port = server.sockets[0].getsockname()[1]
    try:
        yield Provider(
            {
                "PROVIDERS": "sandbox,stripe",
                "STRIPE_API_KEY": "sk_test_bench",
                "STRIPE_API_BASE": f"http://127.0.0.1:{port}",
                "PROVIDER_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
                "PROVIDER_BREAKER_OPEN_SECONDS": str(BREAKER_OPEN_SECONDS),
            }
        )
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(65_536):
        pass
    writer.close()
