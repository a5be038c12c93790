"""PayPal under the contract: the adapter asks our simulator, whose faults meet the first call of each key."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from bursar.kit.clock import SystemClock
from bursar.providers.paypal import PayPal
from bursar.providers.port import (
    ActionRequired,
    Authorization,
    Capture,
    Description,
    Instrument,
    MethodType,
    Outcome,
    Refund,
    Request,
    Void,
)
from simulators import paypal
from simulators.kit.faults import Faults as SimulatorFaults
from simulators.kit.faults import Kind
from simulators.kit.server import build, running
from tests.providers.contract.asking import key, now
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
from tests.support.ports import free_port

TOKENS: Final = {
    Behaviour.APPROVED: (MethodType.DIGITAL_WALLET, "paypal-approved"),
    Behaviour.DECLINED: (MethodType.DIGITAL_WALLET, "paypal-declined"),
    Behaviour.INSUFFICIENT_FUNDS: (MethodType.CARD, "card-insufficient-funds"),
    Behaviour.REQUIRES_ACTION: (MethodType.DIGITAL_WALLET, "paypal-action-required"),
    Behaviour.REFUND_PENDING: (MethodType.DIGITAL_WALLET, "paypal-refund-pending"),
    Behaviour.REFUND_FAILS: (MethodType.DIGITAL_WALLET, "paypal-approved"),
}

OUTCOMES: Final = {
    Verdict.WON: "RESOLVED_SELLER_FAVOUR",
    Verdict.LOST: "RESOLVED_BUYER_FAVOUR",
    Verdict.ESCALATED: "ESCALATED",
}

CALLS: Final = {
    Authorization: "POST /v2/checkout/orders",
    Capture: "POST /v2/payments/authorizations/[^/]+/capture",
    Void: "POST /v2/payments/authorizations/[^/]+/void",
    Refund: "POST /v2/payments/captures/[^/]+/refund",
}
"""The one call of each step that has its effect."""

FAULTS: Faults = dict.fromkeys(CALLS, frozenset(Fault))


class FirstOfEachKey(SimulatorFaults):
    """The first call of each key that matches gets the fault, as often as is planned: repeats of it are well served."""

    def __init__(self) -> None:
        super().__init__()
        self.retry_after_seconds = 7
        self._kind, self._on, self._left = Kind.SLOW, "", 0
        self._met: set[str | None] = set()

    def prepare(self, kind: Kind, on: str, times: int) -> None:
        self._kind, self._on, self._left = kind, on, times

    def for_request(self, operation: str, key: str | None) -> Kind | None:
        if not self._left or key in self._met or not re.fullmatch(self._on, operation):
            return None
        self._met.add(key)
        self._left -= 1
        return self._kind


class Wired(PayPal):
    """The adapter; the next `refusals` of `step` find nobody listening. Another one, which does not wait long for an
    answer, carries out steps in `is_hurried`.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__(**_options(base_url))
        self._nowhere = PayPal(**_options(f"http://127.0.0.1:{free_port()}"))
        self.hurried = PayPal(**_options(base_url, timeout_seconds=HURRIED_SECONDS))
        self.is_hurried: set[type[Request]] = set()
        self.step: type[Request] | None = None
        self.refusals = 0

    async def execute(self, request: Request) -> Outcome:
        if type(request) is self.step and self.refusals:
            self.refusals -= 1
            return await self._nowhere.execute(request)
        if type(request) in self.is_hurried:
            return await self.hurried.execute(request)
        return await super().execute(request)

    async def close(self) -> None:
        await self._nowhere.close()
        await self.hurried.close()
        await super().close()


class PayPalHarness:
    """The simulator's orders are the books."""

    def __init__(self, simulator: paypal.PayPal, provider: Wired, base_url: str) -> None:
        self.provider = provider
        self._base_url = base_url
        self._simulator = simulator
        self._faults = FirstOfEachKey()
        simulator.faults = self._faults

    def instrument(self, behaviour: Behaviour) -> Instrument:
        method_type, token = TOKENS[behaviour]
        return Instrument("pm_ours", method_type, token=token)

    async def prepare(self, fault: Fault, step: type[Request], *, times: int = 1) -> Instrument:
        if fault is Fault.REFUSED_CONNECTION:
            self.provider.step, self.provider.refusals = step, times
        else:
            self._faults.prepare(Kind(fault), CALLS[step], times)
        if fault in SILENT:
            self.provider.is_hurried.add(step)
            await self.provider.hurried.execute(known())  # it has its token now, as the other one has
        return self.instrument(Behaviour.APPROVED)

    async def wait(self) -> None:
        """The simulator knows at once."""

    async def complete_action(self, outcome: ActionRequired) -> None:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as browser:
            (await browser.get(outcome.next_action["url"])).raise_for_status()

    async def account(self, reference: str) -> Account:
        order = self._simulator.orders.by_id[reference]
        held = order.authorization
        is_open = held is not None and held.status in ("CREATED", "PARTIALLY_CAPTURED")
        return Account(
            reference=reference,
            currency=order.currency,
            authorized=order.captured if held is None else held.amount,
            reserved=held.amount - order.captured if held is not None and is_open else 0,
            captured=order.captured,
            refunded=sum(capture.refunded for capture in order.captures),
        )

    async def end_refunds(self, reference: str, *, are_done: bool) -> None:
        status = "COMPLETED" if are_done else "FAILED"
        for capture in self._simulator.orders.by_id[reference].captures:
            for refund in capture.refunds:
                await self._test(f"refunds/{refund.id}/decision", {"status": status})

    async def refund_by_hand(self, reference: str, amount: int) -> str:
        capture = self._simulator.orders.by_id[reference].captures[0]
        return str((await self._test("refunds", {"capture_id": capture.id, "amount": amount}))["id"])

    async def open_dispute(self, reference: str, *, is_alert: bool = False) -> str:
        capture = self._simulator.orders.by_id[reference].captures[0]
        stage = "INQUIRY" if is_alert else "CHARGEBACK"
        told = await self._test("disputes", {"capture_id": capture.id, "reason": "UNAUTHORISED", "stage": stage})
        return str(told["dispute_id"])

    async def decide_dispute(self, dispute_reference: str, verdict: Verdict) -> None:
        await self._test(f"disputes/{dispute_reference}/decision", {"outcome_code": OUTCOMES[verdict]})

    async def _test(self, path: str, content: dict[str, Any]) -> Any:
        async with httpx.AsyncClient(base_url=self._base_url, timeout=30, trust_env=False) as client:
            return (await client.post(f"/test/{path}", json=content)).raise_for_status().json()

    async def accounts_of(self, key: str) -> list[Account]:
        entries = self._simulator.books.entries
        return [
            await self.account(entry.reference)
            for entry in entries
            if entry.key == key and entry.facts.get("invoice_id") == key and entry.kind in ("authorization", "capture")
        ]


def known() -> Description:
    """A look at a token that is there."""
    return Description(key=key(), token="paypal-approved", asked_at=now())


def _options(base_url: str, **others: Any) -> dict[str, Any]:
    return {
        "client_id": paypal.CLIENT_ID,
        "client_secret": paypal.CLIENT_SECRET,
        "base_url": base_url,
        "clock": SystemClock(),
        "timeout_seconds": TIMEOUT_SECONDS,
        "authorization_days": 3,
        **others,
    }


class Shared:
    """The simulator, an adapter that asks it, and the clock of both."""

    def __init__(self, simulator: paypal.PayPal, base_url: str) -> None:
        self.simulator = simulator
        self.base_url = base_url
        self.adapter = PayPal(**_options(base_url, clock=self))

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.clock.now(), UTC)

    def advance(self, by: timedelta) -> None:
        self.simulator.clock.advance(by.total_seconds())

    async def visit(self, url: str) -> None:
        """The customer opens PayPal's page, and approves."""
        async with httpx.AsyncClient(timeout=30, trust_env=False) as browser:
            (await browser.get(url)).raise_for_status()


@asynccontextmanager
async def sharing() -> AsyncIterator[Shared]:
    """For the adapter's own tests; what the simulator found wrong is checked at the end."""
    simulator = paypal.provider()
    app = build(simulator)
    async with running(app) as base_url:
        shared = Shared(simulator, base_url)
        try:
            yield shared
        finally:
            await shared.adapter.close()
    assert app.simulator.violations == []


@asynccontextmanager
async def opened() -> AsyncIterator[PayPalHarness]:
    simulator = paypal.provider()
    app = build(simulator)
    async with running(app) as base_url:
        provider = Wired(base_url)
        await provider.execute(known())
        try:
            yield PayPalHarness(simulator, provider, base_url)
        finally:
            await provider.close()
    assert app.simulator.violations == []
