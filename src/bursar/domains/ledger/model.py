"""Accounts, journals and postings, and the digest that ties a journal to its lines."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

CLEARING: Final = "provider:{}:clearing"
VENDOR_PENDING: Final = "vendor:{}:pending"
BANK: Final = "bank:{}"
UNALLOCATED: Final = "unallocated"
REFUNDS: Final = "refunds"
COMMISSION: Final = "commission_revenue"
PROVIDER_FEES: Final = "provider_fees"
DISPUTE_LOSSES: Final = "dispute_losses"
DISPUTE_FEES: Final = "dispute_fees"
SUSPENSE: Final = "suspense"

CHART: Final[dict[str, tuple[str, bool]]] = {
    # first part of the name: (kind, may its balance change sides)
    "provider": ("ASSET", True),
    "bank": ("ASSET", True),
    "provider_fees": ("EXPENSE", True),
    "unallocated": ("LIABILITY", False),
    "escrow": ("LIABILITY", False),
    "vendor": ("LIABILITY", True),
    "commission_revenue": ("REVENUE", True),
    "refunds": ("LIABILITY", False),
    "receivable": ("ASSET", False),
    "deferred_revenue": ("LIABILITY", False),
    "subscription_revenue": ("REVENUE", True),
    "tax_payable": ("LIABILITY", True),
    "dispute_losses": ("EXPENSE", True),
    "dispute_fees": ("EXPENSE", True),
    "suspense": ("ASSET", True),
}
"""The chart of accounts (docs/ledger.md). A vendor's account may turn by refunds, disputes and adjustments only."""


class Line(NamedTuple):
    """One line of a journal: an account's name and signed minor units; debit positive. about: the id of what it is
    for, where that is not what the journal is about.
    """

    account: str
    amount: int
    about: str | None = None


class JournalRow(msgspec.Struct, frozen=True):
    id: str
    type: str
    reference: str
    line_count: int
    digest: str
    occurred_at: datetime


class Moved(msgspec.Struct, frozen=True):
    """What a journal moved on an account, minor units, debit positive. about: the id of what it was for."""

    journal_id: str
    type: str
    reference: str
    about: str
    amount: int
    currency: str
    occurred_at: datetime


class PostingRow(msgspec.Struct, frozen=True):
    """A posting as it is written, with what its account is made of, should it be the account's first."""

    journal_id: str
    line: int
    account: str
    currency: str
    amount: int
    about: str
    kind: str
    can_overdraw: bool


def clearing(provider: str) -> str:
    """The account of what `provider` has captured and not yet paid out to us."""
    return CLEARING.format(provider)


def vendor_pending(vendor_id: str) -> str:
    """The account of what a vendor has earned and may not be settled yet."""
    return VENDOR_PENDING.format(vendor_id)


def bank(name: str) -> str:
    """The account of our cash at a bank."""
    return BANK.format(name)


def digest(journal_id: str, journal_type: str, reference: str, lines: Sequence[tuple[int, str, str, int, str]]) -> str:
    """SHA-256 over a journal and its lines (line, account, currency, amount, about): a line changed or moved shows."""
    text = f"{journal_id}|{journal_type}|{reference}"
    for line, account, currency, amount, about in lines:
        text += f"\n{line}|{account}|{currency}|{amount}|{about}"
    return hashlib.sha256(text.encode()).hexdigest()
