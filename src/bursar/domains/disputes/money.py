"""What a dispute takes, and gives back where it is won: shares, payment, CHARGEBACK and journals, at once."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from bursar.domains.disputes import store
from bursar.domains.disputes.model import Dispute, Status, shown
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import DISPUTE_FEES, DISPUTE_LOSSES, UNALLOCATED, Line, clearing, vendor_pending
from bursar.domains.payments import service as payments
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions import shares
from bursar.domains.transactions.model import Status as TransactionStatus
from bursar.domains.transactions.model import Type
from bursar.domains.transactions.shares import Share
from bursar.infra.db import Tx
from bursar.kit.errors import RowBusy


async def take(tx: Tx, dispute: Dispute, *, status: Status) -> dict[str, Any]:
    """Book that the provider took the amount of `dispute`. status: what it will be. Returns what changes of its row.

    The vendors give what is left of their shares in proportion, and so does unallocated money; the platform bears the
    commission of what vendors give, and what nothing is left for. The payment counts as disputed for no more than was
    captured: what goes beyond is booked about the dispute.
    """
    payment = await payments.locked(tx, dispute.payment_id)
    charges = await transactions.charges(tx, payment.id)
    covered = min(dispute.amount, shares.available(charges, payment.amount_unallocated))
    taken: tuple[Share, ...] = ()
    unallocated = 0
    if covered:
        taken, unallocated = shares.share_out(charges, payment.amount_unallocated, covered, keeps_commission=False)
    booked = min(dispute.amount, payment.amount_captured - payment.amount_disputed)
    transactions.dispute(tx, charges, taken)
    chargeback = transactions.counter(
        tx,
        type_=Type.CHARGEBACK,
        payment=payment,
        amount=dispute.amount,
        shares=taken,
        parent=None,
        metadata={},
        dispute_id=dispute.id,
        status=TransactionStatus.COMPLETED,
        gateway_reference=dispute.provider_dispute_id,
    )
    shown_status = await _shown(tx, dispute, status)
    await payments.book_dispute(tx, payment.id, booked, unallocated=unallocated, status=shown_status)
    return {
        "shares": taken,
        "amount_booked": booked,
        "amount_unallocated": unallocated,
        "amount_lost": dispute.amount - covered,
        "transaction_id": chargeback.id,
    }


async def give_back(tx: Tx, dispute: Dispute, *, status: Status) -> None:
    """Book that the provider gave the amount back. Posts the journal of the opening the other way round.

    Raises RowBusy where another process has just done so: the CHARGEBACK, which is read last, tells.
    """
    assert dispute.transaction_id is not None, "what was taken has its CHARGEBACK"
    await payments.locked(tx, dispute.payment_id)
    charges = await transactions.charges(tx, dispute.payment_id)
    chargeback = await transactions.locked(tx, dispute.transaction_id)
    if chargeback.status is not TransactionStatus.COMPLETED:
        raise RowBusy("the dispute has just been won", retry_after=1)
    transactions.undispute(tx, charges, dispute.shares)
    await transactions.end_counter(tx, chargeback.id, "reverse", reason="the dispute was won")
    await payments.end_dispute(
        tx,
        dispute.payment_id,
        dispute.amount_booked,
        unallocated=dispute.amount_unallocated,
        status=await _shown(tx, dispute, status),
    )
    lines = [Line(line.account, -line.amount, line.about) for line in lines_of(dispute)]
    _post(tx, dispute, "dispute.won", f"dispute:{dispute.id}:won", lines)


async def show(tx: Tx, dispute: Dispute, *, status: Status) -> None:
    """Have the payment show that the dispute is in another status now; no money moves."""
    await payments.show_dispute(tx, dispute.payment_id, await _shown(tx, dispute, status))


def post_opened(tx: Tx, dispute: Dispute) -> None:
    """Post what the dispute took. It is as it is after `take`."""
    _post(tx, dispute, "dispute.opened", f"dispute:{dispute.id}:opened", list(lines_of(dispute)))


def post_fee(tx: Tx, dispute: Dispute, *, before: int, is_opening: bool) -> None:
    """Post by how much the provider's fee differs from what it was before."""
    more = dispute.fee_amount - before
    if more:
        reference = f"dispute:{dispute.id}:fee"
        reference = reference if is_opening else f"{reference}:{dispute.version}"
        lines = [Line(DISPUTE_FEES, more), Line(clearing(dispute.provider), -more)]
        _post(tx, dispute, "dispute.fee", reference, lines)


def lines_of(dispute: Dispute) -> Iterator[Line]:
    """The lines of the journal of what a dispute took."""
    nets, commission = Counter[str](), 0
    for share in dispute.shares:
        nets[share.vendor_id] += share.net
        commission += share.commission
    lines = [Line(vendor_pending(vendor_id), net) for vendor_id, net in nets.items()]
    lines.append(Line(DISPUTE_LOSSES, commission + dispute.amount_lost))
    lines.append(Line(UNALLOCATED, dispute.amount_unallocated, dispute.payment_id))
    lines.append(Line(clearing(dispute.provider), -dispute.amount_booked, dispute.payment_id))
    lines.append(Line(clearing(dispute.provider), dispute.amount_booked - dispute.amount, dispute.id))
    return (line for line in lines if line.amount)


async def _shown(tx: Tx, dispute: Dispute, status: Status) -> Status:
    """What the payment shows of its disputes once this one is in `status`."""
    statuses = await store.statuses_of(tx, dispute.payment_id)
    return shown({*{**statuses, dispute.id: status}.values()})


def _post(tx: Tx, dispute: Dispute, journal_type: str, reference: str, lines: list[Line]) -> None:
    ledger.post(
        tx,
        journal_type=journal_type,
        reference=reference,
        currency=dispute.currency,
        about=dispute.id,
        lines=lines,
    )
