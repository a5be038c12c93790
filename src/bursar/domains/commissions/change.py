"""The one way in which a rule's row changes: through the table, one version on, with author, reason and event."""

from typing import Any

from bursar.domains.commissions import store
from bursar.domains.commissions.model import MACHINE, Rule
from bursar.infra import events
from bursar.infra.db import Tx


def change(tx: Tx, rule: Rule, action: str, *, reason: str, **changes: Any) -> Rule:
    """Advance the rule by `action` and emit the edge's event with what changed. PostgreSQL keeps the version."""
    changes |= {"changed_by": tx.origin.actor, "change_reason": reason}
    after, event_type = MACHINE.advance(rule, action, tx.now, **changes)
    tx.update(store.TABLE, after, was=rule.version)
    data = events.public(store.TABLE, after, ("status", *changes))
    events.emit(tx, stream=after.id, version=after.version, event_type=event_type, about=after.id, data=data)
    return after
