"""The service in front of PayPal's stand-in, whose webhooks go to it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from simulators import paypal
from simulators.kit.server import build, running
from simulators.paypal.notifications import certificate_pem
from tests.support.api import json_of, unique
from tests.support.service import Service
from tests.support.stripe import METHODS
from tests.support.webhooks import HOOKS, hear, tell_secrets


class PayPalShop:
    """The service, the stand-in, and what a shop and its customers do with them."""

    def __init__(self, service: Service, there: Any, address: str) -> None:
        self.service, self.there, self.address = service, there, address
        self.api = service.api.as_("service")

    async def captured(self, amount: int = 1_000, token: str = "paypal-approved") -> dict[str, Any]:
        """A payment by a wallet, captured."""
        customer = unique("customer")
        body: dict[str, Any] = {"customerId": customer, "type": "DIGITAL_WALLET"}
        body["providerToken"] = {"provider": "paypal", "token": token}
        method = json_of(await self.api.call("POST", METHODS, body), 201)
        payment = await self.api.create_payment(customerId=customer, paymentMethodId=method["id"], amount=amount)
        json_of(await self.api.authorize(payment["id"]), 200)
        return dict(json_of(await self.api.capture(payment["id"]), 200))

    def capture_id(self, payment: dict[str, Any]) -> str:
        """PayPal's id of a payment's first capture."""
        return str(self.there.orders.by_id[payment["transactionId"]].captures[0].id)

    async def there_is(self, path: str, **content: Any) -> dict[str, Any]:
        """Something happens at PayPal: a dispute is opened, a person decides or refunds."""
        async with httpx.AsyncClient(base_url=self.address, timeout=30, trust_env=False) as client:
            return dict((await client.post(f"/test/{path}", json=content)).raise_for_status().json())

    async def hear(self) -> None:
        """Do what is due about PayPal's webhooks."""
        await self.there.webhooks.settled()
        await hear(self.service)


@asynccontextmanager
async def paypal_shop(
    serve: Callable[..., AbstractAsyncContextManager[Service]], directory: Path
) -> AsyncIterator[PayPalShop]:
    """A shop; at the end nothing was sent or answered that PayPal does not know."""
    application = build(paypal.provider())
    authorities = directory / "paypal.pem"
    authorities.write_bytes(certificate_pem())
    async with running(application) as address:
        settings = {
            "providers": "paypal",
            "paypal_client_id": paypal.CLIENT_ID,
            "paypal_client_secret": paypal.CLIENT_SECRET,
            "paypal_base_url": address,
            "action_return_url": "https://shop.example/return",
            "webhook_certificate_origins": address,
            "webhook_certificate_authorities": str(authorities),
        }
        async with serve(**settings) as service:
            there: Any = application.simulator.provider
            tell_secrets(service, {"paypal": [{"secret": there.webhooks.secret}]})
            there.webhooks.url = str(service.client.base_url.join(HOOKS))
            yield PayPalShop(service, there, address)
        assert application.simulator.violations == []
