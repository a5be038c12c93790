"""A webhook, its life, and its problems. Pure."""

import random
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.kit.errors import Problem
from bursar.kit.machine import Machine

BACKOFF_SECONDS: Final = 5.0
BACKOFF_MAX_SECONDS: Final = 21_600.0


class Status(StrEnum):
    RECEIVED = "RECEIVED"
    PROCESSED = "PROCESSED"
    IGNORED = "IGNORED"
    FAILED = "FAILED"
    DEAD_LETTER = "DEAD_LETTER"


WAITING: Final = (Status.RECEIVED, Status.FAILED)
"""Yet to be processed: a job waits for each."""

IN_ERROR: Final = (Status.FAILED, Status.DEAD_LETTER)


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of webhooks without its body. named: what the event names, by kind; see `reading`. reference: the
    provider's id of what it is about. run_id: of the bulk retry that took it up last.
    """

    id: str
    version: int
    provider: str
    event_id: str
    event_type: str
    status: Status
    attempts: int
    named: dict[str, str]
    occurred_at: datetime
    received_at: datetime
    created_at: datetime
    updated_at: datetime
    next_attempt_at: datetime | None = None
    last_error: str | None = None
    ignored_because: str | None = None
    payment_id: str | None = None
    reference: str | None = None
    run_id: str | None = None
    processed_at: datetime | None = None


class Received(Webhook, frozen=True, omit_defaults=True, kw_only=True):
    """A new row: with the body as it came, encrypted under a key of its own, and the headers that sign it."""

    body_ciphertext: str
    wrapped_key: str
    kek_version: int
    headers: dict[str, str]


class WebhookUnverifiable(Problem):
    status, code, title = 401, "webhook_unverifiable", "The signature does not show that a known provider sent this"


class WebhookUnreadable(Problem):
    status, code, title = 400, "webhook_unreadable", "What was sent is no event that can be read"


_S = Status

MACHINE: Final = Machine(
    "webhook",
    initial=_S.RECEIVED,
    actions=("process", "retry"),
    edges=[
        # from           action     to              event
        (_S.RECEIVED, "process", _S.PROCESSED, "webhook.processed"),
        (_S.RECEIVED, "ignore", _S.IGNORED, "webhook.ignored"),
        (_S.RECEIVED, "fail", _S.FAILED, "webhook.failed"),
        (_S.RECEIVED, "give_up", _S.DEAD_LETTER, "webhook.dead_lettered"),
        (_S.FAILED, "process", _S.PROCESSED, "webhook.processed"),
        (_S.FAILED, "ignore", _S.IGNORED, "webhook.ignored"),
        (_S.FAILED, "fail", _S.FAILED, "webhook.failed"),
        (_S.FAILED, "give_up", _S.DEAD_LETTER, "webhook.dead_lettered"),
        (_S.FAILED, "retry", _S.RECEIVED, "webhook.retried"),
        (_S.DEAD_LETTER, "retry", _S.RECEIVED, "webhook.retried"),
        (_S.IGNORED, "retry", _S.RECEIVED, "webhook.retried"),
    ],
)


def wait_seconds(attempts: int) -> float:
    """How long to wait after `attempts` tries: exponential, with jitter over the upper half."""
    ceiling: float = min(BACKOFF_MAX_SECONDS, BACKOFF_SECONDS * 2 ** min(attempts - 1, 30))
    return ceiling * random.uniform(0.5, 1)  # noqa: S311  no secret
