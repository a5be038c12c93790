"""Stripe under the contract: the official SDK against simulators/stripe, whose every request and answer is held against
Stripe's own document.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from bursar.kit.clock import SystemClock
from bursar.providers.port import ActionRequired, Authorization, Capture, Instrument, MethodType, Refund, Request, Void
from bursar.providers.stripe.adapter import Stripe
from simulators import stripe
from simulators.kit.provider import Provider
from simulators.kit.server import build, running
from tests.providers.contract.harness import (
    HURRIED_SECONDS,
    SILENT,
    TIMEOUT_SECONDS,
    Account,
    Behaviour,
    Fault,
    Faults,
    Verdict,
)
from tests.providers.contract.switch import Switch
from tests.support.ports import free_port

METHODS: Final = {
    Behaviour.APPROVED: "pm_card_visa",
    Behaviour.DECLINED: "pm_card_visa_chargeDeclined",
    Behaviour.INSUFFICIENT_FUNDS: "pm_card_visa_chargeDeclinedInsufficientFunds",
    Behaviour.REQUIRES_ACTION: "pm_card_authenticationRequired",
    Behaviour.REFUND_PENDING: "pm_card_pendingRefund",
    Behaviour.REFUND_FAILS: "pm_card_refundFail",
}

PATHS: Final[dict[type[Request], str]] = {
    Authorization: "POST /v1/payment_intents",
    Capture: "POST /v1/payment_intents/[^/]+/capture",
    Void: "POST /v1/payment_intents/[^/]+/cancel",
    Refund: "POST /v1/refunds",
}
"""The call that carries out a step."""

FAULTS: Faults = dict.fromkeys(PATHS, frozenset(Fault)) | {Void: frozenset(Fault) - {Fault.WRONG_AMOUNT}}
"""A void asks for no amount, so none can be wrong."""

RETRY_AFTER_SECONDS: Final = 7


def adapter(address: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Stripe:
    """An adapter that asks whoever listens at `address`."""
    return Stripe(
        api_key="sk_test_contract",
        api_base=address,
        clock=SystemClock(),
        timeout_seconds=timeout_seconds,
        authorization_days=7,
        return_url="https://shop.example/return",
        multicapture=True,
    )


class StripeHarness:
    """The adapter over HTTP, and the simulator of this process beside it."""

    def __init__(self, address: str, simulated: Provider) -> None:
        self._address = address
        nowhere = f"http://127.0.0.1:{free_port()}"
        self.provider = Switch(adapter(address), adapter(address, HURRIED_SECONDS), adapter(nowhere))
        self._simulated = simulated
        simulated.faults.retry_after_seconds = RETRY_AFTER_SECONDS

    def instrument(self, behaviour: Behaviour) -> Instrument:
        return Instrument("pm_ours", MethodType.CARD, token=METHODS[behaviour])

    async def prepare(self, fault: Fault, step: type[Request], *, times: int = 1) -> Instrument:
        if fault is Fault.REFUSED_CONNECTION:
            self.provider.is_away.add(step)
        else:
            self._simulated.faults.plan(fault.value, on=PATHS[step], times=times)
        if fault in SILENT:
            self.provider.is_hurried.add(step)
        return self.instrument(Behaviour.APPROVED)

    async def wait(self) -> None:
        self._simulated.clock.advance(61)

    async def complete_action(self, outcome: ActionRequired) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as customer:
            page = await customer.get(outcome.next_action["url"], params={"outcome": "succeed"})
        assert page.status_code == httpx.codes.FOUND, page.text

    async def account(self, reference: str) -> Account:
        entries = [entry for entry in self._simulated.books.entries if entry.reference == reference]
        total = dict.fromkeys(("authorized", "captured", "released", "refunded"), 0)
        for entry in entries:
            if entry.kind in total:
                total[entry.kind] += entry.amount
        return Account(
            reference=reference,
            currency=entries[0].currency,
            authorized=total["authorized"],
            reserved=total["authorized"] - total["captured"] - total["released"],
            captured=total["captured"],
            refunded=total["refunded"],
        )

    async def end_refunds(self, reference: str, *, are_done: bool) -> None:
        await self._control("settle")

    async def refund_by_hand(self, reference: str, amount: int) -> str:
        headers = {"authorization": "Bearer sk_test_dashboard"}
        form = {"payment_intent": reference, "amount": str(amount)}
        async with httpx.AsyncClient(base_url=self._address, timeout=30, trust_env=False) as person:
            made = (await person.post("/v1/refunds", headers=headers, data=form)).raise_for_status()
        return str(made.json()["id"])

    async def open_dispute(self, reference: str, *, is_alert: bool = False) -> str:
        form = {"payment_intent": reference} | ({"is_inquiry": "true"} if is_alert else {})
        return str((await self._control("disputes", form))["id"])

    async def decide_dispute(self, dispute_reference: str, verdict: Verdict) -> None:
        await self._control(f"disputes/{dispute_reference}", {"outcome": verdict.lower()})

    async def _control(self, path: str, content: dict[str, str] | None = None) -> Any:
        async with httpx.AsyncClient(base_url=self._address, timeout=30, trust_env=False) as client:
            return (await client.post(f"/_sim/{path}", json=content or {})).raise_for_status().json()

    async def accounts_of(self, key: str) -> list[Account]:
        entries = self._simulated.books.of("authorized")
        made = {entry.reference for entry in entries if entry.facts["metadata"].get("bursar_key") == key}
        return [await self.account(reference) for reference in sorted(made)]


@asynccontextmanager
async def opened() -> AsyncIterator[StripeHarness]:
    app = build(stripe.provider())
    async with running(app) as address:
        harness = StripeHarness(address, app.simulator.provider)
        try:
            yield harness
        finally:
            await harness.provider.close()
    assert app.simulator.violations == []
