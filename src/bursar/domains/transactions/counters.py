"""What is taken back: the shares of a refund or a dispute, on the charges that they come from and as a transaction of
their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bursar.domains.payments.model import Payment
from bursar.domains.transactions import store
from bursar.domains.transactions.change import change, make
from bursar.domains.transactions.model import Allocation, Status, Transaction, Type
from bursar.domains.transactions.shares import Share, moved
from bursar.infra.db import Tx
from bursar.kit import ids
from bursar.kit.errors import RowBusy


async def charges(tx: Tx, payment_id: str) -> list[Transaction]:
    """See service.charges."""
    rows = [await store.lock(tx, record["id"]) for record in await tx.read(store.CHARGES, payment_id)]
    if any(row.status is not Status.COMPLETED for row in rows):  # a row kept in process is behind: look again
        raise RowBusy("a transaction of this payment has just been completed", retry_after=1)
    return rows


def apply(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share], action: str) -> list[Transaction]:
    """Change the charges that the shares name by an action of shares.CHANGES, each once. Returns all of them, as they
    are now.
    """
    by_charge: dict[str, list[Share]] = {}
    for share in shares:
        by_charge.setdefault(share.transaction_id, []).append(share)
    unknown = by_charge.keys() - {charge.id for charge in charges}
    assert not unknown, f"shares of charges that were not locked: {unknown}"
    return [
        _applied(tx, charge, by_charge[charge.id], action) if charge.id in by_charge else charge for charge in charges
    ]


def _applied(tx: Tx, charge: Transaction, shares: Sequence[Share], action: str) -> Transaction:
    allocations = list(charge.allocations)
    for share in shares:
        allocations[share.line] = moved(allocations[share.line], share, action)
    changes: dict[str, Any] = {"allocations": tuple(allocations)}
    refunded = sum(allocation.refunded for allocation in allocations)
    if refunded != charge.amount_refunded:
        changes["amount_refunded"] = refunded
    return change(tx, charge, action, **changes)


def counter(
    tx: Tx,
    *,
    type_: Type,
    payment: Payment,
    amount: int,
    shares: Sequence[Share],
    parent: str | None,
    metadata: Mapping[str, str],
    refund_id: str | None,
    dispute_id: str | None,
    status: Status,
    gateway_reference: str | None,
) -> Transaction:
    """See service.counter."""
    transaction = Transaction(
        id=ids.new(tx.now),
        version=1,
        payment_id=payment.id,
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        type=type_,
        status=status,
        amount=amount,
        currency=payment.currency,
        allocations=tuple(
            Allocation(
                vendor_id=share.vendor_id,
                gross_amount=share.gross,
                commission_amount=share.commission,
                net_amount=share.net,
                category_id=share.category_id,
                charge_id=share.transaction_id,
                charge_line=share.line,
            )
            for share in shares
        ),
        amount_refunded=0,
        commission_total=sum(share.commission for share in shares),
        metadata=dict(metadata),
        created_at=tx.now,
        updated_at=tx.now,
        gateway_reference=gateway_reference,
        parent_transaction_id=parent,
        refund_id=refund_id,
        dispute_id=dispute_id,
    )
    return make(tx, transaction)


async def end_counter(
    tx: Tx, transaction_id: str, action: str, *, gateway_reference: str | None, reason: str | None
) -> Transaction:
    """See service.end_counter."""
    before = await store.lock(tx, transaction_id)
    assert before.type is not Type.CHARGE, "a charge is ended by itself"
    changes: dict[str, Any] = {} if gateway_reference is None else {"gateway_reference": gateway_reference}
    if action == "complete":
        changes["completed_at"] = tx.now
    else:
        changes |= {"failed_at": tx.now, "failure_reason": reason or action}
    return change(tx, before, action, **changes)
