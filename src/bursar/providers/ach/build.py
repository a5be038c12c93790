"""From instructions of ours to a NACHA file: PPD, CCD and WEB, credits and debits.

The same instructions, originator and time give the same file, letter by letter, in whatever order they come; so a file
can be written again after a crash.
"""

import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from enum import StrEnum
from itertools import groupby
from typing import Final

import msgspec
from stdnum.us import rtn

from bursar.providers.ach.calendar import NEW_YORK, SAME_DAY_AMOUNT_MAX, Window, is_banking_day
from bursar.providers.ach.nacha import codes
from bursar.providers.ach.nacha.addenda import PaymentAddenda
from bursar.providers.ach.nacha.codes import ACCOUNT_TENS, AccountType
from bursar.providers.ach.nacha.model import Batch, Entry, File, is_credit
from bursar.providers.ach.nacha.reader import read
from bursar.providers.ach.nacha.records import BatchHeader, FileHeader
from bursar.providers.ach.nacha.writer import write

SEC_CODES: Final = ("CCD", "PPD", "WEB")
ENTRIES_MAX: Final = 100_000
SEQUENCE_MAX: Final = 9_999_999


class Direction(StrEnum):
    """CREDIT gives the holder money, DEBIT takes it."""

    CREDIT = "CREDIT"
    DEBIT = "DEBIT"


class Instruction(msgspec.Struct, frozen=True):
    """One entry to be sent.

    trace_sequence: 0 to 9,999,999, unique in its file; with the ODFI it makes the trace number by which a return finds
    us. amount: cents; 0 in a prenote. effective_on: a banking day. same_day: the window that is asked for. addenda: up
    to 80 characters. is_recurring: of WEB debits.
    """

    trace_sequence: int
    direction: Direction
    amount: int
    routing_number: str
    account_number: str
    account_type: AccountType
    holder_name: str
    individual_id: str
    sec_code: str
    effective_on: date
    addenda: str | None = None
    is_prenote: bool = False
    same_day: Window | None = None
    is_recurring: bool = False


class Originator(msgspec.Struct, frozen=True):
    """Who sends: our bank's and our own numbers. immediate_destination: nine digits. immediate_origin: nine or ten.
    odfi_routing: the first eight digits of our bank's routing number.
    """

    immediate_destination: str
    immediate_origin: str
    destination_name: str
    origin_name: str
    company_name: str
    company_id: str
    odfi_routing: str
    entry_description: str


class InstructionError(ValueError):
    """An instruction that cannot be sent."""

    def __init__(self, trace_sequence: int, field: str, reason: str) -> None:
        super().__init__(f"instruction {trace_sequence}: {field}: {reason}")
        self.trace_sequence = trace_sequence
        self.field = field
        self.reason = reason


def build(
    instructions: Iterable[Instruction],
    originator: Originator,
    *,
    created_at: datetime,
    file_id_modifier: str = "A",
) -> File:
    """Give the file of these instructions: a batch for each SEC code, effective date and window, in this order.

    created_at: aware; written in New York's time. file_id_modifier: A to Z, then 0 to 9, for the files of one day.
    Names lose their accents and are cut to 22 characters. Raises InstructionError where one cannot be sent, NachaError
    where the originator's own fields break the rules.
    """
    assert created_at.tzinfo is not None, "created_at has to be aware"
    ordered = sorted(instructions, key=lambda instruction: (_key(instruction), instruction.trace_sequence))
    assert 0 < len(ordered) <= ENTRIES_MAX, f"{len(ordered)} instructions"
    _check(ordered)
    local = created_at.astimezone(NEW_YORK)
    header = FileHeader(
        immediate_destination=originator.immediate_destination.rjust(10),
        immediate_origin=originator.immediate_origin.rjust(10),
        creation_date=f"{local:%y%m%d}",
        creation_time=f"{local:%H%M}",
        file_id_modifier=file_id_modifier,
        destination_name=plain(originator.destination_name, 23),
        origin_name=plain(originator.origin_name, 23),
    )
    groups = groupby(ordered, key=_key)
    batches = (_batch(list(group), originator, number) for number, (_, group) in enumerate(groups, 1))
    file = File(header, tuple(batches))
    assert read(write(file)) == file, "a file of ours has to read as it was meant"
    return file


def trace_number(odfi_routing: str, sequence: int) -> str:
    """The fifteen digits under which an entry is known to every bank on its way."""
    return f"{odfi_routing}{sequence:07}"


def plain(text: str, length: int) -> str:
    """Make text printable ASCII and cut it: accents go, what has no plain letter becomes a question mark."""
    letters = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)[:length].rstrip()


def _key(instruction: Instruction) -> tuple[str, date, str]:
    return instruction.sec_code, instruction.effective_on, _descriptive_date(instruction)


def _descriptive_date(instruction: Instruction) -> str:
    """SD and the hour of settlement asks for Same Day ACH."""
    return f"SD{instruction.same_day.settles_at:%H%M}" if instruction.same_day else ""


def _check(instructions: list[Instruction]) -> None:
    seen: set[int] = set()
    for instruction in instructions:
        for field, reason in _faults(instruction):
            raise InstructionError(instruction.trace_sequence, field, reason)
        if instruction.trace_sequence in seen:
            raise InstructionError(instruction.trace_sequence, "trace_sequence", "stands in this file already")
        seen.add(instruction.trace_sequence)


def _faults(instruction: Instruction) -> Iterable[tuple[str, str]]:
    if not 0 <= instruction.trace_sequence <= SEQUENCE_MAX:
        yield "trace_sequence", f"is not between 0 and {SEQUENCE_MAX}"
    if instruction.sec_code not in SEC_CODES:
        yield "sec_code", f"{instruction.sec_code!r} is none of {', '.join(SEC_CODES)}"
    if (instruction.amount == 0) != instruction.is_prenote or not 0 <= instruction.amount < 10**10:
        yield "amount", f"{instruction.amount}: a prenote has 0, another entry 1 to 9,999,999,999 cents"
    if instruction.same_day and instruction.amount > SAME_DAY_AMOUNT_MAX:
        yield "amount", f"{instruction.amount} is more than Same Day ACH takes, {SAME_DAY_AMOUNT_MAX} cents"
    if not is_banking_day(instruction.effective_on):
        yield "effective_on", f"{instruction.effective_on} is no banking day"
    if not rtn.is_valid(instruction.routing_number):
        yield "routing_number", "is not nine digits with a right check digit"
    for field, value, longest in (
        ("account_number", instruction.account_number, 17),
        ("individual_id", instruction.individual_id, 15),
        ("addenda", instruction.addenda or "", 80),
    ):
        if len(value) > longest or value != plain(value, longest):
            yield field, f"has to be printable ASCII of {longest} characters at the most, without trailing blanks"
    for field, value in (("account_number", instruction.account_number), ("holder_name", instruction.holder_name)):
        if not value.strip():
            yield field, "is blank"


def _batch(instructions: list[Instruction], originator: Originator, batch_number: int) -> Batch:
    first = instructions[0]
    entries = tuple(_entry(instruction, originator) for instruction in instructions)
    header = BatchHeader(
        service_class=_service_class(entries),
        company_name=plain(originator.company_name, 16),
        company_id=originator.company_id.rstrip(),
        sec_code=first.sec_code,
        entry_description=originator.entry_description.rstrip(),
        descriptive_date=_descriptive_date(first),
        effective_date=f"{first.effective_on:%y%m%d}",
        odfi_routing=originator.odfi_routing,
        batch_number=batch_number,
    )
    return Batch(header, entries)


def _service_class(entries: tuple[Entry, ...]) -> int:
    directions = {is_credit(entry.transaction_code) for entry in entries}
    if len(directions) > 1:
        return codes.MIXED
    return codes.CREDITS_ONLY if True in directions else codes.DEBITS_ONLY


def _entry(instruction: Instruction, originator: Originator) -> Entry:
    addenda: tuple[PaymentAddenda, ...] = ()
    if instruction.addenda:
        addenda = (PaymentAddenda(instruction.addenda, 1, instruction.trace_sequence),)
    return Entry(
        transaction_code=_transaction_code(instruction),
        routing_number=instruction.routing_number,
        account_number=instruction.account_number,
        amount=instruction.amount,
        identification=instruction.individual_id,
        name=plain(instruction.holder_name, 22),
        discretionary=("R" if instruction.is_recurring else "S") if instruction.sec_code == "WEB" else "",
        trace_number=trace_number(originator.odfi_routing, instruction.trace_sequence),
        addenda=addenda,
    )


def _transaction_code(instruction: Instruction) -> int:
    units = 2 if instruction.direction is Direction.CREDIT else 7
    return ACCOUNT_TENS[instruction.account_type] + units + int(instruction.is_prenote)
