"""The one way in which a subject's row changes: through the table, one version on, with its event."""

from typing import Any

from bursar.domains.kyc import store
from bursar.domains.kyc.model import MACHINE, Subject
from bursar.infra import events
from bursar.infra.db import Tx


def change(tx: Tx, subject: Subject, action: str, **changes: Any) -> Subject:
    """Advance the subject by `action` and emit the edge's event: with what changed, or whole where the row is new."""
    after, event_type = MACHINE.advance(subject, action, tx.now, **changes)
    is_new = subject.version == 0
    if is_new:
        tx.insert(store.TABLE, after)
    else:
        tx.update(store.TABLE, after, was=subject.version)
    tx.object_id = after.id
    data = events.public(store.TABLE, after, None if is_new else ("status", *changes))
    events.emit(tx, stream=after.id, version=after.version, event_type=event_type, about=after.id, data=data)
    return after
