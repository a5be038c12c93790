"""The Stripe adapter beside the simulator that it asks, for tests of what the contract does not cover."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from bursar.kit.clock import ManualClock
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Card,
    Declined,
    Instrument,
    MethodType,
    Outcome,
    Payout,
    Verification,
)
from bursar.providers.stripe.adapter import Stripe
from simulators import stripe
from simulators.kit.faults import Kind
from simulators.kit.server import Simulator, build, running
from tests.providers.contract.asking import authorization, key, now

RETURN_URL: Final = "https://shop.example/return"
NUMBER: Final = "4242424242424242"
CVC: Final = "314"


class Setting:
    """An adapter with a clock of its own, and the simulator that it asks."""

    def __init__(self, address: str, simulator: Simulator, **options: Any) -> None:
        self.clock = ManualClock(now())
        self.address, self.simulator = address, simulator
        self.provider = Stripe(
            api_key="sk_test_adapter",
            api_base=address,
            clock=self.clock,
            timeout_seconds=30,
            authorization_days=7,
            **{"return_url": RETURN_URL, **options},
        )

    def fail(self, kind: Kind, on: str) -> None:
        """Let the next such call go wrong; one that is not answered ends with a torn connection."""
        self.simulator.provider.faults.timeout_seconds = 0.05
        self.simulator.provider.faults.plan(kind, on=f"POST /v1/{on}")

    def asked(self, operation: str) -> int:
        """How often the simulator was asked for `POST /v1/…`."""
        return sum(call.operation == f"POST /v1/{operation}" for call in self.simulator.calls)

    async def paid(self, token: str = "pm_card_visa", **options: Any) -> str:
        outcome = await self.provider.execute(authorization(by_token(token), **options))
        assert isinstance(outcome, Approved), outcome
        return outcome.reference

    async def verified(self, instrument: Instrument) -> Approved:
        outcome = await self.provider.execute(verification(instrument))
        assert isinstance(outcome, Approved), outcome
        return outcome


def by_token(token: str) -> Instrument:
    return Instrument("ours", MethodType.CARD, token=token)


def by_number(number: str = NUMBER, *, cvc: str | None = CVC) -> Instrument:
    return Instrument("ours", MethodType.CARD, card=Card(number, 12, 2034, "Ada Lovelace", cvc))


def verification(instrument: Instrument) -> Verification:
    return Verification(key(), instrument, "USD", now())


def payout(token: str, amount: int = 5000, currency: str = "USD") -> Payout:
    return Payout(key(), amount, currency, by_token(token), "Vendor 1", now())


def code_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


async def visit(asked: ActionRequired, outcome: str) -> None:
    """What the customer does at his bank."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as customer:
        page = await customer.get(asked.next_action["url"], params={"outcome": outcome})
    assert page.status_code == httpx.codes.FOUND, page.text


async def settle(setting: Setting) -> None:
    """Let what takes days come to its end."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        (await client.post(f"{setting.address}/_sim/settle")).raise_for_status()


@asynccontextmanager
async def opened() -> AsyncIterator[Setting]:
    """A new Stripe with empty books; at the end nothing was asked or answered that its document does not allow."""
    app = build(stripe.provider())
    async with running(app) as address:
        setting = Setting(address, app.simulator)
        yield setting
        await setting.provider.close()
    assert app.simulator.violations == []
