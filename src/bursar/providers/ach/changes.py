"""Notifications of change: a bank tells what is to be corrected before the next entry to an account.

The originator has six banking days, or until the next entry, whichever is later.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from stdnum.us import rtn

from bursar.providers.ach.nacha import codes, model
from bursar.providers.ach.nacha.addenda import ChangeAddenda
from bursar.providers.ach.nacha.codes import AccountType
from bursar.providers.ach.nacha.model import AdvEntry, File
from bursar.providers.ach.nacha.reasons import CHANGES


class Correction(msgspec.Struct, frozen=True):
    """What replaces what we have; None where it stays. transaction_code: as told, where the account type is told."""

    account_number: str | None = None
    routing_number: str | None = None
    account_type: AccountType | None = None
    name: str | None = None
    individual_id: str | None = None
    transaction_code: int | None = None


class Change(msgspec.Struct, frozen=True):
    """One notification. correction: None where its code corrects nothing that we keep (C08, C10 to C14), or where the
    corrected data cannot be used: a blank, a wrong check digit, a code that is none. corrected_data: as it came.
    """

    code: str
    original_trace_number: str
    trace_number: str
    original_rdfi: str
    corrected_data: str
    correction: Correction | None

    @property
    def meaning(self) -> str:
        return CHANGES[self.code]


class _UnusableError(Exception):
    """Corrected data that correct nothing."""


def changes_in(file: File) -> list[Change]:
    """Give every notification of change, in the order of the file. Refused ones (C61 to C69) are between banks."""
    found = []
    for batch in file.batches:
        for entry in batch.entries:
            addenda = model.change_of(entry)
            if isinstance(addenda, ChangeAddenda) and not isinstance(entry, AdvEntry):
                is_international = model.is_international(batch.header)
                found.append(
                    Change(
                        code=addenda.change_code,
                        original_trace_number=addenda.original_trace_number,
                        trace_number=entry.trace_number,
                        original_rdfi=addenda.original_rdfi,
                        corrected_data=addenda.corrected_data,
                        correction=parse(
                            addenda.change_code, addenda.corrected_data, is_international=is_international
                        ),
                    )
                )
    return found


def parse(code: str, data: str, *, is_international: bool = False) -> Correction | None:
    """Read the corrected data of a code from their fixed positions.

    C01 account 1-17 (IAT: 1-35). C02 routing 1-9. C03 routing 1-9, account 13-29. C04 name 1-22. C05 transaction code
    1-2. C06 account 1-17, transaction code 21-22. C07 routing 1-9, account 10-26, transaction code 27-28. C09
    individual id 1-22. Source: NACHA Operating Rules, Appendix Five.
    """
    reader = _PARSERS.get(code)
    if reader is None:
        return None
    try:
        if code == "C01" and is_international:
            return Correction(account_number=_text(data))
        return reader(data.ljust(_LENGTH))
    except _UnusableError:
        return None


_LENGTH: Final = 29


def _text(piece: str) -> str:
    if not piece.strip():
        raise _UnusableError
    return piece.strip()


def _routing(piece: str) -> str:
    if not rtn.is_valid(piece):
        raise _UnusableError
    return piece


def _code(piece: str) -> int:
    """A transaction code, of a checking or a savings account."""
    if not piece.isdigit() or int(piece) not in codes.TRANSACTION_CODES or codes.account_type(int(piece)) is None:
        raise _UnusableError
    return int(piece)


def _c05(data: str) -> Correction:
    code = _code(data[0:2])
    return Correction(account_type=codes.account_type(code), transaction_code=code)


def _c06(data: str) -> Correction:
    code = _code(data[20:22])
    return Correction(account_number=_text(data[0:17]), account_type=codes.account_type(code), transaction_code=code)


def _c07(data: str) -> Correction:
    code = _code(data[26:28])
    return Correction(
        routing_number=_routing(data[0:9]),
        account_number=_text(data[9:26]),
        account_type=codes.account_type(code),
        transaction_code=code,
    )


_PARSERS: Final[dict[str, Callable[[str], Correction]]] = {
    "C01": lambda data: Correction(account_number=_text(data[0:17])),
    "C02": lambda data: Correction(routing_number=_routing(data[0:9])),
    "C03": lambda data: Correction(routing_number=_routing(data[0:9]), account_number=_text(data[12:29])),
    "C04": lambda data: Correction(name=_text(data[0:22])),
    "C05": _c05,
    "C06": _c06,
    "C07": _c07,
    "C09": lambda data: Correction(individual_id=_text(data[0:22])),
}
