"""The service in front of the Stripe stand-in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx

from simulators.kit.server import Simulator, build, running
from simulators.stripe import Stripe
from tests.support.api import Api, json_of, unique
from tests.support.service import Service
from tests.support.webhooks import HOOKS, SECRETS, hear, tell_secrets

METHODS = "/api/v1/payment-methods"
RETURN_URL = "https://shop.example/return"


class Shop:
    """The service, the stand-in, and what a shop does with them."""

    def __init__(self, service: Service, simulator: Simulator, address: str) -> None:
        self.service = service
        self.simulator = simulator
        self.address = address
        self.api: Api = service.api.as_("service")

    @property
    def faults(self) -> Any:
        return self.simulator.provider.faults

    def total(self, kind: str, currency: str = "EUR") -> int:
        """What the stand-in's books say, in minor units."""
        return int(self.simulator.provider.books.total(kind, currency))

    async def add_card(self, number: str = "4242424242424242", **changes: Any) -> httpx.Response:
        card = {"number": number, "expMonth": 12, "expYear": 2034, "cvc": "314", "holderName": "Ada Byron"}
        body = {"customerId": unique("customer"), "type": "CARD", "card": card, **changes}
        return await self.api.call("POST", METHODS, body)

    async def card(self, number: str = "4242424242424242", **changes: Any) -> dict[str, Any]:
        return dict(json_of(await self.add_card(number, **changes), 201))

    async def payment(self, method: dict[str, Any], **changes: Any) -> dict[str, Any]:
        return await self.api.create_payment(
            customerId=method["customerId"], paymentMethodId=method["id"], **{"amount": 1_000, **changes}
        )

    async def captured(self, number: str = "4242424242424242", amount: int = 1_000, **changes: Any) -> dict[str, Any]:
        """A payment by a card, captured."""
        payment = await self.payment(await self.card(number), amount=amount, **changes)
        json_of(await self.api.authorize(payment["id"]), 200)
        return dict(json_of(await self.api.capture(payment["id"]), 200))

    def listen(self) -> Any:
        """The stand-in's webhooks, which go to the service from now on."""
        tell_secrets(self.service, SECRETS)
        hooks = self.simulator.provider.webhooks
        hooks.url = str(self.service.client.base_url.join(HOOKS))
        return hooks

    async def hear(self) -> None:
        """Do what is due about Stripe's webhooks."""
        await self.simulator.provider.webhooks.settled()
        await hear(self.service)

    async def there_is(self, path: str, **content: Any) -> dict[str, Any]:
        """Something happens at Stripe: a dispute is opened, a bank decides, what takes days ends."""
        async with httpx.AsyncClient(base_url=self.address, timeout=30, trust_env=False) as client:
            return dict((await client.post(f"/_sim/{path}", json=content)).raise_for_status().json())

    async def in_dashboard(self, path: str, **form: str) -> dict[str, Any]:
        """A person does something on Stripe's site."""
        async with httpx.AsyncClient(base_url=self.address, timeout=30, trust_env=False) as person:
            headers = {"authorization": "Bearer sk_test_dashboard"}
            return dict((await person.post(f"/v1/{path}", headers=headers, data=form)).raise_for_status().json())

    async def authenticate(self, reference: str, outcome: str = "succeed") -> None:
        """Do what the customer does on the page that the action names."""
        async with httpx.AsyncClient(base_url=self.address, timeout=30, trust_env=False) as customer:
            answer = await customer.get(f"/_sim/authenticate/{reference}", params={"outcome": outcome})
            assert answer.status_code < 400, answer.text


@asynccontextmanager
async def shop(serve: Callable[..., AbstractAsyncContextManager[Service]], **settings: Any) -> AsyncIterator[Shop]:
    """A shop whose cards go to Stripe's stand-in; at the end nothing was sent or answered that Stripe does not know."""
    simulator = build(Stripe())
    async with running(simulator) as address:
        options: dict[str, Any] = {
            "providers": "stripe",
            "stripe_api_key": "sk_test_bursar",
            "stripe_api_base": address,
            "action_return_url": RETURN_URL,
            **settings,
        }
        async with serve(**options) as service:
            made = Shop(service, simulator.simulator, address)
            yield made
        assert made.simulator.violations == []
