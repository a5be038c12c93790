"""The audit trail: who did what to which object, in the commit of its effect."""

from datetime import datetime

import msgspec

from bursar.infra.db import Tx


class _AuditRow(msgspec.Struct, frozen=True, omit_defaults=True):
    at: datetime
    actor: str
    action: str
    outcome: str
    object_id: str | None = None
    request_id: str | None = None


def record(tx: Tx, action: str, object_id: str | None, *, outcome: str = "done") -> None:
    """Write the audit line of this transaction. Holds references only, never personal data."""
    tx.write("audit", _AuditRow(tx.now, tx.origin.actor, action, outcome, object_id, tx.origin.request_id or None))
