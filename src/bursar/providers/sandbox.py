"""The sandbox: a provider like the others, with documented test methods, and books of its own.

Each test method has one fixed outcome (METHODS; docs/sandbox.md is made from it). What was asked and what was done is
kept in a file of lines that only grows, shared by every process that serves payments and read by nobody else: so tests
can hold the ledger against what the provider believes.
"""

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from bursar.kit.clock import Clock
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    Declined,
    Outcome,
    Pending,
    Request,
    Unavailable,
    Unknown,
    Void,
)


class Behaviour(msgspec.Struct, frozen=True):
    """What a test method does. fault: of the authorization, or of captures and voids where `later`."""

    says: str
    decline_code: str = ""
    fault: str = ""
    later: bool = False
    is_slow: bool = False
    needs_action: bool = False


METHODS: Final[dict[str, Behaviour]] = {
    "pm_sandbox_visa": Behaviour("approved"),
    "pm_sandbox_mastercard": Behaviour("approved"),
    "pm_sandbox_declined": Behaviour("declined: generic_decline", decline_code="generic_decline"),
    "pm_sandbox_declined_insufficient_funds": Behaviour(
        "declined: insufficient_funds", decline_code="insufficient_funds"
    ),
    "pm_sandbox_declined_expired_card": Behaviour("declined: expired_card", decline_code="expired_card"),
    "pm_sandbox_declined_stolen_card": Behaviour("declined: stolen_card", decline_code="stolen_card"),
    "pm_sandbox_requires_action": Behaviour(
        "asks for an action first, approved when authorized again", needs_action=True
    ),
    "pm_sandbox_pending": Behaviour("pending; an inquiry finds it approved", fault="pending"),
    "pm_sandbox_slow": Behaviour("approved after a while (BURSAR_SANDBOX_SLOW_SECONDS)", is_slow=True),
    "pm_sandbox_unavailable": Behaviour("certainly not done: the provider is down", fault="unavailable"),
    "pm_sandbox_timeout_after_effect": Behaviour("done, and the answer is lost", fault="after_effect"),
    "pm_sandbox_timeout_before_effect": Behaviour("not done, and the answer is lost", fault="before_effect"),
    "pm_sandbox_capture_declined": Behaviour(
        "authorized; captures are declined", decline_code="capture_declined", later=True
    ),
    "pm_sandbox_capture_unavailable": Behaviour(
        "authorized; captures and voids are certainly not done", fault="unavailable", later=True
    ),
    "pm_sandbox_capture_timeout_after_effect": Behaviour(
        "authorized; captures and voids are done, and their answer is lost", fault="after_effect", later=True
    ),
    "pm_sandbox_capture_timeout_before_effect": Behaviour(
        "authorized; captures and voids are not done, and their answer is lost", fault="before_effect", later=True
    ),
}
"""Test payment methods by id."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, array_like=True):
    """A line of the books: what the provider did for one key. kind: AUTHORIZED, CHARGED, ACTION, DECLINED, CAPTURED,
    VOIDED, DEAD.
    """

    key: str
    kind: str
    reference: str
    amount: int
    currency: str
    method_id: str
    is_final: bool = False


class Account:
    """What the provider holds on one payment, in minor units."""

    __slots__ = ("authorized", "captured", "currency", "is_closed", "method_id")

    def __init__(self, method_id: str, currency: str) -> None:
        self.method_id = method_id
        self.currency = currency
        self.authorized = 0
        self.captured = 0
        self.is_closed = False


class Books:
    """The provider's own truth, in a file that any number of processes append to under its lock; in memory where there
    is none.
    """

    def __init__(self, path: Path | None) -> None:
        self.by_key: dict[str, Entry] = {}
        self.accounts: dict[str, Account] = {}
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
        if entry.kind == "DEAD":
            return
        account = self.accounts.get(entry.reference)
        if account is None:
            account = self.accounts[entry.reference] = Account(entry.method_id, entry.currency)
        if entry.kind in ("AUTHORIZED", "CHARGED"):
            account.authorized = entry.amount
        if entry.kind in ("CAPTURED", "CHARGED"):
            account.captured += entry.amount
        if entry.kind in ("VOIDED", "CHARGED") or entry.is_final:
            account.is_closed = True


class Sandbox:
    """The adapter."""

    name = "sandbox"

    def __init__(self, *, books: Path | None, clock: Clock, slow_seconds: float, authorization_days: int) -> None:
        self.books = Books(books)
        self._clock = clock
        self._slow_seconds = slow_seconds
        self._authorization_days = authorization_days

    def recognizes(self, method_id: str) -> bool:
        return method_id in METHODS

    async def execute(self, request: Request) -> Outcome:
        behaviour = METHODS[self._method_of(request)]
        is_now = behaviour.later is not isinstance(request, Authorization)
        fault = behaviour.fault if is_now else ""
        if behaviour.is_slow and is_now:
            await asyncio.sleep(self._slow_seconds)
        if fault == "unavailable":
            return Unavailable("the sandbox is down for this method")
        if fault == "before_effect":
            return Unknown("the answer was lost")
        outcome = self._outcome_of(self.books.once(request.key, lambda: self._decide(request, behaviour, is_now)))
        if fault == "after_effect":
            return Unknown("the answer was lost")
        return Pending() if fault == "pending" else outcome

    async def inquire(self, request: Request) -> Outcome:
        """What was done for the key; where nothing was, the key is dead from now on: a late arrival does nothing."""
        reference = getattr(request, "reference", None) or request.key
        return self._outcome_of(self.books.once(request.key, lambda: Entry(request.key, "DEAD", reference, 0, "", "")))

    async def close(self) -> None:
        self.books.close()

    def _method_of(self, request: Request) -> str:
        if isinstance(request, Authorization):
            return request.method_id
        return self.books.account(request.reference).method_id

    def _decide(self, request: Request, behaviour: Behaviour, is_now: bool) -> Entry:
        if isinstance(request, Authorization):
            return self._authorize(request, behaviour, is_now)
        account = self.books.accounts[request.reference]
        rest = (request.reference, 0, account.currency, account.method_id)
        if isinstance(request, Void):
            return Entry(request.key, "VOIDED", *rest)
        left = 0 if account.is_closed else account.authorized - account.captured
        if (is_now and behaviour.decline_code) or request.amount > left or request.currency != account.currency:
            return Entry(request.key, "DECLINED", *rest)
        return Entry(
            request.key,
            "CAPTURED",
            request.reference,
            request.amount,
            account.currency,
            account.method_id,
            request.is_final,
        )

    def _authorize(self, request: Authorization, behaviour: Behaviour, is_now: bool) -> Entry:
        reference = request.reference or "sbx_" + request.key
        kind = "CHARGED" if request.capture else "AUTHORIZED"
        if behaviour.needs_action and request.reference is None:
            kind = "ACTION"
        elif is_now and behaviour.decline_code:
            kind = "DECLINED"
        return Entry(request.key, kind, reference, request.amount, request.currency, request.method_id)

    def _outcome_of(self, entry: Entry) -> Outcome:
        if entry.kind == "DEAD":
            return Unavailable("the sandbox never carried this out")
        if entry.kind == "DECLINED":
            code = METHODS[entry.method_id].decline_code or "amount_not_capturable"
            return Declined(code, f"the sandbox declined: {code}", is_retryable=code == "insufficient_funds")
        if entry.kind == "ACTION":
            action: dict[str, Any] = {
                "type": "REDIRECT_TO_URL",
                "url": f"https://sandbox.invalid/3ds/{entry.reference}",
            }
            return ActionRequired(entry.reference, action)
        if entry.kind == "AUTHORIZED":
            return Approved(entry.reference, self._clock.now() + timedelta(days=self._authorization_days))
        return Approved(entry.reference)
