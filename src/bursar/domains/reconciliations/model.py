"""A reconciliation, its items, and what stands on a line of a settlement file. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.kit.cardnumber import contains_card_number
from bursar.kit.errors import Problem
from bursar.kit.machine import Machine

FAULTS_MAX: Final = 20
"""Faults of a file that are kept."""

REASON_LENGTH_MAX: Final = 300


class Format(StrEnum):
    """How a settlement file is written. PROVIDER_REPORT: no file; the provider was asked for its own account."""

    STRIPE_BALANCE_CSV = "STRIPE_BALANCE_CSV"
    PAYPAL_CSV = "PAYPAL_CSV"
    CAMT_053 = "CAMT_053"
    PROVIDER_REPORT = "PROVIDER_REPORT"


class Status(StrEnum):
    RECEIVED = "RECEIVED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Movement(StrEnum):
    """What a line is. FAILURE: a charge that counted and then failed. ENTRY: of a bank's statement."""

    CHARGE = "CHARGE"
    REFUND = "REFUND"
    DISPUTE = "DISPUTE"
    FAILURE = "FAILURE"
    PAYOUT = "PAYOUT"
    FEE = "FEE"
    ADJUSTMENT = "ADJUSTMENT"
    ENTRY = "ENTRY"


class Kind(StrEnum):
    """What became of a line or of a movement of ours. REPEATED: an earlier reconciliation had this very line."""

    MATCHED = "MATCHED"
    REPEATED = "REPEATED"
    MISSING_WITH_US = "MISSING_WITH_US"
    MISSING_WITH_THEM = "MISSING_WITH_THEM"
    AMOUNT = "AMOUNT"
    CURRENCY = "CURRENCY"
    FEE = "FEE"
    DUPLICATE = "DUPLICATE"
    LATE = "LATE"
    STATUS = "STATUS"


AGREED: Final = frozenset({Kind.MATCHED, Kind.REPEATED})
"""The kinds that nobody has to explain."""


class ItemStatus(StrEnum):
    """CLOSED: nothing to explain. RESOLVED: what was missing came with a later reconciliation."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    EXPLAINED = "EXPLAINED"
    RESOLVED = "RESOLVED"


class Target(StrEnum):
    """Where an explained difference goes. CLEARING: back to the account that was reconciled, as our books had it."""

    PROVIDER_FEES = "provider_fees"
    DISPUTE_LOSSES = "dispute_losses"
    CLEARING = "clearing"
    COMMISSION_REVENUE = "commission_revenue"


class LineFault(msgspec.Struct, frozen=True):
    """What could not be read of a file, and on which line."""

    line: int
    reason: str


class Totals(msgspec.Struct, frozen=True):
    """Of one currency, minor units. gross - fee = net, as the lines say; matched: the net of those that agree in
    money; suspense: what went there, debit positive.
    """

    gross: int = 0
    fee: int = 0
    net: int = 0
    matched: int = 0
    suspense: int = 0


class Reconciliation(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of reconciliations. account: of the ledger. bank: where the provider's payouts arrive. since, until: the
    period, half-open; what of ours moved in it should be in the file. counts: items by kind. totals: by currency.
    """

    id: str
    version: int
    account: str
    bank: str
    format: Format
    status: Status
    requested_by: str
    counts: dict[str, int]
    totals: dict[str, Totals]
    created_at: datetime
    updated_at: datetime
    provider: str | None = None
    file_digest: str | None = None
    file_size: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    row_count: int | None = None
    faults: tuple[LineFault, ...] | None = None
    completed_at: datetime | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Why there is a difference, by whom and when. account: where it went, where it lay in suspense."""

    text: str
    author: str
    at: datetime
    account: Target | None = None


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of reconciliation_items: a line of theirs, a movement of ours, or both where they belong together.

    row_key: which line or movement, unique within the reconciliation. Theirs: line, row_id, their_references, currency,
    gross, fee, net, occurred_at. Ours: journal_id, payment_id, expected_currency, expected_amount, expected_fee (what
    is booked of it already or should be), expected_at. suspense: by currency, what lies there while the item is OPEN;
    debit positive. closes: the earlier item that this one resolved.
    """

    id: str
    version: int
    reconciliation_id: str
    account: str
    row_key: str
    kind: Kind
    status: ItemStatus
    movement: Movement
    suspense: dict[str, int]
    explanations: tuple[Explanation, ...]
    created_at: datetime
    updated_at: datetime
    line: int | None = None
    row_id: str | None = None
    their_references: tuple[str, ...] | None = None
    currency: str | None = None
    gross: int | None = None
    fee: int | None = None
    net: int | None = None
    occurred_at: datetime | None = None
    journal_id: str | None = None
    payment_id: str | None = None
    expected_currency: str | None = None
    expected_amount: int | None = None
    expected_fee: int | None = None
    expected_at: datetime | None = None
    closes: str | None = None


class Row(msgspec.Struct, frozen=True):
    """A line of a provider's account of our money, minor units; gross and net are positive where it owes us more after
    it. references: what it may be known by on our side, the most telling first. key: unique within its statement.
    closes: the earlier item that this line is waiting in.
    """

    key: str
    id: str
    line: int | None
    movement: Movement
    references: tuple[str, ...]
    currency: str
    gross: int
    fee: int
    net: int
    occurred_at: datetime
    closes: str | None = None


class Statement(msgspec.Struct, frozen=True):
    """What a file says. since, until: its period, where it names one."""

    rows: tuple[Row, ...]
    since: datetime | None = None
    until: datetime | None = None


class Unreadable(Exception):  # noqa: N818  the file's fault, kept with its reconciliation
    """A settlement file cannot be read; nothing of it is booked."""

    def __init__(self, faults: tuple[LineFault, ...]) -> None:
        self.faults = tuple(LineFault(fault.line, _shown(fault.reason)) for fault in faults)
        super().__init__("; ".join(f"line {fault.line}: {fault.reason}" for fault in self.faults))


def _shown(reason: str) -> str:
    """A reason as it is kept and told: what it quotes of the file is short, and no card number."""
    return "it holds a card number where none belongs" if contains_card_number(reason) else reason[:REASON_LENGTH_MAX]


class FileKnownOtherwise(Problem):
    status, code, title = 409, "settlement_file_known", "This file was reconciled with another account"


class ExplainedByUploader(Problem):
    status, code, title = 403, "explained_by_uploader", "Who brought a settlement file may not explain its differences"


class NoReport(Problem):
    status, code, title = 409, "no_provider_report", "This provider shows no account of our money"


_S, _I = Status, ItemStatus

MACHINE: Final = Machine(
    "reconciliation",
    initial=_S.RECEIVED,
    actions=(),
    edges=[
        # from          action      to             event
        (_S.RECEIVED, "start", _S.RUNNING, "reconciliation.started"),
        (_S.RECEIVED, "fail", _S.FAILED, "reconciliation.failed"),
        (_S.RUNNING, "go_on", _S.RUNNING, "reconciliation.progressed"),
        (_S.RUNNING, "complete", _S.COMPLETED, "reconciliation.completed"),
        (_S.FAILED, "retry", _S.RECEIVED, "reconciliation.retried"),
    ],
)
"""Callers ask for none of it; a FAILED one is taken up again when its file is sent again."""

ITEM_MACHINE: Final = Machine(
    "reconciliation_item",
    initial=_I.OPEN,
    actions=("explain",),
    edges=[
        # from           action     to             event
        (_I.OPEN, "explain", _I.EXPLAINED, "reconciliation_item.explained"),
        (_I.OPEN, "resolve", _I.RESOLVED, "reconciliation_item.resolved"),
        (_I.EXPLAINED, "note", _I.EXPLAINED, "reconciliation_item.note_added"),
    ],
)
"""An explanation without an account for an item that has one already is a note."""

EVENT_RECEIVED: Final = "reconciliation.received"
EVENT_FOUND: Final = "reconciliation_item.found"
