"""Asking for a check, deciding it, reading how somebody stands, and what others of the service ask."""

from datetime import datetime
from typing import TypeVar

import asyncpg

from bursar.domains.context import App
from bursar.domains.kyc import steps, store
from bursar.domains.kyc.change import change
from bursar.domains.kyc.model import KycRequired, News, Status, Subject, SubjectType, not_started
from bursar.domains.kyc.news import book
from bursar.domains.kyc.schemas import Decide, StartCheck, render
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.http.call import require
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version
from bursar.providers.kyc.port import Report

T = TypeVar("T")


async def request_check(
    app: App,
    origin: Origin,
    claim: Claim | None,
    subject_type: SubjectType,
    subject_id: str,
    request: StartCheck,
    *,
    expected_version: int | None,
) -> Answer:
    """Ask for a check: PENDING at once; the service is asked by a job, or a person decides where there is no service.

    Emits kyc.requested. Idempotent by the claim.
    """

    async def decide(tx: Tx) -> Answer:
        before = await _of(tx, subject_type, subject_id)
        match_version(before.version, expected_version)
        after = change(
            tx,
            before,
            "request",
            level=request.level,
            evidence=tuple(request.evidence),
            attempt=before.attempt + 1,
            provider=None if app.kyc is None else app.kyc.name,
            provider_reference=None,
            rejection_code=None,
            decided_by=None,
            decision_reason=None,
            requested_at=tx.now,
            decided_at=None,
            expires_at=None,
        )
        if app.kyc is not None:
            steps.defer_asking(tx, after)
        return accepted(render(after), version=after.version)

    return await _first(app, Command("kyc.request", store.key_of(subject_type, subject_id), decide, origin, claim))


async def decide_check(
    app: App,
    origin: Origin,
    claim: Claim | None,
    subject_type: SubjectType,
    subject_id: str,
    request: Decide,
    *,
    expected_version: int | None,
) -> Answer:
    """Record a person's decision on a check that is PENDING, whoever was asked. Emits kyc.verified or kyc.rejected."""
    if request.expires_at is not None:
        require(request.expires_at > app.clock.now(), "expiresAt", "in_the_past", "a verification holds for a while")

    async def decide(tx: Tx) -> Answer:
        before = await _of(tx, subject_type, subject_id)
        match_version(before.version, expected_version)
        is_verified = request.decision == "VERIFIED"
        after = change(
            tx,
            before,
            "verify" if is_verified else "reject",
            rejection_code=None if is_verified else "rejected_by_staff",
            decided_by=tx.origin.actor,
            decision_reason=request.reason,
            decided_at=tx.now,
            expires_at=request.expires_at,
        )
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("kyc.decide", store.key_of(subject_type, subject_id), decide, origin, claim))


async def on_report(app: App, origin: Origin, *, check_key: str, report: Report) -> Subject | None:
    """What a KYC service says of a check by itself, once it is known to come from there. check_key: the key under
    which the check was started.

    Emits what `steps.settle` does; idempotent in the same way. Returns the subject as it is then; None where the key
    is none of ours.
    """
    row_id, _, attempt = check_key.partition(":")
    if not ids.is_uuid(row_id) or not attempt.isascii() or not attempt.isdigit():
        return None
    subject = await app.reader.get(store.TABLE, row_id)
    if subject is None:
        return None
    return await steps.settle(app, origin, subject, int(attempt), report)


async def on_news(app: App, origin: Origin, subject_type: SubjectType, subject_id: str, news: News) -> Subject:
    """What another service of the platform says of a subject. Emits kyc.verified, .rejected or .expired. Idempotent by
    the time of the news. Returns the subject as it is then.
    """

    async def decide(tx: Tx) -> Subject:
        return book(tx, await _of(tx, subject_type, subject_id), news)

    return await _first(app, Command("kyc.news", store.key_of(subject_type, subject_id), decide, origin))


async def expire(app: App, subject: Subject) -> None:
    """End a verification that ran out. Emits kyc.expired."""

    async def decide(tx: Tx) -> None:
        tx.object_id = subject.id
        before = await store.lock(tx, subject.id)
        if before.status is Status.VERIFIED and _has_run_out(before, tx.now):
            change(tx, before, "expire")

    on = store.key_of(subject.subject_type, subject.subject_id)
    await app.batcher.run(Command("kyc.expire", on, decide, SYSTEM))


async def get(app: App, subject_type: SubjectType, subject_id: str) -> Subject:
    """How somebody stands; NOT_STARTED, version 0, where nothing was ever asked for."""
    subject = await store.find(app.database, subject_type, subject_id)
    return subject or _unknown(subject_type, subject_id, app.clock.now())


async def status_of(tx: Tx, subject_type: SubjectType, subject_id: str) -> Status:
    """How somebody stands now: a verification that ran out is EXPIRED to the moment. Not guarded: it may change before
    this transaction commits.
    """
    rows = await tx.read(store.BY_SUBJECT, store.key_of(subject_type, subject_id))
    return Status(rows[0]["status"]) if rows else Status.NOT_STARTED


async def require_verified(tx: Tx, subject_type: SubjectType, subject_id: str) -> None:
    """Raise KycRequired unless somebody is verified now."""
    status = await status_of(tx, subject_type, subject_id)
    if status is not Status.VERIFIED:
        raise KycRequired(
            f"{subject_type.lower()} {subject_id} is {status}",
            kycStatus=status,
            subjectType=subject_type,
            subjectId=subject_id,
        )


async def _first(app: App, command: Command[T]) -> T:
    """Run a command that may write a subject's first row; should another process have made it in between, it is found
    now.
    """
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.UNIQUE_SUBJECT:
            raise
        return await app.batcher.run(command)


async def _of(tx: Tx, subject_type: SubjectType, subject_id: str) -> Subject:
    return await store.find_locked(tx, subject_type, subject_id) or _unknown(subject_type, subject_id, tx.now)


def _unknown(subject_type: SubjectType, subject_id: str, now: datetime) -> Subject:
    return not_started(ids.new(now), subject_type, subject_id, now)


def _has_run_out(subject: Subject, now: datetime) -> bool:
    return subject.expires_at is not None and subject.expires_at <= now
