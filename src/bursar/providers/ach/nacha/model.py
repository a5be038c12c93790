"""A NACHA file as a tree: file, batches, entries, addenda. Counts, hashes and totals are never kept, but computed."""

from typing import Final

import msgspec

from bursar.providers.ach.nacha.addenda import Addenda, AnyChange, AnyReturn
from bursar.providers.ach.nacha.layout import Layout, constant, digits, number, text
from bursar.providers.ach.nacha.records import BatchHeader, FileHeader, IatBatchHeader

HASH_MODULUS: Final = 10**10
BLOCKING_FACTOR: Final = 10


class Entry(msgspec.Struct, frozen=True):
    """Record 6. routing_number: the receiving bank's nine digits. amount: cents.

    Three fields mean what the SEC code says. identification: the individual's number (PPD, CCD, WEB), a check's
    number (ARC, BOC, POP, RCK, TRC, XCK), in CIE the name. name: the receiver; in CTX, ATX, ENR and TRX it begins with
    the number of addenda, in CIE it is the individual's number. discretionary: in WEB the payment type, S or R.
    """

    transaction_code: int
    routing_number: str
    account_number: str
    amount: int
    identification: str
    name: str
    discretionary: str
    trace_number: str
    addenda: tuple[Addenda, ...] = ()


class IatEntry(msgspec.Struct, frozen=True):
    """Record 6 of an international batch."""

    transaction_code: int
    routing_number: str
    addenda_count: int
    reserved: str
    amount: int
    account_number: str
    reserved_two: str
    gateway_screening: str
    secondary_screening: str
    trace_number: str
    addenda: tuple[Addenda, ...] = ()


class AdvEntry(msgspec.Struct, frozen=True):
    """Record 6 of an accounting advice, by which an ACH operator tells a bank what it booked."""

    transaction_code: int
    routing_number: str
    account_number: str
    amount: int
    advice_routing_number: str
    file_identification: str
    operator_data: str
    name: str
    discretionary: str
    operator_routing: str
    julian_day: int
    sequence: int
    addenda: tuple[Addenda, ...] = ()


AnyEntry = Entry | IatEntry | AdvEntry
AnyHeader = BatchHeader | IatBatchHeader

LAYOUTS: Final[dict[type[msgspec.Struct], Layout]] = {
    Entry: Layout(
        constant("record_type", "6"),
        number("transaction_code", 2),
        digits("routing_number", 9),
        text("account_number", 17),
        number("amount", 10),
        text("identification", 15),
        text("name", 22),
        text("discretionary", 2),
        number("addenda_indicator", 1),
        digits("trace_number", 15),
    ),
    IatEntry: Layout(
        constant("record_type", "6"),
        number("transaction_code", 2),
        digits("routing_number", 9),
        number("addenda_count", 4),
        text("reserved", 13),
        number("amount", 10),
        text("account_number", 35),
        text("reserved_two", 2),
        text("gateway_screening", 1),
        text("secondary_screening", 1),
        number("addenda_indicator", 1),
        digits("trace_number", 15),
    ),
    AdvEntry: Layout(
        constant("record_type", "6"),
        number("transaction_code", 2),
        digits("routing_number", 9),
        text("account_number", 15),
        number("amount", 12),
        digits("advice_routing_number", 9),
        text("file_identification", 5),
        text("operator_data", 1),
        text("name", 22),
        text("discretionary", 2),
        number("addenda_indicator", 1),
        digits("operator_routing", 8),
        number("julian_day", 3),
        number("sequence", 4),
    ),
}


class Totals(msgspec.Struct, frozen=True):
    """What a control record says. entry_addenda_count: records of both kinds. debit, credit: cents."""

    batch_count: int = 0
    entry_addenda_count: int = 0
    entry_hash: int = 0
    debit: int = 0
    credit: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            batch_count=self.batch_count + other.batch_count,
            entry_addenda_count=self.entry_addenda_count + other.entry_addenda_count,
            entry_hash=(self.entry_hash + other.entry_hash) % HASH_MODULUS,
            debit=self.debit + other.debit,
            credit=self.credit + other.credit,
        )


class BatchTail(msgspec.Struct, frozen=True):
    """What a batch's control says beside totals. company_id: as it stands there, where it is not the header's."""

    company_id: str | None = None
    authentication_code: str = ""
    reserved: str = ""
    operator_data: str = ""


class Batch(msgspec.Struct, frozen=True):
    """A batch with its entries, in the order of the file."""

    header: AnyHeader
    entries: tuple[AnyEntry, ...]
    tail: BatchTail = BatchTail()

    @property
    def totals(self) -> Totals:
        return sum(map(totals_of, self.entries), Totals(batch_count=1))


class File(msgspec.Struct, frozen=True):
    """A whole file. reserved: of its control; blank by the rules."""

    header: FileHeader
    batches: tuple[Batch, ...]
    reserved: str = ""

    @property
    def totals(self) -> Totals:
        return sum((batch.totals for batch in self.batches), Totals())

    @property
    def is_advice(self) -> bool:
        """Whether this is a file of accounting advices, whose control is wider."""
        return bool(self.batches) and self.batches[0].header.sec_code == "ADV"


def is_international(header: AnyHeader) -> bool:
    """Whether a batch has the layouts of IAT."""
    return isinstance(header, IatBatchHeader)


def is_credit(transaction_code: int) -> bool:
    """Whether the receiver gets money. 2x to 5x: the units 1 to 4 are credits; 8x (advices): the odd ones are."""
    if transaction_code >= 80:
        return transaction_code % 2 == 1
    return transaction_code % 10 <= 4


def totals_of(entry: AnyEntry) -> Totals:
    """What one entry adds to its batch's control."""
    credit = is_credit(entry.transaction_code)
    return Totals(
        entry_addenda_count=1 + len(entry.addenda),
        entry_hash=int(entry.routing_number[:8]),
        debit=0 if credit else entry.amount,
        credit=entry.amount if credit else 0,
    )


def return_of(entry: AnyEntry) -> AnyReturn | None:
    """The addenda that makes an entry a return; None for others."""
    return next((addenda for addenda in entry.addenda if isinstance(addenda, AnyReturn)), None)


def change_of(entry: AnyEntry) -> AnyChange | None:
    """The addenda that makes an entry a notification of change, or the refusal of one; None for others."""
    return next((addenda for addenda in entry.addenda if isinstance(addenda, AnyChange)), None)
