"""The one way in which a payment's row changes: through the table, one version on, with its event."""

from collections.abc import Iterable
from typing import Any

from bursar.domains.payments import store
from bursar.domains.payments.model import MACHINE, Asker, Payment
from bursar.infra import events
from bursar.infra.db import Tx


def change(
    tx: Tx, payment: Payment, action: str, *, is_new: bool = False, asker: Asker | None = None, **changes: Any
) -> Payment:
    """Advance the payment by `action` and emit the edge's event with what changed.

    is_new: its row is not written yet. asker: who waits for the attempt that is added.
    """
    after, event_type = MACHINE.advance(payment, action, tx.now, **changes, **_asked_by(payment, asker, changes))
    if not is_new:
        tx.update(store.TABLE, after, was=payment.version)
    emit(tx, after, event_type, ("status", *changes))
    return after


def emit(tx: Tx, payment: Payment, event_type: str, names: Iterable[str] | None) -> None:
    """Emit an event of the payment with the named fields, all where None."""
    data = events.public(store.TABLE, payment, names)
    events.emit(tx, stream=payment.id, version=payment.version, event_type=event_type, about=payment.id, data=data)


def _asked_by(payment: Payment, asker: Asker | None, changes: dict[str, Any]) -> dict[str, tuple[Asker, ...]]:
    """Those who wait for the attempts that stay open, and the new one."""
    if "attempts" not in changes:
        return {}
    still_open = {attempt.id for attempt in changes["attempts"]}
    waiting = tuple(waiter for waiter in payment.asked_by if waiter.attempt_id in still_open)
    return {"asked_by": waiting if asker is None else (*waiting, asker)}
