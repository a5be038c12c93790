"""Asking for a refund: what it is worth, at whose expense it is, who has to approve it; all of it reserved at once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bursar.domains.context import App
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import AmountExceedsRefundable, Payment
from bursar.domains.refunds import policy
from bursar.domains.refunds.change import change, emit
from bursar.domains.refunds.model import (
    EVENT_CREATED,
    MACHINE,
    PaymentDisputed,
    Reason,
    Refund,
    TransactionNotRefundable,
    digest_of,
)
from bursar.domains.refunds.store import TABLE, TAKEN, find_by_source
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions.model import ShareUnavailable, Transaction, Type
from bursar.domains.transactions.shares import Share, available, share_out
from bursar.infra import jobs
from bursar.infra.db import Tx
from bursar.kit import ids
from bursar.kit.errors import NotFound, Problem
from bursar.kit.machine import match_version

PROCESS = "refund.process"
"""The job that processes an approved refund that nobody has to ask for."""

MADE_THERE = "made at the provider"
"""Why nobody approves a refund that the provider has made already."""

UNDER_DISPUTE = frozenset({"NEEDS_RESPONSE", "UNDER_REVIEW"})
"""A payment's disputeStatus while it is not decided who keeps the money."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks back.

    amount: minor units; all that is left where None. allocations: how much from which vendor, summing to the amount.
    vendor_id: at this vendor's expense alone. transaction_id: from this charge alone, of which the requester expects
    `expected_version`. roles: the requester's. owner: the customer who asks, of whom the payment has to be. source:
    unique; the refund of a source that is known is answered. processes_itself: it is processed once it is approved,
    without anybody asking. is_foreign: it was made at the provider already.
    """

    payment_id: str
    reason: Reason
    roles: frozenset[str]
    amount: int | None = None
    reason_detail: str | None = None
    transaction_id: str | None = None
    expected_version: int | None = None
    allocations: Mapping[str, int] | None = None
    vendor_id: str | None = None
    owner: str | None = None
    source: str | None = None
    batch_id: str | None = None
    processes_itself: bool = False
    is_foreign: bool = False
    metadata: dict[str, str] = {}


_Content = dict[str, Any]

Then = Callable[[Refund, Payment], Refund]
"""What happens to a new refund in the transaction that writes it."""


async def begin(tx: Tx, app: App, wanted: Wanted, *, then: Then | None = None) -> Refund:
    """Reserve and write a refund: PENDING_APPROVAL, or APPROVED where the policy wants nobody; or what `then` makes of
    it. With its REFUND transaction, PENDING.

    Emits refund.created, refund.approved. Raises NotFound, StaleVersion, PaymentNotCaptured, AmountExceedsRefundable,
    ShareUnavailable, TransactionNotRefundable.
    """
    payment = await payments.locked(tx, wanted.payment_id)
    if wanted.owner is not None and payment.customer_id != wanted.owner:
        raise NotFound("no such payment")
    charges = await transactions.charges(tx, payment.id)
    amount = _amount(payment, charges, wanted)
    payments.refuse_refund(payment, amount)
    rules: policy.Policy = app.refund_policy
    keeps_commission = wanted.reason in rules.keeps_commission
    try:
        shares, unallocated = _shares(payment, charges, amount, wanted, keeps_commission=keeps_commission)
    except ShareUnavailable:
        await _refuse_taken(tx, payment, amount)
        raise
    await payments.reserve_refund(tx, payment.id, amount, unallocated=unallocated)
    transactions.hold(tx, charges, shares)
    content = _content(payment, amount, wanted, shares, unallocated)
    verdict = _verdict(rules, wanted, content)
    refund = _refund(tx, payment, wanted, verdict, content, keeps_commission=keeps_commission)
    return _write(tx, refund, payment, then)


def _shares(
    payment: Payment, charges: Sequence[Transaction], amount: int, wanted: Wanted, *, keeps_commission: bool
) -> tuple[tuple[Share, ...], int]:
    """At whose expense the amount is, and how much of it is no vendor's."""
    return share_out(
        charges,
        payment.amount_unallocated,
        amount,
        keeps_commission=keeps_commission,
        wanted={wanted.vendor_id: amount} if wanted.vendor_id is not None else wanted.allocations,
        transaction_id=wanted.transaction_id,
    )


async def _refuse_taken(tx: Tx, payment: Payment, amount: int) -> None:
    """Raise AmountExceedsRefundable where another process has asked for so much that the amount is not there any more:
    the charges were read after the payment, and may know of it already.
    """
    taken = sum(record["taken"] for record in await tx.read(TAKEN, payment.id))
    left = max(0, payment.amount_captured - taken - payment.amount_disputed)
    if amount > left:
        raise AmountExceedsRefundable(
            f"{amount} is more than the {left} that can be refunded", amountRefundable=left
        ) from None


async def begin_once(tx: Tx, app: App, wanted: Wanted, *, then: Then | None = None) -> Refund:
    """Begin a refund unless its source is known: then the refund of that source, as it is."""
    assert wanted.source is not None
    known = await find_by_source(tx, wanted.source)
    if known is not None:
        return known
    try:
        return await begin(tx, app, wanted, then=then)
    except Problem:
        known = await find_by_source(tx, wanted.source)  # another process may have written it since
        if known is None:
            raise
        return known


def _refund(
    tx: Tx, payment: Payment, wanted: Wanted, verdict: policy.Verdict, content: _Content, *, keeps_commission: bool
) -> Refund:
    """The refund, and its transaction."""
    refund_id = ids.new(tx.now)  # of the moment in created_at: lists by time are ranges of ids
    counter = transactions.counter(
        tx,
        type_=Type.REFUND,
        payment=payment,
        amount=content["amount"],
        shares=content["shares"],
        parent=wanted.transaction_id,
        metadata={},
        refund_id=refund_id,
    )
    return Refund(
        id=refund_id,
        version=1,
        refund_number=ids.number("RFD", tx.now),
        order_id=payment.order_id,
        customer_id=payment.customer_id,
        status=MACHINE.initial,
        requested_by=tx.origin.actor,
        requester_roles=tuple(sorted(wanted.roles)),
        approvals_needed=verdict.approvals,
        approvals=(),
        approval_rule=verdict.rule,
        keeps_commission=keeps_commission,
        processes_itself=wanted.processes_itself,
        is_foreign=wanted.is_foreign,
        is_unknown=False,
        refund_transaction_id=counter.id,
        provider=payment.provider,
        metadata=wanted.metadata,
        created_at=tx.now,
        updated_at=tx.now,
        source=wanted.source,
        batch_id=wanted.batch_id,
        transaction_id=wanted.transaction_id,
        provider_transaction_id=payment.provider_transaction_id,
        content_digest=digest_of(**content),
        **content,
    )


def _content(payment: Payment, amount: int, wanted: Wanted, shares: tuple[Share, ...], unallocated: int) -> _Content:
    """What an approval consents to."""
    return {
        "payment_id": payment.id,
        "amount": amount,
        "currency": payment.currency,
        "reason": wanted.reason,
        "reason_detail": wanted.reason_detail,
        "shares": shares,
        "amount_unallocated": unallocated,
    }


def _write(tx: Tx, refund: Refund, payment: Payment, then: Then | None) -> Refund:
    tx.object_id = refund.id
    emit(tx, refund, EVENT_CREATED, None)
    if not refund.approvals_needed:
        refund = change(tx, refund, "approve", is_new=True, approved_at=tx.now)
        if then is not None:
            refund = then(refund, payment)
        elif refund.processes_itself:
            defer_processing(tx, refund)
    tx.insert(TABLE, refund)
    return refund


def _amount(payment: Payment, charges: Sequence[Transaction], wanted: Wanted) -> int:
    """Minor units; of what is left, where nobody says how much: all."""
    if wanted.transaction_id is not None:
        charge = next((charge for charge in charges if charge.id == wanted.transaction_id), None)
        if charge is None:
            raise TransactionNotRefundable(f"payment {payment.id} has no completed charge {wanted.transaction_id}")
        match_version(charge.version, wanted.expected_version)
    if wanted.amount is not None:
        return wanted.amount
    if wanted.allocations is not None:
        return sum(wanted.allocations.values())
    if wanted.vendor_id is not None:
        own = (line for charge in charges for line in charge.allocations if line.vendor_id == wanted.vendor_id)
        left = sum(line.left for line in own)
    else:
        left = available(charges, payment.amount_unallocated, transaction_id=wanted.transaction_id)
    return min(payment.amount_refundable, left)


def _verdict(rules: policy.Policy, wanted: Wanted, content: _Content) -> policy.Verdict:
    if wanted.is_foreign:
        return policy.Verdict(0, MADE_THERE)
    vendors: list[str | None] = list(dict.fromkeys(share.vendor_id for share in content["shares"]))
    if content["amount_unallocated"]:
        vendors.append(None)
    facts = policy.Facts(
        reason=wanted.reason,
        amount=content["amount"],
        currency=content["currency"],
        requesters=wanted.roles,
        vendors=tuple(vendors),
    )
    return policy.decide(rules.rules, facts)


def refuse_disputed(payment: Payment) -> None:
    """Raise PaymentDisputed while it is not decided who keeps the money, and where a dispute has taken what was set
    aside.
    """
    gone = payment.amount_refunded + payment.amount_refunding + payment.amount_disputed
    if payment.dispute_status in UNDER_DISPUTE or gone > payment.amount_captured:
        raise PaymentDisputed(f"the dispute is {payment.dispute_status}", disputeStatus=payment.dispute_status)


def defer_processing(tx: Tx, refund: Refund) -> None:
    """Have an approved refund processed; one job for each."""
    jobs.defer(tx, PROCESS, {"refundId": refund.id}, key=f"{PROCESS}:{refund.id}")
