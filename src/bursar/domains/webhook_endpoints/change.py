"""The ways in which an endpoint's row changes: through its table, or in what is no status; one version on, with its
event.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from bursar.domains.webhook_endpoints import store
from bursar.domains.webhook_endpoints.model import MACHINE, Endpoint
from bursar.infra import events
from bursar.infra.db import Tx

EVENT_CREATED = "webhook_endpoint.created"
EVENT_UPDATED = "webhook_endpoint.updated"
EVENT_SECRET_ROTATED = "webhook_endpoint.secret_rotated"  # noqa: S105  no secret


def create(tx: Tx, endpoint: Endpoint) -> None:
    """Write a new endpoint, and emit webhook_endpoint.created."""
    tx.object_id = endpoint.id
    tx.insert(store.TABLE, endpoint)
    _emit(tx, endpoint, EVENT_CREATED, None)


def change(tx: Tx, endpoint: Endpoint, action: str, **changes: Any) -> Endpoint:
    """Advance the endpoint's status by `action` and emit the edge's event with what changed."""
    after, event_type = MACHINE.advance(endpoint, action, tx.now, **changes)
    return _write(tx, endpoint, after, event_type, ("status", *changes))


def update(tx: Tx, endpoint: Endpoint, event_type: str, **changes: Any) -> Endpoint:
    """Change what is no status, and emit `event_type` with what changed."""
    after = msgspec.structs.replace(endpoint, version=endpoint.version + 1, updated_at=tx.now, **changes)
    return _write(tx, endpoint, after, event_type, changes)


def _write(tx: Tx, before: Endpoint, after: Endpoint, event_type: str, names: Iterable[str]) -> Endpoint:
    tx.update(store.TABLE, after, was=before.version)
    _emit(tx, after, event_type, names)
    return after


def _emit(tx: Tx, endpoint: Endpoint, event_type: str, names: Iterable[str] | None) -> None:
    shown = None if names is None else [name for name in names if name not in store.TABLE.private]
    data = events.public(store.TABLE, endpoint, shown)
    events.emit(tx, stream=endpoint.id, version=endpoint.version, event_type=event_type, about=endpoint.id, data=data)
