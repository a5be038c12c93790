"""What callers ask of webhooks: to take one in, to verify a signature, to process and to retry. How one is taken in is
in `receive`, how it is processed in `process`.
"""

import asyncio
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.webhooks import process, receive, store
from bursar.domains.webhooks.change import change, defer_processing
from bursar.domains.webhooks.model import IN_ERROR, MACHINE, WAITING, Webhook
from bursar.domains.webhooks.reading import named_in
from bursar.domains.webhooks.schemas import AutoRetry, ReceiveWebhook, VerifySignature, render, render_run
from bursar.domains.webhooks.signatures.verifier import HEADERS
from bursar.infra import idempotency
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.verdict import Verified
from bursar.kit import ids
from bursar.kit.errors import NotFound
from bursar.kit.machine import match_version

PREVIEWED_MAX: Final = 50
"""How many a dry run looks at, side by side: each may ask a provider."""


async def receive_signed(
    app: App, origin: Origin, provider: str | None, headers: dict[str, str], body: bytes
) -> Answer:
    """Take what came without a token, if a provider has signed it. Idempotent by the provider's event id. Raises
    WebhookUnverifiable, WebhookUnreadable.
    """
    return await receive.receive_signed(app, origin, provider, headers, body)


async def receive_trusted(app: App, origin: Origin, claim: Claim | None, request: ReceiveWebhook) -> Answer:
    """Take an event that another service of the platform vouches for. Idempotent by the provider's event id, and by
    the claim.
    """
    body = receive.encoded(request.payload)
    document = request.payload if isinstance(request.payload, dict) else request.document()
    headers = {name.lower(): value for name, value in request.headers.items()}
    event = Verified(
        provider=request.provider,
        event_id=request.event_id,
        event_type=request.event_type,
        occurred_at=None,
        references=named_in(request.provider, document),
        headers={name: headers[name] for name in HEADERS if name in headers},
    )
    return await receive.receive(app, origin, event, body, claim)


async def verify_signature(app: App, request: VerifySignature) -> Answer:
    """Say whether a payload and its headers are a provider's, and why not. Nothing is stored."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    verdict = await app.webhook_verifier.verify(request.provider, headers, request.payload.encode(), app.clock.now())
    reason = None if isinstance(verdict, Verified) else verdict.reason
    return ok({"valid": reason is None, "reason": reason})


async def get(app: App, webhook_id: str) -> Webhook:
    """The webhook as last committed. Raises NotFound."""
    return await process.get(app, webhook_id)


async def process_now(app: App, claim: Claim | None, webhook_id: str, *, expected_version: int | None) -> Answer:
    """Make the next attempt now, in this request. Emits what the webhook's table names. Idempotent by the claim. Raises
    InvalidTransition unless it is RECEIVED or FAILED.
    """
    await idempotency.refuse_known_already(app.reader, claim)
    webhook = await get(app, webhook_id)
    match_version(webhook.version, expected_version)
    if webhook.status not in WAITING:
        raise MACHINE.refusal(webhook.status, "process")
    return await process.process(app, webhook, claim)


async def retry(
    app: App, origin: Origin, claim: Claim | None, webhook_id: str, *, expected_version: int | None
) -> Answer:
    """Give a webhook that failed, was given up or ignored its attempts back, and have it processed. Emits
    webhook.retried. Idempotent by the claim.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, webhook_id)
        match_version(before.version, expected_version)
        after = _take_up(tx, before)
        return accepted(render(after), version=after.version)

    return await app.batcher.run(Command("webhook.retry", webhook_id, decide, origin, claim))


async def auto_retry(app: App, origin: Origin, claim: Claim | None, request: AutoRetry) -> Answer:
    """Take up the webhooks that failed or were given up longest ago, `limit` at the most; or say what that would
    change. Emits webhook.retried for each. Idempotent by the claim.
    """
    if request.dry_run:
        return await _dry_run(app, request)

    async def decide(tx: Tx) -> Answer:
        run_id = ids.new(tx.now)
        rows = await tx.read(store.IN_ERROR, store.error_key(request.limit, request.provider))
        taken = []
        for webhook_id in sorted(row["id"] for row in rows):
            webhook = await store.lock(tx, webhook_id)
            if webhook.status in IN_ERROR or tx.used_cache:  # a refusal that rests on a cached row is decided again
                taken.append(_take_up(tx, webhook, run_id=run_id))
        tx.object_id = run_id
        return accepted(render_run(run_id if taken else None, {"RECEIVED": len(taken)}), version=1)

    return await app.batcher.run(Command("webhook.auto_retry", "webhook.auto_retry", decide, origin, claim))


async def progress(app: App, run_id: str) -> dict[str, Any]:
    """How far a bulk retry has come. Raises NotFound."""
    counts = await store.count_of_run(app.database, run_id)
    if not counts:
        raise NotFound("no such run")
    return render_run(run_id, counts)


def _take_up(tx: Tx, webhook: Webhook, *, run_id: str | None = None) -> Webhook:
    after = change(
        tx,
        webhook,
        "retry",
        attempts=0,
        next_attempt_at=tx.now,
        processed_at=None,
        ignored_because=None,
        run_id=run_id or webhook.run_id,
    )
    defer_processing(tx)
    return after


async def _dry_run(app: App, request: AutoRetry) -> Answer:
    found = await store.in_error(app.database, limit=min(request.limit, PREVIEWED_MAX), provider=request.provider)
    told = await asyncio.gather(*(process.preview(app, webhook) for webhook in found))
    would = [
        {
            "id": webhook.id,
            "provider": webhook.provider,
            "eventType": webhook.event_type,
            "status": webhook.status,
            "would": words,
        }
        for webhook, words in zip(found, told, strict=True)
    ]
    matched = await store.count_in_error(app.database, provider=request.provider)
    return ok({"dryRun": True, "matched": matched, "webhooks": would})
