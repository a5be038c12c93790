"""Transactions made and ended by hand, made by captures, and changed by refunds and disputes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Payment
from bursar.domains.transactions import allocate, counters, store
from bursar.domains.transactions.allocate import Part
from bursar.domains.transactions.change import change
from bursar.domains.transactions.model import EndedElsewhere, Status, Transaction, Type
from bursar.domains.transactions.schemas import CreateTransaction, TransactionView, render
from bursar.domains.transactions.shares import Share
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.idempotency import Claim
from bursar.kit.machine import match_version

__all__ = ["TransactionView"]

LOCATION = "/api/v1/payments/{}"


async def create(app: App, origin: Origin, claim: Claim | None, request: CreateTransaction) -> Answer:
    """Allocate money of a payment that is in no transaction yet: PENDING, and set aside, until it is completed. The
    commission is that of now.

    Emits transaction.created, payment.allocated. Idempotent by the claim. Raises PaymentNotCaptured,
    AmountExceedsUnallocated.
    """

    async def decide(tx: Tx) -> Answer:
        payment = await payments.allocate(tx, request.payment_id, request.amount)
        sold = [Part(part.vendor_id, part.amount, part.category_id) for part in request.allocations]
        charge = await allocate.charged(
            tx,
            app,
            payment,
            sold,
            amount=request.amount,
            status=Status.PENDING,
            transaction_id=request.transaction_id,
            metadata=request.metadata,
        )
        tx.object_id = charge.id
        return created(render(charge), location=LOCATION.format(charge.id), version=charge.version)

    return await app.batcher.run(Command("transaction.create", request.payment_id, decide, origin, claim))


async def complete(
    app: App,
    origin: Origin,
    claim: Claim | None,
    transaction: Transaction,
    *,
    gateway_reference: str | None,
    expected_version: int | None,
) -> Answer:
    """The money of a charge is its vendors' and the platform's from now on.

    Emits transaction.completed. Posts from unallocated money to the vendors and to commission revenue. Idempotent by
    the claim. Raises EndedElsewhere.
    """

    async def decide(tx: Tx) -> Answer:
        before = await _locked_charge(tx, transaction.id, expected_version)
        changes = {} if gateway_reference is None else {"gateway_reference": gateway_reference}
        after = change(tx, before, "complete", completed_at=tx.now, **changes)
        allocate.post(tx, after, reference=f"transaction:{after.id}")
        return ok(render(after), version=after.version)

    return await app.batcher.run(_command("complete", transaction, decide, origin, claim))


async def fail(
    app: App,
    origin: Origin,
    claim: Claim | None,
    transaction: Transaction,
    *,
    reason: str,
    expected_version: int | None,
) -> Answer:
    """A charge comes to nothing: its money is unallocated again.

    Emits transaction.failed, payment.allocation_undone. Idempotent by the claim. Raises EndedElsewhere.
    """

    async def decide(tx: Tx) -> Answer:
        await payments.locked(tx, transaction.payment_id)  # payments are locked first, wherever both are
        before = await _locked_charge(tx, transaction.id, expected_version)
        after = change(tx, before, "fail", failed_at=tx.now, failure_reason=reason)
        await payments.unallocate(tx, before.payment_id, before.amount)
        return ok(render(after), version=after.version)

    return await app.batcher.run(_command("fail", transaction, decide, origin, claim))


async def get(app: App, transaction_id: str) -> Transaction:
    """The transaction as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, transaction_id), "transaction")


def view(transaction: Transaction) -> dict[str, Any]:
    """The transaction as staff see it."""
    return render(transaction)


async def vendor_volume(app: App, vendor_id: str, currency: str, since: datetime, until: datetime) -> int:
    """What a vendor sold in [since, until), minor units of `currency`: the gross of its completed charges, whatever was
    refunded of them since.
    """
    rows = await app.reader.query(store.SOLD, store.sold_key(vendor_id, currency, since, until))
    return int(rows[0]["sold"])


async def on_captured(tx: Tx, app: App, payment: Payment, amount: int, key: str) -> int:
    """Allocate a capture to the vendors of the payment's splits, in the transaction of the capture. Returns how much of
    it was allocated: all, or nothing where the payment has no splits.

    payment: as it was before the capture. key: the capture's own. To the commission rules each capture is a transaction
    of its own.

    Emits transaction.completed. Posts as `complete` does. Idempotent by the key.
    """
    return await allocate.on_captured(tx, app, payment, amount, key)


async def charges(tx: Tx, payment_id: str) -> list[Transaction]:
    """The completed charges of a payment, guarded, oldest first: what `share_out` and the six actions below take.

    The caller writes the payment in the same transaction, which keeps new charges away.
    """
    return await counters.charges(tx, payment_id)


def hold(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """Set shares aside for a refund that is asked for. Returns the charges after. Emits transaction.refund_reserved."""
    return counters.apply(tx, charges, shares, "hold")


def release(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """A refund came to nothing: its shares are free again. Emits transaction.refund_released."""
    return counters.apply(tx, charges, shares, "release")


def settle(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """What was set aside is refunded. Emits transaction.refunded."""
    return counters.apply(tx, charges, shares, "settle")


def unsettle(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """A refund that counted as done came back. Emits transaction.refund_reversed."""
    return counters.apply(tx, charges, shares, "unsettle")


def dispute(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """Shares are taken because of a dispute. Emits transaction.disputed."""
    return counters.apply(tx, charges, shares, "dispute")


def undispute(tx: Tx, charges: Sequence[Transaction], shares: Sequence[Share]) -> list[Transaction]:
    """A dispute was won: its shares are given back. Emits transaction.dispute_ended."""
    return counters.apply(tx, charges, shares, "undispute")


async def locked(tx: Tx, transaction_id: str) -> Transaction:
    """The transaction, guarded. Raises NotFound."""
    return await store.lock(tx, transaction_id)


def counter(
    tx: Tx,
    *,
    type_: Type,
    payment: Payment,
    amount: int,
    shares: Sequence[Share],
    parent: str | None,
    metadata: Mapping[str, str],
    refund_id: str | None = None,
    dispute_id: str | None = None,
    status: Status = Status.PENDING,
    gateway_reference: str | None = None,
) -> Transaction:
    """Make the transaction of a refund or a chargeback, PENDING or COMPLETED; its journal is its maker's to post.

    amount: that of the shares, and what came from unallocated money. parent: the one charge that it is restricted to.

    Emits transaction.created, or transaction.completed where it begins so.
    """
    return counters.counter(
        tx,
        type_=type_,
        payment=payment,
        amount=amount,
        shares=shares,
        parent=parent,
        metadata=metadata,
        refund_id=refund_id,
        dispute_id=dispute_id,
        status=status,
        gateway_reference=gateway_reference,
    )


async def end_counter(
    tx: Tx, transaction_id: str, action: str, *, gateway_reference: str | None = None, reason: str | None = None
) -> Transaction:
    """Complete, fail or reverse the transaction of a refund or a chargeback.

    Emits transaction.completed, transaction.failed or transaction.reversed.
    """
    return await counters.end_counter(tx, transaction_id, action, gateway_reference=gateway_reference, reason=reason)


async def _locked_charge(tx: Tx, transaction_id: str, expected_version: int | None) -> Transaction:
    transaction = await store.lock(tx, transaction_id)
    match_version(transaction.version, expected_version)
    if transaction.type is not Type.CHARGE:
        raise EndedElsewhere(f"it is a {transaction.type}", state=str(transaction.status), allowed=[])
    return transaction


def _command(
    action: str, transaction: Transaction, decide: Any, origin: Origin, claim: Claim | None
) -> Command[Answer]:
    """A command on the payment, behind all others on it."""
    command: Command[Answer] = Command(f"transaction.{action}", transaction.payment_id, decide, origin, claim)
    return command
