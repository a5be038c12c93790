"""Refunds that take their time, that do not stay done, or that nobody of ours has made."""

from bursar.providers.port import (
    Approved,
    Declined,
    Outcome,
    Pending,
    RefundInspection,
    RefundState,
    RefundStatus,
)
from tests.providers.contract.asking import key, now, paid, refund
from tests.providers.contract.harness import Behaviour, Harness


def is_refused(outcome: Outcome) -> bool:
    return isinstance(outcome, Declined) and outcome.decline_code == "refund_declined"


async def state_of(harness: Harness, reference: str) -> RefundState:
    outcome = await harness.provider.execute(RefundInspection(key(), reference, now()))
    assert isinstance(outcome, Approved) and outcome.refund is not None, outcome
    assert outcome.reference == outcome.refund.payment_reference
    return outcome.refund


async def test_a_pending_one_is_found_done(harness: Harness) -> None:
    reference = await paid(harness, harness.instrument(Behaviour.REFUND_PENDING), capture=True)
    request = refund(reference, 1500)
    assert isinstance(await harness.provider.execute(request), Pending)
    await harness.end_refunds(reference, are_done=True)
    found = await harness.provider.inquire(request)
    assert isinstance(found, Approved) and found.step_reference
    assert await harness.provider.inquire(request) == found
    assert (await harness.account(reference)).refunded == 1500


async def test_one_that_fails_after_it_was_done_is_found_refused(harness: Harness) -> None:
    reference = await paid(harness, harness.instrument(Behaviour.REFUND_FAILS), capture=True)
    request = refund(reference, 1500)
    done = await harness.provider.execute(request)
    assert isinstance(done, Approved) and done.step_reference is not None
    await harness.end_refunds(reference, are_done=False)
    assert is_refused(await harness.provider.inquire(request))
    assert is_refused(await harness.provider.inquire(request))
    assert (await harness.account(reference)).refunded == 0
    state = await state_of(harness, done.step_reference)
    assert (state.status, state.made_by) == (RefundStatus.FAILED, request.key)


async def test_is_inspected(harness: Harness) -> None:
    reference = await paid(harness, capture=True)
    request = refund(reference, 1500)
    done = await harness.provider.execute(request)
    assert isinstance(done, Approved) and done.step_reference is not None
    expected = RefundState(done.step_reference, reference, 1500, "USD", RefundStatus.DONE, made_by=request.key)
    assert await state_of(harness, done.step_reference) == expected


async def test_one_that_somebody_else_has_made_is_nobodys(harness: Harness) -> None:
    reference = await paid(harness, capture=True)
    made = await harness.refund_by_hand(reference, 700)
    assert await state_of(harness, made) == RefundState(made, reference, 700, "USD", RefundStatus.DONE)
    assert (await harness.account(reference)).refunded == 700


async def test_one_that_is_not_there_is_never_approved(harness: Harness) -> None:
    outcome = await harness.provider.execute(RefundInspection(key(), "UNHEARDOF0000001", now()))
    assert not isinstance(outcome, Approved)
