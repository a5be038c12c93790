"""What a refund moves in the ledger, in its payment and in the vendors' transactions, step by step.

sent: out of the vendors', the platform's and the unallocated money into `refunds`; settled: out of `refunds` and of
what the provider holds. What came to nothing is reversed by a journal of its own.
"""

from collections import Counter
from collections.abc import Sequence

from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import COMMISSION, REFUNDS, UNALLOCATED, Line, clearing, vendor_pending
from bursar.domains.payments import service as payments
from bursar.domains.refunds import store
from bursar.domains.refunds.model import Refund
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions.model import Transaction
from bursar.domains.transactions.shares import Share
from bursar.infra.db import Tx


def taken(refund: Refund) -> list[Line]:
    """At whose expense a refund is: a debit for each vendor, the platform and the unallocated money."""
    of_vendors = Counter[str]()
    for share in refund.shares:
        of_vendors[share.vendor_id] += share.net
    lines = [Line(vendor_pending(vendor_id), net, refund.id) for vendor_id, net in of_vendors.items()]
    lines.append(Line(COMMISSION, refund.commission_returned, refund.id))
    lines.append(Line(UNALLOCATED, refund.amount_unallocated, refund.payment_id))
    return [line for line in lines if line.amount]


def post_sent(tx: Tx, refund: Refund) -> None:
    """The provider is about to be asked: the money is owed to the customer. Once for each attempt."""
    _post(tx, refund, "sent", [*taken(refund), Line(REFUNDS, -refund.amount, refund.id)])


def post_unsent(tx: Tx, refund: Refund) -> None:
    """The provider did not do it: the money is whose it was before."""
    _post(tx, refund, "unsent", [*_opposite(taken(refund)), Line(REFUNDS, refund.amount, refund.id)])


def _opposite(lines: Sequence[Line]) -> list[Line]:
    return [Line(line.account, -line.amount, line.about) for line in lines]


def _post(tx: Tx, refund: Refund, what: str, lines: Sequence[Line]) -> None:
    ledger.post(
        tx,
        journal_type=f"refund.{what}",
        reference=f"refund:{refund.id}:{refund.attempt_id}:{what}",
        currency=refund.currency,
        about=refund.id,
        lines=lines,
    )


async def locked(tx: Tx, refund: Refund) -> Refund:
    """The refund as it is now, guarded, after the rows that it moves with: its payment, its charges, its transaction.

    It is read last. So where it is still to be settled or reversed, none of the others has been changed for it by
    another process; whatever else has become of them since, their guards tell. refund: as it was known before; what it
    is for never changes.
    """
    await payments.locked(tx, refund.payment_id)
    await _charges(tx, refund)
    await transactions.locked(tx, refund.refund_transaction_id)
    return await store.lock(tx, refund.id)


async def settle(tx: Tx, refund: Refund, *, gateway_reference: str | None) -> Transaction:
    """The customer has the money back. Posts refunds against clearing. Returns the REFUND transaction."""
    _post(
        tx,
        refund,
        "settled",
        (
            Line(REFUNDS, refund.amount, refund.id),
            Line(clearing(refund.provider), -refund.amount, refund.payment_id),
        ),
    )
    await payments.book_refund(tx, refund.payment_id, refund.amount)
    transactions.settle(tx, await _charges(tx, refund), refund.shares)
    return await transactions.end_counter(
        tx, refund.refund_transaction_id, "complete", gateway_reference=gateway_reference
    )


async def release(tx: Tx, refund: Refund, *, reason: str) -> Transaction:
    """The refund came to nothing: what it had reserved is free again. Returns the REFUND transaction."""
    await payments.release_refund(tx, refund.payment_id, refund.amount, unallocated=refund.amount_unallocated)
    transactions.release(tx, await _charges(tx, refund), refund.shares)
    return await transactions.end_counter(tx, refund.refund_transaction_id, "fail", reason=reason)


async def reverse(tx: Tx, refund: Refund, *, reason: str) -> Transaction:
    """The money that had been given back came back to the provider. Posts clearing against those at whose expense it
    was. Returns the REFUND transaction.
    """
    lines = [Line(clearing(refund.provider), refund.amount, refund.payment_id), *_opposite(taken(refund))]
    _post(tx, refund, "reversed", lines)
    await payments.reverse_refund(tx, refund.payment_id, refund.amount, unallocated=refund.amount_unallocated)
    transactions.unsettle(tx, await _charges(tx, refund), refund.shares)
    return await transactions.end_counter(tx, refund.refund_transaction_id, "reverse", reason=reason)


async def _charges(tx: Tx, refund: Refund) -> list[Transaction]:
    """The charges that the shares name, locked."""
    return [await transactions.locked(tx, charge_id) for charge_id in charge_ids(refund.shares)]


def charge_ids(shares: Sequence[Share]) -> list[str]:
    """The transactions that shares name, each once."""
    return sorted({share.transaction_id for share in shares})
