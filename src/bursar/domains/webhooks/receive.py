"""What comes in: verified, stored with its body encrypted, and acknowledged; processing is a job."""

import secrets
from typing import Any

import asyncpg
import msgspec
import structlog

from bursar.domains.context import App
from bursar.domains.webhooks import handlers, store
from bursar.domains.webhooks.change import defer_processing_soon
from bursar.domains.webhooks.model import Received, Status, Webhook, WebhookUnreadable, WebhookUnverifiable
from bursar.domains.webhooks.schemas import render
from bursar.infra import personal
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.verdict import Refused, Unreadable, Verified
from bursar.kit import ids
from bursar.kit.errors import Problem

log = structlog.get_logger()

RECEIVE = "webhook.receive"
KEY_LENGTH = 32


async def receive_signed(
    app: App, origin: Origin, provider: str | None, headers: dict[str, str], body: bytes
) -> Answer:
    """Take what came without a token, if a provider has signed it. Of anything else an audit line is left, and no more.

    Idempotent by the provider's event id. Raises WebhookUnverifiable, WebhookUnreadable.
    """
    verdict = await app.webhook_verifier.verify(provider, headers, body, app.clock.now())
    if isinstance(verdict, Verified):
        return await receive(
            app, Origin(f"webhook:{verdict.provider}", origin.request_id, origin.instance), verdict, body
        )
    log.warning("webhook.refused", provider=verdict.provider, reason=verdict.reason, request_id=origin.request_id)
    raise await _refused(app, origin, verdict)


async def _refused(app: App, origin: Origin, verdict: Refused | Unreadable) -> Problem:
    """Leave the attempt's audit line. Returns what the sender is told."""
    problem: type[Problem] = WebhookUnverifiable if isinstance(verdict, Refused) else WebhookUnreadable

    async def decide(tx: Tx) -> Answer:
        raise problem(verdict.reason)

    named = verdict.provider or "nobody"
    origin = Origin(f"webhook:{named}"[:128], origin.request_id, origin.instance)
    on = f"webhook {ids.new(app.clock.now())}"
    try:
        await app.batcher.run(Command(RECEIVE, on, decide, origin))
    except (WebhookUnverifiable, WebhookUnreadable) as told:
        return told
    raise AssertionError("a refusal is a refusal")


async def receive(app: App, origin: Origin, event: Verified, body: bytes, claim: Claim | None = None) -> Answer:
    """Store an event that is surely its provider's and have it processed; 202 the first time, 200 with the row that is
    kept for a repeat. One of a type that nobody handles is IGNORED at once.

    Idempotent by the provider's event id, and by the claim of who hands it over.
    """
    row = _row(app, event, body)

    async def decide(tx: Tx) -> Answer:
        known = await store.find_known(tx, event.provider, event.event_id)
        if known is not None:
            tx.object_id = known.id
            return ok(render(known), version=known.version)
        tx.object_id = row.id
        store.insert(tx, row)
        if row.status is Status.RECEIVED:
            defer_processing_soon(tx)
        return accepted(render(row), version=row.version)

    command = Command(RECEIVE, store.key_of(event.provider, event.event_id), decide, origin, claim)
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.UNIQUE_EVENT:
            raise
        return await app.batcher.run(command)  # another process stored it in between; now it is found


def _row(app: App, event: Verified, body: bytes) -> Received:
    now = app.clock.now()
    row_id = ids.new(now)
    key = secrets.token_bytes(KEY_LENGTH)
    ignored_because = handlers.find(event.provider, event.event_type).ignored_because or None
    status = Status.RECEIVED if ignored_because is None else Status.IGNORED
    references = event.references
    return Received(
        id=row_id,
        version=1,
        provider=event.provider,
        event_id=event.event_id,
        event_type=event.event_type,
        status=status,
        attempts=0,
        named=references,
        occurred_at=event.occurred_at or now,
        received_at=now,
        created_at=now,
        updated_at=now,
        next_attempt_at=now if status is Status.RECEIVED else None,
        ignored_because=ignored_because,
        reference=references.get("reference") or references.get("token"),
        processed_at=None if status is Status.RECEIVED else now,
        body_ciphertext=personal.encrypt(key, body, row_id),
        wrapped_key=app.personal_keys.wrap(key, row_id),
        kek_version=app.personal_keys.current,
        headers=event.headers,
    )


async def body_of(app: App, webhook: Webhook) -> bytes | None:
    """The body, byte for byte as it came; None where it was forgotten."""
    stored = await store.body_of(app.database, webhook.id)
    if stored is None:
        return None
    key = app.personal_keys.unwrap(stored.wrapped_key, webhook.id, stored.kek_version)
    return personal.decrypt(key, stored.body_ciphertext, webhook.id)


def encoded(payload: str | dict[str, Any]) -> bytes:
    """A payload that another service handed over, as it is stored."""
    return payload.encode() if isinstance(payload, str) else msgspec.json.encode(payload)
