"""What the contract suite needs of an adapter: a harness. One module `harness_<name>.py` for each, found by its name.

Such a module has `FAULTS`, what it can let go wrong by the step that it goes wrong in, and `opened()`, an async context
manager that yields a Harness and ends whatever it has started. Its end checks what the stand-in found wrong.
"""

import importlib
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from bursar.providers.port import (
    ActionRequired,
    Authorization,
    Capture,
    Instrument,
    PaymentProvider,
    Refund,
    Request,
    Void,
)

TIMEOUT_SECONDS: Final = 30
"""How long an adapter under test waits for an answer: long enough, whatever else runs on this machine."""

HURRIED_SECONDS: Final = 1.2
"""How long it waits where none comes: long enough for a stand-in of this process to have done what it does before."""


class Behaviour(StrEnum):
    """How a payment method of a harness behaves."""

    APPROVED = "APPROVED"
    DECLINED = "DECLINED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    REFUND_PENDING = "REFUND_PENDING"
    REFUND_FAILS = "REFUND_FAILS"


class Fault(StrEnum):
    """What goes wrong with one call."""

    TIMEOUT_BEFORE_EFFECT = "TIMEOUT_BEFORE_EFFECT"
    TIMEOUT_AFTER_EFFECT = "TIMEOUT_AFTER_EFFECT"
    ERROR_AFTER_EFFECT = "ERROR_AFTER_EFFECT"
    GARBAGE = "GARBAGE"
    RESET = "RESET"
    WRONG_AMOUNT = "WRONG_AMOUNT"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    REFUSED_CONNECTION = "REFUSED_CONNECTION"


SILENT: Final = frozenset({Fault.TIMEOUT_BEFORE_EFFECT, Fault.TIMEOUT_AFTER_EFFECT})
"""Faults by which no answer comes."""

LEAVES_OPEN: Final = frozenset(Fault) - {Fault.TOO_MANY_REQUESTS, Fault.REFUSED_CONNECTION}
"""Faults after which nobody can say what was done; after the others it is certain that nothing was."""

STEPS: Final = (Authorization, Capture, Void, Refund)

Faults = Mapping[type[Request], frozenset[Fault]]
"""What a harness can let go wrong, by step."""


class Verdict(StrEnum):
    """What the customer's bank decides about a dispute. ESCALATED: an alert becomes a dispute that takes money."""

    WON = "WON"
    LOST = "LOST"
    ESCALATED = "ESCALATED"


class Account(msgspec.Struct, frozen=True):
    """A payment as the provider's own books have it, in our minor units. reserved: what could still be captured."""

    reference: str
    currency: str
    authorized: int
    reserved: int
    captured: int
    refunded: int


class Harness(Protocol):
    """An adapter, the stand-in that it asks, and a look into the stand-in's books."""

    provider: PaymentProvider

    def instrument(self, behaviour: Behaviour) -> Instrument:
        """A payment method that behaves so."""
        ...

    async def prepare(self, fault: Fault, step: type[Request], *, times: int = 1) -> Instrument:
        """Let the next `times` calls of `step` go wrong, for payments made with the instrument that this returns."""
        ...

    async def wait(self) -> None:
        """Let a minute pass at the provider: as long as it is between two inquiries."""
        ...

    async def complete_action(self, outcome: ActionRequired) -> None:
        """Do what the customer has to do."""
        ...

    async def account(self, reference: str) -> Account:
        """The payment of this reference."""
        ...

    async def end_refunds(self, reference: str, *, are_done: bool) -> None:
        """Let the refunds of a payment come to the end that its method has: done, or sent back."""
        ...

    async def refund_by_hand(self, reference: str, amount: int) -> str:
        """Refund a payment at the provider's own site. Returns the refund's reference."""
        ...

    async def open_dispute(self, reference: str, *, is_alert: bool = False) -> str:
        """Have a captured payment disputed as fraud, or only warned of. Returns the dispute's reference."""
        ...

    async def decide_dispute(self, dispute_reference: str, verdict: Verdict) -> None:
        """Have the customer's bank decide."""
        ...

    async def accounts_of(self, key: str) -> list[Account]:
        """The payments that were authorized under this key of ours."""
        ...


class HarnessModule(Protocol):
    FAULTS: Faults

    def opened(self) -> AbstractAsyncContextManager[Harness]: ...


def modules() -> dict[str, Any]:
    """The harnesses by name."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("harness_*.py"))
    return {
        name.removeprefix("harness_"): importlib.import_module(f"tests.providers.contract.{name}") for name in names
    }
