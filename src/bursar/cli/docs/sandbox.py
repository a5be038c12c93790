"""docs/sandbox.md: the test payment methods, and what the sandbox really answers for each."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from bursar.cli.docs.source import code, table
from bursar.kit.clock import ManualClock
from bursar.providers.port import Authorization, Capture, Instrument, MethodType, Outcome
from bursar.providers.sandbox.adapter import Sandbox
from bursar.providers.sandbox.methods import ACCOUNTS, CARDS, METHODS

AMOUNT: Final = 1_000
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)

INTRODUCTION = """
# The sandbox

The provider `sandbox` is the default. It serves the payment methods below, each with one fixed behaviour, and keeps
books of its own (`docs/adr/0004-sandbox-books.md`). The columns were filled by asking it: the outcome of an
authorization and of a capture, and in brackets what an inquiry says afterwards. Voids do as captures do, except that
none is declined.

- Approved, Declined, ActionRequired: settled.
- Pending, Unknown: the payment stays `PROCESSING` (202) until an inquiry knows more.
- Unavailable: certainly not done; the payment goes back to where it was (503).
""".strip()


NUMBERS = """
A payment method that was added by number behaves by that number; one that is not listed is approved. With
`BURSAR_MICRO_DEPOSITS=32,45` the amounts of micro-deposits are known.
""".strip()


def page() -> str:
    """Every test method with what it does."""
    rows = []
    for method_id, behaviour in METHODS.items():
        authorize, capture = _tried(method_id)
        rows.append((code(method_id), behaviour.says, authorize, capture))
    numbers = [(code(number), code(method_id)) for number, method_id in (CARDS | ACCOUNTS).items()]
    return "\n\n".join(
        (
            INTRODUCTION,
            table(("method", "behaviour", "authorize", "capture"), rows),
            NUMBERS,
            table(("number", "behaves like"), numbers),
        )
    )


def _tried(method_id: str) -> tuple[str, str]:
    sandbox, authorization = _sandbox(), _authorization(method_id)
    said = _both(sandbox, authorization)
    if method_id not in _held(sandbox):
        return said, ""
    return said, _both(sandbox, Capture("capture", _reference(sandbox), AMOUNT, "EUR", is_final=True, asked_at=MOMENT))


def _both(sandbox: Sandbox, request: Authorization | Capture) -> str:
    """The outcome of a request and, where it settles nothing, what an inquiry says afterwards."""
    outcome = _told(sandbox.execute(request))
    name = type(outcome).__name__
    return name if name not in ("Pending", "Unknown") else f"{name} ({type(_told(sandbox.inquire(request))).__name__})"


def _sandbox() -> Sandbox:
    return Sandbox(books=None, clock=ManualClock(MOMENT), slow_seconds=0, authorization_days=7)


def _authorization(method_id: str) -> Authorization:
    instrument = Instrument(method_id, MethodType.CARD, token=method_id)
    return Authorization("authorize", "payment", AMOUNT, "EUR", instrument, capture=False, asked_at=MOMENT)


def _held(sandbox: Sandbox) -> set[str]:
    """The methods for which the sandbox holds an authorization."""
    return {account.method_id for account in sandbox.books.accounts.values() if account.authorized}


def _reference(sandbox: Sandbox) -> str:
    return next(iter(sandbox.books.accounts))


def _told(asking: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The outcome; the sandbox in memory waits for nothing, so it is driven without a loop."""
    while True:
        try:
            asking.send(None)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            return outcome
