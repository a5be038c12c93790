"""The fraud score, and a review's table. Pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bursar.domains.fraud.model import MACHINE, Decision, FraudCheck, RiskLevel, Status
from bursar.domains.fraud.score import Facts, Limits, score
from bursar.kit.errors import InvalidTransition

LIMITS = Limits(review_amount=1_000, decline_amount=10_000, review_count=3, decline_count=6)
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class TestScore:
    @pytest.mark.parametrize(
        "amount, currency, recent_count, decision, codes",
        [
            (999, "EUR", 2, Decision.APPROVE, []),
            (1_000, "EUR", 0, Decision.REVIEW, ["AMOUNT"]),
            (9_999, "EUR", 0, Decision.REVIEW, ["AMOUNT"]),
            (10_000, "EUR", 0, Decision.DECLINE, ["AMOUNT"]),
            (9, "JPY", 0, Decision.APPROVE, []),
            (10, "JPY", 0, Decision.REVIEW, ["AMOUNT"]),
            (9_999, "KWD", 0, Decision.APPROVE, []),
            (10_000, "KWD", 0, Decision.REVIEW, ["AMOUNT"]),
            (1, "EUR", 3, Decision.REVIEW, ["VELOCITY_COUNT"]),
            (1, "EUR", 6, Decision.DECLINE, ["VELOCITY_COUNT"]),
            (1_000, "EUR", 6, Decision.DECLINE, ["AMOUNT", "VELOCITY_COUNT"]),
        ],
    )
    def test_decides_by_the_worst_reason(
        self, amount: int, currency: str, recent_count: int, decision: Decision, codes: list[str]
    ) -> None:
        verdict = score(Facts(amount, currency, recent_count), LIMITS)
        assert verdict.decision is decision
        assert [reason.code for reason in verdict.reasons] == codes
        assert 0 <= verdict.score <= 100

    def test_gives_each_decision_its_level(self) -> None:
        levels = [score(Facts(amount, "EUR", 0), LIMITS).risk_level for amount in (1, 1_000, 10_000)]
        assert levels == [RiskLevel.LOW, RiskLevel.MEDIUM, RiskLevel.HIGH]


class TestReviewTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", ["approve", "reject"])
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        values: dict[str, Any] = dict.fromkeys(FraudCheck.__struct_fields__[:15])
        check = FraudCheck(**{**values, "version": 1, "status": status})
        if status is Status.PENDING_REVIEW:
            after, event = MACHINE.advance(check, action, NOW)
            assert after.status == {"approve": Status.APPROVED, "reject": Status.REJECTED}[action]
            assert event == f"fraud_check.{after.status.lower()}"
        else:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(check, action, NOW)
            assert refused.value.context == {"state": status, "allowed": []}
