"""What the readers of settlement files share: texts, times, amounts, and faults gathered line by line."""

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from bursar.domains.reconciliations.model import FAULTS_MAX, LineFault, Movement, Row, Unreadable
from bursar.kit.cardnumber import LENGTH_MIN, contains_card_number
from bursar.kit.money import AMOUNT_MAX, EXPONENTS

ROWS_MAX: Final = 200_000
REFERENCE_LENGTH_MAX: Final = 200
ROW: Final = "row:"
"""How the key of a row begins."""

YEAR_MIN, YEAR_MAX = 1970, 9998
_DECIMAL: Final = re.compile(r"[+-]?\d{1,15}(\.\d{0,8})?")
_WHOLE: Final = re.compile(r"\d{1,15}")
_REFERENCE: Final = re.compile(r"[^\x00-\x1f\x7f]+")


class LineUnreadable(Exception):  # noqa: N818  gathered with the other faults of the file
    """One line cannot be read."""


class Rows:
    """The rows of a file as they are read, and what could not be read."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._faults: list[LineFault] = []
        self._seen = Counter[str]()
        self._keys: set[str] = set()

    def add(
        self,
        line: int | None,
        row_id: str,
        movement: Movement,
        references: Sequence[str],
        *,
        currency: str,
        gross: int,
        fee: int,
        net: int,
        occurred_at: datetime,
    ) -> None:
        """Take a row. Raises Unreadable where there are too many."""
        key = ROW + row_id
        while key in self._keys:
            self._seen[row_id] += 1
            key = f"{ROW}{row_id}#{self._seen[row_id] + 1}"
        self._keys.add(key)
        named = tuple(dict.fromkeys(reference for reference in references if reference))
        self._rows.append(Row(key, row_id, line, movement, named, currency, gross, fee, net, occurred_at))
        if len(self._rows) > ROWS_MAX:
            raise Unreadable((LineFault(line or 0, f"more than {ROWS_MAX} rows"),))

    def refuse(self, line: int, reason: str) -> None:
        """Note that a line cannot be read. Raises Unreadable where that is enough."""
        self._faults.append(LineFault(line, reason))
        if len(self._faults) >= FAULTS_MAX:
            raise Unreadable(tuple(self._faults))

    def taken(self) -> tuple[Row, ...]:
        """All rows. Raises Unreadable where a line could not be read: nothing of such a file is booked."""
        if self._faults:
            raise Unreadable(tuple(self._faults))
        return tuple(self._rows)


def text_of(content: bytes) -> str:
    """A file as text. Raises Unreadable."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Unreadable((LineFault(line, "no UTF-8"),)) from error


def csv_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file that are not empty, with their numbers. Raises Unreadable."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            if fields:
                yield reader.line_num, fields
    except csv.Error as error:
        raise Unreadable((LineFault(reader.line_num, f"no CSV: {error}"),)) from error


def row_id_of(text: str) -> str:
    """A row's own id, as it is kept. Raises LineUnreadable."""
    return kept(reference(text))


def reference(text: str) -> str:
    """What a row may be known by on our side, as it is written there. Raises LineUnreadable."""
    text = text.strip()
    if text and (len(text) > REFERENCE_LENGTH_MAX or not _REFERENCE.fullmatch(text)):
        raise LineUnreadable(f"an id has at most {REFERENCE_LENGTH_MAX} printable characters")
    return text


def kept(name: str) -> str:
    """An id of theirs as it is stored: one that reads like a card number as a digest."""
    if len(name) >= LENGTH_MIN and contains_card_number(name):
        return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"
    return name


def currency_of(text: str) -> str:
    """A currency in upper case. Raises LineUnreadable."""
    code = text.strip().upper()
    if code not in EXPONENTS:
        raise LineUnreadable(f"{text.strip()[:10]!r} is no currency")
    return code


def from_decimal(text: str, currency: str) -> int:
    """A decimal number of main units ("12.34") in minor units. Raises LineUnreadable: nothing is ever rounded."""
    text = text.strip()
    if not _DECIMAL.fullmatch(text):
        raise LineUnreadable(f"{text[:30]!r} is no amount")
    minor = Decimal(text).scaleb(EXPONENTS[currency])
    if minor != int(minor):
        raise LineUnreadable(f"{text} is no whole number of minor units of {currency}")
    return _bounded(int(minor))


def from_whole(text: str, currency: str, *, exponent: int) -> int:
    """A whole number of a unit with `exponent` digits after the point in minor units. Raises LineUnreadable."""
    text = text.strip()
    if not _WHOLE.fullmatch(text):
        raise LineUnreadable(f"{text[:30]!r} is no amount")
    minor = Decimal(text).scaleb(EXPONENTS[currency] - exponent)
    if minor != int(minor):
        raise LineUnreadable(f"{text} is no whole number of minor units of {currency}")
    return _bounded(int(minor))


def moment(text: str, *formats: str) -> datetime:
    """A time in the first of `formats` that fits, in UTC where it says nothing else. Raises LineUnreadable."""
    text = text.strip()
    for form in formats:
        try:
            read = datetime.strptime(text, form)  # noqa: DTZ007  the zone is looked at below
        except ValueError:
            continue
        return utc(read, text)
    raise LineUnreadable(f"{text[:40]!r} is no time")


def utc(read: datetime, text: str) -> datetime:
    """A time in UTC; one that names no zone is in it already. Raises LineUnreadable where it is out of this age."""
    if not YEAR_MIN < read.year < YEAR_MAX:
        raise LineUnreadable(f"{text[:40]!r} is out of this age")
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def _bounded(minor: int) -> int:
    if abs(minor) > AMOUNT_MAX:
        raise LineUnreadable(f"amounts are at most {AMOUNT_MAX} minor units")
    return minor
