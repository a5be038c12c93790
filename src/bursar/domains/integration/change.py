"""The one way in which the row of another service's event changes: through the table, one version on, with an event of
ours.
"""

from collections.abc import Iterable
from typing import Any

from bursar.domains.integration import store
from bursar.domains.integration.model import EVENT_RECEIVED, MACHINE, IntegrationEvent
from bursar.infra import events
from bursar.infra.db import Tx


def create(tx: Tx, row: IntegrationEvent, action: str | None, **changes: Any) -> IntegrationEvent:
    """Write a new row and emit integration_event.received; and, where it ends or fails at once, that action's event."""
    _emit(tx, row, EVENT_RECEIVED, None)
    if action is not None:
        row, event_type = MACHINE.advance(row, action, tx.now, **changes)
        _emit(tx, row, event_type, ("status", *changes))
    tx.object_id = row.id
    tx.insert(store.TABLE, row)
    return row


def change(tx: Tx, row: IntegrationEvent, action: str, **changes: Any) -> IntegrationEvent:
    """Advance the row by `action` and emit the edge's event with what changed."""
    after, event_type = MACHINE.advance(row, action, tx.now, **changes)
    tx.object_id = row.id
    tx.update(store.TABLE, after, was=row.version)
    _emit(tx, after, event_type, ("status", *changes))
    return after


def _emit(tx: Tx, row: IntegrationEvent, event_type: str, names: Iterable[str] | None) -> None:
    data = events.public(store.TABLE, row, names)
    events.emit(tx, stream=row.id, version=row.version, event_type=event_type, about=row.id, data=data)
