"""What callers send and see of webhook endpoints and deliveries."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from bursar.domains.webhook_endpoints import address
from bursar.domains.webhook_endpoints.delivery import Delivery
from bursar.domains.webhook_endpoints.delivery import Status as DeliveryStatus
from bursar.domains.webhook_endpoints.model import EVERYTHING, DisabledReason, Endpoint, Status
from bursar.infra.http.types import (
    ForeignId,
    Metadata,
    MetadataChange,
    NoCardNumber,
    PageQuery,
    RequestModel,
    ResponseModel,
    Text,
)

EVENT_TYPES_MAX: Final = 100
OVERLAP_HOURS_MAX: Final = 168


def _readable(url: str) -> str:
    address.parse(url)
    return url


Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=address.URL_LENGTH_MAX),
    AfterValidator(_readable),
    NoCardNumber,
    Field(examples=["https://shop.example.com/hooks"]),
]
"""https: or http:, no credentials, no fragment; ASCII (a name in another script in its Punycode form)."""

EventType = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{0,40}\.(\*|[a-z][a-z0-9_]{0,60}))$"),
    Field(examples=["payment.captured", "payment.*"]),
]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=EVENT_TYPES_MAX)]


class CreateWebhookEndpoint(RequestModel):
    """eventTypes: names as in docs/events.md, `payment.*`, or `*` for all. customerId, vendorId: only events that
    concern them.
    """

    url: Url
    description: Text | None = None
    event_types: EventTypes = Field(default_factory=lambda: [EVERYTHING])
    customer_id: ForeignId | None = None
    vendor_id: ForeignId | None = None
    metadata: Metadata = Field(default_factory=dict)


class UpdateWebhookEndpoint(RequestModel):
    """Only what is sent changes. Metadata is merged key by key; a null takes away. While DISABLED an endpoint hears of
    nothing; what waited for it before goes on when it is ACTIVE again.
    """

    url: Url | None = None
    description: Text | None = None
    event_types: EventTypes | None = None
    status: Literal[Status.ACTIVE, Status.DISABLED] | None = None
    metadata: MetadataChange | None = None


class RotateSecret(RequestModel):
    """overlapHours: how long the secrets of before sign too; 0: no longer."""

    overlap_hours: Annotated[int, Field(ge=0, le=OVERLAP_HOURS_MAX)] = 24


class TestWebhookEndpoint(RequestModel):
    """Takes nothing."""


class RedeliverWebhook(RequestModel):
    """Takes nothing."""


class EndpointQuery(PageQuery):
    """Those that were removed are listed only where status says so."""

    status: Status | None = None


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status: DeliveryStatus | None = None
    event_type: Annotated[str | None, Field(max_length=110)] = None


class WebhookEndpointView(ResponseModel):
    """An endpoint as callers see it."""

    id: str
    version: int
    url: str
    description: str | None
    status: Status
    event_types: list[str]
    customer_id: str | None
    vendor_id: str | None
    disabled_reason: DisabledReason | None
    disabled_at: AwareDatetime | None
    removed_at: AwareDatetime | None
    metadata: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class WebhookEndpointSecretView(WebhookEndpointView):
    """secret: shown here and nowhere else."""

    secret: str


class WebhookEndpointList(ResponseModel):
    data: list[WebhookEndpointView]
    has_more: bool
    next_cursor: str | None


class TryView(ResponseModel):
    at: AwareDatetime
    status_code: int | None
    error: str | None
    milliseconds: int


class WebhookDeliveryView(ResponseModel):
    """One event for one endpoint. tries: the last of them; lastResponseBody: its beginning."""

    id: str
    version: int
    endpoint_id: str
    status: DeliveryStatus
    event_id: str
    event_type: str
    subject: str
    attempts: int
    tries: list[TryView]
    next_attempt_at: AwareDatetime | None
    last_attempt_at: AwareDatetime | None
    last_status_code: int | None
    last_error: str | None
    last_response_body: str | None
    finished_at: AwareDatetime | None
    is_test: bool
    redelivery_of: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class WebhookDeliveryList(ResponseModel):
    data: list[WebhookDeliveryView]
    has_more: bool
    next_cursor: str | None


def render(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as WebhookEndpointView."""
    return {
        "id": endpoint.id,
        "version": endpoint.version,
        "url": endpoint.url,
        "description": endpoint.description,
        "status": endpoint.status,
        "eventTypes": endpoint.event_types,
        "customerId": endpoint.customer_id,
        "vendorId": endpoint.vendor_id,
        "disabledReason": endpoint.disabled_reason,
        "disabledAt": endpoint.disabled_at,
        "removedAt": endpoint.removed_at,
        "metadata": endpoint.metadata,
        "createdAt": endpoint.created_at,
        "updatedAt": endpoint.updated_at,
    }


def render_delivery(delivery: Delivery) -> dict[str, Any]:
    """The delivery as WebhookDeliveryView."""
    return {
        "id": delivery.id,
        "version": delivery.version,
        "endpointId": delivery.endpoint_id,
        "status": delivery.status,
        "eventId": delivery.event_id,
        "eventType": delivery.event_type,
        "subject": delivery.stream,
        "attempts": delivery.attempts,
        "tries": delivery.tries,
        "nextAttemptAt": delivery.next_attempt_at,
        "lastAttemptAt": delivery.last_attempt_at,
        "lastStatusCode": delivery.last_status_code,
        "lastError": delivery.last_error,
        "lastResponseBody": delivery.last_response_body,
        "finishedAt": delivery.finished_at,
        "isTest": delivery.content is not None,
        "redeliveryOf": delivery.redelivery_of,
        "createdAt": delivery.created_at,
        "updatedAt": delivery.updated_at,
    }
