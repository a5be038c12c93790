"""Money is allocated: each vendor's gross is charged its commission by the rules of now, and the whole is posted."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from bursar.domains.commissions import service as commissions
from bursar.domains.commissions.model import Facts
from bursar.domains.context import App
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import COMMISSION, UNALLOCATED, Line, vendor_pending
from bursar.domains.payments.model import Payment
from bursar.domains.transactions import store
from bursar.domains.transactions.change import make
from bursar.domains.transactions.model import Allocation, Status, Transaction, Type
from bursar.domains.transactions.split import captured_parts
from bursar.infra.db import Tx
from bursar.kit import ids


class Part(NamedTuple):
    """What a vendor sold, in minor units. split: the index of the payment's split that it pays."""

    vendor_id: str
    amount: int
    category_id: str | None = None
    split: int | None = None


async def on_captured(tx: Tx, app: App, payment: Payment, amount: int, key: str) -> int:
    """See service.on_captured."""
    splits = payment.splits
    if splits is None:
        return 0
    allocated = [0] * len(splits)
    if payment.amount_captured:
        for row in await tx.read(store.CAPTURED, payment.id):
            allocated[row["split"]] = row["gross"]
    parts = captured_parts(amount, [split.amount for split in splits], allocated)
    sold = [
        Part(split.vendor_id, part, split.category_id, index)
        for index, (split, part) in enumerate(zip(splits, parts, strict=True))
        if part
    ]
    charge = await charged(
        tx, app, payment, sold, amount=amount, status=Status.COMPLETED, transaction_id=payment.provider_transaction_id
    )
    post(tx, charge, reference=f"transaction:{key}")
    return amount


async def charged(
    tx: Tx,
    app: App,
    payment: Payment,
    sold: Iterable[Part],
    *,
    amount: int,
    status: Status,
    transaction_id: str | None = None,
    metadata: dict[str, str] | None = None,
) -> Transaction:
    """Make a charge of `amount`, to which the parts sum, and write it; what is COMPLETED is still to be posted."""
    allocations = await _allocations(tx, app, payment, sold)
    charge = Transaction(
        id=ids.new(tx.now),
        version=1,
        payment_id=payment.id,
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        type=Type.CHARGE,
        status=status,
        amount=amount,
        currency=payment.currency,
        allocations=allocations,
        amount_refunded=0,
        commission_total=sum(allocation.commission_amount for allocation in allocations),
        metadata=metadata or {},
        created_at=tx.now,
        updated_at=tx.now,
        transaction_id=transaction_id,
    )
    return make(tx, charge)


def post(tx: Tx, charge: Transaction, *, reference: str) -> None:
    """Post what a completed charge moves: from unallocated money to its vendors and to the platform.

    What was captured and in no transaction is the payment's, what is earned is the charge's.
    """
    earned: dict[str, int] = {}
    for allocation in charge.allocations:
        earned[allocation.vendor_id] = earned.get(allocation.vendor_id, 0) + allocation.net_amount
    lines = [Line(UNALLOCATED, charge.amount, charge.payment_id)]
    lines += [Line(vendor_pending(vendor_id), -net) for vendor_id, net in earned.items() if net]
    if charge.commission_total:
        lines.append(Line(COMMISSION, -charge.commission_total))
    ledger.post(
        tx,
        journal_type="transaction.completed",
        reference=reference,
        currency=charge.currency,
        about=charge.id,
        lines=lines,
    )


async def _allocations(tx: Tx, app: App, payment: Payment, sold: Iterable[Part]) -> tuple[Allocation, ...]:
    """The parts with their commissions. What a vendor sells counts for the volume of its further parts."""
    allocations, before = [], dict[str, int]()
    for part in sold:
        facts = Facts(
            vendor_id=part.vendor_id,
            amount=part.amount,
            currency=payment.currency,
            at=tx.now,
            category_id=part.category_id,
            customer_id=payment.customer_id,
        )
        winner = commissions.choose(app, facts, limit=0).winner
        if winner is not None and winner.volume_window_days is not None:
            since = tx.now - timedelta(days=winner.volume_window_days)
            volume = await _sold(tx, part.vendor_id, payment.currency, since)
            facts = msgspec.structs.replace(facts, volume=volume + before.get(part.vendor_id, 0))
        before[part.vendor_id] = before.get(part.vendor_id, 0) + part.amount
        commission = commissions.charge(winner, facts)
        allocations.append(
            Allocation(
                vendor_id=part.vendor_id,
                gross_amount=part.amount,
                commission_amount=commission.amount,
                net_amount=part.amount - commission.amount,
                category_id=part.category_id,
                commission_rule_id=commission.rule_id,
                commission_rule_version=commission.rule_version,
                split=part.split,
            )
        )
    return tuple(allocations)


async def _sold(tx: Tx, vendor_id: str, currency: str, since: datetime) -> int:
    rows = await tx.read(store.SOLD, store.sold_key(vendor_id, currency, since, tx.now))
    return int(rows[0]["sold"])
