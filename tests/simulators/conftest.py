"""A Stripe to talk to, and the official SDK that does."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import stripe

from simulators.kit.server import Simulator, build, running
from simulators.stripe import Stripe, fixtures


class Story:
    """The simulator, and the SDK's client for it (`connect`). url: of the simulator."""

    def __init__(self, simulator: Simulator, provider: Stripe, url: str, http: httpx.AsyncClient) -> None:
        self.simulator, self.provider, self.url, self.http = simulator, provider, url, http
        self._transport: Any = None

    async def connect(self, *, timeout: float) -> None:
        """A new client, which waits so many seconds for an answer and tries once."""
        await self.close()
        self._transport = stripe.HTTPXClient(timeout=timeout)
        self.client = stripe.StripeClient(
            "sk_test_simulators",
            base_addresses={"api": self.url},
            http_client=self._transport,
            max_network_retries=0,
        )
        self.v1 = self.client.v1

    async def close(self) -> None:
        if self._transport is not None:
            await self._transport.close_async()

    async def pay(self, method: str = "pm_card_visa", key: str | None = None, **params: Any) -> Any:
        """A PaymentIntent over 20.00 USD, created and confirmed."""
        given: Any = {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": method}
        given |= {"payment_method_types": ["card", "us_bank_account"], **params}
        return await self.v1.payment_intents.create_async(given, {"idempotency_key": key} if key else {})

    async def control(self, path: str, **body: Any) -> Any:
        """POST to the simulator itself."""
        answer = await self.http.post(f"{self.url}/_sim/{path}", json=body)
        return answer.raise_for_status().json()

    def total(self, kind: str, currency: str = "USD") -> int:
        return self.provider.books.total(kind, currency)


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """A story ends without a request or an answer that the document does not allow, unless the test took them away."""
    if not (fixtures.FOLDER / "spec3.json.gz").is_file():
        pytest.skip("../shared/data/openapi/stripe is absent")
    provider = Stripe()
    app = build(provider)
    async with running(app) as url, httpx.AsyncClient(timeout=60, trust_env=False) as http:
        told = Story(app.simulator, provider, url, http)
        await told.connect(timeout=60)
        yield told
        await told.close()
    assert app.simulator.violations == []
