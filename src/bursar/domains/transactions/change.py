"""The one way in which a transaction's row is made and changed: through the table, one version on, with its event."""

from collections.abc import Iterable
from typing import Any

import msgspec

from bursar.domains.transactions import store
from bursar.domains.transactions.model import EVENT_CREATED, MACHINE, Status, Transaction
from bursar.infra import events
from bursar.infra.db import Tx


def make(tx: Tx, transaction: Transaction) -> Transaction:
    """Write a new transaction, PENDING or, where its money has moved already, COMPLETED: then it begins with the event
    of that edge, which tells all of it.
    """
    if transaction.status is Status.PENDING:
        _emit(tx, transaction, EVENT_CREATED, None)
    else:
        before = msgspec.structs.replace(transaction, version=0, status=MACHINE.initial)
        transaction, event_type = MACHINE.advance(before, "complete", tx.now, completed_at=tx.now)
        _emit(tx, transaction, event_type, None)
    tx.insert(store.TABLE, transaction)
    return transaction


def change(tx: Tx, transaction: Transaction, action: str, **changes: Any) -> Transaction:
    """Advance the transaction by `action` and emit the edge's event with what changed."""
    after, event_type = MACHINE.advance(transaction, action, tx.now, **changes)
    tx.update(store.TABLE, after, was=transaction.version)
    _emit(tx, after, event_type, ("status", *changes))
    return after


def _emit(tx: Tx, transaction: Transaction, event_type: str, names: Iterable[str] | None) -> None:
    data = events.public(store.TABLE, transaction, names)
    events.emit(
        tx,
        stream=transaction.id,
        version=transaction.version,
        event_type=event_type,
        about=transaction.payment_id,
        data=data,
    )
