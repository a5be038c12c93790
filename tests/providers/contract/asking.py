"""Requests as the contract suite asks them: 5000 minor units of USD, each step under a key of its own."""

from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from bursar.providers.port import (
    Approved,
    Authorization,
    Capture,
    Instrument,
    Outcome,
    Refund,
    Request,
    Unknown,
    Void,
)
from tests.providers.contract.harness import Behaviour, Harness

AMOUNT: Final = 5000
CURRENCY: Final = "USD"
INQUIRIES_MAX: Final = 5


def key() -> str:
    """One that no step has had."""
    return str(uuid4())


def now() -> datetime:
    return datetime.now(UTC)


def authorization(
    instrument: Instrument, *, amount: int = AMOUNT, capture: bool = False, reference: str | None = None
) -> Authorization:
    return Authorization(
        key=key(),
        payment_id=key(),
        amount=amount,
        currency=CURRENCY,
        instrument=instrument,
        capture=capture,
        asked_at=now(),
        reference=reference,
    )


def capture(reference: str, amount: int = AMOUNT, *, is_final: bool = True) -> Capture:
    return Capture(key=key(), reference=reference, amount=amount, currency=CURRENCY, is_final=is_final, asked_at=now())


def void(reference: str) -> Void:
    return Void(key=key(), reference=reference, asked_at=now())


def refund(reference: str, amount: int = AMOUNT) -> Refund:
    return Refund(key=key(), reference=reference, amount=amount, currency=CURRENCY, asked_at=now())


def step(kind: type[Request], reference: str) -> Request:
    """A step of `kind` on the whole of a payment."""
    return {Capture: capture, Void: void, Refund: refund}[kind](reference)


async def paid(harness: Harness, instrument: Instrument | None = None, *, capture: bool = False) -> str:
    """The reference of a payment that was authorized, and captured where `capture`."""
    instrument = instrument or harness.instrument(Behaviour.APPROVED)
    outcome = await harness.provider.execute(authorization(instrument, capture=capture))
    assert isinstance(outcome, Approved), outcome
    return outcome.reference


async def resolved(harness: Harness, request: Request) -> Outcome:
    """What inquiries make of a step, a few of them, as the job asks."""
    outcome = await harness.provider.inquire(request)
    for _ in range(INQUIRIES_MAX - 1):
        if not isinstance(outcome, Unknown):
            break
        await harness.wait()
        outcome = await harness.provider.inquire(request)
    return outcome
