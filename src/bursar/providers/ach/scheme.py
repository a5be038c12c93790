"""ACH as a bank rail: windows at the bank's cut-off, NACHA files out, returns and notifications of change in."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Final

import msgspec
from stdnum.us import rtn

from bursar.providers.ach import calendar
from bursar.providers.ach.build import ENTRIES_MAX, Direction, Instruction, InstructionError, Originator, build, plain
from bursar.providers.ach.changes import Change, changes_in
from bursar.providers.ach.nacha import Batch, File, NachaError, read, write
from bursar.providers.ach.nacha.codes import MICRO_AMOUNT_MAX, MICRO_ENTRY, AccountType
from bursar.providers.ach.returns import Return, may_retry, returns_in
from bursar.providers.bank.model import (
    Entry,
    Kind,
    Notice,
    OutgoingFile,
    Rail,
    Refusal,
    Status,
    UnreadableError,
    UnwritableError,
    Window,
)
from bursar.providers.declines import DECLINES
from bursar.providers.port import AccountCorrection, BankAccount

ACCOUNT_TYPES: Final = frozenset(kind.value for kind in AccountType)

AMOUNT_MAX: Final = 9_999_999_999
"""Cents, of one entry."""

TOTAL_MAX: Final = 999_999_999_999
"""Cents, of one file: its controls have twelve digits for them."""

ACCOUNT_LENGTH_MAX: Final = 17
ADDENDA_LENGTH_MAX: Final = 80
INDIVIDUAL_ID_LENGTH: Final = 15
RETRY: Final = "RETRY PYMT"
"""The entry description that NACHA wants of what came back for want of funds and is presented again."""

SEC_CODES: Final = {Kind.DEBIT: "WEB", Kind.REFUND: "PPD", Kind.PAYOUT: "CCD", Kind.MICRO_DEPOSIT: "PPD"}
"""Debits are agreed to on the web; vendors are companies; the others go to whoever paid."""

DESCRIPTIONS: Final = {
    Kind.DEBIT: "PAYMENT",
    Kind.REFUND: "REFUND",
    Kind.PAYOUT: "PAYOUT",
    Kind.MICRO_DEPOSIT: MICRO_ENTRY,
}

DECLINE_CODES: Final = {
    "unauthorized": "debit_not_authorized",
    "authorization_breached": "debit_not_authorized",
    "account_not_debitable": "debit_not_authorized",
    "account_holder_deceased": "account_frozen",
    "refused_by_receiver": "payout_declined",
    "duplicate_entry": "duplicate_transaction",
}
"""What `nacha.reasons` calls it, by our words for callers; a word that both have is itself, any other a generic
decline.
"""


class AchScheme:
    """See bank.model.Scheme. cutoff: New York's time at which the day's file is cut. settle_days: banking days."""

    rail = Rail.ACH
    zone = calendar.NEW_YORK
    suffix = ".ach"
    entries_max = ENTRIES_MAX
    total_max = TOTAL_MAX

    def __init__(self, originator: Originator, *, cutoff: time, settle_days: int) -> None:
        self.trace_prefix: str | None = originator.odfi_routing
        self._originator = originator
        self._cutoff = cutoff
        self._settle_days = settle_days

    def refusal(self, entry: Entry, account: BankAccount | None) -> Refusal | None:
        if entry.currency != "USD":
            return Refusal("currency_not_supported", "ACH moves US dollars")
        if entry.amount < 1:
            return Refusal("amount_too_small", "an entry has one cent at the least")
        if entry.amount > (MICRO_AMOUNT_MAX if entry.kind is Kind.MICRO_DEPOSIT else AMOUNT_MAX):
            return Refusal("amount_too_large", "more than one entry can carry")
        if account is None or account.routing_number is None or not account.account_number:
            return Refusal("invalid_account_number", "no account with a US routing number")
        if not rtn.is_valid(account.routing_number):
            return Refusal("invalid_routing_number", "no bank has this routing number")
        if account.account_number != plain(account.account_number, ACCOUNT_LENGTH_MAX).strip():
            return Refusal("invalid_account_number", f"not {ACCOUNT_LENGTH_MAX} letters and digits at the most")
        if account.account_type not in ACCOUNT_TYPES:
            return Refusal("invalid_account_number", "neither a checking nor a savings account")
        if not plain(account.holder_name, 22).strip():
            return Refusal("invalid_account_number", "its holder has no name")
        return None

    def dressed(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        if entry.kind is Kind.AUTHORIZATION:
            return entry
        is_again = entry.kind is Kind.DEBIT and any(_came_back(other) for other in before)
        description = RETRY if is_again else DESCRIPTIONS[entry.kind]
        return msgspec.structs.replace(entry, sec_code=SEC_CODES[entry.kind], description=description)

    def refuses_again(self, before: Sequence[Entry]) -> Refusal | None:
        """NACHA lets an entry be presented twice more, and only where funds were missing."""
        returned = [entry for entry in before if _came_back(entry)]
        if not returned:
            return None
        last = returned[-1]
        assert last.return_code is not None and last.decline_code is not None
        if may_retry(last.return_code, retries=len(returned) - 1):
            return None
        return Refusal(last.decline_code, f"it came back with {last.return_code} and may not be presented again")

    def window(self, now: datetime) -> Window:
        local = now.astimezone(self.zone)
        day = local.date()
        while not calendar.is_banking_day(day) or datetime.combine(day, self._cutoff, self.zone) > now:
            day -= timedelta(days=1)
        return Window(day, datetime.combine(day, self._cutoff, self.zone))

    def effective_on(self, window: Window, now: datetime) -> date:
        local = now.astimezone(self.zone).date()
        taken_on = window.on if local == window.on else calendar.add_banking_days(local, 0)
        return calendar.next_banking_day(taken_on)

    def settles_on(self, effective_on: date) -> date:
        return calendar.add_banking_days(effective_on, self._settle_days)

    def render(self, file: OutgoingFile, entries: Sequence[tuple[Entry, BankAccount]]) -> bytes:
        """A batch for each SEC code and entry description."""
        ordered = sorted(entries, key=lambda pair: (_description(pair[0]), pair[0].id))
        parts: list[File] = []
        try:
            for description, group in groupby(ordered, key=lambda pair: _description(pair[0])):
                part = build(
                    [_instruction(entry, account, file.effective_on) for entry, account in group],
                    msgspec.structs.replace(self._originator, entry_description=description),
                    created_at=file.created_at,
                    file_id_modifier=file.modifier,
                )
                parts.append(part)
            text = write(_joined(parts))
            read(text)
        except (InstructionError, NachaError) as error:
            raise UnwritableError(str(error)) from error
        return text.encode("ascii")

    def read(self, content: bytes) -> list[Notice]:
        try:
            file = read(content)
        except NachaError as error:
            raise UnreadableError("\n".join(map(str, error.findings))) from error
        return [*map(_returned, returns_in(file)), *map(_changed, changes_in(file))]


def decline_code_of(word: str) -> str:
    """Our code for callers, of DECLINES."""
    code = DECLINE_CODES.get(word, word)
    return code if code in DECLINES else "generic_decline"


def _joined(parts: list[File]) -> File:
    """One file with the batches of all; their headers are the same."""
    batches = [batch for part in parts for batch in part.batches]
    numbered = [
        Batch(msgspec.structs.replace(batch.header, batch_number=number), batch.entries)
        for number, batch in enumerate(batches, 1)
    ]
    return File(parts[0].header, tuple(numbered))


def _came_back(entry: Entry) -> bool:
    return entry.kind is Kind.DEBIT and entry.status is Status.RETURNED


def _description(entry: Entry) -> str:
    assert entry.description is not None, f"{entry.id} was queued without a description"
    return entry.description


def _instruction(entry: Entry, account: BankAccount, effective_on: date) -> Instruction:
    assert entry.trace_number is not None and entry.sec_code is not None
    statement = plain(entry.statement or "", ADDENDA_LENGTH_MAX).strip()
    return Instruction(
        trace_sequence=int(entry.trace_number[-7:]),
        direction=Direction.DEBIT if entry.kind is Kind.DEBIT else Direction.CREDIT,
        amount=entry.amount,
        routing_number=account.routing_number or "",
        account_number=account.account_number or "",
        account_type=AccountType(account.account_type),
        holder_name=account.holder_name,
        individual_id=entry.id.replace("-", "")[-INDIVIDUAL_ID_LENGTH:],
        sec_code=entry.sec_code,
        effective_on=effective_on,
        addenda=statement or None,
    )


def _returned(told: Return) -> Notice:
    """A quarrel between banks about a return changes nothing by itself: it is kept for the record."""
    return Notice(
        code=told.code,
        meaning=told.reason.meaning,
        trace_number=told.original_trace_number,
        amount=told.amount,
        decline_code=decline_code_of(told.reason.decline_code) if told.is_plain else None,
    )


def _changed(told: Change) -> Notice:
    correction = None
    if told.correction is not None:
        account_type = told.correction.account_type
        correction = AccountCorrection(
            routing_number=told.correction.routing_number,
            account_number=told.correction.account_number,
            account_type=None if account_type is None else account_type.value,
            holder_name=told.correction.name,
        )
        if correction == AccountCorrection():
            correction = None
    return Notice(code=told.code, meaning=told.meaning, trace_number=told.original_trace_number, correction=correction)
