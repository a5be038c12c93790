"""The sandbox under the contract: its faults are its test methods', its books are its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from bursar.kit.clock import SystemClock
from bursar.providers.port import (
    ActionRequired,
    Authorization,
    Capture,
    DisputeStatus,
    Instrument,
    MethodType,
    Refund,
    Request,
    Void,
)
from bursar.providers.sandbox.adapter import Sandbox
from tests.providers.contract.harness import Account, Behaviour, Fault, Faults, Verdict

METHODS: Final = {
    Behaviour.APPROVED: "pm_sandbox_visa",
    Behaviour.DECLINED: "pm_sandbox_declined",
    Behaviour.INSUFFICIENT_FUNDS: "pm_sandbox_declined_insufficient_funds",
    Behaviour.REQUIRES_ACTION: "pm_sandbox_requires_action",
    Behaviour.REFUND_PENDING: "pm_sandbox_refund_pending",
    Behaviour.REFUND_FAILS: "pm_sandbox_refund_fails",
}

STATUSES: Final = {
    Verdict.WON: DisputeStatus.WON,
    Verdict.LOST: DisputeStatus.LOST,
    Verdict.ESCALATED: DisputeStatus.NEEDS_RESPONSE,
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
        prefix = {Authorization: "pm_sandbox_", Refund: "pm_sandbox_refund_"}.get(step, "pm_sandbox_capture_")
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

    async def end_refunds(self, reference: str, *, are_done: bool) -> None:
        """An inquiry ends them."""

    async def refund_by_hand(self, reference: str, amount: int) -> str:
        return self.provider.refund_by_hand(reference, amount)

    async def open_dispute(self, reference: str, *, is_alert: bool = False) -> str:
        status = DisputeStatus.ALERT if is_alert else DisputeStatus.NEEDS_RESPONSE
        return self.provider.open_dispute(reference, status=status)

    async def decide_dispute(self, dispute_reference: str, verdict: Verdict) -> None:
        self.provider.move_dispute(dispute_reference, STATUSES[verdict])

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
