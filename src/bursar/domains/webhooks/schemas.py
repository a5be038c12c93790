"""What callers send and see of webhooks. A body is never shown: it may hold personal data."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from bursar.domains.webhooks.model import Status, Webhook
from bursar.domains.webhooks.reading import NoEvent, decoded
from bursar.infra.http.types import PageQuery, RequestModel, ResponseModel

RETRIED_MAX = 500

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
EventId = Annotated[str, StringConstraints(pattern=r"^[!#-\[\]-~]{1,200}$")]
EventType = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(max_length=4_096, pattern=r"^[^\x00]*$")]
Headers = Annotated[dict[str, HeaderValue], Field(max_length=50)]


class ReceiveWebhook(RequestModel):
    """An event that a service hands over. payload: the provider's, as text or as an object."""

    provider: ProviderName
    event_id: EventId
    event_type: EventType
    payload: str | dict[str, Any]
    headers: Headers = Field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The payload, where it is a text with JSON in it; else nothing."""
        try:
            return decoded(str(self.payload).encode(), dict[str, Any])
        except NoEvent:
            return {}


class VerifySignature(RequestModel):
    """payload: the raw body, to the character."""

    provider: ProviderName | None = None
    payload: str
    headers: Headers


class AutoRetry(RequestModel):
    """Which webhooks in error to take up: those that failed longest ago, of one provider or of all."""

    limit: Annotated[int, Field(ge=1, le=RETRIED_MAX)] = 100
    provider: ProviderName | None = None
    dry_run: bool = False


class ProcessWebhook(RequestModel):
    """Takes nothing."""


class ReceiveQuery(BaseModel):
    """provider: where the headers do not tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: ProviderName | None = None


class WebhookQuery(PageQuery):
    provider: ProviderName | None = None


class WebhookView(ResponseModel):
    """A provider's event, and how far it has come. reference: the provider's id of what it is about."""

    id: str
    version: int
    provider: str
    event_id: str
    event_type: str
    status: Status
    attempts: int
    next_attempt_at: AwareDatetime | None
    last_error: str | None
    ignored_because: str | None
    payment_id: str | None
    reference: str | None
    run_id: str | None
    occurred_at: AwareDatetime
    received_at: AwareDatetime
    processed_at: AwareDatetime | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class WebhookList(ResponseModel):
    data: list[WebhookView]
    has_more: bool
    next_cursor: str | None


class VerdictView(ResponseModel):
    valid: bool
    reason: str | None


class RunView(ResponseModel):
    """How far a bulk retry has come: webhooks by status; `done` of `total` are PROCESSED, IGNORED or DEAD_LETTER. One
    that found nothing to take up is over at once, and has no id to ask for.
    """

    run_id: str | None
    total: int
    done: int
    counts: dict[str, int]


class PreviewView(ResponseModel):
    id: str
    provider: str
    event_type: str
    status: Status
    would: str


class DryRunView(ResponseModel):
    """What a bulk retry would do. matched: how many are in error at all."""

    dry_run: Literal[True]
    matched: int
    webhooks: list[PreviewView]


def render(webhook: Webhook) -> dict[str, Any]:
    """The webhook as WebhookView."""
    return {
        "id": webhook.id,
        "version": webhook.version,
        "provider": webhook.provider,
        "eventId": webhook.event_id,
        "eventType": webhook.event_type,
        "status": webhook.status,
        "attempts": webhook.attempts,
        "nextAttemptAt": webhook.next_attempt_at,
        "lastError": webhook.last_error,
        "ignoredBecause": webhook.ignored_because,
        "paymentId": webhook.payment_id,
        "reference": webhook.reference,
        "runId": webhook.run_id,
        "occurredAt": webhook.occurred_at,
        "receivedAt": webhook.received_at,
        "processedAt": webhook.processed_at,
        "createdAt": webhook.created_at,
        "updatedAt": webhook.updated_at,
    }


def render_run(run_id: str | None, counts: dict[str, int]) -> dict[str, Any]:
    """A bulk retry as RunView."""
    done = sum(counts.get(status, 0) for status in (Status.PROCESSED, Status.IGNORED, Status.DEAD_LETTER))
    return {"runId": run_id, "total": sum(counts.values()), "done": done, "counts": counts}
