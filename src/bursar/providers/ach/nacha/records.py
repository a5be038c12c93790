"""The records of a NACHA file as frozen structs, and the layout of each.

Names follow the NACHA Operating Rules, Appendix Three. Amounts are cents. Dates and times are kept as they stand in
the file (YYMMDD, HHMM, a Julian day), since several may be blank or zeros. Reserved fields have to be blank; they are
kept so that a file can be given back as it came.
"""

from typing import Any, Final, TypeVar

import msgspec

from bursar.providers.ach.nacha.layout import Layout, Values, constant, digits, number, text


class FileHeader(msgspec.Struct, frozen=True):
    """Record 1. The destination is a blank and a routing number, the origin the same or ten digits."""

    immediate_destination: str
    immediate_origin: str
    creation_date: str
    creation_time: str
    file_id_modifier: str
    destination_name: str = ""
    origin_name: str = ""
    reference_code: str = ""


class BatchHeader(msgspec.Struct, frozen=True):
    """Record 5: who pays or collects, for what, when."""

    service_class: int
    company_name: str
    company_id: str
    sec_code: str
    entry_description: str
    effective_date: str
    odfi_routing: str
    batch_number: int
    discretionary: str = ""
    descriptive_date: str = ""
    settlement_day: str = ""
    originator_status: str = "1"


class IatBatchHeader(msgspec.Struct, frozen=True):
    """Record 5 of an international batch. iat_indicator: IATCOR, with sec_code COR, in a notification of change."""

    service_class: int
    iat_indicator: str
    exchange_indicator: str
    exchange_reference_indicator: str
    exchange_reference: str
    destination_country: str
    company_id: str
    sec_code: str
    entry_description: str
    origin_currency: str
    destination_currency: str
    effective_date: str
    settlement_day: str
    originator_status: str
    odfi_routing: str
    batch_number: int


class BatchControl(msgspec.Struct, frozen=True):
    """Record 8."""

    service_class: int
    entry_addenda_count: int
    entry_hash: int
    total_debit: int
    total_credit: int
    company_id: str
    authentication_code: str
    reserved: str
    odfi_routing: str
    batch_number: int


class AdvBatchControl(msgspec.Struct, frozen=True):
    """Record 8 of an accounting advice."""

    service_class: int
    entry_addenda_count: int
    entry_hash: int
    total_debit: int
    total_credit: int
    operator_data: str
    odfi_routing: str
    batch_number: int


class FileControl(msgspec.Struct, frozen=True):
    """Record 9, of ordinary files and of those with accounting advices (whose totals are wider)."""

    batch_count: int
    block_count: int
    entry_addenda_count: int
    entry_hash: int
    total_debit: int
    total_credit: int
    reserved: str


class AdvFileControl(FileControl, frozen=True):
    """Record 9 of a file of accounting advices."""


Record = TypeVar("Record", bound=msgspec.Struct)

_TOTALS: Final = (number("entry_addenda_count", 6), number("entry_hash", 10))

LAYOUTS: Final[dict[type[msgspec.Struct], Layout]] = {
    FileHeader: Layout(
        constant("record_type", "1"),
        constant("priority_code", "01"),
        text("immediate_destination", 10),
        text("immediate_origin", 10),
        digits("creation_date", 6),
        text("creation_time", 4),
        text("file_id_modifier", 1),
        constant("record_size", "094"),
        constant("blocking_factor", "10"),
        constant("format_code", "1"),
        text("destination_name", 23),
        text("origin_name", 23),
        text("reference_code", 8),
    ),
    BatchHeader: Layout(
        constant("record_type", "5"),
        number("service_class", 3),
        text("company_name", 16),
        text("discretionary", 20),
        text("company_id", 10),
        text("sec_code", 3),
        text("entry_description", 10),
        text("descriptive_date", 6),
        text("effective_date", 6),
        text("settlement_day", 3),
        text("originator_status", 1),
        digits("odfi_routing", 8),
        number("batch_number", 7),
    ),
    IatBatchHeader: Layout(
        constant("record_type", "5"),
        number("service_class", 3),
        text("iat_indicator", 16),
        text("exchange_indicator", 2),
        text("exchange_reference_indicator", 1),
        text("exchange_reference", 15),
        text("destination_country", 2),
        text("company_id", 10),
        text("sec_code", 3),
        text("entry_description", 10),
        text("origin_currency", 3),
        text("destination_currency", 3),
        text("effective_date", 6),
        text("settlement_day", 3),
        text("originator_status", 1),
        digits("odfi_routing", 8),
        number("batch_number", 7),
    ),
    BatchControl: Layout(
        constant("record_type", "8"),
        number("service_class", 3),
        *_TOTALS,
        number("total_debit", 12),
        number("total_credit", 12),
        text("company_id", 10),
        text("authentication_code", 19),
        text("reserved", 6),
        digits("odfi_routing", 8),
        number("batch_number", 7),
    ),
    AdvBatchControl: Layout(
        constant("record_type", "8"),
        number("service_class", 3),
        *_TOTALS,
        number("total_debit", 20),
        number("total_credit", 20),
        text("operator_data", 19),
        digits("odfi_routing", 8),
        number("batch_number", 7),
    ),
    FileControl: Layout(
        constant("record_type", "9"),
        number("batch_count", 6),
        number("block_count", 6),
        number("entry_addenda_count", 8),
        number("entry_hash", 10),
        number("total_debit", 12),
        number("total_credit", 12),
        text("reserved", 39),
    ),
    AdvFileControl: Layout(
        constant("record_type", "9"),
        number("batch_count", 6),
        number("block_count", 6),
        number("entry_addenda_count", 8),
        number("entry_hash", 10),
        number("total_debit", 20),
        number("total_credit", 20),
        text("reserved", 23),
    ),
}


def make(kind: type[Record], values: Values) -> Record:
    """Give the struct whose fields these are."""
    struct: Any = kind
    record: Record = struct(**values)
    return record


def render(record: msgspec.Struct, layout: Layout, **more: int | str) -> str:
    """Write one record; `more`: fields that its struct does not keep, since they follow from others."""
    return layout.render({**msgspec.structs.asdict(record), **more})
