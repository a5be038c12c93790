"""Addenda records (7): what is said about an entry beyond its 94 characters, each type with its own layout."""

from typing import Final

import msgspec

from bursar.providers.ach.nacha.layout import Layout, constant, digits, number, text


class TerminalAddenda(msgspec.Struct, frozen=True):
    """Type 02, of entries made at a terminal (MTE, POS, SHR)."""

    reference_one: str
    reference_two: str
    terminal_id: str
    serial_number: str
    transaction_date: str
    authorization_code: str
    terminal_location: str
    terminal_city: str
    terminal_state: str
    trace_number: str


class PaymentAddenda(msgspec.Struct, frozen=True):
    """Type 05: payment-related information. entry_sequence: the last seven digits of the entry's trace number."""

    information: str
    sequence: int
    entry_sequence: int


class IatTransaction(msgspec.Struct, frozen=True):
    """Type 10: why an international payment is made, its amount abroad (hundredths) and the receiver's name."""

    transaction_type: str
    foreign_amount: int
    foreign_trace_number: str
    receiver_name: str
    reserved: str
    entry_sequence: int


class IatParty(msgspec.Struct, frozen=True):
    """Types 11, 12 and 16: name and street, or city and country, of the originator or the receiver."""

    type_code: str
    first_line: str
    second_line: str
    reserved: str
    entry_sequence: int


class IatBank(msgspec.Struct, frozen=True):
    """Types 13 and 14: the originating and the receiving bank. qualifier: 01 national, 02 BIC, 03 IBAN."""

    type_code: str
    name: str
    qualifier: str
    identification: str
    country: str
    reserved: str
    entry_sequence: int


class IatReceiver(msgspec.Struct, frozen=True):
    """Type 15: the receiver's number and street."""

    identification: str
    street: str
    reserved: str
    entry_sequence: int


class IatRemittance(msgspec.Struct, frozen=True):
    """Type 17: what an international payment is for."""

    information: str
    sequence: int
    entry_sequence: int


class IatCorrespondent(msgspec.Struct, frozen=True):
    """Type 18: a bank on the way."""

    name: str
    qualifier: str
    identification: str
    country: str
    reserved: str
    sequence: int
    entry_sequence: int


class ChangeAddenda(msgspec.Struct, frozen=True):
    """Type 98, C01 to C14: a bank tells what is to be corrected. original_trace_number: of the entry that we sent."""

    change_code: str
    original_trace_number: str
    reserved: str
    original_rdfi: str
    corrected_data: str
    reserved_two: str
    trace_number: str


class IatChangeAddenda(ChangeAddenda, frozen=True):
    """Type 98 of an international entry, whose corrected data are wider."""


class RefusedChangeAddenda(msgspec.Struct, frozen=True):
    """Type 98, C61 to C69: a notification of change is refused. change_code: why; refused_code: what was notified."""

    change_code: str
    original_trace_number: str
    reserved: str
    original_rdfi: str
    corrected_data: str
    refused_code: str
    change_sequence: str
    reserved_two: str
    trace_number: str


class ReturnAddenda(msgspec.Struct, frozen=True):
    """Type 99: an entry comes back. date_of_death: YYMMDD, with R14 and R15."""

    return_code: str
    original_trace_number: str
    date_of_death: str
    original_rdfi: str
    information: str
    trace_number: str


class IatReturnAddenda(msgspec.Struct, frozen=True):
    """Type 99 of an international entry, with the amount that was sent."""

    return_code: str
    original_trace_number: str
    date_of_death: str
    original_rdfi: str
    original_amount: int
    information: str
    trace_number: str


class DishonoredAddenda(msgspec.Struct, frozen=True):
    """Type 99, R61 to R70: the originating bank does not accept a return."""

    return_code: str
    original_trace_number: str
    reserved: str
    original_rdfi: str
    reserved_two: str
    return_trace_number: str
    return_settlement_day: str
    original_return_code: str
    information: str
    trace_number: str


class ContestedAddenda(msgspec.Struct, frozen=True):
    """Type 99, R71 to R77: the receiving bank contests that its return was dishonored."""

    return_code: str
    original_trace_number: str
    original_return_date: str
    original_rdfi: str
    original_settlement_day: str
    return_trace_number: str
    return_settlement_day: str
    original_return_code: str
    dishonored_trace_number: str
    dishonored_settlement_day: str
    dishonored_return_code: str
    reserved: str
    trace_number: str


AnyChange = ChangeAddenda | IatChangeAddenda | RefusedChangeAddenda
AnyReturn = ReturnAddenda | IatReturnAddenda | DishonoredAddenda | ContestedAddenda
International = IatTransaction | IatParty | IatBank | IatReceiver | IatRemittance | IatCorrespondent
Addenda = TerminalAddenda | PaymentAddenda | International | AnyChange | AnyReturn

_TYPE: Final = constant("record_type", "7")
_ENTRY: Final = number("entry_sequence", 7)
_TRACE: Final = digits("trace_number", 15)
_ORIGINAL: Final = digits("original_trace_number", 15)
_RDFI: Final = digits("original_rdfi", 8)
_PARTY: Final = Layout(
    _TYPE, digits("type_code", 2), text("first_line", 35), text("second_line", 35), text("reserved", 14), _ENTRY
)
_BANK: Final = (text("name", 35), text("qualifier", 2), text("identification", 34), text("country", 3))

LAYOUTS: Final[dict[type[msgspec.Struct], Layout]] = {
    TerminalAddenda: Layout(
        _TYPE,
        constant("type_code", "02"),
        text("reference_one", 7),
        text("reference_two", 3),
        text("terminal_id", 6),
        text("serial_number", 6),
        text("transaction_date", 4),
        text("authorization_code", 6),
        text("terminal_location", 27),
        text("terminal_city", 15),
        text("terminal_state", 2),
        _TRACE,
    ),
    PaymentAddenda: Layout(_TYPE, constant("type_code", "05"), text("information", 80), number("sequence", 4), _ENTRY),
    IatTransaction: Layout(
        _TYPE,
        constant("type_code", "10"),
        text("transaction_type", 3),
        number("foreign_amount", 18),
        text("foreign_trace_number", 22),
        text("receiver_name", 35),
        text("reserved", 6),
        _ENTRY,
    ),
    IatParty: _PARTY,
    IatBank: Layout(_TYPE, digits("type_code", 2), *_BANK, text("reserved", 10), _ENTRY),
    IatReceiver: Layout(
        _TYPE, constant("type_code", "15"), text("identification", 15), text("street", 35), text("reserved", 34), _ENTRY
    ),
    IatRemittance: Layout(_TYPE, constant("type_code", "17"), text("information", 80), number("sequence", 4), _ENTRY),
    IatCorrespondent: Layout(
        _TYPE, constant("type_code", "18"), *_BANK, text("reserved", 6), number("sequence", 4), _ENTRY
    ),
    ChangeAddenda: Layout(
        _TYPE,
        constant("type_code", "98"),
        text("change_code", 3),
        _ORIGINAL,
        text("reserved", 6),
        _RDFI,
        text("corrected_data", 29),
        text("reserved_two", 15),
        _TRACE,
    ),
    IatChangeAddenda: Layout(
        _TYPE,
        constant("type_code", "98"),
        text("change_code", 3),
        _ORIGINAL,
        text("reserved", 6),
        _RDFI,
        text("corrected_data", 35),
        text("reserved_two", 9),
        _TRACE,
    ),
    RefusedChangeAddenda: Layout(
        _TYPE,
        constant("type_code", "98"),
        text("change_code", 3),
        _ORIGINAL,
        text("reserved", 6),
        _RDFI,
        text("corrected_data", 29),
        text("refused_code", 3),
        text("change_sequence", 7),
        text("reserved_two", 5),
        _TRACE,
    ),
    ReturnAddenda: Layout(
        _TYPE,
        constant("type_code", "99"),
        text("return_code", 3),
        _ORIGINAL,
        text("date_of_death", 6),
        _RDFI,
        text("information", 44),
        _TRACE,
    ),
    IatReturnAddenda: Layout(
        _TYPE,
        constant("type_code", "99"),
        text("return_code", 3),
        _ORIGINAL,
        text("date_of_death", 6),
        _RDFI,
        number("original_amount", 10),
        text("information", 34),
        _TRACE,
    ),
    DishonoredAddenda: Layout(
        _TYPE,
        constant("type_code", "99"),
        text("return_code", 3),
        _ORIGINAL,
        text("reserved", 6),
        _RDFI,
        text("reserved_two", 3),
        digits("return_trace_number", 15),
        text("return_settlement_day", 3),
        text("original_return_code", 2),
        text("information", 21),
        _TRACE,
    ),
    ContestedAddenda: Layout(
        _TYPE,
        constant("type_code", "99"),
        text("return_code", 3),
        _ORIGINAL,
        text("original_return_date", 6),
        _RDFI,
        text("original_settlement_day", 3),
        digits("return_trace_number", 15),
        text("return_settlement_day", 3),
        text("original_return_code", 2),
        digits("dishonored_trace_number", 15),
        text("dishonored_settlement_day", 3),
        text("dishonored_return_code", 2),
        text("reserved", 1),
        _TRACE,
    ),
}

_BY_TYPE: Final[dict[str, type[Addenda]]] = {
    "02": TerminalAddenda,
    "05": PaymentAddenda,
    "10": IatTransaction,
    "11": IatParty,
    "12": IatParty,
    "13": IatBank,
    "14": IatBank,
    "15": IatReceiver,
    "16": IatParty,
    "17": IatRemittance,
    "18": IatCorrespondent,
}


def kind_of(line: str, *, is_international: bool) -> type[Addenda] | None:
    """Which struct an addenda record becomes; None where its type code is unknown."""
    type_code, reason = line[1:3], line[3:6]
    if type_code == "98":
        if "C61" <= reason <= "C69":
            return RefusedChangeAddenda
        return IatChangeAddenda if is_international else ChangeAddenda
    if type_code == "99":
        if "R61" <= reason <= "R70":
            return DishonoredAddenda
        if "R71" <= reason <= "R77":
            return ContestedAddenda
        return IatReturnAddenda if is_international else ReturnAddenda
    return _BY_TYPE.get(type_code)


def type_of(addenda: Addenda) -> str:
    """The type code: 05, 99."""
    if isinstance(addenda, IatParty | IatBank):
        return addenda.type_code
    return LAYOUTS[type(addenda)].fields[1].value
