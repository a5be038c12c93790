"""Scoring a payment, and a person's decision on one that was sent to review."""

import time

import structlog

from bursar.domains.fraud import score, store
from bursar.domains.fraud.model import MACHINE, Decision, FraudCheck, Reason, Status
from bursar.infra import events
from bursar.infra.db import Tx
from bursar.kit import ids
from bursar.kit.machine import match_version

log = structlog.get_logger()

_BROKEN = score.Verdict(
    score.SCORE_REVIEW, Decision.REVIEW, (Reason("SCORING_FAILED", score.SCORE_REVIEW, "scoring broke"),)
)


async def check(
    tx: Tx, *, limits: score.Limits, payment_id: str, customer_id: str, amount: int, currency: str
) -> FraudCheck:
    """Score a payment that is being created, and keep the check. amount: minor units.

    Should scoring break, the decision is REVIEW. Emits fraud_check.completed or fraud_check.review_requested.
    """
    started = time.perf_counter_ns()
    try:
        recent = await tx.count(store.RECENT_COUNT, customer_id, presumed_below=limits.review_count)
        verdict = score.score(score.Facts(amount, currency, recent), limits)
    except Exception:  # whatever broke: a person decides
        log.exception("fraud.scoring_broken", payment_id=payment_id)
        verdict = _BROKEN
    made = FraudCheck(
        id=ids.new(tx.now),
        version=1,
        payment_id=payment_id,
        customer_id=customer_id,
        amount=amount,
        currency=currency,
        risk_score=verdict.score,
        risk_level=verdict.risk_level,
        decision=verdict.decision,
        status=Status.PENDING_REVIEW if verdict.decision is Decision.REVIEW else Status.COMPLETED,
        reasons=verdict.reasons,
        rules_version=score.RULES_VERSION,
        latency_micros=(time.perf_counter_ns() - started) // 1_000,
        created_at=tx.now,
        updated_at=tx.now,
    )
    tx.insert(store.TABLE, made)
    event_type = "fraud_check.completed" if made.status is Status.COMPLETED else "fraud_check.review_requested"
    events.emit(
        tx, stream=made.id, version=1, event_type=event_type, about=payment_id, data=events.public(store.TABLE, made)
    )
    return made


async def review(tx: Tx, check_id: str, *, is_approved: bool, notes: str, expected_version: int | None) -> FraudCheck:
    """Record a person's decision. Emits fraud_check.approved or fraud_check.rejected, on which the payment moves on."""
    before = await store.lock(tx, check_id)
    match_version(before.version, expected_version)
    after, event_type = MACHINE.advance(
        before,
        "approve" if is_approved else "reject",
        tx.now,
        reviewed_by=tx.origin.actor,
        review_notes=notes,
        reviewed_at=tx.now,
    )
    tx.update(store.TABLE, after, was=before.version)
    changed = ("status", "reviewed_by", "review_notes", "reviewed_at")
    events.emit(
        tx,
        stream=after.id,
        version=after.version,
        event_type=event_type,
        about=after.payment_id,
        data=events.public(store.TABLE, after, changed),
    )
    return after
