"""From bytes to numbered records of 94 printable ASCII characters.

Four things are forgiven, each with a remark, since no field can be mistaken by them, and banks and transfers do them:
a line that lacks trailing blanks (editors and mail trim them); records in one line without line ends (tape blocks);
empty lines after the file control; and filler that is missing altogether (see `checks`). Line ends may be LF or CRLF.
A line that is too long, or that lacks more than blanks, is refused.
"""

from typing import Final, NamedTuple

from bursar.providers.ach.nacha.findings import Findings
from bursar.providers.ach.nacha.layout import RECORD_LENGTH, is_printable

FILE_BYTES_MAX: Final = 100 * 1024 * 1024
FILLER: Final = "9" * RECORD_LENGTH


class Row(NamedTuple):
    """line: 1-based; several records have the same one where there are no line ends."""

    line: int
    text: str


def split(content: str | bytes, findings: Findings) -> list[Row]:
    """Give the records; what cannot be one is a problem, after which the rows are not to be used."""
    if len(content) > FILE_BYTES_MAX:
        findings.refuse(1, "record", f"the file is larger than {FILE_BYTES_MAX} bytes")
        return []
    if isinstance(content, bytes):
        content = content.decode("ascii", errors="surrogateescape")
    lines = content.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        findings.refuse(1, "record", "the file is empty")
    rows: list[Row] = []
    for number, raw in enumerate(lines, 1):
        text = raw.removesuffix("\r")
        if not text.strip(" ") and rows and rows[-1].text[0] == "9":
            findings.remark(number, "record", "an empty line after the file control")
            continue
        rows += _records(number, text, findings)
    return rows


def _records(number: int, text: str, findings: Findings) -> list[Row]:
    if not is_printable(text):
        at = next(index for index, character in enumerate(text) if not is_printable(character))
        findings.refuse(number, "record", f"{_name(text[at])} at column {at + 1} is not printable ASCII")
        return []
    if len(text) == RECORD_LENGTH:
        return [Row(number, text)]
    if text and len(text) % RECORD_LENGTH == 0:
        findings.remark(number, "record", "records without line ends")
        return [Row(number, text[at : at + RECORD_LENGTH]) for at in range(0, len(text), RECORD_LENGTH)]
    if not text or len(text) > RECORD_LENGTH:
        findings.refuse(number, "record", f"a record has {RECORD_LENGTH} characters, this line has {len(text)}")
        return []
    findings.remark(number, "record", f"{RECORD_LENGTH - len(text)} trailing blanks are missing")
    return [Row(number, text.ljust(RECORD_LENGTH))]


def _name(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"byte 0x{code - 0xDC00:02X}"
    return f"character U+{code:04X}"
