"""An event of another service, and what became of it. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from bursar.kit.machine import Machine

ATTEMPTS_MAX: Final = 12
"""Failures after which an event is FAILED."""


class Status(StrEnum):
    """WAITING: it was begun, and ends when what `reason` names has come to its end."""

    RECEIVED = "RECEIVED"
    PROCESSED = "PROCESSED"
    IGNORED = "IGNORED"
    WAITING = "WAITING"
    FAILED = "FAILED"


class IntegrationEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of integration_events. data: the known fields of the event's data. subject: the order, customer, vendor or
    item that it is about. occurred_at: when it happened, as its source says. attempts: those that failed.
    """

    id: str
    version: int
    source: str
    event_id: str
    type: str
    status: Status
    data: dict[str, Any]
    attempts: int
    received_at: datetime
    created_at: datetime
    updated_at: datetime
    subject: str | None = None
    occurred_at: datetime | None = None
    reason: str | None = None
    last_error: str | None = None
    processed_at: datetime | None = None

    @property
    def happened_at(self) -> datetime:
        """When it happened, as far as we know: never later than it came."""
        return self.received_at if self.occurred_at is None else min(self.occurred_at, self.received_at)


_S = Status

MACHINE: Final = Machine(
    "integration_event",
    initial=_S.RECEIVED,
    actions=(),
    edges=[
        # from          action       to            event
        (_S.RECEIVED, "process", _S.PROCESSED, "integration_event.processed"),
        (_S.RECEIVED, "ignore", _S.IGNORED, "integration_event.ignored"),
        (_S.RECEIVED, "wait", _S.WAITING, "integration_event.waiting"),
        (_S.RECEIVED, "try_again", _S.RECEIVED, "integration_event.attempt_failed"),
        (_S.RECEIVED, "fail", _S.FAILED, "integration_event.failed"),
        (_S.WAITING, "wait", _S.WAITING, "integration_event.waiting"),
        (_S.WAITING, "process", _S.PROCESSED, "integration_event.processed"),
        (_S.FAILED, "retry", _S.RECEIVED, "integration_event.retried"),
    ],
)
"""Callers ask for none of it; a FAILED one is taken up again when its source sends it again."""

EVENT_RECEIVED: Final = "integration_event.received"
