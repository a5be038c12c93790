"""How a payment stands at a provider, whoever brought that about."""

from bursar.providers.port import Approved, Inspection, Outcome, PaymentState
from tests.providers.contract.asking import CURRENCY, capture, key, now, paid, refund, void
from tests.providers.contract.harness import Harness


async def state_of(harness: Harness, reference: str, currency: str = CURRENCY) -> Outcome:
    return await harness.provider.execute(Inspection(key(), reference, currency, now()))


async def test_follows_every_step(harness: Harness) -> None:
    reference = await paid(harness)
    assert await state_of(harness, reference) == Approved(reference, state=PaymentState(5000, 0, 0, True))
    assert isinstance(await harness.provider.execute(capture(reference, 3000)), Approved)
    assert await state_of(harness, reference) == Approved(reference, state=PaymentState(5000, 3000, 0, False))
    assert isinstance(await harness.provider.execute(refund(reference, 1000)), Approved)
    found = await state_of(harness, reference)
    assert isinstance(found, Approved) and found.state is not None
    assert (found.state.amount_captured, found.state.is_open) == (3000, False)


async def test_nothing_is_held_after_a_void(harness: Harness) -> None:
    reference = await paid(harness)
    await harness.provider.execute(void(reference))
    found = await state_of(harness, reference)
    assert isinstance(found, Approved) and found.state is not None
    assert (found.state.amount_captured, found.state.is_open) == (0, False)


async def test_is_never_approved_without_knowing(harness: Harness) -> None:
    reference = await paid(harness)
    assert not isinstance(await state_of(harness, reference, "EUR"), Approved)
    assert not isinstance(await state_of(harness, "UNHEARDOF0000001"), Approved)
