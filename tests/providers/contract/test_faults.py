"""The contract of every adapter when calls go wrong: what may have been done is Unknown, and an inquiry tells what the
provider's books say; what was certainly not done is Unavailable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import pytest

from bursar.providers.port import Approved, Authorization, Outcome, Refund, Request, Unavailable, Unknown
from tests.providers.contract.asking import AMOUNT, authorization, paid, resolved, step
from tests.providers.contract.harness import LEAVES_OPEN, Account, Fault, Harness

CALLS: Final = 400
HANGING_MAX: Final = 40
INQUIRING_MAX: Final = 8
"""At once; few enough to be answered in time by a stand-in that shares this process."""

CERTAIN: Final = frozenset(Fault) - LEAVES_OPEN


async def faulty(harness: Harness, kind: type[Request], fault: Fault) -> Request:
    """A step that will meet the fault, on a payment that is ready for it."""
    instrument = await harness.prepare(fault, kind)
    if kind is Authorization:
        return authorization(instrument)
    return step(kind, await paid(harness, instrument, capture=kind is Refund))


async def is_done(harness: Harness, request: Request) -> bool:
    """Whether the provider's books hold the step's effect, all of it, once; fails where they hold a part or more."""
    if isinstance(request, Authorization):
        found = [account for account in await harness.accounts_of(request.key) if account.authorized]
        assert [(account.authorized, account.currency) for account in found] in ([], [(AMOUNT, "USD")])
        return bool(found)
    account: Account = await harness.account(request.reference)
    moved = {
        "Capture": account.captured,
        "Void": account.authorized - account.reserved,
        "Refund": account.refunded,
    }[type(request).__name__]
    assert moved in (0, AMOUNT)
    return moved == AMOUNT


def says_done(outcome: Outcome) -> bool:
    """Whether an inquiry's outcome says that the step was done; fails where it says neither."""
    assert isinstance(outcome, Approved | Unavailable), outcome
    return isinstance(outcome, Approved)


@pytest.mark.faults(LEAVES_OPEN)
async def test_what_may_have_been_done_is_unknown_until_it_is_asked_for(
    harness: Harness, step: type[Request], fault: Fault
) -> None:
    request = await faulty(harness, step, fault)
    assert isinstance(await harness.provider.execute(request), Unknown)
    outcome = await resolved(harness, request)
    assert says_done(outcome) == await is_done(harness, request)


@pytest.mark.faults(LEAVES_OPEN - {Fault.TIMEOUT_BEFORE_EFFECT})
async def test_what_was_done_is_found_done(harness: Harness, step: type[Request], fault: Fault) -> None:
    request = await faulty(harness, step, fault)
    await harness.provider.execute(request)
    assert await is_done(harness, request)
    assert isinstance(await resolved(harness, request), Approved)


@pytest.mark.faults(CERTAIN)
async def test_what_was_certainly_not_done_is_unavailable(harness: Harness, step: type[Request], fault: Fault) -> None:
    request = await faulty(harness, step, fault)
    outcome = await harness.provider.execute(request)
    assert isinstance(outcome, Unavailable)
    assert (outcome.retry_after is not None) is (fault is Fault.TOO_MANY_REQUESTS)
    assert not await is_done(harness, request)


@pytest.mark.faults(frozenset({Fault.TOO_MANY_REQUESTS}))
async def test_a_provider_that_wants_to_be_left_alone_says_for_how_long(
    harness: Harness, step: type[Request], fault: Fault
) -> None:
    outcome = await harness.provider.execute(await faulty(harness, step, fault))
    assert isinstance(outcome, Unavailable) and outcome.retry_after == 7


async def at_once(
    limit: int, ask: Callable[[Request], Awaitable[Outcome]], requests: Sequence[Request]
) -> list[Outcome]:
    """Ask for all of them, `limit` at a time."""
    gate = asyncio.Semaphore(limit)

    async def one(request: Request) -> Outcome:
        async with gate:
            return await ask(request)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(request)) for request in requests]
    return [task.result() for task in tasks]


async def test_400_lost_answers_are_400_charges(harness: Harness) -> None:
    """No second charge, none called failed while charged, all resolved."""
    instrument = await harness.prepare(Fault.TIMEOUT_AFTER_EFFECT, Authorization, times=CALLS)
    requests = [authorization(instrument, capture=True) for _ in range(CALLS)]
    first = await at_once(HANGING_MAX, harness.provider.execute, requests)
    assert all(isinstance(outcome, Unknown) for outcome in first)
    found = await at_once(INQUIRING_MAX, partial(resolved, harness), requests)
    for request, outcome in zip(requests, found, strict=True):
        charges = await harness.accounts_of(request.key)
        assert [(charge.captured, charge.refunded) for charge in charges] == [(AMOUNT, 0)]
        assert isinstance(outcome, Approved) and outcome.reference == charges[0].reference
    assert len({outcome.reference for outcome in found if isinstance(outcome, Approved)}) == CALLS
