"""The ways in which a payment method's row changes: through its two tables, or in what is no status; one version on,
with its event.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from bursar.domains.payment_methods import store
from bursar.domains.payment_methods.model import ACTION_TO, MACHINE, VERIFICATION, PaymentMethod, VerificationStatus
from bursar.infra import events
from bursar.infra.db import Tx

EVENT_CREATED = "payment_method.created"
EVENT_UPDATED = "payment_method.updated"
EVENT_DEFAULT_SET = "payment_method.default_set"
EVENT_DEFAULT_TAKEN = "payment_method.default_taken"
EVENT_MICRO_DEPOSITS = "payment_method.micro_deposits_requested"
EVENT_AMOUNTS_WRONG = "payment_method.amounts_wrong"


def change(tx: Tx, method: PaymentMethod, action: str, **changes: Any) -> PaymentMethod:
    """Advance the method's status by `action` and emit the edge's event with what changed."""
    after, event_type = MACHINE.advance(method, action, tx.now, **changes)
    return _write(tx, method, after, event_type, ("status", *changes))


def verify(tx: Tx, method: PaymentMethod, to: VerificationStatus, **changes: Any) -> PaymentMethod:
    """Advance the method's verification to a status and emit the edge's event with what changed."""
    if to is VerificationStatus.VERIFIED:
        changes["verified_at"] = tx.now
    after, event_type = VERIFICATION.advance(method, ACTION_TO[to], tx.now, **changes)
    return _write(tx, method, after, event_type, ("verification_status", *changes))


def update(tx: Tx, method: PaymentMethod, event_type: str, **changes: Any) -> PaymentMethod:
    """Change what is no status, and emit `event_type` with what changed."""
    after = msgspec.structs.replace(method, version=method.version + 1, updated_at=tx.now, **changes)
    return _write(tx, method, after, event_type, changes)


def create(tx: Tx, method: PaymentMethod) -> None:
    """Write a new method, and emit payment_method.created."""
    tx.insert(store.TABLE, method)
    emit(tx, method, EVENT_CREATED, None)


def emit(tx: Tx, method: PaymentMethod, event_type: str, names: Iterable[str] | None) -> None:
    """Emit an event of the method with the named fields, all where None; what is private is left out."""
    shown = None if names is None else [name for name in names if name not in store.TABLE.private]
    data = events.public(store.TABLE, method, shown)
    events.emit(tx, stream=method.id, version=method.version, event_type=event_type, about=method.id, data=data)


def _write(tx: Tx, before: PaymentMethod, after: PaymentMethod, event_type: str, names: Iterable[str]) -> PaymentMethod:
    tx.update(store.TABLE, after, was=before.version)
    emit(tx, after, event_type, names)
    return after
