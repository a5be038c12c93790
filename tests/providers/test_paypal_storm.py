"""Payments while a third of all calls goes wrong: in the end the adapter says what PayPal's books say."""

import asyncio
from typing import Final

import pytest

from bursar.providers.port import Approved, Outcome, Pending, Request, Unknown
from simulators.kit.faults import Kind
from tests.providers.contract.asking import AMOUNT, authorization, capture, refund
from tests.providers.contract.harness_paypal import Shared, sharing
from tests.providers.test_paypal_orders import wallet

PAYMENTS: Final = 40
AT_ONCE: Final = 10
INQUIRIES_MAX: Final = 20
RATES: Final = {
    Kind.DECLINE: 0.05,
    Kind.TIMEOUT_BEFORE_EFFECT: 0.05,
    Kind.TIMEOUT_AFTER_EFFECT: 0.05,
    Kind.ERROR_AFTER_EFFECT: 0.05,
    Kind.GARBAGE: 0.05,
    Kind.RESET: 0.05,
    Kind.TOO_MANY_REQUESTS: 0.05,
}


async def settled(shared: Shared, request: Request) -> Outcome:
    """What becomes of a step, asked for until somebody knows."""
    outcome = await shared.adapter.execute(request)
    for _ in range(INQUIRIES_MAX):
        if not isinstance(outcome, Unknown | Pending):
            break
        outcome = await shared.adapter.inquire(request)
    return outcome


def booked(shared: Shared, kind: str, reference: str) -> int:
    return sum(entry.amount for entry in shared.simulator.books.of(kind, reference))


async def pay(shared: Shared) -> int:
    """One payment, taken in two parts and given back in two; how many of its steps were approved."""
    request = authorization(wallet())
    outcome = await settled(shared, request)
    held = [entry for entry in shared.simulator.books.of("authorization") if entry.key == request.key]
    assert len(held) == isinstance(outcome, Approved), outcome
    if not isinstance(outcome, Approved):
        return 0
    reference, approved = outcome.reference, 1
    taken = given = 0
    for amount in (AMOUNT - 3000, 3000):
        outcome = await settled(shared, capture(reference, amount, is_final=False))
        taken += amount if isinstance(outcome, Approved) else 0
        approved += isinstance(outcome, Approved)
        assert booked(shared, "capture", reference) == taken, outcome
    for amount in (1500, 2500):
        outcome = await settled(shared, refund(reference, amount))
        if isinstance(outcome, Unknown):  # refused in the middle: people look at it
            return approved
        given += amount if isinstance(outcome, Approved) else 0
        approved += isinstance(outcome, Approved)
        assert booked(shared, "refund", reference) == given, outcome
    return approved


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_books_agree_in_the_end(seed: int) -> None:
    async with sharing() as shared:
        shared.simulator.faults.set(seed=seed, rates=RATES, only="(POST|GET) /v2/.*")
        shared.simulator.faults.timeout_seconds = 0.05
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> int:
            async with gate:
                return await pay(shared)

        approved = await asyncio.gather(*(one() for _ in range(PAYMENTS)))
        assert sum(approved) > 2 * PAYMENTS
        assert set(shared.simulator.faults.given) >= set(RATES)
