"""What is wrong, or only unusual, in a NACHA file: where and why."""

import msgspec


class Finding(msgspec.Struct, frozen=True, order=True):
    """line: 1-based, as an editor counts. field: as in `records`, or `record` where the whole line is meant."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason}"


class NachaError(Exception):
    """A NACHA file that is refused: what is wrong first, and in `findings` everything that could be told."""

    def __init__(self, line: int, field: str, reason: str, *, findings: tuple[Finding, ...] = ()) -> None:
        first = Finding(line, field, reason)
        self.findings = findings or (first,)
        more = len(self.findings) - 1
        super().__init__(f"{first}{f' (and {more} more)' if more else ''}")
        self.line = line
        self.field = field
        self.reason = reason


class Findings:
    """Gathers what the stages of reading find: problems refuse the file, remarks do not."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []
        self.remarks: list[Finding] = []

    def refuse(self, line: int, field: str, reason: str) -> None:
        self.problems.append(Finding(line, field, reason))

    def remark(self, line: int, field: str, reason: str) -> None:
        self.remarks.append(Finding(line, field, reason))

    def compare(self, line: int, field: str, told: int | str, ours: int | str) -> None:
        """Refuse a control's field that does not say what its records do."""
        if told != ours:
            self.refuse(line, field, f"the control says {told}, the records say {ours}")
