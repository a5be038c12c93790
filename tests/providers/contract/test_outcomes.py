"""The contract of every adapter: the same outcomes for the same payments, and books that agree."""

import pytest

from bursar.providers.port import ActionRequired, Approved, Declined, Outcome
from tests.providers.contract.asking import AMOUNT, authorization, capture, paid, refund, resolved, void
from tests.providers.contract.harness import Account, Behaviour, Harness


def refused(outcome: Outcome, *codes: str) -> bool:
    return isinstance(outcome, Declined) and outcome.decline_code in codes


class TestAuthorize:
    @pytest.mark.parametrize("is_captured", [False, True])
    async def test_reserves_or_takes_what_was_asked_for(self, harness: Harness, is_captured: bool) -> None:
        request = authorization(harness.instrument(Behaviour.APPROVED), capture=is_captured)
        outcome = await harness.provider.execute(request)
        assert isinstance(outcome, Approved)
        assert (outcome.expires_at is None) is is_captured
        assert outcome.expires_at is None or outcome.expires_at > request.asked_at
        taken = AMOUNT if is_captured else 0
        held = Account(outcome.reference, "USD", AMOUNT, AMOUNT - taken, taken, 0)
        assert await harness.accounts_of(request.key) == [held]

    @pytest.mark.parametrize(
        "behaviour,code",
        [(Behaviour.DECLINED, "generic_decline"), (Behaviour.INSUFFICIENT_FUNDS, "insufficient_funds")],
    )
    async def test_tells_why_it_was_declined(self, harness: Harness, behaviour: Behaviour, code: str) -> None:
        request = authorization(harness.instrument(behaviour))
        assert refused(await harness.provider.execute(request), code)
        assert [account.reserved for account in await harness.accounts_of(request.key)] in ([], [0])

    async def test_an_inquiry_finds_a_decline_again(self, harness: Harness) -> None:
        request = authorization(harness.instrument(Behaviour.INSUFFICIENT_FUNDS))
        await harness.provider.execute(request)
        assert refused(await resolved(harness, request), "insufficient_funds")

    async def test_waits_for_the_customer_and_goes_on_when_he_comes_back(self, harness: Harness) -> None:
        instrument = harness.instrument(Behaviour.REQUIRES_ACTION)
        asked = await harness.provider.execute(authorization(instrument))
        assert isinstance(asked, ActionRequired)
        assert asked.next_action["type"] == "REDIRECT_TO_URL" and asked.next_action["url"].startswith("http")
        await harness.complete_action(asked)
        request = authorization(instrument, reference=asked.reference)
        outcome = await harness.provider.execute(request)
        assert isinstance(outcome, Approved) and outcome.reference == asked.reference
        held = await harness.account(asked.reference)
        assert (held.authorized, held.reserved, held.captured) == (AMOUNT, AMOUNT, 0)

    async def test_two_keys_are_two_payments(self, harness: Harness) -> None:
        assert await paid(harness) != await paid(harness)


class TestCapture:
    async def test_takes_all(self, harness: Harness) -> None:
        reference = await paid(harness)
        outcome = await harness.provider.execute(capture(reference))
        assert isinstance(outcome, Approved) and outcome.reference == reference
        assert await harness.account(reference) == Account(reference, "USD", AMOUNT, 0, AMOUNT, 0)

    async def test_takes_a_part_and_gives_the_rest_back(self, harness: Harness) -> None:
        reference = await paid(harness)
        assert isinstance(await harness.provider.execute(capture(reference, 2000)), Approved)
        held = await harness.account(reference)
        assert (held.captured, held.reserved) == (2000, 0)

    async def test_takes_part_after_part(self, harness: Harness) -> None:
        reference = await paid(harness)
        assert isinstance(await harness.provider.execute(capture(reference, 2000, is_final=False)), Approved)
        assert (await harness.account(reference)).reserved == 3000
        assert isinstance(await harness.provider.execute(capture(reference, 3000)), Approved)
        assert (await harness.account(reference)).captured == AMOUNT

    async def test_takes_no_more_than_was_authorized(self, harness: Harness) -> None:
        reference = await paid(harness)
        assert refused(await harness.provider.execute(capture(reference, AMOUNT + 1)), "amount_not_capturable")
        assert (await harness.account(reference)).captured == 0

    async def test_takes_nothing_a_second_time(self, harness: Harness) -> None:
        reference = await paid(harness)
        await harness.provider.execute(capture(reference))
        again = await harness.provider.execute(capture(reference))
        assert refused(again, "already_captured", "amount_not_capturable")
        assert (await harness.account(reference)).captured == AMOUNT


class TestVoid:
    async def test_gives_back_what_was_reserved(self, harness: Harness) -> None:
        reference = await paid(harness)
        outcome = await harness.provider.execute(void(reference))
        assert isinstance(outcome, Approved) and outcome.reference == reference
        held = await harness.account(reference)
        assert (held.reserved, held.captured) == (0, 0)

    async def test_leaves_nothing_to_capture(self, harness: Harness) -> None:
        reference = await paid(harness)
        assert isinstance(await harness.provider.execute(void(reference)), Approved)
        outcome = await harness.provider.execute(capture(reference))
        assert refused(outcome, "already_voided", "amount_not_capturable")
        assert (await harness.account(reference)).captured == 0


class TestRefund:
    async def test_gives_a_part_and_then_the_rest_back(self, harness: Harness) -> None:
        reference = await paid(harness, capture=True)
        steps = [await harness.provider.execute(refund(reference, amount)) for amount in (1500, 3500)]
        assert all(isinstance(outcome, Approved) and outcome.reference == reference for outcome in steps)
        named = {outcome.step_reference for outcome in steps if isinstance(outcome, Approved)}
        assert len(named) == 2 and None not in named
        assert (await harness.account(reference)).refunded == AMOUNT

    async def test_gives_no_more_back_than_was_taken(self, harness: Harness) -> None:
        reference = await paid(harness, capture=True)
        outcome = await harness.provider.execute(refund(reference, AMOUNT + 1))
        assert refused(outcome, "amount_not_refundable", "already_refunded")
        assert (await harness.account(reference)).refunded == 0

    async def test_gives_nothing_back_a_second_time(self, harness: Harness) -> None:
        reference = await paid(harness, capture=True)
        await harness.provider.execute(refund(reference))
        outcome = await harness.provider.execute(refund(reference, 1))
        assert refused(outcome, "amount_not_refundable", "already_refunded")
        assert (await harness.account(reference)).refunded == AMOUNT


class TestOneKey:
    """A key that is repeated has one effect and one outcome."""

    async def test_of_an_authorization(self, harness: Harness) -> None:
        request = authorization(harness.instrument(Behaviour.APPROVED))
        outcomes = [await harness.provider.execute(request) for _ in range(3)]
        outcomes.append(await harness.provider.inquire(request))
        assert {outcome.reference for outcome in outcomes if isinstance(outcome, Approved)} == {
            account.reference for account in await harness.accounts_of(request.key)
        }
        assert len(await harness.accounts_of(request.key)) == 1

    async def test_of_a_capture(self, harness: Harness) -> None:
        reference = await paid(harness)
        request = capture(reference, 1000, is_final=False)
        outcomes = [await harness.provider.execute(request) for _ in range(3)]
        outcomes.append(await harness.provider.inquire(request))
        assert outcomes == outcomes[:1] * 4 and isinstance(outcomes[0], Approved)
        assert (await harness.account(reference)).captured == 1000

    async def test_of_a_void(self, harness: Harness) -> None:
        reference = await paid(harness)
        request = void(reference)
        outcomes = [await harness.provider.execute(request) for _ in range(2)]
        outcomes.append(await harness.provider.inquire(request))
        assert outcomes == outcomes[:1] * 3 and isinstance(outcomes[0], Approved)

    async def test_of_a_refund(self, harness: Harness) -> None:
        reference = await paid(harness, capture=True)
        request = refund(reference, 1000)
        outcomes = [await harness.provider.execute(request) for _ in range(3)]
        outcomes.append(await harness.provider.inquire(request))
        assert outcomes == outcomes[:1] * 4 and isinstance(outcomes[0], Approved)
        assert (await harness.account(reference)).refunded == 1000
