"""The score of a payment by amount and velocity rules. Pure: the model of a later version stands behind the same
function.
"""

from typing import Final

import msgspec

from bursar.domains.fraud.model import Decision, Reason, RiskLevel
from bursar.kit import money

RULES_VERSION: Final = "amount-velocity-1"
SCORE_REVIEW: Final = 60
SCORE_DECLINE: Final = 90
SCORE_BASE: Final = 5


class Limits(msgspec.Struct, frozen=True):
    """From where a payment goes to review, from where it is declined.

    amounts: hundredths of the currency's main unit, whatever its exponent. counts: payments of one customer within an
    hour.
    """

    review_amount: int
    decline_amount: int
    review_count: int
    decline_count: int


class Facts(msgspec.Struct, frozen=True):
    """What is known of a payment when it is scored. recent_count: the customer's payments of the hour before it."""

    amount: int
    currency: str
    recent_count: int


class Verdict(msgspec.Struct, frozen=True):
    score: int
    decision: Decision
    reasons: tuple[Reason, ...]

    @property
    def risk_level(self) -> RiskLevel:
        if self.score >= SCORE_DECLINE:
            return RiskLevel.HIGH
        return RiskLevel.MEDIUM if self.score >= SCORE_REVIEW else RiskLevel.LOW


def score(facts: Facts, limits: Limits) -> Verdict:
    """Score a payment, 0 (no risk) to 100; the worst reason decides, and each says what it contributed."""
    reasons = []
    hundredths = facts.amount * 100 // 10 ** money.EXPONENTS[facts.currency]
    for code, value, review, decline in (
        ("AMOUNT", hundredths, limits.review_amount, limits.decline_amount),
        ("VELOCITY_COUNT", facts.recent_count, limits.review_count, limits.decline_count),
    ):
        if value >= decline:
            reasons.append(Reason(code, SCORE_DECLINE, f"{value} is at or above {decline}"))
        elif value >= review:
            reasons.append(Reason(code, SCORE_REVIEW, f"{value} is at or above {review}"))
    worst = max((reason.contribution for reason in reasons), default=SCORE_BASE)
    return Verdict(worst, _decision_of(worst), tuple(reasons))


def _decision_of(worst: int) -> Decision:
    if worst >= SCORE_DECLINE:
        return Decision.DECLINE
    return Decision.REVIEW if worst >= SCORE_REVIEW else Decision.APPROVE
