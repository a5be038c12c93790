"""What has to hold in a file beyond each record's own fields: controls, numbers that match, the rules of a batch.

Unusual, and accepted with a remark, is what leaves money, account and sender in no doubt: filler that is missing
altogether, an effective date that is none (the operator puts the next banking day), a batch control without company
id, content in a reserved field; and in returns what `entries` names.
"""

import re
from datetime import datetime
from typing import Final

from stdnum.us import rtn

from bursar.providers.ach.nacha import codes, entries, model
from bursar.providers.ach.nacha.findings import Findings
from bursar.providers.ach.nacha.model import AdvEntry, Batch, Totals
from bursar.providers.ach.nacha.records import BatchControl, BatchHeader, FileHeader, IatBatchHeader
from bursar.providers.ach.nacha.tree import BatchNode, EntryNode, FileNode

_ORIGIN: Final = re.compile(r"[ \d]\d{9}")


def check(node: FileNode, findings: Findings) -> None:
    """Check a whole file whose records are well-formed and in order."""
    _check_header(node.line, node.header, findings)
    if not node.batches:
        findings.refuse(node.control_line, "batch_count", "a file has one batch at the least")
    totals = Totals()
    before = -1
    for batch in node.batches:
        totals += _check_batch(batch, findings)
        if batch.header.batch_number <= before:
            findings.refuse(batch.line, "batch_number", f"{batch.header.batch_number} does not ascend from {before}")
        before = batch.header.batch_number
    if len({batch.header.sec_code == "ADV" for batch in node.batches}) > 1:
        findings.refuse(node.batches[0].line, "sec_code", "accounting advices (ADV) stand in files of their own")
    _check_file_control(node, totals, findings)


def _check_header(line: int, header: FileHeader, findings: Findings) -> None:
    destination = header.immediate_destination
    if destination[:1] not in (" ", "0") or not rtn.is_valid(destination[1:]):
        findings.refuse(line, "immediate_destination", f"{destination!r} is not a blank and a routing number")
    if not _ORIGIN.fullmatch(header.immediate_origin):
        findings.refuse(
            line, "immediate_origin", f"{header.immediate_origin!r} is neither a blank and nine digits nor ten digits"
        )
    if not is_date(header.creation_date):
        findings.refuse(line, "creation_date", f"{header.creation_date!r} is no date (YYMMDD)")
    if header.creation_time and not _is_time(header.creation_time):
        findings.refuse(line, "creation_time", f"{header.creation_time!r} is no time (HHMM)")
    if not re.fullmatch(r"[A-Z0-9]", header.file_id_modifier):
        findings.refuse(line, "file_id_modifier", f"{header.file_id_modifier!r} is none of A to Z and 0 to 9")


def _check_file_control(node: FileNode, totals: Totals, findings: Findings) -> None:
    line, control = node.control_line, node.control
    findings.compare(line, "batch_count", control.batch_count, totals.batch_count)
    findings.compare(line, "entry_addenda_count", control.entry_addenda_count, totals.entry_addenda_count)
    findings.compare(line, "entry_hash", control.entry_hash, totals.entry_hash)
    findings.compare(line, "total_debit", control.total_debit, totals.debit)
    findings.compare(line, "total_credit", control.total_credit, totals.credit)
    findings.compare(line, "block_count", control.block_count, -(-node.row_count // model.BLOCKING_FACTOR))
    if control.reserved:
        findings.remark(line, "reserved", "a reserved field is not blank")
    is_filled = node.row_count % model.BLOCKING_FACTOR == 0
    if node.filler_count >= model.BLOCKING_FACTOR or (node.filler_count and not is_filled):
        findings.refuse(
            node.last_line, "record", f"{node.filler_count} lines of filler do not fill the last block of ten"
        )
    elif not is_filled:
        findings.remark(node.last_line, "record", "the last block of ten is not filled")


def _check_batch(node: BatchNode, findings: Findings) -> Totals:
    batch = Batch(node.header, tuple(entry.whole() for entry in node.entries))
    _check_batch_header(node, batch, findings)
    if not node.entries:
        findings.refuse(node.line, "record", "a batch has one entry at the least")
    for entry, whole in zip(node.entries, batch.entries, strict=True):
        entries.check(entry, whole, node.header, findings)
    _check_traces(node, findings)
    _check_directions(node, findings)
    if isinstance(node.header, BatchHeader) and node.header.entry_description == codes.MICRO_ENTRY:
        _check_micro_entries(node, batch.totals, findings)
    _check_batch_control(node, batch.totals, findings)
    return batch.totals


def _check_batch_header(node: BatchNode, batch: Batch, findings: Findings) -> None:
    line, header = node.line, node.header
    if header.service_class not in codes.SERVICE_CLASSES:
        findings.refuse(line, "service_class", f"{header.service_class} is none of 200, 220, 225 and 280")
    if header.sec_code not in codes.ENTRY_CLASSES:
        findings.refuse(line, "sec_code", f"{header.sec_code!r} is no standard entry class")
    if (header.sec_code == "ADV") != (header.service_class == codes.ADVICES):
        findings.refuse(line, "service_class", f"{header.service_class} does not go with {header.sec_code}")
    mandatory = {"company_id": header.company_id, "entry_description": header.entry_description}
    if isinstance(header, IatBatchHeader):
        expected = "IATCOR" if header.sec_code == "COR" else ""
        if header.iat_indicator != expected:
            findings.refuse(line, "iat_indicator", f"{header.iat_indicator!r} does not go with {header.sec_code}")
    else:
        mandatory["company_name"] = header.company_name
    for field, value in mandatory.items():
        if not value.strip():
            findings.refuse(line, field, "a mandatory field is blank")
    if header.originator_status not in ("0", "1", "2"):
        findings.refuse(line, "originator_status", f"{header.originator_status!r} is none of 0, 1 and 2")
    if not is_date(header.effective_date) and not _comes_back(batch) and header.sec_code not in ("ENR", "DNE"):
        findings.remark(line, "effective_date", f"{header.effective_date!r} is no date (YYMMDD)")


def _comes_back(batch: Batch) -> bool:
    """Whether a batch has returns and notifications of change only, which take effect on no day of their own."""
    return all(model.return_of(entry) or model.change_of(entry) for entry in batch.entries)


def _check_traces(node: BatchNode, findings: Findings) -> None:
    """Trace numbers ascend within a batch and begin with its bank; they may come again in another batch."""
    before = -1
    for entry in node.entries:
        if isinstance(entry.entry, AdvEntry):
            field, number = "sequence", entry.entry.sequence
        else:
            field, number = "trace_number", int(entry.entry.trace_number)
            if entry.entry.trace_number[:8] != node.header.odfi_routing:
                findings.refuse(
                    entry.line, field, f"{entry.entry.trace_number} does not begin with {node.header.odfi_routing}"
                )
        if number <= before:
            findings.refuse(entry.line, field, f"{number} does not ascend from {before}")
        before = number


def _check_directions(node: BatchNode, findings: Findings) -> None:
    forbidden = {codes.CREDITS_ONLY: False, codes.DEBITS_ONLY: True}.get(node.header.service_class)
    for entry in node.entries:
        if model.is_credit(entry.entry.transaction_code) is forbidden:
            findings.refuse(
                entry.line,
                "transaction_code",
                f"service class {node.header.service_class} does not allow the {_direction(entry)} "
                f"{entry.entry.transaction_code}",
            )


def _direction(entry: EntryNode) -> str:
    return "credit" if model.is_credit(entry.entry.transaction_code) else "debit"


def _check_micro_entries(node: BatchNode, totals: Totals, findings: Findings) -> None:
    for entry in node.entries:
        if entry.entry.amount > codes.MICRO_AMOUNT_MAX:
            findings.refuse(entry.line, "amount", "a micro-entry (ACCTVERIFY) is less than a dollar")
    if totals.debit > totals.credit:
        findings.refuse(node.line, "record", "micro-entries (ACCTVERIFY) may not take more than they give")


def _check_batch_control(node: BatchNode, totals: Totals, findings: Findings) -> None:
    line, control, header = node.control_line, node.control, node.header
    assert control is not None
    findings.compare(line, "service_class", control.service_class, header.service_class)
    findings.compare(line, "entry_addenda_count", control.entry_addenda_count, totals.entry_addenda_count)
    findings.compare(line, "entry_hash", control.entry_hash, totals.entry_hash)
    findings.compare(line, "total_debit", control.total_debit, totals.debit)
    findings.compare(line, "total_credit", control.total_credit, totals.credit)
    findings.compare(line, "odfi_routing", control.odfi_routing, header.odfi_routing)
    findings.compare(line, "batch_number", control.batch_number, header.batch_number)
    if isinstance(control, BatchControl):
        if not control.company_id:
            findings.remark(line, "company_id", "the control lacks the company id")
        elif control.company_id.strip() != header.company_id.strip():
            findings.compare(line, "company_id", control.company_id, header.company_id)
        if control.reserved:
            findings.remark(line, "reserved", "a reserved field is not blank")


def is_date(text: str) -> bool:
    """Whether this is a day, as YYMMDD."""
    if not re.fullmatch(r"\d{6}", text):
        return False
    try:
        datetime.strptime(text, "%y%m%d")  # noqa: DTZ007  a day of the file, not a moment
    except ValueError:
        return False
    return True


def _is_time(text: str) -> bool:
    return re.fullmatch(r"([01]\d|2[0-3])[0-5]\d", text) is not None
