"""The sandbox under the contract: its faults are its test methods', its books are its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bursar.kit.clock import SystemClock
from bursar.providers.port import ActionRequired, Authorization, Capture, Instrument, MethodType, Refund, Request, Void
from bursar.providers.sandbox.adapter import Sandbox
from tests.providers.contract.harness import Account, Behaviour, Fault, Faults

METHODS: Final = {
    Behaviour.APPROVED: "pm_sandbox_visa",
    Behaviour.DECLINED: "pm_sandbox_declined",
    Behaviour.INSUFFICIENT_FUNDS: "pm_sandbox_declined_insufficient_funds",
    Behaviour.REQUIRES_ACTION: "pm_sandbox_requires_action",
}

WORDS: Final = {
    Fault.TIMEOUT_BEFORE_EFFECT: "timeout_before_effect",
    Fault.TIMEOUT_AFTER_EFFECT: "timeout_after_effect",
    Fault.REFUSED_CONNECTION: "unavailable",
}

FAULTS: Faults = dict.fromkeys((Authorization, Capture, Void, Refund), frozenset(WORDS))


class SandboxHarness:
    """Nothing is between this adapter and its books."""

    def __init__(self) -> None:
        self.provider = Sandbox(books=None, clock=SystemClock(), slow_seconds=0, authorization_days=7)

    def instrument(self, behaviour: Behaviour) -> Instrument:
        return Instrument("pm_ours", MethodType.CARD, token=METHODS[behaviour])

    async def prepare(self, fault: Fault, step: type[Request], *, times: int = 1) -> Instrument:
        prefix = "pm_sandbox_" if step is Authorization else "pm_sandbox_capture_"
        return Instrument("pm_ours", MethodType.CARD, token=prefix + WORDS[fault])

    async def wait(self) -> None:
        """The sandbox knows at once."""

    async def complete_action(self, outcome: ActionRequired) -> None:
        """Being authorized again is the sandbox's action."""

    async def account(self, reference: str) -> Account:
        account = self.provider.books.account(reference)
        return Account(
            reference=reference,
            currency=account.currency,
            authorized=account.authorized,
            reserved=0 if account.is_closed else account.authorized - account.captured,
            captured=account.captured,
            refunded=account.refunded,
        )

    async def accounts_of(self, key: str) -> list[Account]:
        entry = self.provider.books.by_key.get(key)
        made = entry is not None and entry.kind in ("AUTHORIZED", "CHARGED")
        return [await self.account(entry.reference)] if entry is not None and made else []


@asynccontextmanager
async def opened() -> AsyncIterator[SandboxHarness]:
    harness = SandboxHarness()
    try:
        yield harness
    finally:
        await harness.provider.close()
