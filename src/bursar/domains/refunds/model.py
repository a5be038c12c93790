"""A refund and its life, the batch of refunds, and what they refuse. Pure."""

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.domains.transactions.shares import Share
from bursar.infra.idempotency import Claim
from bursar.kit.errors import Problem
from bursar.kit.machine import Machine


class Status(StrEnum):
    PENDING_APPROVAL = "PENDING_APPROVAL"
    APPROVED = "APPROVED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


OPEN: Final = frozenset({Status.PENDING_APPROVAL, Status.APPROVED, Status.PROCESSING})
"""In these a refund reserves its amount."""


class Reason(StrEnum):
    CUSTOMER_REQUEST = "CUSTOMER_REQUEST"
    ITEM_RETURNED = "ITEM_RETURNED"
    DUPLICATE = "DUPLICATE"
    FRAUDULENT = "FRAUDULENT"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    DISPUTE = "DISPUTE"
    OTHER = "OTHER"


ACTIONS: Final = ("approve", "reject", "cancel", "process", "complete", "fail")
"""What callers may ask for; the other actions of the table are outcomes."""


class Approval(msgspec.Struct, frozen=True, rename="camel"):
    """Somebody's consent to the content of that digest."""

    approved_by: str
    approved_at: datetime
    content_digest: str


class Shown(StrEnum):
    """What a caller who waits is shown: the refund, or the REFUND transaction that it is in the vendors' books."""

    REFUND = "REFUND"
    TRANSACTION = "TRANSACTION"


class Asker(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Who waits for the attempt: the caller's idempotency key, which settling closes, and what a refusal's body names.

    Kept with the refund while the attempt is open, and told to nobody: it is no part of the refund's events.
    """

    request_id: str
    instance: str
    shown: Shown = Shown.REFUND
    claim: Claim | None = None


class Refund(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of refunds. Amounts in minor units of `currency`; amount = amount_unallocated + the shares' gross.

    shares: what is taken from which vendor of which transaction, and the commission that the platform gives back.
    amount_unallocated: the part that was in no transaction. requester_roles: those by which the policy was asked.
    approval_rule: the rule of the policy that says how many approvals are needed. content_digest: of what an approval
    consents to. processes_itself: nobody has to ask for the processing. is_foreign: made at the provider by somebody
    else, and learnt from there. source: unique, of the cause that may be told twice. transaction_id: the only charge to
    take from. refund_transaction_id: the REFUND transaction. provider_transaction_id: the provider's id of the payment;
    provider_reference: its id of the refund. attempt_id: of the last step with the provider, and its key there.
    is_unknown: the provider was asked and its outcome is not known.
    """

    id: str
    version: int
    refund_number: str
    payment_id: str
    order_id: str
    customer_id: str
    amount: int
    currency: str
    reason: Reason
    status: Status
    requested_by: str
    requester_roles: tuple[str, ...]
    approvals_needed: int
    approvals: tuple[Approval, ...]
    approval_rule: str
    content_digest: str
    shares: tuple[Share, ...]
    amount_unallocated: int
    keeps_commission: bool
    processes_itself: bool
    is_foreign: bool
    is_unknown: bool
    refund_transaction_id: str
    provider: str
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    reason_detail: str | None = None
    source: str | None = None
    batch_id: str | None = None
    transaction_id: str | None = None
    provider_transaction_id: str | None = None
    provider_reference: str | None = None
    attempt_id: str | None = None
    asked_at: datetime | None = None
    asked_by: Asker | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    ended_by: str | None = None
    approved_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def open_attempt_id(self) -> str | None:
        """The attempt that nobody has settled; None where there is none."""
        return self.attempt_id if self.status is Status.PROCESSING else None

    @property
    def commission_returned(self) -> int:
        """What the platform gives back of its commission."""
        return sum(share.commission for share in self.shares)


def digest_of(
    *,
    payment_id: str,
    amount: int,
    currency: str,
    reason: Reason,
    reason_detail: str | None,
    shares: tuple[Share, ...],
    amount_unallocated: int,
) -> str:
    """SHA-256 over what an approval consents to: how much goes back, why, and at whose expense."""
    content = [payment_id, amount, currency, reason, reason_detail, shares, amount_unallocated]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


class RefundNamed(msgspec.Struct, frozen=True):
    """What a provider's notice names: its id of the refund, the key of our step, our payment's id."""

    reference: str | None = None
    key: str | None = None
    payment_id: str | None = None


class Noticed(msgspec.Struct, frozen=True):
    """did: in a few words, what was done, or would be."""

    payment_id: str
    did: str
    refund_id: str | None = None


class PaymentDisputed(Problem):
    """Money that is under dispute is not given back as well."""

    status, code, title = 409, "payment_disputed", "The payment is disputed"


class TransactionNotRefundable(Problem):
    """A refund of one transaction takes from a completed charge of its payment."""

    status, code, title = 409, "transaction_not_refundable", "This is no completed charge of the payment"


class RequesterMayNotApprove(Problem):
    """Whoever asked for a refund cannot approve it, whatever his role."""

    status, code, title = 403, "requester_may_not_approve", "Who asked for a refund may not approve it"


class AlreadyApproved(Problem):
    """Where two approvals are needed, they come from two persons."""

    status, code, title = 409, "already_approved", "This caller has approved the refund already"


class RefundChanged(Problem):
    """An approval binds to the content that its caller has seen."""

    status, code, title = 409, "refund_changed", "The refund is not what this approval is for"


class RefundDeclined(Problem):
    status, code, title = 402, "refund_declined", "The provider declined the refund"


class RefundContradicted(Problem):
    """Nobody completes or fails a refund of which the provider says something else."""

    status, code, title = 409, "refund_contradicted", "The provider says something else of this refund"


class RefundOutcomeUnknown(Problem):
    """The provider does not say what became of the refund; it is asked on and on."""

    status, code, title = 409, "refund_outcome_unknown", "The provider does not know yet what became of the refund"


_S = Status

MACHINE: Final = Machine(
    "refund",
    initial=_S.PENDING_APPROVAL,
    actions=ACTIONS,
    edges=[
        # from                action           to                   event
        (_S.PENDING_APPROVAL, "give_approval", _S.PENDING_APPROVAL, "refund.approval_given"),
        (_S.PENDING_APPROVAL, "approve", _S.APPROVED, "refund.approved"),
        (_S.PENDING_APPROVAL, "reject", _S.REJECTED, "refund.rejected"),
        (_S.PENDING_APPROVAL, "cancel", _S.CANCELLED, "refund.cancelled"),
        (_S.APPROVED, "process", _S.PROCESSING, "refund.processing"),
        (_S.APPROVED, "cancel", _S.CANCELLED, "refund.cancelled"),
        (_S.APPROVED, "fail", _S.FAILED, "refund.failed"),
        (_S.PROCESSING, "wait", _S.PROCESSING, "refund.outcome_unknown"),
        (_S.PROCESSING, "undo", _S.APPROVED, "refund.not_done"),
        (_S.PROCESSING, "complete", _S.COMPLETED, "refund.completed"),
        (_S.PROCESSING, "fail", _S.FAILED, "refund.failed"),
        (_S.COMPLETED, "reverse", _S.FAILED, "refund.reversed"),
    ],
)

EVENT_CREATED: Final = "refund.created"
EVENT_UPDATED: Final = "refund.updated"


class NothingToRefund(Problem):
    """An item of a batch names nothing of which anything is left to refund."""

    status, code, title = 409, "nothing_to_refund", "Nothing is left to refund"


class BatchStatus(StrEnum):
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"


class ItemStatus(StrEnum):
    """WAITING: not looked at yet. ASKED: its refunds are there. REFUSED: nothing is refunded; problem_code says why."""

    WAITING = "WAITING"
    ASKED = "ASKED"
    REFUSED = "REFUSED"


class Batch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of refund_batches: refunds that were asked for together. vendor_id: whose shares alone are refunded.
    asked_count, refused_count: of the items that were looked at.
    """

    id: str
    version: int
    status: BatchStatus
    reason: Reason
    item_count: int
    asked_count: int
    refused_count: int
    requested_by: str
    requester_roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    reason_detail: str | None = None
    vendor_id: str | None = None
    completed_at: datetime | None = None


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of refund_batch_items: an order or a payment to refund, all of it where `amount` is None."""

    id: str
    position: int
    status: ItemStatus
    order_id: str | None = None
    payment_id: str | None = None
    amount: int | None = None
    refund_ids: tuple[str, ...] = ()
    problem_code: str | None = None
    problem_detail: str | None = None


class NewBatch(Batch, frozen=True, omit_defaults=True):
    """A batch as it is written first: with its items, which have a table of their own."""

    items: tuple[Item, ...] = ()


BATCH_MACHINE: Final = Machine(
    "refund_batch",
    initial=BatchStatus.RUNNING,
    edges=[
        # from               action      to                     event
        (BatchStatus.RUNNING, "progress", BatchStatus.RUNNING, "refund_batch.progressed"),
        (BatchStatus.RUNNING, "complete", BatchStatus.COMPLETED, "refund_batch.completed"),
    ],
    actions=(),
)

EVENT_BATCH_CREATED: Final = "refund_batch.created"
