"""The one way in which a refund's row changes: through the table, one version on, with its event."""

from collections.abc import Iterable
from typing import Any

from bursar.domains.refunds import store
from bursar.domains.refunds.model import MACHINE, Asker, Refund
from bursar.infra import events
from bursar.infra.db import Tx


def change(
    tx: Tx, refund: Refund, action: str, *, is_new: bool = False, asker: Asker | None = None, **changes: Any
) -> Refund:
    """Advance the refund by `action` and emit the edge's event with what changed.

    is_new: its row is not written yet. asker: who waits for the step that begins; whoever waited before waits no more,
    unless the step goes on.
    """
    waits = {} if action == "wait" else {"asked_by": asker}
    after, event_type = MACHINE.advance(refund, action, tx.now, **changes, **waits)
    if not is_new:
        tx.update(store.TABLE, after, was=refund.version)
    emit(tx, after, event_type, ("status", *changes))
    return after


def emit(tx: Tx, refund: Refund, event_type: str, names: Iterable[str] | None) -> None:
    """Emit an event of the refund with the named fields, all where None: it belongs to the payment's timeline."""
    data = events.public(store.TABLE, refund, names)
    events.emit(tx, stream=refund.id, version=refund.version, event_type=event_type, about=refund.payment_id, data=data)
