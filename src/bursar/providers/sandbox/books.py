"""The sandbox's books: lines in a file that only grows."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from bursar.providers.port import DisputeReason, DisputeStatus

WITHOUT_ACCOUNT: Final = frozenset({"DEAD", "DONE", "REFUSED", "CHALLENGED"})
"""Entries that move nothing on a payment's account: dead keys, payouts, verifications, and what became of them."""

TAKING: Final = frozenset({DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST})
"""As what a dispute has its amount taken from us."""


class Claim(msgspec.Struct, frozen=True):
    """How a dispute of a payment stands, beside its amount. fee: minor units."""

    payment_reference: str
    status: DisputeStatus
    reason: DisputeReason
    fee: int
    opened_at: datetime
    evidence_due_at: datetime


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """A line of the books: what the provider did for one key. kind: AUTHORIZED, CHARGED, ACTION, DECLINED, CAPTURED,
    VOIDED, REFUNDED, SENT_BACK (a refund that failed later); DISPUTE, whose `reference` is the dispute's and whose
    `claim` is as it stands from then on; DONE, REFUSED, CHALLENGED of what moves no payment's money; DEAD.
    """

    key: str
    kind: str
    reference: str
    amount: int
    currency: str
    method_id: str
    is_final: bool = False
    claim: Claim | None = None


class Account:
    """What the provider holds on one payment, in minor units."""

    __slots__ = ("authorized", "captured", "currency", "disputed", "is_closed", "method_id", "refunded")

    def __init__(self, method_id: str, currency: str) -> None:
        self.method_id = method_id
        self.currency = currency
        self.authorized = 0
        self.captured = 0
        self.refunded = 0
        self.disputed = 0
        self.is_closed = False


class Books:
    """The provider's own truth, in a file that any number of processes append to under its lock; in memory where there
    is none.
    """

    def __init__(self, path: Path | None) -> None:
        self.by_key: dict[str, Entry] = {}
        self.accounts: dict[str, Account] = {}
        self.disputes: dict[str, Entry] = {}
        self._read_to = 0
        self._file = None if path is None else os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self.refresh()

    def once(self, key: str, decide: Callable[[], Entry]) -> Entry:
        """The entry for `key`; where there is none, what `decide` says is done, before any other process acts."""
        with self._alone():
            self._catch_up()
            entry = self.by_key.get(key)
            if entry is None:
                entry = decide()
                if self._file is not None:
                    line = msgspec.json.encode(entry) + b"\n"
                    os.write(self._file, line)
                    self._read_to += len(line)
                self._apply(entry)
            return entry

    def account(self, reference: str) -> Account:
        """What is held under `reference`."""
        if reference not in self.accounts:
            self.refresh()
        return self.accounts[reference]

    def refresh(self) -> None:
        """Read what other processes wrote."""
        with self._alone():
            self._catch_up()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Read on to the end. A line that a crash cut short is cut off: nobody was answered by it."""
        if self._file is None:
            return
        size = os.fstat(self._file).st_size
        while self._read_to < size:
            chunk = os.pread(self._file, min(size - self._read_to, 1 << 24), self._read_to)
            whole, newline, _ = chunk.rpartition(b"\n")
            if not newline:
                os.ftruncate(self._file, self._read_to)
                return
            for line in whole.split(b"\n"):
                self._apply(msgspec.json.decode(line, type=Entry))
            self._read_to += len(whole) + 1

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _apply(self, entry: Entry) -> None:
        self.by_key[entry.key] = entry
        if entry.kind in WITHOUT_ACCOUNT:
            return
        if entry.claim is not None:
            self._move_dispute(entry, entry.claim)
            return
        account = self.accounts.get(entry.reference)
        if account is None:
            account = self.accounts[entry.reference] = Account(entry.method_id, entry.currency)
        if entry.kind in ("AUTHORIZED", "CHARGED"):
            account.authorized = entry.amount
        if entry.kind in ("CAPTURED", "CHARGED"):
            account.captured += entry.amount
        if entry.kind == "REFUNDED":
            account.refunded += entry.amount
        if entry.kind == "SENT_BACK":
            account.refunded -= entry.amount
        if entry.kind in ("VOIDED", "CHARGED") or entry.is_final:
            account.is_closed = True

    def _move_dispute(self, entry: Entry, claim: Claim) -> None:
        before = self.disputes.get(entry.reference)
        was_taken = before is not None and before.claim is not None and before.claim.status in TAKING
        is_taken = claim.status in TAKING
        self.accounts[claim.payment_reference].disputed += entry.amount * (is_taken - was_taken)
        self.disputes[entry.reference] = entry
