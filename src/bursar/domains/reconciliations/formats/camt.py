"""A bank's statement: ISO 20022 camt.053, versions 2 to 8. Booked entries alone are read.

Read by expat with document types refused, so that there are no entities; each entry goes as soon as it was read, and
a fault names its line. An entry's sign is its CdtDbtInd, reversals included (RvslInd only says that it is one). Names
and accounts of people are not kept. Source: ISO 20022 message definition reports camt.053.001.02 to .08.
"""

import re
from datetime import date, datetime
from typing import Any, Final
from xml.parsers import expat

from bursar.domains.reconciliations.formats.reading import (
    LineUnreadable,
    Rows,
    currency_of,
    from_decimal,
    reference,
    row_id_of,
    utc,
)
from bursar.domains.reconciliations.model import LineFault, Movement, Statement, Unreadable

VERSION: Final = re.compile(r"urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.(0[2-8])")
SIGNS: Final = {"CRDT": 1, "DBIT": -1}
DEPTH_MAX: Final = 60
HELD_MAX: Final = 200_000
"""Elements that lie in an entry, or beside the entries; each takes memory until the entry is read."""

TEXT_MAX: Final = 10_000
DETAILS_MAX: Final = 20
REFERENCES: Final = ("EndToEndId", "InstrId", "TxId", "PmtInfId", "MsgId", "AcctSvcrRef")
NOT_PROVIDED: Final = "NOTPROVIDED"
DIGIT: Final = re.compile(r"\d")
IBAN: Final = re.compile(r"\b(?!RF)[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b")
"""An account's number, whole or in groups of four; RF begins a creditor's reference of the same form."""


class _Node:
    """An element: its name without the namespace, its text, its attributes, its children, the line where it begins, and
    how many others were held before it.
    """

    __slots__ = ("attributes", "before", "children", "line", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str], line: int, before: int) -> None:
        self.name = name
        self.attributes = attributes
        self.line = line
        self.before = before
        self.text = ""
        self.children: list[_Node] = []

    def all(self, name: str) -> list["_Node"]:
        return [child for child in self.children if child.name == name]

    def find(self, path: str) -> "_Node | None":
        node: _Node | None = self
        for name in path.split("/"):
            node = next((child for child in node.children if child.name == name), None) if node else None
        return node

    def value(self, *paths: str) -> str:
        """The text of the first of `paths` that has one; else nothing."""
        for path in paths:
            node = self.find(path)
            if node is not None and node.text.strip():
                return node.text.strip()
        return ""


class _Reader:
    """Builds the elements of a document, and hands over each Ntry and each Stmt when it ends."""

    def __init__(self) -> None:
        self.rows = Rows()
        self.since: datetime | None = None
        self.until: datetime | None = None
        self._open: list[_Node] = []
        self._statements = 0
        self._entries = 0
        self._held = 0
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse_document_type
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self, content: bytes) -> None:
        try:
            self._parser.Parse(content, True)
        except expat.ExpatError as error:
            raise Unreadable((LineFault(error.lineno, f"no XML: {expat.ErrorString(error.code)}"),)) from error
        except (LookupError, ValueError) as error:  # so Python refuses an encoding, before any element begins
            if self._held:
                raise
            raise Unreadable((LineFault(self._line, "an encoding that is not taken"),)) from error
        if not self._statements:
            raise Unreadable((LineFault(1, "no statement in it"),))

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber

    def _refuse_document_type(self, *_: Any) -> None:
        raise Unreadable((LineFault(self._line, "a document type is not taken"),))

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, tag = name.rpartition(" ")
        if not self._open and not (tag == "Document" and VERSION.fullmatch(namespace)):
            raise Unreadable((LineFault(self._line, f"no camt.053, versions 2 to 8, but {namespace[:80] or tag}"),))
        if len(self._open) >= DEPTH_MAX:
            raise Unreadable((LineFault(self._line, f"elements lie more than {DEPTH_MAX} deep"),))
        if self._held == HELD_MAX:
            raise Unreadable(
                (LineFault(self._line, f"more than {HELD_MAX} elements in one entry, or beside them all"),)
            )
        node = _Node(tag, attributes, self._line, self._held)
        self._held += 1
        if self._open:
            self._open[-1].children.append(node)
        self._open.append(node)

    def _text(self, text: str) -> None:
        node = self._open[-1]
        if len(node.text) < TEXT_MAX:
            node.text += text

    def _end(self, _: str) -> None:
        node = self._open.pop()
        if node.name == "Ntry" and self._open and self._open[-1].name == "Stmt":
            self._let_go(node)
            self._entries += 1
            self._read_entry(node, self._open[-1])
        elif node.name == "Stmt":
            self._let_go(node)
            self._statements += 1
            self._read_period(node)

    def _let_go(self, node: _Node) -> None:
        """It is read, and goes with all that lies in it."""
        self._open[-1].children.pop()
        self._held = node.before

    def _read_entry(self, node: _Node, statement: _Node) -> None:
        try:
            _take(self.rows, node, statement, self._entries)
        except LineUnreadable as error:
            self.rows.refuse(node.line, str(error))

    def _read_period(self, node: _Node) -> None:
        try:
            for name in ("FrDtTm", "ToDtTm"):
                text = node.value(f"FrToDt/{name}")
                if text:
                    self._widen(_moment(text))
        except LineUnreadable as error:
            self.rows.refuse(node.line, str(error))

    def _widen(self, at: datetime) -> None:
        self.since = at if self.since is None else min(self.since, at)
        self.until = at if self.until is None else max(self.until, at)


def is_document(head: str) -> bool:
    """Whether a file that begins so is XML."""
    return head.lstrip("\ufeff \t\r\n").startswith("<")


def read(content: bytes) -> Statement:
    """Every booked entry of the statements. Raises Unreadable with the lines that cannot be read."""
    reader = _Reader()
    reader.read(content)
    return Statement(reader.rows.taken(), reader.since, reader.until)


def _take(rows: Rows, entry: _Node, statement: _Node, number: int) -> None:
    status = entry.value("Sts/Cd", "Sts")
    if status != "BOOK":
        if status in ("PDNG", "INFO", "FUTR"):
            return
        raise LineUnreadable(f"{status[:10]!r} is no status of an entry")
    amount = entry.find("Amt")
    if amount is None:
        raise LineUnreadable("an entry without an amount")
    currency = currency_of(amount.attributes.get("Ccy", ""))
    sign = SIGNS.get(entry.value("CdtDbtInd"))
    if sign is None:
        raise LineUnreadable("an entry that is neither CRDT nor DBIT")
    if amount.text.strip().startswith("-"):
        raise LineUnreadable("an amount below zero")
    moved = sign * from_decimal(amount.text, currency)
    names = _references(entry)
    own = reference(entry.value("AcctSvcrRef")) or reference(entry.value("NtryRef")) or f"entry-{number}"
    rows.add(
        entry.line,
        row_id_of(f"{statement.value('Id')[:60]}:{number}:{own[:100]}"),
        Movement.ENTRY,
        names,
        currency=currency,
        gross=moved,
        fee=0,
        net=moved,
        occurred_at=_moment(entry.value("BookgDt/DtTm", "BookgDt/Dt", "ValDt/DtTm", "ValDt/Dt")),
    )


def _references(entry: _Node) -> list[str]:
    """What an entry may be known by on our side: the references of its transactions, of what was remitted, its own."""
    found: list[str] = []
    transactions = [detail for details in entry.all("NtryDtls") for detail in details.all("TxDtls")][:DETAILS_MAX]
    for transaction in transactions:
        found += [transaction.value(f"Refs/{name}") for name in REFERENCES]
        remitted = transaction.find("RmtInf")
        if remitted is not None:
            found += [node.value("CdtrRefInf/Ref") for node in remitted.all("Strd")]
            found += [word for node in remitted.all("Ustrd") for word in _words(node.text)]
    found += [entry.value("AcctSvcrRef"), entry.value("NtryRef")]
    told = [text for text in found if text and text != NOT_PROVIDED and len(text) <= 100]
    return [reference(text) for text in dict.fromkeys(told)][:DETAILS_MAX]


def _words(text: str) -> list[str]:
    """The words of a free text that may be references: those with a digit, that are of no account and no address."""
    return [word for word in IBAN.sub(" ", text).split() if DIGIT.search(word) and "@" not in word]


def _moment(text: str) -> datetime:
    try:
        if len(text) == len("2026-01-01"):
            day = date.fromisoformat(text)
            return utc(datetime(day.year, day.month, day.day), text)  # noqa: DTZ001  `utc` gives it its zone
        return utc(datetime.fromisoformat(text), text)
    except ValueError as error:
        raise LineUnreadable(f"{text[:40]!r} is no time") from error
