"""What has to hold of one entry and its addenda.

Accepted with a remark, since processors send returns and notifications of change so, and neither money nor the entry
that is meant is in doubt: the forward transaction code (27 for 26), and an addenda whose trace number is not its
entry's. The original trace number says which entry of ours is meant.
"""

from stdnum.us import rtn

from bursar.providers.ach.nacha import addenda, codes, model
from bursar.providers.ach.nacha.addenda import (
    Addenda,
    AnyChange,
    AnyReturn,
    IatCorrespondent,
    IatRemittance,
    PaymentAddenda,
    ReturnAddenda,
    TerminalAddenda,
)
from bursar.providers.ach.nacha.findings import Findings
from bursar.providers.ach.nacha.model import AdvEntry, AnyEntry, AnyHeader, Entry, IatEntry
from bursar.providers.ach.nacha.reasons import CHANGES, REFUSED_CHANGES, RETURNS
from bursar.providers.ach.nacha.tree import EntryNode

_UNKNOWN = codes.EntryClass(most=9999)


def check(node: EntryNode, entry: AnyEntry, header: AnyHeader, findings: Findings) -> None:
    """Check an entry (node and whole are the same one) under its batch's header."""
    if not rtn.is_valid(entry.routing_number):
        findings.refuse(node.line, "routing_number", f"the check digit of {entry.routing_number} is wrong")
    if node.indicator != int(bool(entry.addenda)):
        findings.refuse(node.line, "addenda_indicator", f"{node.indicator} beside {len(entry.addenda)} addenda records")
    known = codes.ADVICE_CODES if isinstance(entry, AdvEntry) else codes.TRANSACTION_CODES
    if entry.transaction_code not in known:
        findings.refuse(node.line, "transaction_code", f"{entry.transaction_code:02} is no transaction code")
        return
    if not isinstance(entry, AdvEntry):
        if model.return_of(entry) or model.change_of(entry):
            _check_coming_back(node, entry, header, findings)
        else:
            _check_forward(node, entry, header, findings)
    _check_addenda_count(node, entry, header, findings)
    _check_sequences(node, entry, findings)
    for line, record in node.addenda:
        _check_codes(line, record, findings)


def _check_coming_back(node: EntryNode, entry: Entry | IatEntry, header: AnyHeader, findings: Findings) -> None:
    """A return or a notification of change."""
    if not codes.is_return(entry.transaction_code):
        findings.remark(
            node.line, "transaction_code", f"{entry.transaction_code} is not that of a return or a notification"
        )
    is_change = model.change_of(entry) is not None
    if is_change != (header.sec_code == "COR"):
        findings.refuse(node.line, "record", f"this addenda does not go with {header.sec_code}")
    if is_change and entry.amount:
        findings.refuse(node.line, "amount", "a notification of change carries no amount")


def _check_forward(node: EntryNode, entry: Entry | IatEntry, header: AnyHeader, findings: Findings) -> None:
    code, rules = entry.transaction_code, codes.ENTRY_CLASSES.get(header.sec_code, _UNKNOWN)
    if codes.is_return(code):
        findings.refuse(node.line, "transaction_code", f"{code} is that of a return, whose addenda (99) is missing")
    carries_none = codes.is_prenote(code) or codes.is_zero_dollar(code)
    if carries_none and entry.amount:
        findings.refuse(node.line, "amount", f"transaction code {code} carries no amount")
    if not carries_none and not entry.amount and header.sec_code != "COR":
        findings.refuse(node.line, "amount", f"transaction code {code} needs an amount")
    if rules.amount_max is not None and entry.amount > rules.amount_max:
        findings.refuse(node.line, "amount", f"{header.sec_code} allows {rules.amount_max} cents at the most")
    allowed = rules.allows_credit if model.is_credit(code) else rules.allows_debit
    if not allowed and header.entry_description != codes.REVERSAL:
        findings.refuse(node.line, "transaction_code", f"{header.sec_code} does not allow {code} but in a reversal")


def _check_addenda_count(node: EntryNode, entry: AnyEntry, header: AnyHeader, findings: Findings) -> None:
    if isinstance(entry, IatEntry):
        _check_international(node, entry, findings)
        return
    rules = codes.ENTRY_CLASSES.get(header.sec_code, _UNKNOWN)
    types = [addenda.type_of(record) for record in entry.addenda]
    if not isinstance(entry, AdvEntry) and model.return_of(entry):
        if types != ["99"]:
            findings.refuse(node.line, "record", "a return has one addenda, of type 99")
        return
    wrong = sorted({type_code for type_code in types if type_code != rules.addenda_type})
    if wrong and rules is not _UNKNOWN:
        findings.refuse(node.line, "record", f"{header.sec_code} has no addenda of type {', '.join(wrong)}")
    if not rules.least <= len(types) <= rules.most:
        findings.refuse(
            node.line,
            "record",
            f"{header.sec_code} has {rules.least} to {rules.most} addenda of type {rules.addenda_type or 'any'}, "
            f"here are {len(types)}",
        )
    if isinstance(entry, Entry) and (rules.tells_addenda_count or header.sec_code == "ENR"):
        _check_told_count(node, entry, header, findings)


def _check_told_count(node: EntryNode, entry: Entry, header: AnyHeader, findings: Findings) -> None:
    """The name begins with the number of addenda. In ENR, which carries no money, other content is let pass."""
    told = entry.name.ljust(4)[:4]
    if told == f"{len(entry.addenda):04}":
        return
    if header.sec_code == "ENR" and not told.isdigit():
        findings.remark(node.line, "name", f"{told!r} is not the number of addenda")
    else:
        findings.refuse(node.line, "name", f"{told!r} is not the number of addenda, {len(entry.addenda):04}")


def _check_international(node: EntryNode, entry: IatEntry, findings: Findings) -> None:
    """Seven addenda in their order, then at most two of type 17 and five of type 18, five together; last 98 or 99.

    A return may tell the number of addenda with or without its own.
    """
    types = [addenda.type_of(record) for record in entry.addenda]
    forward = [type_code for type_code in types if type_code not in ("98", "99")]
    optional = forward[len(codes.IAT_MANDATORY) :]
    is_ordered = types[: len(forward)] == forward and [*codes.IAT_MANDATORY, *sorted(optional)] == forward
    if not is_ordered or not set(optional) <= {"17", "18"}:
        findings.refuse(node.line, "record", f"addenda of types {', '.join(types)} are not 10 to 16, 17, 18 in order")
    if len(types) - len(forward) > 1:
        findings.refuse(node.line, "record", "more than one addenda of type 98 or 99")
    for type_code, most in (("17", codes.IAT_REMITTANCES_MAX), ("18", codes.IAT_CORRESPONDENTS_MAX)):
        if forward.count(type_code) > most:
            findings.refuse(node.line, "record", f"more than {most} addenda of type {type_code}")
    if len(forward) > codes.IAT_ADDENDA_MAX:
        findings.refuse(node.line, "record", f"{len(forward)} addenda, at the most {codes.IAT_ADDENDA_MAX} are allowed")
    if entry.addenda_count not in (len(types), len(forward)):
        findings.refuse(node.line, "addenda_count", f"{entry.addenda_count} is not the number of addenda, {len(types)}")


def _check_sequences(node: EntryNode, entry: AnyEntry, findings: Findings) -> None:
    """Addenda count up from 1, by type, and carry their entry's trace number or its last seven digits."""
    if isinstance(entry, AdvEntry):
        return
    counts: dict[str, int] = {}
    for line, record in node.addenda:
        if isinstance(record, PaymentAddenda | IatRemittance | IatCorrespondent):
            kind = addenda.type_of(record)
            counts[kind] = counts.get(kind, 0) + 1
            if record.sequence != counts[kind]:
                findings.refuse(line, "sequence", f"{record.sequence} where {counts[kind]} follows")
        if isinstance(record, AnyReturn | AnyChange):
            if record.trace_number != entry.trace_number:
                findings.remark(line, "trace_number", f"{record.trace_number} is not its entry's, {entry.trace_number}")
        elif isinstance(record, TerminalAddenda):
            if record.trace_number != entry.trace_number:
                findings.refuse(line, "trace_number", f"{record.trace_number} is not its entry's, {entry.trace_number}")
        elif record.entry_sequence != int(entry.trace_number[-7:]):
            findings.refuse(
                line, "entry_sequence", f"{record.entry_sequence:07} is not the end of {entry.trace_number}"
            )


def _check_codes(line: int, record: Addenda, findings: Findings) -> None:
    if isinstance(record, AnyReturn) and record.return_code not in RETURNS:
        findings.refuse(line, "return_code", f"{record.return_code!r} is no return code")
    if isinstance(record, AnyChange) and record.change_code not in CHANGES | REFUSED_CHANGES:
        findings.refuse(line, "change_code", f"{record.change_code!r} is no change code")
    if isinstance(record, ReturnAddenda) and record.date_of_death and record.return_code not in ("R14", "R15"):
        findings.remark(line, "date_of_death", f"a date of death beside {record.return_code}")
