"""Webhooks as providers send them: signed by the stand-ins or by ourselves, and brought to the service."""

import json
from typing import Any

import httpx
import msgspec

from bursar.domains.webhooks.signatures import generic, standard, stripe
from bursar.infra import keyfiles
from bursar.kit.clock import ManualClock, SystemClock
from tests.support.api import Api, json_of, keep_contract, unique
from tests.support.service import MovableClock, Service

HOOKS = "/api/v1/payment-webhooks"
STRIPE_SECRET = "whsec_simulators"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GENERIC_SECRET = "a secret that both know"

SECRETS: dict[str, Any] = {
    "stripe": [{"secret": STRIPE_SECRET}],
    "kyc": [{"secret": STANDARD_SECRET}],
    "acme": [{"secret": GENERIC_SECRET}],
}


class StillClock(MovableClock):
    """Moves when a test says so, and however long that takes, not by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = ManualClock(SystemClock().now())


def tell_secrets(service: Service, secrets: dict[str, Any]) -> None:
    """Put the file of secrets in its place."""
    path = service.app.settings.keys_path / keyfiles.WEBHOOK_SECRETS
    keyfiles.replace(path, msgspec.json.encode(secrets))


def stripe_event(event_type: str, held: dict[str, Any], event_id: str | None = None, **rest: Any) -> dict[str, Any]:
    """An event as Stripe writes it. held: the object that it is about."""
    return {
        "id": event_id or unique("evt"),
        "object": "event",
        "type": event_type,
        "created": 1_760_000_000,
        "data": {"object": held},
        "request": {"id": None, "idempotency_key": None},
        **rest,
    }


def intent_event(event_type: str, payment: dict[str, Any], event_id: str | None = None) -> dict[str, Any]:
    """An event about the PaymentIntent of a payment."""
    held = {
        "id": payment["transactionId"] or unique("pi"),
        "object": "payment_intent",
        "metadata": {"bursar_payment": payment["id"]},
    }
    return stripe_event(event_type, held, event_id)


def unknown_intent() -> dict[str, Any]:
    """A PaymentIntent that bears the id of a payment which is not known here."""
    ours = "019b7966-e200-7000-8000-0000000000e1"
    return {"id": "pi_unheard_of", "object": "payment_intent", "metadata": {"bursar_payment": ours}}


def stripe_headers(body: bytes, at: float, *secrets: str) -> dict[str, str]:
    """Stripe's header for a body, signed with each of the secrets."""
    time = str(int(at))
    signed = ",".join(f"v1={stripe.signature(secret, time, body)}" for secret in secrets or (STRIPE_SECRET,))
    return {"stripe-signature": f"t={time},{signed}"}


def standard_headers(body: bytes, at: float, message_id: str, secret: str = STANDARD_SECRET) -> dict[str, str]:
    """The headers of Standard Webhooks for a body."""
    time, key = str(int(at)), standard.key_of(secret)
    assert key is not None
    signature = standard.signature(key, message_id, time, body)
    return {"webhook-id": message_id, "webhook-timestamp": time, "webhook-signature": signature}


def generic_headers(body: bytes, secret: str = GENERIC_SECRET) -> dict[str, str]:
    """X-Signature for a body."""
    return {"x-signature": f"sha256={generic.signature(secret, body)}"}


class Postman:
    """Brings webhooks to a service, and looks at what became of them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.api: Api = service.api.as_("service")
        tell_secrets(service, SECRETS)

    async def post(self, body: bytes, headers: dict[str, str], **params: str) -> httpx.Response:
        """What came without a token."""
        sent = {"content-type": "application/json", **headers}
        response = await self.service.client.post(HOOKS, content=body, headers=sent, params=params)
        keep_contract(response)
        return response

    async def bring(self, event: dict[str, Any]) -> httpx.Response:
        """An event of Stripe's, well signed."""
        body = json.dumps(event).encode()
        return await self.post(body, stripe_headers(body, self.service.clock.now().timestamp()))

    async def brought(self, event: dict[str, Any]) -> dict[str, Any]:
        """The row of an event that came for the first time."""
        return dict(json_of(await self.bring(event), 202))

    async def show(self, webhook_id: str) -> dict[str, Any]:
        return dict(json_of(await self.api.get(f"{HOOKS}/{webhook_id}"), 200))

    async def run(self, *, minutes: float = 0, times: int = 1) -> None:
        """Let time pass and what is due be done, so many times."""
        for _ in range(times):
            self.service.clock.advance(minutes=minutes)
            await self.service.run_schedule("webhooks.sweep")
            await self.service.run_jobs()

    async def rows(self) -> list[Any]:
        """Every row, in the order in which they came."""
        return await self.service.fetch(
            "select provider, event_id, event_type, status::text, attempts, payment_id from webhooks order by id"
        )

    async def audit(self) -> list[Any]:
        """The audit lines of what came."""
        return await self.service.fetch(
            "select actor, outcome from audit where action = 'webhook.receive' order by position"
        )


async def hear(service: Service) -> None:
    """Do what is due about webhooks, and whatever else is."""
    await service.run_schedule("webhooks.sweep")
    await service.run_jobs()


async def read_logs(service: Service, *, minutes: float = 20) -> None:
    """Let time pass, have the providers' logs looked at, and what follows done."""
    service.clock.advance(minutes=minutes)
    await service.run_schedule("webhooks.missed")
    await service.run_jobs()
    await hear(service)  # of events that come within a moment only the first has the job put in
