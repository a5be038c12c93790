"""The contract of every adapter about disputes: how they stand, contested, and given up."""

import pytest

from bursar.providers.port import (
    EVIDENCE,
    Approved,
    Declined,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeInspection,
    DisputeReason,
    DisputeState,
    DisputeStatus,
)
from tests.providers.contract.asking import AMOUNT, key, now, paid
from tests.providers.contract.harness import Harness, Verdict


def evidence(reference: str, **texts: str) -> DisputeEvidence:
    return DisputeEvidence(key(), reference, texts or {"uncategorized_text": "He signed for it."}, now())


async def standing(harness: Harness, reference: str) -> DisputeState:
    outcome = await harness.provider.execute(DisputeInspection(key(), reference, now()))
    assert isinstance(outcome, Approved) and outcome.dispute is not None, outcome
    assert outcome.reference == outcome.dispute.reference == reference
    return outcome.dispute


async def opened(harness: Harness, *, is_alert: bool = False) -> tuple[str, str]:
    """The references of a payment and of a dispute of it."""
    reference = await paid(harness, capture=True)
    return reference, await harness.open_dispute(reference, is_alert=is_alert)


class TestInspection:
    async def test_tells_all_of_a_dispute(self, harness: Harness) -> None:
        before = now()
        reference, dispute = await opened(harness)
        found = await standing(harness, dispute)
        assert (found.payment_reference, found.amount, found.currency) == (reference, AMOUNT, "USD")
        assert (found.reason, found.status) == (DisputeReason.FRAUDULENT, DisputeStatus.NEEDS_RESPONSE)
        assert found.takes_money and found.fee > 0
        assert abs((found.opened_at - before).total_seconds()) < 60
        assert found.evidence_due_at is not None and found.evidence_due_at > found.opened_at

    async def test_an_alert_takes_no_money(self, harness: Harness) -> None:
        reference, dispute = await opened(harness, is_alert=True)
        found = await standing(harness, dispute)
        assert (found.status, found.takes_money, found.fee) == (DisputeStatus.ALERT, False, 0)
        assert (found.payment_reference, found.amount) == (reference, AMOUNT)

    async def test_an_alert_becomes_a_dispute(self, harness: Harness) -> None:
        _, dispute = await opened(harness, is_alert=True)
        await harness.decide_dispute(dispute, Verdict.ESCALATED)
        found = await standing(harness, dispute)
        assert (found.status, found.takes_money) == (DisputeStatus.NEEDS_RESPONSE, True) and found.fee > 0

    @pytest.mark.parametrize("verdict", [Verdict.WON, Verdict.LOST])
    async def test_follows_what_the_bank_decides(self, harness: Harness, verdict: Verdict) -> None:
        _, dispute = await opened(harness)
        await harness.decide_dispute(dispute, verdict)
        found = await standing(harness, dispute)
        assert (found.status, found.takes_money) == (DisputeStatus(verdict), True)
        assert (found.fee == 0) is (verdict is Verdict.WON)
        assert found.evidence_due_at is None

    async def test_one_that_is_not_there_is_never_approved(self, harness: Harness) -> None:
        outcome = await harness.provider.execute(DisputeInspection(key(), "UNHEARDOF-1", now()))
        assert not isinstance(outcome, Approved)


class TestEvidence:
    async def test_is_handed_in_once(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        request = evidence(dispute)
        assert isinstance(await harness.provider.execute(request), Approved)
        assert (await standing(harness, dispute)).status is DisputeStatus.UNDER_REVIEW
        assert isinstance(await harness.provider.inquire(request), Approved)
        assert (await standing(harness, dispute)).status is DisputeStatus.UNDER_REVIEW

    async def test_of_every_name_is_taken(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        request = evidence(dispute, **dict.fromkeys(EVIDENCE, "10 May 2026"))
        assert isinstance(await harness.provider.execute(request), Approved)
        assert isinstance(await harness.provider.inquire(request), Approved)

    async def test_of_another_name_is_refused(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        outcome = await harness.provider.execute(evidence(dispute, horoscope="Leo"))
        assert isinstance(outcome, Declined) and outcome.decline_code == "processing_error"
        assert (await standing(harness, dispute)).status is DisputeStatus.NEEDS_RESPONSE

    async def test_is_refused_once_a_dispute_has_ended(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        await harness.decide_dispute(dispute, Verdict.LOST)
        outcome = await harness.provider.execute(evidence(dispute))
        assert isinstance(outcome, Declined) and outcome.decline_code == "processing_error"


class TestAcceptance:
    async def test_loses_the_dispute_once(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        request = DisputeAcceptance(key(), dispute, now())
        assert isinstance(await harness.provider.execute(request), Approved)
        assert isinstance(await harness.provider.inquire(request), Approved)
        assert (await standing(harness, dispute)).status is DisputeStatus.LOST

    async def test_of_one_that_is_won_is_refused(self, harness: Harness) -> None:
        _, dispute = await opened(harness)
        await harness.decide_dispute(dispute, Verdict.WON)
        outcome = await harness.provider.execute(DisputeAcceptance(key(), dispute, now()))
        assert isinstance(outcome, Declined) and outcome.decline_code == "processing_error"
