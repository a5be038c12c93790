"""PayPal's settlement report (STL) and transaction detail report as CSV.

Each line begins with its type: RH report header, FH file header, SH section header (its period), CH column names, SB
section body (a transaction), SF and SC section footer and count, RF and RC report footer and count, FF file footer.
Read of the body, by the names of its CH line: Transaction ID, Invoice ID, PayPal Reference ID, Transaction Event Code,
Transaction Completion Date (or Initiation), Transaction Debit or Credit, Gross Transaction Amount, Gross Transaction
Currency, Fee Debit or Credit, Fee Amount, Fee Currency, and Transactional Status where there is one. PayPal writes
"Transaction  Debit or Credit" with two spaces, so spaces count once. Amounts are unsigned whole numbers of PayPal's
smallest unit; CR or DR says which way. The count of SC is held against the lines of its section; that of RC is of all
files of a report.
Source: developer.paypal.com/docs/reports/sftp-reports/settlement-report and …/reports/reference/tcodes.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bursar.domains.reconciliations.formats.reading import (
    LineUnreadable,
    Rows,
    csv_lines,
    currency_of,
    from_whole,
    moment,
    reference,
    row_id_of,
    text_of,
)
from bursar.domains.reconciliations.model import LineFault, Movement, Statement, Unreadable
from bursar.kit.money import EXPONENTS

GROSS, CURRENCY, SIDE = "Gross Transaction Amount", "Gross Transaction Currency", "Transaction Debit or Credit"
FEE, FEE_CURRENCY, FEE_SIDE = "Fee Amount", "Fee Currency", "Fee Debit or Credit"
ID, CODE, STATUS = "Transaction ID", "Transaction Event Code", "Transactional Status"
REQUIRED: Final = (ID, CODE, SIDE, GROSS, CURRENCY, FEE_SIDE, FEE)
DATES: Final = ("Transaction Completion Date", "Transaction Initiation Date")
REFERENCES: Final = ("Invoice ID", ID, "PayPal Reference ID")
TIMES: Final = ("%Y/%m/%d %H:%M:%S %z", "%Y-%m-%dT%H:%M:%S%z", "%Y/%m/%d %H:%M:%S")
SIGNS: Final = {"CR": 1, "DR": -1}
PASSED_OVER: Final = frozenset({"RH", "FH", "SF", "RF", "RC", "FF"})
NOT_DONE: Final = frozenset({"D", "P"})
"""Transactional statuses of what moved no money: denied, pending."""

WHOLE: Final = frozenset({"HUF", "JPY", "TWD"})
"""Currencies that have no decimals at PayPal, whatever ISO 4217 says."""

MOVEMENTS: Final[dict[str, Movement]] = {
    "T0001": Movement.PAYOUT,
    "T00": Movement.CHARGE,
    "T01": Movement.FEE,
    "T04": Movement.PAYOUT,
    "T1106": Movement.DISPUTE,
    "T1107": Movement.REFUND,
    "T1110": Movement.DISPUTE,
    "T1111": Movement.DISPUTE,
    "T1114": Movement.DISPUTE,
    "T12": Movement.DISPUTE,
}
"""By transaction event code, the longest beginning first; any other is an ADJUSTMENT."""


def is_header(line: str) -> bool:
    """Whether a file whose first line is this is PayPal's."""
    return line.partition(",")[0].strip(' "\r') in ("RH", "CH")


class _Report:
    """A report as far as it was read."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.names: list[str] = []
        self.since: datetime | None = None
        self.until: datetime | None = None
        self.section_count = 0

    def begin_section(self, fields: list[str]) -> None:
        start, end = moment(fields[1], *TIMES), moment(fields[2], *TIMES)
        self.since = start if self.since is None else min(self.since, start)
        self.until = end if self.until is None else max(self.until, end)

    def name_columns(self, number: int, fields: list[str]) -> None:
        """Take the names of the columns. Raises Unreadable: without them nothing else can be read."""
        self.names = [" ".join(name.split()) for name in fields[1:]]
        missing = [name for name in REQUIRED if name not in self.names]
        if not set(DATES) & set(self.names):
            missing.append(DATES[0])
        if missing:
            raise Unreadable((LineFault(number, f"no column {', '.join(missing)}"),))
        if len(set(self.names)) != len(self.names):
            raise Unreadable((LineFault(number, "a column is there twice"),))

    def take(self, number: int, fields: list[str]) -> None:
        if not self.names:
            raise LineUnreadable("a body line before the names of its columns")
        if len(fields) - 1 != len(self.names):
            raise LineUnreadable(f"{len(fields) - 1} fields in place of {len(self.names)}")
        self.section_count += 1
        _take(self.rows, number, dict(zip(self.names, fields[1:], strict=True)))

    def end_section(self, fields: list[str]) -> None:
        count, self.section_count = self.section_count, 0
        if fields[1].strip() != str(count):
            raise LineUnreadable(f"it says {fields[1].strip()[:20]} body lines, {count} came")


def read(content: bytes) -> Statement:
    """Every row of the report. Raises Unreadable with the lines that cannot be read."""
    report = _Report()
    number = 1
    for number, fields in csv_lines(text_of(content)):
        try:
            _read_line(report, number, fields)
        except LineUnreadable as error:
            report.rows.refuse(number, str(error))
        except IndexError:
            report.rows.refuse(number, f"a line of type {fields[0].strip()} has more fields")
    if not report.names:
        raise Unreadable((LineFault(number, "no CH line: the columns have no names"),))
    return Statement(report.rows.taken(), report.since, report.until)


def _read_line(report: _Report, number: int, fields: list[str]) -> None:
    kind = fields[0].strip()
    if kind == "SB":
        report.take(number, fields)
    elif kind == "SH":
        report.begin_section(fields)
    elif kind == "CH":
        report.name_columns(number, fields)
    elif kind == "SC":
        report.end_section(fields)
    elif kind not in PASSED_OVER:
        raise LineUnreadable(f"{kind[:20]!r} is no type of line")


def _take(rows: Rows, number: int, values: Mapping[str, str]) -> None:
    currency = currency_of(values[CURRENCY])
    row_id = row_id_of(values[ID])
    if not row_id:
        raise LineUnreadable(f"no {ID}")
    gross = _signed(values[SIDE], values[GROSS], currency)
    fee = 0
    if values[FEE].strip():
        if values.get(FEE_CURRENCY, "").strip() and currency_of(values[FEE_CURRENCY]) != currency:
            raise LineUnreadable("the fee is in another currency")
        fee = -_signed(values[FEE_SIDE], values[FEE], currency)
    dates = [values[name] for name in DATES if values.get(name, "").strip()]
    if not dates:
        raise LineUnreadable(f"no {DATES[0]}")
    code = values[CODE].strip()
    movement = next((MOVEMENTS[start] for start in (code, code[:3]) if start in MOVEMENTS), Movement.ADJUSTMENT)
    if values.get(STATUS, "").strip().upper() in NOT_DONE:
        movement, gross, fee = Movement.FAILURE, 0, 0
    rows.add(
        number,
        row_id,
        movement,
        [reference(values.get(name, "")) for name in REFERENCES],
        currency=currency,
        gross=gross,
        fee=fee,
        net=gross - fee,
        occurred_at=moment(dates[0], *TIMES),
    )


def _signed(side: str, amount: str, currency: str) -> int:
    """An amount with its direction; nothing at all is 0 whatever its side."""
    exponent = 0 if currency in WHOLE else EXPONENTS[currency]
    minor = from_whole(amount, currency, exponent=exponent)
    sign = SIGNS.get(side.strip().upper())
    if sign is None and minor:
        raise LineUnreadable(f"{side.strip()[:10]!r} is neither CR nor DR")
    return minor * (sign or 0)
