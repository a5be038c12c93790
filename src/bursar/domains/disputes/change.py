"""The one way in which a dispute's row changes: through the table, one version on, with its event."""

from collections.abc import Iterable
from typing import Any

from bursar.domains.disputes import store
from bursar.domains.disputes.model import MACHINE, Dispute
from bursar.infra import events
from bursar.infra.db import Tx


def change(tx: Tx, dispute: Dispute, action: str, *, is_new: bool = False, **changes: Any) -> Dispute:
    """Advance the dispute by `action` and emit the edge's event with what changed. is_new: its row is not written
    yet.
    """
    after, event_type = MACHINE.advance(dispute, action, tx.now, **changes)
    if not is_new:
        tx.update(store.TABLE, after, was=dispute.version)
    emit(tx, after, event_type, ("status", *(name for name in changes if name not in store.TABLE.private)))
    return after


def emit(tx: Tx, dispute: Dispute, event_type: str, names: Iterable[str] | None) -> None:
    """Emit an event of the dispute with the named fields, all where None. It belongs to its payment's timeline."""
    data = events.public(store.TABLE, dispute, names)
    events.emit(
        tx, stream=dispute.id, version=dispute.version, event_type=event_type, about=dispute.payment_id, data=data
    )
