"""From rows to records in their order: 1, then batches of 5, 6, 7 … 8, then 9 and filler.

Field faults are gathered; the first record that stands where it may not ends the reading, since what follows it
belongs to nothing.
"""

from typing import TypeVar

import msgspec

from bursar.providers.ach.nacha import addenda, model, records
from bursar.providers.ach.nacha.addenda import Addenda
from bursar.providers.ach.nacha.findings import Findings
from bursar.providers.ach.nacha.layout import Layout, Values
from bursar.providers.ach.nacha.lines import FILLER, Row
from bursar.providers.ach.nacha.model import AdvEntry, AnyEntry, AnyHeader, Entry, IatEntry
from bursar.providers.ach.nacha.records import (
    AdvBatchControl,
    AdvFileControl,
    BatchControl,
    BatchHeader,
    FileControl,
    FileHeader,
    IatBatchHeader,
)

AnyControl = BatchControl | AdvBatchControl
Record = TypeVar("Record", bound=msgspec.Struct)


class EntryNode(msgspec.Struct):
    """An entry, its addenda apart, each with its line."""

    line: int
    entry: AnyEntry
    indicator: int
    addenda: list[tuple[int, Addenda]]

    def whole(self) -> AnyEntry:
        return msgspec.structs.replace(self.entry, addenda=tuple(record for _, record in self.addenda))


class BatchNode(msgspec.Struct):
    line: int
    header: AnyHeader
    entries: list[EntryNode]
    control_line: int = 0
    control: AnyControl | None = None


class FileNode(msgspec.Struct):
    """row_count: records with the filler. filler_count: lines of nines."""

    line: int
    header: FileHeader
    batches: list[BatchNode]
    control_line: int
    control: FileControl
    row_count: int
    filler_count: int
    last_line: int


def grow(rows: list[Row], findings: Findings) -> FileNode | None:
    """Give the records as a tree; None where their order is broken."""
    first = rows[0]
    if first.text[0] != "1":
        findings.refuse(first.line, "record", f"a file begins with its header (1), this record is {first.text[0]!r}")
        return None
    header = _record(FileHeader, records.LAYOUTS[FileHeader], first, findings)
    batches: list[BatchNode] = []
    for index, row in enumerate(rows[1:], 1):
        open_batch = batches[-1] if batches and batches[-1].control is None else None
        if row.text[0] == "9":
            return _end(rows, index, FileNode(first.line, header, batches, 0, _NO_CONTROL, len(rows), 0, 0), findings)
        fault = _misplaced(row, open_batch)
        if fault:
            findings.refuse(row.line, "record", fault)
            return None
        if open_batch is None:
            batches.append(BatchNode(row.line, _batch_header(row, findings), []))
        elif row.text[0] == "6":
            open_batch.entries.append(_entry(row, open_batch.header, findings))
        elif row.text[0] == "7":
            _add_addenda(row, open_batch, findings)
        else:
            kind: type[AnyControl] = AdvBatchControl if open_batch.header.sec_code == "ADV" else BatchControl
            open_batch.control = _record(kind, records.LAYOUTS[kind], row, findings)
            open_batch.control_line = row.line
    missing = (
        "batch control (8) and its file control (9)" if batches and not batches[-1].control else "file control (9)"
    )
    findings.refuse(rows[-1].line, "record", f"the file ends without its {missing}")
    return None


_NO_CONTROL = FileControl(0, 0, 0, 0, 0, 0, "")


def _misplaced(row: Row, batch: BatchNode | None) -> str | None:
    """Why a record may not stand here; None where it may."""
    kind = row.text[0]
    if kind == "1":
        return "a second file header (1)"
    if kind not in "5678":
        return f"{kind!r} is no record type"
    if batch is None:
        return None if kind == "5" else f"a record {kind} outside a batch: its header (5) is missing"
    if kind == "5":
        return f"a batch header (5) inside the batch of line {batch.line}, whose control (8) is missing"
    if kind == "7" and not batch.entries:
        return "an addenda record (7) before any entry (6)"
    return None


def _end(rows: list[Row], index: int, node: FileNode, findings: Findings) -> FileNode | None:
    """Read the file control and see that nothing but filler follows."""
    row = rows[index]
    if row.text == FILLER:
        findings.refuse(row.line, "record", "filler where the file control (9) is missing")
        return None
    if node.batches and node.batches[-1].control is None:
        findings.refuse(row.line, "record", f"the batch of line {node.batches[-1].line} has no control (8)")
        return None
    for extra in rows[index + 1 :]:
        if extra.text != FILLER:
            findings.refuse(extra.line, "record", "after the file control only filler of nines may follow")
            return None
    is_advice = bool(node.batches) and node.batches[0].header.sec_code == "ADV"
    kind = AdvFileControl if is_advice else FileControl
    node.control = _record(kind, records.LAYOUTS[kind], row, findings)
    node.control_line, node.last_line = row.line, rows[-1].line
    node.filler_count = len(rows) - index - 1
    return node


def _values(layout: Layout, row: Row, findings: Findings) -> Values:
    values, misfits = layout.parse(row.text)
    for misfit in misfits:
        findings.refuse(row.line, misfit.field, misfit.reason)
    return values


def _record(kind: type[Record], layout: Layout, row: Row, findings: Findings) -> Record:
    return records.make(kind, _values(layout, row, findings))


def _batch_header(row: Row, findings: Findings) -> AnyHeader:
    kind: type[AnyHeader] = BatchHeader
    if row.text[50:53] == "IAT" or row.text[4:10] == "IATCOR":
        kind = IatBatchHeader
    return _record(kind, records.LAYOUTS[kind], row, findings)


def _entry(row: Row, header: AnyHeader, findings: Findings) -> EntryNode:
    kind: type[AnyEntry] = Entry
    if model.is_international(header):
        kind = IatEntry
    elif header.sec_code == "ADV":
        kind = AdvEntry
    values = _values(model.LAYOUTS[kind], row, findings)
    indicator = int(values.pop("addenda_indicator"))
    return EntryNode(row.line, records.make(kind, values), indicator, [])


def _add_addenda(row: Row, batch: BatchNode, findings: Findings) -> None:
    kind = addenda.kind_of(row.text, is_international=model.is_international(batch.header))
    if kind is None:
        findings.refuse(row.line, "type_code", f"{row.text[1:3]!r} is no addenda type")
        return
    batch.entries[-1].addenda.append((row.line, _record(kind, addenda.LAYOUTS[kind], row, findings)))
