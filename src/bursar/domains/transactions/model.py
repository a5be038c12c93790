"""A transaction and its life: who gets what of a payment's money, and what became of each share. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.kit.errors import Problem
from bursar.kit.machine import Machine


class Type(StrEnum):
    CHARGE = "CHARGE"
    REFUND = "REFUND"
    CHARGEBACK = "CHARGEBACK"
    ADJUSTMENT = "ADJUSTMENT"


class Status(StrEnum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Allocation(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A vendor's share of a transaction, minor units; gross_amount = commission_amount + net_amount.

    Of a charge: what the vendor sold, what the platform keeps of it and by which version of which rule, what the vendor
    earns; split: the index of the payment's split that it pays. Of a refund or a chargeback: what is taken back of the
    line `charge_line` of the charge `charge_id`: from the platform, and from the vendor.

    refunding: asked back and not settled yet. refunded, disputed: taken back. commission_refunding, _returned and
    _disputed: the platform's part of these; commission_kept: what it kept of them.
    """

    vendor_id: str
    gross_amount: int
    commission_amount: int
    net_amount: int
    category_id: str | None = None
    commission_rule_id: str | None = None
    commission_rule_version: int | None = None
    settlement_id: str | None = None
    split: int | None = None
    charge_id: str | None = None
    charge_line: int | None = None
    refunding: int = 0
    refunded: int = 0
    disputed: int = 0
    commission_refunding: int = 0
    commission_returned: int = 0
    commission_disputed: int = 0
    commission_kept: int = 0

    @property
    def taken(self) -> int:
        """What is asked back, refunded and disputed of it."""
        return self.refunding + self.refunded + self.disputed

    @property
    def left(self) -> int:
        """What can still be taken back."""
        return self.gross_amount - self.taken

    @property
    def commission_left(self) -> int:
        """The part of the commission that belongs to what is left."""
        taken = self.commission_refunding + self.commission_returned + self.commission_disputed
        return self.commission_amount - taken - self.commission_kept


class Transaction(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of transactions. Amounts in minor units of `currency`.

    The allocations of a charge sum to `amount`; those of a refund or a chargeback may be less: the rest came from money
    that was in no transaction. transaction_id: the id that the payment's provider or the caller has for it.
    gateway_reference: of the effect at the provider. parent_transaction_id: of a refund or a chargeback of one charge
    alone. amount_refunded: of a charge, by refunds that are settled.
    """

    id: str
    version: int
    payment_id: str
    order_id: str
    customer_id: str
    type: Type
    status: Status
    amount: int
    currency: str
    allocations: tuple[Allocation, ...]
    amount_refunded: int
    commission_total: int
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    transaction_id: str | None = None
    gateway_reference: str | None = None
    parent_transaction_id: str | None = None
    refund_id: str | None = None
    dispute_id: str | None = None
    failure_reason: str | None = None
    completed_at: datetime | None = None
    failed_at: datetime | None = None


class ShareUnavailable(Problem):
    """Less than that is left of what was allocated: the rest was refunded, disputed, or never allocated there."""

    status, code, title = 409, "allocation_exceeded", "More is asked back than is left of what was allocated"


class EndedElsewhere(Problem):
    """Refunds and chargebacks complete or fail with the refund or the dispute that they belong to."""

    status, code, title = 409, "transaction_ended_elsewhere", "A refund or a dispute decides what becomes of this"


_S = Status

MACHINE: Final = Machine(
    "transaction",
    initial=_S.PENDING,
    actions=("complete", "fail"),
    edges=[
        # from           action       to            event
        (_S.PENDING, "complete", _S.COMPLETED, "transaction.completed"),
        (_S.PENDING, "fail", _S.FAILED, "transaction.failed"),
        (_S.COMPLETED, "hold", _S.COMPLETED, "transaction.refund_reserved"),
        (_S.COMPLETED, "release", _S.COMPLETED, "transaction.refund_released"),
        (_S.COMPLETED, "settle", _S.COMPLETED, "transaction.refunded"),
        (_S.COMPLETED, "unsettle", _S.COMPLETED, "transaction.refund_reversed"),
        (_S.COMPLETED, "dispute", _S.COMPLETED, "transaction.disputed"),
        (_S.COMPLETED, "undispute", _S.COMPLETED, "transaction.dispute_ended"),
        (_S.COMPLETED, "reverse", _S.FAILED, "transaction.reversed"),
    ],
)

EVENT_CREATED: Final = "transaction.created"
