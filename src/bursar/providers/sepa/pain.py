"""Credit transfers as a pain.001 file: built by sepaxml, the same bytes for the same input, checked against the schema.

Source: ISO 20022 pain.001.001.09 and the EPC's customer-to-bank guidelines for SCT (EPC132-08).
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec
from schwifty import BIC, IBAN
from schwifty.exceptions import SchwiftyException
from sepaxml import SepaTransfer  # type: ignore[import-untyped]
from sepaxml.validation import ValidationError, try_valid_xml  # type: ignore[import-untyped]

from bursar.providers.sepa.calendar import is_banking_day
from bursar.providers.sepa.text import end_to_end_id, is_identifier, reduced

SCHEMA: Final = "pain.001.001.09"
NAMESPACE: Final = f"urn:iso:std:iso:20022:tech:xsd:{SCHEMA}"
CURRENCY: Final = "EUR"
AMOUNT_MAX: Final = 99_999_999_999
"""Cents: 999,999,999.99 EUR, the most that one credit transfer carries."""

TRANSFERS_MAX: Final = 10_000
NAME_LENGTH_MAX: Final = 70
REMITTANCE_LENGTH_MAX: Final = 140


class Originator(msgspec.Struct, frozen=True):
    """Who pays. bic: of the bank that gets the file; None where the IBAN tells it."""

    name: str
    iban: str
    bic: str | None = None


class Transfer(msgspec.Struct, frozen=True):
    """One payment. key: ours, and so the end-to-end id. amount: cents. remittance: what the payee reads beside it."""

    key: str
    amount: int
    name: str
    iban: str
    remittance: str
    bic: str | None = None
    currency: str = CURRENCY


class SepaError(msgspec.Struct, frozen=True):
    """What is wrong. index: which transfer, from 0; None: the file itself."""

    index: int | None
    field: str
    reason: str


class SepaRefused(Exception):  # noqa: N818  nothing of ours is broken: what came in cannot be paid
    """No file was made; `errors` says everything that is wrong."""

    def __init__(self, errors: Sequence[SepaError]) -> None:
        super().__init__("; ".join(f"{error.index} {error.field}: {error.reason}" for error in errors[:10]))
        self.errors = tuple(errors)


def credit_transfer_file(
    originator: Originator,
    transfers: Sequence[Transfer],
    *,
    message_id: str,
    created_at: datetime,
    execution_date: date,
) -> bytes:
    """The file that has a bank pay `transfers`, in their order. Raises SepaRefused with every fault found.

    message_id: unique for the bank, at most 35 characters; a bank refuses one that it has seen. created_at: aware.
    """
    errors = [
        *_faults_of_file(originator, transfers, message_id, execution_date),
        *(fault for index, transfer in enumerate(transfers) for fault in faults(transfer, index)),
        *_repeated(transfers),
    ]
    if errors:
        raise SepaRefused(errors)
    raw = _by_sepaxml(originator, transfers, execution_date)
    document = _with_our_ids(raw, message_id=message_id, created_at=created_at)
    validate(document)
    return document


def validate(document: bytes) -> None:
    """Check a file against the schema. Raises SepaRefused."""
    try:
        try_valid_xml(document, SCHEMA)
    except ValidationError as error:
        reason = str(getattr(error.__cause__, "reason", None) or error)
        raise SepaRefused([SepaError(None, "document", reason)]) from error
    except ElementTree.ParseError as error:
        raise SepaRefused([SepaError(None, "document", f"no XML: {error}")]) from error


def faults(transfer: Transfer, index: int) -> Iterator[SepaError]:
    """Everything for which a transfer cannot be paid."""
    if not is_identifier(end_to_end_id(transfer.key)):
        yield SepaError(index, "key", "at most 35 characters of SEPA's set, slashes neither at its ends nor doubled")
    if not 1 <= transfer.amount <= AMOUNT_MAX:
        yield SepaError(index, "amount", f"from 1 to {AMOUNT_MAX} cents")
    if transfer.currency != CURRENCY:
        yield SepaError(index, "currency", f"SEPA pays in {CURRENCY}")
    if not reduced(transfer.name, length_max=NAME_LENGTH_MAX):
        yield SepaError(index, "name", "nothing of it can be written in SEPA's character set")
    if not reduced(transfer.remittance, length_max=REMITTANCE_LENGTH_MAX):
        yield SepaError(index, "remittance", "nothing of it can be written in SEPA's character set")
    if reason := iban_fault(transfer.iban):
        yield SepaError(index, "iban", reason)
    if transfer.bic is not None and (reason := bic_fault(transfer.bic)):
        yield SepaError(index, "bic", reason)


def iban_fault(iban: str) -> str:
    """Why money cannot be sent to an IBAN; empty where it can: form, length, check digits, a country of SEPA."""
    try:
        return "" if IBAN(iban).in_sepa_zone else "its country is no part of SEPA"
    except SchwiftyException as error:
        return str(error)


def bic_fault(bic: str) -> str:
    """Why a BIC is none; empty where it is one."""
    try:
        BIC(bic)
    except SchwiftyException as error:
        return str(error)
    return ""


def _faults_of_file(
    originator: Originator, transfers: Sequence[Transfer], message_id: str, execution_date: date
) -> Iterator[SepaError]:
    if not 1 <= len(transfers) <= TRANSFERS_MAX:
        yield SepaError(None, "transfers", f"from 1 to {TRANSFERS_MAX}")
    if not is_identifier(message_id):
        yield SepaError(None, "message_id", "at most 35 characters of SEPA's set")
    if not is_banking_day(execution_date):
        yield SepaError(None, "execution_date", "TARGET2 is closed then")
    if not reduced(originator.name, length_max=NAME_LENGTH_MAX):
        yield SepaError(None, "originator.name", "nothing of it can be written in SEPA's character set")
    if reason := iban_fault(originator.iban):
        yield SepaError(None, "originator.iban", reason)
    elif originator.bic is None and IBAN(originator.iban).bic is None:
        yield SepaError(None, "originator.bic", "its IBAN does not tell it")
    if originator.bic is not None and (reason := bic_fault(originator.bic)):
        yield SepaError(None, "originator.bic", reason)


def _repeated(transfers: Sequence[Transfer]) -> Iterator[SepaError]:
    seen = set[str]()
    for index, transfer in enumerate(transfers):
        if transfer.key in seen:
            yield SepaError(index, "key", "it stands in this file before")
        seen.add(transfer.key)


def _by_sepaxml(originator: Originator, transfers: Sequence[Transfer], execution_date: date) -> bytes:
    file = SepaTransfer(
        {
            "name": reduced(originator.name, length_max=NAME_LENGTH_MAX),
            "IBAN": str(IBAN(originator.iban)),
            "BIC": str(BIC(originator.bic) if originator.bic is not None else IBAN(originator.iban).bic),
            "batch": True,
            "currency": CURRENCY,
        },
        schema=SCHEMA,
        clean=False,
    )
    for transfer in transfers:
        payment: dict[str, Any] = {
            "name": reduced(transfer.name, length_max=NAME_LENGTH_MAX),
            "IBAN": str(IBAN(transfer.iban)),
            "amount": transfer.amount,
            "execution_date": execution_date,
            "description": reduced(transfer.remittance, length_max=REMITTANCE_LENGTH_MAX),
            "endtoend_id": end_to_end_id(transfer.key),
        }
        if transfer.bic is not None:
            payment["BIC"] = str(BIC(transfer.bic))
        file.add_payment(payment)
    exported: bytes = file.export(validate=False)
    return exported


def _with_our_ids(document: bytes, *, message_id: str, created_at: datetime) -> bytes:
    """The file with our message id and time, where sepaxml puts random ones and the machine's."""
    moment = created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    root = ElementTree.fromstring(document)  # noqa: S314  made a moment ago, by ourselves
    for path, text in (("GrpHdr/MsgId", message_id), ("GrpHdr/CreDtTm", moment), ("PmtInf/PmtInfId", message_id)):
        node = root.find("/".join(f"{{{NAMESPACE}}}{name}" for name in ["CstmrCdtTrfInitn", *path.split("/")]))
        assert node is not None, f"sepaxml made no {path}"
        node.text = text
    ElementTree.register_namespace("", NAMESPACE)
    written = ElementTree.tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + written.encode()
