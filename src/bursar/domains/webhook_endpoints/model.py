"""An endpoint, its life, and what it asks for. Pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from bursar.infra.events import Event
from bursar.kit.errors import Problem
from bursar.kit.machine import Machine

ENDPOINTS_MAX: Final = 100
SECRETS_MAX: Final = 5
EVERYTHING: Final = "*"


class Status(StrEnum):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"
    REMOVED = "REMOVED"


class DisabledReason(StrEnum):
    """REQUESTED: by a caller. GONE: it answered 410. FAILING: nothing was delivered for days."""

    REQUESTED = "REQUESTED"
    GONE = "GONE"
    FAILING = "FAILING"


class Secret(msgspec.Struct, frozen=True):
    """A signing secret, wrapped by the key-encryption key of that version. expires_at: None for the newest."""

    wrapped: str
    kek_version: int
    expires_at: datetime | None


class Endpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of webhook_endpoints. event_types: `payment.captured`, `payment.*` or `*`. customer_id, vendor_id: only
    events that concern them. secrets: newest first.
    """

    id: str
    version: int
    url: str
    status: Status
    event_types: tuple[str, ...]
    secrets: tuple[Secret, ...]
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    customer_id: str | None = None
    vendor_id: str | None = None
    disabled_reason: DisabledReason | None = None
    disabled_at: datetime | None = None
    removed_at: datetime | None = None

    @property
    def is_narrowed(self) -> bool:
        """Whether it asks for the events of one customer or vendor only."""
        return self.customer_id is not None or self.vendor_id is not None

    def asks_for(self, event_type: str) -> bool:
        """Whether events of this type are sent to it."""
        kind = event_type.partition(".")[0]
        return any(pattern in (event_type, EVERYTHING, f"{kind}.*") for pattern in self.event_types)

    def valid_secrets(self, now: datetime) -> tuple[Secret, ...]:
        """The secrets that sign now."""
        return tuple(secret for secret in self.secrets if secret.expires_at is None or now < secret.expires_at)


class WebhookEndpointNotActive(Problem):
    """Nothing is sent to an endpoint that is disabled or removed."""

    status, code, title = 409, "webhook_endpoint_not_active", "The endpoint is not active"


class TooManyWebhookEndpoints(Problem):
    status, code, title = 409, "too_many_webhook_endpoints", "There are as many endpoints as there may be"


class TooManySecrets(Problem):
    status, code, title = 409, "too_many_secrets", "Too many secrets of this endpoint are valid at once"


MACHINE: Final = Machine(
    "webhook_endpoint",
    initial=Status.ACTIVE,
    edges=[
        # from             action     to               event
        (Status.ACTIVE, "disable", Status.DISABLED, "webhook_endpoint.disabled"),
        (Status.DISABLED, "enable", Status.ACTIVE, "webhook_endpoint.enabled"),
        (Status.ACTIVE, "remove", Status.REMOVED, "webhook_endpoint.removed"),
        (Status.DISABLED, "remove", Status.REMOVED, "webhook_endpoint.removed"),
    ],
)


def parties(documents: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """Whom events' data name: ("customer" or "vendor", id)."""
    named: set[tuple[str, str]] = set()
    for data in documents:
        shares = [share for name in ("splits", "allocations") for share in data.get(name) or ()]
        for part in (data, *shares):
            named |= {(who, part[f"{who}Id"]) for who in ("customer", "vendor") if part.get(f"{who}Id")}
        if data.get("subjectType") and data.get("subjectId"):
            named.add((data["subjectType"].lower(), data["subjectId"]))
    return frozenset(named)


def wants(endpoint: Endpoint, event: Event, concerned: frozenset[tuple[str, str]]) -> bool:
    """Whether an event is sent to an endpoint. concerned: the event's `parties`; looked at where it is narrowed."""
    return (
        endpoint.asks_for(event.type)
        and (endpoint.customer_id is None or ("customer", endpoint.customer_id) in concerned)
        and (endpoint.vendor_id is None or ("vendor", endpoint.vendor_id) in concerned)
    )
