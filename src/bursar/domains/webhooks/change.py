"""The one way in which a webhook's row changes: through the table, one version on, with its event."""

import time
from typing import Any, Final

from bursar.domains.webhooks import store
from bursar.domains.webhooks.model import MACHINE, Webhook
from bursar.infra import events, jobs
from bursar.infra.db import Tx

PROCESS: Final = "webhook.process"
"""The job that processes whatever is due; one waits at any time, however many webhooks come."""

FETCH: Final = "webhook.fetch"
"""The job that reads a provider's log of events; one for each provider waits at any time."""

MOMENT_SECONDS: Final = 0.1

SHOWN: Final = ("provider", "event_id", "event_type", "status", "attempts", "payment_id", "last_error")


def change(tx: Tx, webhook: Webhook, action: str, **changes: Any) -> Webhook:
    """Advance the webhook by `action` and emit the edge's event, which belongs to the webhook's payment."""
    after, event_type = MACHINE.advance(webhook, action, tx.now, **changes)
    tx.update(store.TABLE, after, was=webhook.version)
    data = events.public(store.TABLE, after, SHOWN)
    about = after.payment_id or after.id
    events.emit(tx, stream=after.id, version=after.version, event_type=event_type, about=about, data=data)
    return after


class _Last:
    """When this process put the job in last (time.monotonic)."""

    deferred_at = float("-inf")


def defer_processing_soon(tx: Tx) -> None:
    """Have what is due processed, for one of many: where this process had the job put in a moment ago, that one or the
    sweep will do.
    """
    now = time.monotonic()
    if now - _Last.deferred_at >= MOMENT_SECONDS:
        _Last.deferred_at = now
        defer_processing(tx)


def defer_processing(tx: Tx) -> None:
    """Have what is due processed. Should the job be at its end just now, the sweep puts in another one."""
    jobs.defer(tx, PROCESS, {}, key=PROCESS)


def defer_fetching(tx: Tx, provider: str) -> None:
    """Have a provider's log read."""
    jobs.defer(tx, FETCH, {"provider": provider}, key=f"{FETCH} {provider}")
