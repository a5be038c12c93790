"""Processing: what an event is about is asked of the provider and booked; what cannot be done yet is tried again."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import msgspec
import structlog

from bursar.domains.context import App
from bursar.domains.webhooks import handlers, store
from bursar.domains.webhooks.change import change
from bursar.domains.webhooks.handlers import Done, Handle, Nothing
from bursar.domains.webhooks.model import WAITING, Webhook, wait_seconds
from bursar.domains.webhooks.reading import NoEvent, decoded, named_in
from bursar.domains.webhooks.receive import body_of
from bursar.domains.webhooks.schemas import render
from bursar.infra.answer import Answer, ok
from bursar.infra.commands import Command
from bursar.infra.db import UNREACHABLE, Tx, found
from bursar.infra.idempotency import Claim
from bursar.infra.jobs import NotYet
from bursar.kit.errors import DatabaseUnavailable, Overloaded, Problem

log = structlog.get_logger()

ATTEMPT_SECONDS_MAX: Final = 25.0
"""For one attempt, whatever it waits for."""

ERROR_LENGTH_MAX: Final = 300


class Failed(Exception):  # noqa: N818  the outcome of an attempt
    """An attempt that led to nothing; another one may."""


async def get(app: App, webhook_id: str) -> Webhook:
    """The webhook as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, webhook_id), "webhook")


async def process(app: App, webhook: Webhook, claim: Claim | None = None) -> Answer:
    """Make one attempt and book how it went: PROCESSED, IGNORED, FAILED until the next one, or DEAD_LETTER. Answers
    with the webhook as it is then. Safe to repeat: an attempt is booked once. Should the database be gone, nothing is
    booked.
    """
    handler = handlers.find(webhook.provider, webhook.event_type)
    is_taken_up_again = webhook.version > webhook.attempts + 1
    result: Done | Nothing | Failed
    try:
        result = await _attempt(app, webhook, handler.handle, is_read_anew=is_taken_up_again)
    except Failed as failed:
        result = failed

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, webhook.id)
        after = _book(tx, before, webhook.attempts, result, app.settings.webhook_attempts_max)
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("webhook.process", webhook.id, decide, handlers.origin_of(webhook), claim))


async def preview(app: App, webhook: Webhook) -> str:
    """What an attempt would do once the webhook is taken up again, in a few words; nothing is done."""
    handler = handlers.find(webhook.provider, webhook.event_type)
    try:
        result = await _attempt(app, webhook, handler.preview, is_read_anew=True)
    except Failed as failed:
        return f"it would fail: {failed}"
    return result.did if isinstance(result, Done) else result.reason


async def _read_anew(app: App, webhook: Webhook) -> Webhook:
    """A webhook that was taken up again, by what its body names to those who read it today, while it is kept."""
    body = await body_of(app, webhook)
    if body is None:
        return webhook
    with suppress(NoEvent):
        document = decoded(body, dict[str, Any])
        return msgspec.structs.replace(webhook, named=named_in(webhook.provider, document))
    return webhook


async def _attempt(app: App, webhook: Webhook, handle: Handle | None, *, is_read_anew: bool) -> Done | Nothing:
    """Raises Failed."""
    if handle is None:
        return Nothing(handlers.find(webhook.provider, webhook.event_type).ignored_because)
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS_MAX):
            return await handle(app, await _read_anew(app, webhook) if is_read_anew else webhook)
    except TimeoutError as error:  # an OSError too, but its own affair and nobody else's
        raise Failed("it took too long") from error
    except (*UNREACHABLE, DatabaseUnavailable, Overloaded):
        raise
    except (NotYet, Problem) as error:
        raise Failed(_told(error)) from error
    except Exception as error:  # a poisoned event must not be anybody else's affair
        log.exception("webhook.handler_broke", webhook_id=webhook.id, event_type=webhook.event_type)
        raise Failed(f"the handler broke: {type(error).__name__}") from error


def _told(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:ERROR_LENGTH_MAX]


def _book(tx: Tx, webhook: Webhook, attempt: int, result: Done | Nothing | Failed, attempts_max: int) -> Webhook:
    """Book how an attempt went, once."""
    if webhook.attempts != attempt or webhook.status not in WAITING:
        return webhook
    ended: dict[str, Any] = {"attempts": attempt + 1, "next_attempt_at": None, "last_error": None}
    match result:
        case Done():
            return change(tx, webhook, "process", **ended, processed_at=tx.now, payment_id=result.payment_id)
        case Nothing():
            return change(tx, webhook, "ignore", **ended, processed_at=tx.now, ignored_because=result.reason)
        case Failed():
            ended["last_error"] = str(result)
            if attempt + 1 >= attempts_max:
                log.error("webhook.dead_letter", webhook_id=webhook.id, event_type=webhook.event_type)
                return change(tx, webhook, "give_up", **ended)
            ended["next_attempt_at"] = tx.now + timedelta(seconds=wait_seconds(attempt + 1))
            return change(tx, webhook, "fail", **ended)
