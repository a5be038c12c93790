"""How a check is made by a KYC service, in three steps: written down (transaction), asked (no transaction), settled
(transaction, idempotent).

The job that asks is born in the first step's transaction and asks until the service has decided, so a crash between
two steps loses nothing. The job and reports from outside settle through the same function.
"""

from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.kyc import store
from bursar.domains.kyc.change import change
from bursar.domains.kyc.model import Status, Subject
from bursar.infra import jobs
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.providers.kyc.port import Absent, InProgress, KycProvider, Outcome, Rejected, Report, Verified

ASK: Final = "kyc.ask"
"""The job that asks a KYC service about a check until it has decided."""

KEY_KEPT_SECONDS: Final = 23 * 3_600
"""A service remembers a key for a day at least; an older one is looked up before the check is started again."""


def defer_asking(tx: Tx, subject: Subject) -> None:
    """Have the service asked about the check under way; one job for each check."""
    jobs.defer(
        tx, ASK, {"subject": subject.id, "attempt": subject.attempt}, key=f"{ASK}:{subject.id}:{subject.attempt}"
    )


async def resolve(app: App, row_id: str, attempt: int) -> bool:
    """Ask the service about a check and book what it says. Returns whether the check is decided now."""
    subject = await app.reader.get(store.TABLE, row_id)
    assert subject is not None, f"no subject {row_id}"
    if not is_open(subject, attempt):
        return True
    if app.kyc is None or app.kyc.name != subject.provider:
        return False  # until that service is configured again, or a person decides
    outcome = await _ask(app, app.kyc, subject)
    if isinstance(outcome, InProgress) and outcome.reference == subject.provider_reference:
        return False
    if isinstance(outcome, Verified | Rejected | InProgress):
        origin = Origin(f"kyc:{subject.provider}", "")
        return not is_open(await settle(app, origin, subject, attempt, outcome), attempt)
    return False


async def _ask(app: App, provider: KycProvider, subject: Subject) -> Outcome:
    if subject.provider_reference is not None:
        return await provider.status(subject.provider_reference)
    assert subject.requested_at is not None
    if app.clock.now() - subject.requested_at > timedelta(seconds=KEY_KEPT_SECONDS):
        outcome = await provider.find(subject.check_key)
        if not isinstance(outcome, Absent):
            return outcome
    return await provider.start(
        key=subject.check_key,
        subject_type=subject.subject_type,
        subject_id=subject.subject_id,
        level=subject.level,
        evidence=subject.evidence,
    )


async def settle(app: App, origin: Origin, subject: Subject, attempt: int, report: Report) -> Subject:
    """Book what a service says of a check. Emits kyc.in_progress, kyc.verified or kyc.rejected. Idempotent by the
    attempt: what comes late, or twice, changes nothing. Returns the subject as it is then.
    """

    async def decide(tx: Tx) -> Subject:
        return _settle(tx, await store.lock(tx, subject.id), attempt, report)

    on = store.key_of(subject.subject_type, subject.subject_id)
    return await app.batcher.run(Command("kyc.settle", on, decide, origin))


def _settle(tx: Tx, subject: Subject, attempt: int, report: Report) -> Subject:
    tx.object_id = subject.id
    if not is_open(subject, attempt):
        return subject
    decided: dict[str, Any] = {
        "provider_reference": report.reference,
        "decided_at": tx.now,
        "decided_by": tx.origin.actor,
    }
    match report:
        case Verified():
            return change(tx, subject, "verify", expires_at=report.expires_at, **decided)
        case Rejected():
            return change(tx, subject, "reject", rejection_code=report.code, **decided)
        case InProgress() if subject.provider_reference is None:
            return change(tx, subject, "accept", provider_reference=report.reference)
        case InProgress():
            return subject


def is_open(subject: Subject, attempt: int) -> bool:
    """Whether that check is still to be decided."""
    return subject.status is Status.PENDING and subject.attempt == attempt
