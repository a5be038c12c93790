"""Entries, files and notices, what a scheme has to say of them, and what is decided of a payment's entries. Pure."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from bursar.providers.declines import declined
from bursar.providers.port import (
    AccountCorrection,
    Approved,
    Authorization,
    BankAccount,
    Capture,
    Declined,
    Instrument,
    MicroDeposits,
    Outcome,
    Payout,
    Pending,
    Refund,
    Request,
    Unavailable,
    Void,
)


class Rail(StrEnum):
    ACH = "ACH"
    SEPA = "SEPA"


class Kind(StrEnum):
    """AUTHORIZATION and VOID are ours alone; the others go out in files."""

    AUTHORIZATION = "AUTHORIZATION"
    DEBIT = "DEBIT"
    REFUND = "REFUND"
    PAYOUT = "PAYOUT"
    MICRO_DEPOSIT = "MICRO_DEPOSIT"
    VOID = "VOID"


class Status(StrEnum):
    AUTHORIZED = "AUTHORIZED"
    QUEUED = "QUEUED"
    SENT = "SENT"
    SETTLED = "SETTLED"
    RETURNED = "RETURNED"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


CURRENCIES: Final = {Rail.ACH: "USD", Rail.SEPA: "EUR"}
"""A rail moves one currency; a void, which names none, is kept with it."""

LIVE: Final = frozenset({Status.QUEUED, Status.SENT, Status.SETTLED})
"""Of an entry that moves money, or has."""

_FIRST_STATUS: Final = {Kind.AUTHORIZATION: Status.AUTHORIZED, Kind.VOID: Status.SETTLED}


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of bank_entries. amount: minor units. is_final: of a debit, whether it ends its authorization."""

    id: str
    rail: Rail
    key: str
    kind: Kind
    status: Status
    reference: str
    amount: int
    currency: str
    instrument_id: str
    created_at: datetime
    updated_at: datetime
    is_final: bool
    vault_record_id: str | None = None
    sec_code: str | None = None
    description: str | None = None
    statement: str | None = None
    file_id: str | None = None
    trace_number: str | None = None
    effective_on: date | None = None
    settles_on: date | None = None
    return_code: str | None = None
    decline_code: str | None = None
    reason: str | None = None
    settled_at: datetime | None = None
    returned_at: datetime | None = None


class OutgoingFile(msgspec.Struct, frozen=True):
    """A row of bank_files."""

    id: str
    rail: Rail
    name: str
    window_on: date
    part: int
    modifier: str
    status: str
    effective_on: date
    entry_count: int
    total_debit: int
    total_credit: int
    created_at: datetime
    updated_at: datetime
    digest: str | None = None
    written_at: datetime | None = None


class Queued(msgspec.Struct, frozen=True):
    """What a file's totals are made of, of an entry that waits for one."""

    id: str
    kind: Kind
    amount: int


class Window(NamedTuple):
    """What was queued before `closes_at` goes out in the file of `on`."""

    on: date
    closes_at: datetime


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a file that came in says of one entry, or of all entries of a file that went out.

    The entry is named by trace_number (ACH), or by file_name and key (SEPA); without a key all of the file are meant,
    save for those of other_keys. amount: minor units, where it is told. decline_code: ours, of one that came back.
    is_settled: it is paid. Neither of these and no correction: for the record only.
    """

    code: str
    meaning: str
    trace_number: str | None = None
    file_name: str | None = None
    key: str | None = None
    other_keys: frozenset[str] = frozenset()
    amount: int | None = None
    decline_code: str | None = None
    is_settled: bool = False
    correction: AccountCorrection | None = None

    @property
    def about(self) -> str:
        """What the bank names."""
        return self.trace_number or "/".join(part for part in (self.file_name, self.key) if part)


class Refusal(NamedTuple):
    """Why we send nothing. code: of DECLINES."""

    code: str
    reason: str


class UnwritableError(Exception):
    """Entries that no file can be made of; they passed our own checks, so somebody has to look."""


class UnreadableError(Exception):
    """A file that came in and is none; says where and why."""


class Scheme(Protocol):
    """What differs between the rails."""

    rail: Rail
    zone: ZoneInfo
    """Whose days count."""
    suffix: str
    """Of the names of files: `.ach`."""
    entries_max: int
    """In one file."""
    total_max: int
    """Minor units, of all entries of one file together."""
    trace_prefix: str | None
    """The first eight digits of trace numbers, where the rail has them."""

    def refusal(self, entry: Entry, account: BankAccount | None) -> Refusal | None:
        """Why an entry cannot be sent to an account; None where it can."""
        ...

    def dressed(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        """The entry with what the format wants of it. before: the payment's entries so far."""
        ...

    def refuses_again(self, before: Sequence[Entry]) -> Refusal | None:
        """Why nothing may be debited any more after what came back before."""
        ...

    def window(self, now: datetime) -> Window:
        """The last window that has closed."""
        ...

    def effective_on(self, window: Window, now: datetime) -> date:
        """The day on which a file of the window that is made now takes effect."""
        ...

    def settles_on(self, effective_on: date) -> date:
        """From which day on an entry counts as paid that did not come back."""
        ...

    def render(self, file: OutgoingFile, entries: Sequence[tuple[Entry, BankAccount]]) -> bytes:
        """The same bytes for the same entries. Raises UnwritableError."""
        ...

    def read(self, content: bytes) -> list[Notice]:
        """What a file says. Raises UnreadableError."""
        ...


def today(scheme: Scheme, now: datetime) -> date:
    """The day at the rail's place."""
    return now.astimezone(scheme.zone).date()


def reference_of(rail: Rail, key: str) -> str:
    """What a payment is called whose first entry has this key."""
    return f"{rail.lower()}_{key}"


def keys_of(request: Request) -> tuple[str, ...]:
    """The keys of a request's entries: its own; of the two micro-deposits, derived ones."""
    return (f"{request.key}:1", f"{request.key}:2") if isinstance(request, MicroDeposits) else (request.key,)


def instrument_of(request: Request) -> Instrument | None:
    """The account that a request brings with it."""
    if isinstance(request, Authorization | MicroDeposits):
        return request.instrument
    return request.destination if isinstance(request, Payout) else None


def drafts(rail: Rail, request: Request, ids: Iterable[str], now: datetime) -> tuple[Entry, ...]:
    """The entries that a request asks for, as if nothing stood against them. ids: new ones."""
    instrument = instrument_of(request)
    reference = getattr(request, "reference", None) or reference_of(rail, request.key)
    amounts: tuple[int, ...] = (0,)
    currency, is_final = CURRENCIES[rail], True
    match request:
        case Authorization():
            kind = Kind.DEBIT if request.capture else Kind.AUTHORIZATION
        case Capture():
            kind, is_final = Kind.DEBIT, request.is_final
        case Refund():
            kind = Kind.REFUND
        case Payout():
            kind = Kind.PAYOUT
        case MicroDeposits():
            kind, amounts = Kind.MICRO_DEPOSIT, request.amounts
        case _:
            assert isinstance(request, Void), f"no rail does {type(request).__name__}"
            kind = Kind.VOID
    if isinstance(request, Authorization | Capture | Refund | Payout):
        amounts, currency = (request.amount,), request.currency
    return tuple(
        Entry(
            id=entry_id,
            rail=rail,
            key=key,
            kind=kind,
            status=_FIRST_STATUS.get(kind, Status.QUEUED),
            reference=reference,
            amount=amount,
            currency=currency,
            instrument_id="" if instrument is None else instrument.id,
            created_at=now,
            updated_at=now,
            is_final=is_final,
            statement=request.statement if isinstance(request, Payout) else None,
            settled_at=now if kind is Kind.VOID else None,
        )
        for entry_id, key, amount in zip(ids, keys_of(request), amounts, strict=False)
    )


def refused(entry: Entry, refusal: Refusal | None) -> Entry:
    """The entry that says that nothing was done; without a refusal, that nothing ever will be under its key."""
    code, reason = refusal or (None, None)
    return msgspec.structs.replace(
        entry, status=Status.REFUSED, decline_code=code, reason=reason, vault_record_id=None, settled_at=None
    )


def is_same(kept: Entry, draft: Entry) -> bool:
    """Whether an entry is what a draft asks for. Account numbers are not compared: they may have been corrected."""
    if draft.instrument_id and kept.instrument_id != draft.instrument_id:
        return False
    ours = (kept.rail, kept.kind, kept.reference, kept.amount, kept.currency, kept.is_final)
    return ours == (draft.rail, draft.kind, draft.reference, draft.amount, draft.currency, draft.is_final)


class Family(NamedTuple):
    """A payment: its first entry, and all of them in the order in which they came."""

    head: Entry
    entries: tuple[Entry, ...]

    @property
    def debits(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.kind is Kind.DEBIT]

    @property
    def is_voided(self) -> bool:
        return self.head.status is Status.CANCELLED

    @property
    def amount_left(self) -> int:
        """What may be captured yet."""
        live = [entry for entry in self.debits if entry.status in LIVE]
        is_open = self.head.kind is Kind.AUTHORIZATION and self.head.status is Status.AUTHORIZED
        if not is_open or any(entry.is_final for entry in live):
            return 0
        return self.head.amount - sum(entry.amount for entry in live)

    @property
    def amount_refundable(self) -> int:
        """What arrived and was not given back, minor units."""
        arrived = sum(entry.amount for entry in self.debits if entry.status is Status.SETTLED)
        given = [entry for entry in self.entries if entry.kind is Kind.REFUND and entry.status in LIVE]
        return arrived - sum(entry.amount for entry in given)

    @property
    def cancellable(self) -> list[Entry]:
        """What a void gives back: debits that were not sent, and an authorization of which something is left."""
        queued = [entry for entry in self.debits if entry.status is Status.QUEUED]
        is_held = self.head.kind is Kind.AUTHORIZATION and self.head.status is Status.AUTHORIZED
        return [self.head, *queued] if is_held and (self.amount_left or queued) else queued


def refusal_of(family: Family, draft: Entry, scheme: Scheme) -> Refusal | None:
    """Why a capture, void or refund is not done; None where it is."""
    if family.head.rail is not scheme.rail or family.head.kind not in (Kind.AUTHORIZATION, Kind.DEBIT):
        return Refusal("processing_error", f"{draft.reference} is no payment")
    if draft.kind is Kind.VOID:
        if family.cancellable:
            return None
        code = "already_voided" if family.is_voided else "already_captured"
        return Refusal(code, "there is nothing left to give back")
    is_refund = draft.kind is Kind.REFUND
    left = family.amount_refundable if is_refund else family.amount_left
    if draft.currency == family.head.currency and 0 < draft.amount <= left:
        return None if is_refund else scheme.refuses_again(family.debits)
    if is_refund:
        return Refusal("amount_not_refundable", f"{left} can be refunded")
    if family.is_voided:
        return Refusal("already_voided", "the authorization was given back")
    return Refusal("amount_not_capturable" if left else "already_captured", f"{left} can be taken")


def outcome_of(entries: Sequence[Entry], *, authorization_days: int) -> Outcome:
    """What is said of a request by its entries: of several, the worst."""
    outcomes = [_outcome(entry, authorization_days) for entry in entries]
    order = (Unavailable, Declined, Pending, Approved)
    return min(outcomes, key=lambda outcome: order.index(type(outcome)))


def _outcome(entry: Entry, authorization_days: int) -> Unavailable | Declined | Pending | Approved:
    if entry.status is Status.REFUSED:
        if entry.decline_code is None:
            return Unavailable("it was never carried out, and this key never will be")
        return declined(entry.decline_code, entry.reason or "")
    if entry.kind is Kind.AUTHORIZATION:  # it was approved; a void afterwards has an outcome of its own
        return Approved(entry.reference, expires_at=entry.created_at + timedelta(days=authorization_days))
    if entry.status is Status.RETURNED:
        assert entry.decline_code is not None
        return declined(entry.decline_code, f"the bank returned it: {entry.return_code} {entry.reason or ''}".rstrip())
    if entry.status is Status.CANCELLED:
        return declined("already_voided", "it was given back before it was sent")
    if entry.status is Status.SETTLED:
        return Approved(entry.reference, step_reference=reference_of(entry.rail, entry.key))
    return Pending()
