"""docs/sandbox.md: the test payment methods, and what the sandbox really answers for each."""

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from bursar.cli.docs.source import code, table
from bursar.kit.clock import ManualClock
from bursar.providers.port import (
    ActionRequired,
    Authorization,
    Capture,
    Instrument,
    MethodType,
    Outcome,
    Refund,
    Unavailable,
)
from bursar.providers.sandbox.adapter import Sandbox
from bursar.providers.sandbox.methods import ACCOUNTS, CARDS, METHODS

AMOUNT: Final = 1_000
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)

INTRODUCTION = """
# The sandbox

The provider `sandbox` is the default. It serves the payment methods below, each with one fixed behaviour, and keeps
books of its own (`docs/adr/0004-sandbox-books.md`). The columns were filled by asking it: the outcome of an
authorization, of a capture and of a refund, and in brackets what an inquiry says afterwards. Voids do as captures do,
except that none is declined.

- Approved, Declined, ActionRequired: settled.
- Pending, Unknown: the payment stays `PROCESSING` (202) until an inquiry knows more.
- Unavailable: certainly not done; the payment goes back to where it was (503).
""".strip()


NUMBERS = """
A payment method that was added by number behaves by that number; one that is not listed is approved. With
`BURSAR_MICRO_DEPOSITS=32,45` the amounts of micro-deposits are known.
""".strip()


DISPUTES = """
The first dispute of a payment has the id `<the payment's transactionId>_dispute_1`, the next one `_dispute_2`. Evidence
whose `uncategorized_text` has the word `winning_evidence` wins, `losing_evidence` loses, anything else goes under
review. The sandbox sends no webhooks: bring one (`POST /api/v1/payment-webhooks`, as `dispute.updated`, the dispute's
id in `payload.data.dispute`), and it is asked how the dispute stands; the same goes for `refund.updated` and
`payload.data.refund`. What a dispute holds cannot be refunded.
""".strip()


def page() -> str:
    """Every test method with what it does."""
    rows = [(code(method_id), behaviour.says, *_tried(method_id)) for method_id, behaviour in METHODS.items()]
    numbers = [(code(number), code(method_id)) for number, method_id in (CARDS | ACCOUNTS).items()]
    return "\n\n".join(
        (
            INTRODUCTION,
            table(("method", "behaviour", "authorize", "capture", "refund"), rows),
            NUMBERS,
            table(("number", "behaves like"), numbers),
            DISPUTES,
        )
    )


def _tried(method_id: str) -> tuple[str, str, str]:
    """What is said of an authorization, of a capture, and of a refund of half of it."""
    sandbox, authorization = _sandbox(), _authorization(method_id)
    authorized = _both(sandbox, authorization)
    if method_id not in _held(sandbox):
        return authorized, "", ""
    reference = _reference(sandbox)
    captured = _both(sandbox, Capture("capture", reference, AMOUNT, "EUR", is_final=True, asked_at=MOMENT))
    if not sandbox.books.accounts[reference].captured:
        return authorized, captured, ""
    return authorized, captured, _both(sandbox, Refund("refund", reference, AMOUNT // 2, "EUR", MOMENT))


def _both(sandbox: Sandbox, request: Authorization | Capture | Refund) -> str:
    """The outcome of a request and what an inquiry says afterwards, where it says something else."""
    outcome, asked = _told(sandbox.execute(request)), ""
    if not isinstance(outcome, ActionRequired | Unavailable):
        asked = type(_told(sandbox.inquire(request))).__name__
    name = type(outcome).__name__
    return f"{name} ({asked})" if asked not in ("", name) else name


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
