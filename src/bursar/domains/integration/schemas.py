"""What other services send, and what they see of it."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from bursar.domains.integration.model import IntegrationEvent, Status
from bursar.infra.http.types import Moment, NoCardNumber, PageQuery, ResponseModel

Name = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,200}$"), NoCardNumber]
"""Printable ASCII without spaces."""


class CloudEvent(BaseModel):
    """CloudEvents 1.0 in its structured JSON mode. Extensions, and data of a type that we do not know, are dropped."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    time: Moment | None = None
    data: Annotated[Any, Field(description="the type's own; see docs/events/README.md")] = None


class ListIntegrationEvents(PageQuery):
    """Which of them to list."""

    status: Status | None = None


class IntegrationEventView(ResponseModel):
    """What became of an event. subject: the order, customer, vendor or item that it is about."""

    id: str
    version: int
    source: str
    event_id: str
    type: str
    status: Status
    subject: str | None
    data: dict[str, Any]
    attempts: int
    reason: str | None
    last_error: str | None
    occurred_at: AwareDatetime | None
    received_at: AwareDatetime
    processed_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class IntegrationEventList(ResponseModel):
    data: list[IntegrationEventView]
    has_more: bool
    next_cursor: str | None


def render(row: IntegrationEvent) -> dict[str, Any]:
    """The row as IntegrationEventView."""
    return {
        "id": row.id,
        "version": row.version,
        "source": row.source,
        "eventId": row.event_id,
        "type": row.type,
        "status": row.status,
        "subject": row.subject,
        "data": row.data,
        "attempts": row.attempts,
        "reason": row.reason,
        "lastError": row.last_error,
        "occurredAt": row.occurred_at,
        "receivedAt": row.received_at,
        "processedAt": row.processed_at,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
    }
