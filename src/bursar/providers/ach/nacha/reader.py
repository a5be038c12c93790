"""Reading: rows, then their order and fields, then what they mean; a stage is entered when the one before found no
fault.
"""

import msgspec

from bursar.providers.ach.nacha import checks, lines, tree
from bursar.providers.ach.nacha.findings import Finding, Findings, NachaError
from bursar.providers.ach.nacha.model import Batch, BatchTail, File
from bursar.providers.ach.nacha.records import BatchControl
from bursar.providers.ach.nacha.tree import BatchNode, FileNode


class Reading(msgspec.Struct, frozen=True):
    """What came of reading. file: None where there are problems. remarks: what is unusual but leaves nothing in
    doubt. Both are sorted by line.
    """

    file: File | None
    problems: tuple[Finding, ...]
    remarks: tuple[Finding, ...]


def read(content: str | bytes) -> File:
    """Give the file. Raises NachaError with the line, the field and the reason, where it breaks the rules."""
    reading = examine(content)
    if reading.file is None:
        first = reading.problems[0]
        raise NachaError(first.line, first.field, first.reason, findings=reading.problems)
    return reading.file


def examine(content: str | bytes) -> Reading:
    """Read a file and tell all that is found, instead of raising."""
    findings = Findings()
    rows = lines.split(content, findings)
    node = tree.grow(rows, findings) if not findings.problems else None
    if node is not None and not findings.problems:
        checks.check(node, findings)
    file = _file(node) if node is not None and not findings.problems else None
    return Reading(file, tuple(sorted(findings.problems)), tuple(sorted(findings.remarks)))


def _file(node: FileNode) -> File:
    return File(node.header, tuple(map(_batch, node.batches)), node.control.reserved)


def _batch(node: BatchNode) -> Batch:
    control = node.control
    if isinstance(control, BatchControl):
        tail = BatchTail(
            company_id=None if control.company_id == node.header.company_id else control.company_id,
            authentication_code=control.authentication_code,
            reserved=control.reserved,
        )
    else:
        tail = BatchTail(operator_data=control.operator_data if control else "")
    return Batch(node.header, tuple(entry.whole() for entry in node.entries), tail)
