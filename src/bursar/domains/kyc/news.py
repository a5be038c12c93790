"""What another service of the platform says of a subject, whether or not we asked anybody for a check."""

from typing import Any

from bursar.domains.kyc.change import change
from bursar.domains.kyc.model import News, Status, Subject
from bursar.infra.db import Tx
from bursar.providers.kyc.port import REJECTIONS

OTHER_REJECTION = "rejected_by_service"


def book(tx: Tx, subject: Subject, news: News) -> Subject:
    """Have the subject be what the news says. Older news than what was decided last changes nothing, nor does that a
    check has begun elsewhere, or that an older verification ran out while one of ours is under way. What says the same
    again counts as the last word all the same. Emits kyc.verified, .rejected or .expired.
    """
    if subject.decided_at is not None and news.happened_at <= subject.decided_at:
        return subject
    match news.status:
        case Status.VERIFIED:
            action = "verify" if subject.status is Status.PENDING else "told_verified"
            return change(
                tx, subject, action, expires_at=news.expires_at, rejection_code=None, **_told(tx, subject, news)
            )
        case Status.REJECTED:
            action = "reject" if subject.status is Status.PENDING else "told_rejected"
            code = news.rejection_code if news.rejection_code in REJECTIONS else OTHER_REJECTION
            return change(tx, subject, action, expires_at=None, rejection_code=code, **_told(tx, subject, news))
        case Status.EXPIRED if subject.status is not Status.PENDING:
            told = _told(tx, subject, news)
            return change(tx, subject, "told_expired", expires_at=news.happened_at, rejection_code=None, **told)
        case _:
            return subject


def _told(tx: Tx, subject: Subject, news: News) -> dict[str, Any]:
    """What a decision that comes from elsewhere leaves. A check of ours that is under way ends with it."""
    return {
        "attempt": max(subject.attempt, 1),
        "requested_at": subject.requested_at or news.happened_at,
        "decided_at": news.happened_at,
        "decided_by": tx.origin.actor,
        "decision_reason": news.reference,
    }
