"""NACHA files as this bank reads and writes them: by columns, counted as the rules count them, from 1."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Final

import msgspec

WIDTH: Final = 94
BLOCK: Final = 10
OPERATOR: Final = " 061000146"
"""Whom our answers come from: the ACH operator."""

CREDITS: Final = frozenset("234")
DEBITS: Final = frozenset("789")
"""The second digit of a transaction code, of entries that go forward."""


class Refused(Exception):  # noqa: N818  the bank's word
    """A file that this bank does not take: which line, and why."""


class Entry(msgspec.Struct, frozen=True):
    """An entry as it came. amount: cents. batch: its header, whole. line: the entry's record, whole."""

    code: str
    routing: str
    account: str
    amount: int
    trace: str
    effective_on: date
    batch: str
    line: str

    @property
    def is_credit(self) -> bool:
        return self.code[1] in CREDITS


class Answer(msgspec.Struct, frozen=True):
    """What goes back about an entry. data: of a correction."""

    entry: Entry
    code: str
    data: str = ""


def field(line: str, first: int, last: int) -> str:
    """Columns, counted from 1, both included."""
    return line[first - 1 : last]


def read(text: str) -> tuple[str, list[Entry]]:
    """The file's header, and its entries. Raises Refused."""
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) != WIDTH:
            raise Refused(f"line {number}: {len(line)} columns, not {WIDTH}")
    if len(lines) % BLOCK or not lines or lines[0][0] != "1":
        raise Refused(f"line 1: no header, or {len(lines)} lines that are no blocks of {BLOCK}")
    entries: list[Entry] = []
    totals = [0, 0, 0, 0, 0]  # batches, records, hash, debits, credits
    number = 1
    while number < len(lines) and lines[number][0] == "5":
        number = _batch(lines, number, entries, totals)
    if number >= len(lines) or lines[number][0] != "9":
        raise Refused(f"line {number + 1}: neither a batch (5) nor the file control (9)")
    control = lines[number]
    told = [int(field(control, *columns)) for columns in ((2, 7), (14, 21), (22, 31), (32, 43), (44, 55))]
    totals[2] %= 10**10
    if told != totals or int(field(control, 8, 13)) != len(lines) // BLOCK:
        raise Refused(f"line {number + 1}: the file control says {told}, the records {totals}")
    if any(line != "9" * WIDTH for line in lines[number + 1 :]):
        raise Refused(f"line {number + 2}: more than filler after the file control")
    return lines[0], entries


def _batch(lines: list[str], start: int, entries: list[Entry], totals: list[int]) -> int:
    """Read the batch that begins at an index; give the index after it."""
    header, records, sums = lines[start], 0, [0, 0, 0]
    effective_on = datetime.strptime(field(header, 70, 75), "%y%m%d").date()  # noqa: DTZ007  a day, not a moment
    number = start + 1
    while number < len(lines) and lines[number][0] in "67":
        line = lines[number]
        records += 1
        if line[0] == "6":
            entry = _entry(line, header, effective_on, number + 1)
            entries.append(entry)
            sums[0] += int(entry.routing[:8])
            sums[2 if entry.is_credit else 1] += entry.amount
        number += 1
    if number >= len(lines) or lines[number][0] != "8":
        raise Refused(f"line {number + 1}: the batch has no control (8)")
    control = lines[number]
    told = [int(field(control, *columns)) for columns in ((5, 10), (11, 20), (21, 32), (33, 44))]
    ours = [records, sums[0] % 10**10, sums[1], sums[2]]
    if told != ours or field(control, 88, 94) != field(header, 88, 94):
        raise Refused(f"line {number + 1}: the batch control says {told}, the records {ours}")
    for index, value in enumerate((1, records, sums[0], sums[1], sums[2])):
        totals[index] += value
    return number + 1


def _entry(line: str, header: str, effective_on: date, number: int) -> Entry:
    entry = Entry(
        code=field(line, 2, 3),
        routing=field(line, 4, 12),
        account=field(line, 13, 29).strip(),
        amount=int(field(line, 30, 39)),
        trace=field(line, 80, 94),
        effective_on=effective_on,
        batch=header,
        line=line,
    )
    if entry.code[1] not in CREDITS | DEBITS:
        raise Refused(f"line {number}: {entry.code} is no entry that goes forward")
    if int(check_digit(entry.routing[:8])) != int(entry.routing[8]):
        raise Refused(f"line {number}: {entry.routing} has a wrong check digit")
    return entry


def check_digit(eight: str) -> str:
    """The ninth digit of a routing number: weights 3, 7, 1."""
    total = sum(int(digit) * weight for digit, weight in zip(eight, (3, 7, 1, 3, 7, 1, 3, 7), strict=True))
    return str(-total % 10)


def write(header: str, answers: Iterable[Answer], *, at: datetime, modifier: str) -> str:
    """A file with what goes back, a batch for each; header: of the file that the entries came in."""
    lines = [
        "101" + field(header, 4, 13) + OPERATOR + f"{at:%y%m%d%H%M}" + modifier + "094101"
        + field(header, 41, 63) + "ACH OPERATOR".ljust(23) + " " * 8
    ]  # fmt: skip
    totals = [0, 0, 0, 0, 0]
    for number, answer in enumerate(answers, 1):
        lines += _answer(answer, number, totals)
    blocks = -(-(len(lines) + 1) // BLOCK)
    batches, records, sum_of_routings, taken, given = totals
    lines.append(f"9{batches:06}{blocks:06}{records:08}{sum_of_routings % 10**10:010}{taken:012}{given:012}" + " " * 39)
    lines += ["9" * WIDTH] * (-len(lines) % BLOCK)
    return "\n".join(lines) + "\n"


def _answer(answer: Answer, number: int, totals: list[int]) -> list[str]:
    entry, is_change = answer.entry, answer.code.startswith("C")
    ours, theirs = entry.routing[:8], entry.trace[:8]
    trace = f"{ours}{number:07}"
    amount = 0 if is_change else entry.amount
    code = entry.code[0] + ("1" if entry.is_credit else "6")
    sec_code = "COR" if is_change else field(entry.batch, 51, 53)
    header = (
        "5200" + field(entry.batch, 5, 50) + sec_code + field(entry.batch, 54, 63) + " " * 6
        + field(entry.batch, 70, 75) + "   1" + ours + f"{number:07}"
    )  # fmt: skip
    line = f"6{code}{theirs}{check_digit(theirs)}" + field(entry.line, 13, 29) + f"{amount:010}"
    line += field(entry.line, 40, 78) + "1" + trace
    if is_change:
        addenda = f"798{answer.code}{entry.trace}" + " " * 6 + ours + answer.data.ljust(29) + " " * 15 + trace
    else:
        addenda = f"799{answer.code}{entry.trace}" + " " * 6 + ours + " " * 44 + trace
    taken, given = (0, amount) if entry.is_credit else (amount, 0)
    control = f"8200{2:06}{int(theirs):010}{taken:012}{given:012}" + field(entry.batch, 41, 50)
    control += " " * 25 + ours + f"{number:07}"
    for index, value in enumerate((1, 2, int(theirs), taken, given)):
        totals[index] += value
    return [header, line, addenda, control]
