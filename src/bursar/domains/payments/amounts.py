"""What becomes of captured money: allocated to transactions, asked back and refunded, disputed. None of it changes the
payment's status.

Each function writes the payment once and emits an event; the journals are posted by whoever calls.
"""

from typing import Any

import msgspec

from bursar.domains.payments import store
from bursar.domains.payments.change import emit
from bursar.domains.payments.model import (
    AmountExceedsRefundable,
    AmountExceedsUnallocated,
    Payment,
    PaymentNotCaptured,
)
from bursar.infra.db import Tx


async def locked(tx: Tx, payment_id: str) -> Payment:
    """The payment, guarded. Raises NotFound."""
    return await store.lock(tx, payment_id)


async def allocate(tx: Tx, payment_id: str, amount: int) -> Payment:
    """Put unallocated money into a transaction. Raises PaymentNotCaptured, AmountExceedsUnallocated."""
    payment = await _captured(tx, payment_id)
    if amount > payment.amount_unallocated:
        raise AmountExceedsUnallocated(
            f"{amount} is more than the {payment.amount_unallocated} that belong to no transaction",
            amountUnallocated=payment.amount_unallocated,
        )
    return _write(tx, payment, event_type="payment.allocated", amount_unallocated=payment.amount_unallocated - amount)


async def unallocate(tx: Tx, payment_id: str, amount: int) -> Payment:
    """Take money back out of a transaction that came to nothing."""
    payment = await store.lock(tx, payment_id)
    return _write(
        tx, payment, event_type="payment.allocation_undone", amount_unallocated=payment.amount_unallocated + amount
    )


async def reserve_refund(tx: Tx, payment_id: str, amount: int, *, unallocated: int) -> Payment:
    """Set `amount` aside for a refund, `unallocated` of it from money that is in no transaction.

    Raises PaymentNotCaptured, AmountExceedsRefundable, AmountExceedsUnallocated.
    """
    payment = await _captured(tx, payment_id)
    refuse_refund(payment, amount)
    if unallocated > payment.amount_unallocated:
        raise AmountExceedsUnallocated(
            f"{unallocated} is more than the {payment.amount_unallocated} that belong to no transaction",
            amountUnallocated=payment.amount_unallocated,
        )
    return _write(
        tx,
        payment,
        event_type="payment.refund_reserved",
        amount_refunding=payment.amount_refunding + amount,
        amount_unallocated=payment.amount_unallocated - unallocated,
    )


def refuse_refund(payment: Payment, amount: int) -> None:
    """Raise the reason why `amount` minor units cannot be asked back."""
    if not payment.amount_captured:
        raise PaymentNotCaptured(f"the payment is {payment.status}")
    if not 0 < amount <= payment.amount_refundable:
        raise AmountExceedsRefundable(
            f"{amount} is more than the {payment.amount_refundable} that can be refunded",
            amountRefundable=payment.amount_refundable,
        )


async def release_refund(tx: Tx, payment_id: str, amount: int, *, unallocated: int) -> Payment:
    """A refund came to nothing: what was set aside for it is free again."""
    payment = await store.lock(tx, payment_id)
    return _write(
        tx,
        payment,
        event_type="payment.refund_released",
        amount_refunding=payment.amount_refunding - amount,
        amount_unallocated=payment.amount_unallocated + unallocated,
    )


async def book_refund(tx: Tx, payment_id: str, amount: int) -> Payment:
    """What was set aside for a refund has gone back to the customer."""
    payment = await store.lock(tx, payment_id)
    total = payment.amount_refunded + amount
    event_type = "payment.refunded" if total == payment.amount_captured else "payment.partially_refunded"
    return _write(
        tx, payment, event_type=event_type, amount_refunding=payment.amount_refunding - amount, amount_refunded=total
    )


async def reverse_refund(tx: Tx, payment_id: str, amount: int, *, unallocated: int) -> Payment:
    """A refund that had counted as done came back from the customer's bank."""
    payment = await store.lock(tx, payment_id)
    return _write(
        tx,
        payment,
        event_type="payment.refund_reversed",
        amount_refunded=payment.amount_refunded - amount,
        amount_unallocated=payment.amount_unallocated + unallocated,
    )


async def book_dispute(tx: Tx, payment_id: str, amount: int, *, unallocated: int, status: str) -> Payment:
    """The provider took `amount` because of a dispute, `unallocated` of it from money that is in no transaction.

    amount: 0 where nothing is taken yet; never more than captured, all disputes together.
    """
    payment = await _captured(tx, payment_id)
    return _write(
        tx,
        payment,
        event_type="payment.disputed",
        amount_disputed=payment.amount_disputed + amount,
        amount_unallocated=payment.amount_unallocated - unallocated,
        dispute_status=status,
    )


async def end_dispute(tx: Tx, payment_id: str, amount: int, *, unallocated: int, status: str) -> Payment:
    """The provider gave `amount` back, since a dispute was won."""
    payment = await store.lock(tx, payment_id)
    return _write(
        tx,
        payment,
        event_type="payment.dispute_ended",
        amount_disputed=payment.amount_disputed - amount,
        amount_unallocated=payment.amount_unallocated + unallocated,
        dispute_status=status,
    )


async def show_dispute(tx: Tx, payment_id: str, status: str) -> Payment:
    """A dispute of the payment has another status now; no money moves."""
    return _write(tx, await store.lock(tx, payment_id), event_type="payment.dispute_updated", dispute_status=status)


async def _captured(tx: Tx, payment_id: str) -> Payment:
    payment = await store.lock(tx, payment_id)
    if not payment.amount_captured:
        raise PaymentNotCaptured(f"the payment is {payment.status}")
    return payment


def _write(tx: Tx, before: Payment, *, event_type: str, **changes: Any) -> Payment:
    after = msgspec.structs.replace(before, version=before.version + 1, updated_at=tx.now, **changes)
    assert _is_sound(after), f"{event_type} would break the sums of payment {before.id}"
    tx.update(store.TABLE, after, was=before.version)
    emit(tx, after, event_type, changes)
    return after


def _is_sound(payment: Payment) -> bool:
    """What the table's CHECKs say of these amounts."""
    captured = payment.amount_captured
    return (
        0 <= payment.amount_unallocated <= captured
        and payment.amount_refunding >= 0
        and payment.amount_refunded >= 0
        and payment.amount_refunded + payment.amount_refunding <= captured
        and 0 <= payment.amount_disputed <= captured
    )
