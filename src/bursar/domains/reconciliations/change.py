"""The one way in which the rows of reconciliations and their items change: through the table, one version on, with an
event.
"""

from collections.abc import Iterable
from typing import Any

from bursar.domains.reconciliations import store
from bursar.domains.reconciliations.model import (
    EVENT_FOUND,
    EVENT_RECEIVED,
    ITEM_MACHINE,
    MACHINE,
    Item,
    Reconciliation,
)
from bursar.infra import events
from bursar.infra.db import Tx


def create(tx: Tx, row: Reconciliation) -> None:
    """Write a new row and emit reconciliation.received."""
    tx.object_id = row.id
    tx.insert(store.TABLE, row)
    _emit(tx, row, EVENT_RECEIVED, None)


def change(tx: Tx, row: Reconciliation, action: str, **changes: Any) -> Reconciliation:
    """Advance a reconciliation by `action` and emit the edge's event with what changed."""
    after, event_type = MACHINE.advance(row, action, tx.now, **changes)
    tx.object_id = row.id
    tx.update(store.TABLE, after, was=row.version)
    _emit(tx, after, event_type, ("status", *changes))
    return after


def create_item(tx: Tx, item: Item) -> None:
    """Write a new item; one that somebody has to look at emits reconciliation_item.found."""
    tx.insert(store.ITEMS, item)
    if item.status is ITEM_MACHINE.initial:
        data = events.public(store.ITEMS, item)
        _emit_item(tx, item, EVENT_FOUND, data)


def change_item(tx: Tx, item: Item, action: str, **changes: Any) -> Item:
    """Advance an item by `action` and emit the edge's event with what changed."""
    after, event_type = ITEM_MACHINE.advance(item, action, tx.now, **changes)
    tx.object_id = item.id
    tx.update(store.ITEMS, after, was=item.version)
    _emit_item(tx, after, event_type, events.public(store.ITEMS, after, ("status", *changes)))
    return after


def _emit(tx: Tx, row: Reconciliation, event_type: str, names: Iterable[str] | None) -> None:
    data = events.public(store.TABLE, row, names)
    events.emit(tx, stream=row.id, version=row.version, event_type=event_type, about=row.id, data=data)


def _emit_item(tx: Tx, item: Item, event_type: str, data: dict[str, Any]) -> None:
    """An item of a payment stands in that payment's timeline."""
    about = item.payment_id or item.reconciliation_id
    events.emit(tx, stream=item.id, version=item.version, event_type=event_type, about=about, data=data)
