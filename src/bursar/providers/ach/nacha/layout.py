"""How one record lies in its 94 characters: fields in order, each with a width and a kind."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

RECORD_LENGTH: Final = 94

Values = dict[str, int | str]


class Kind(StrEnum):
    """CONSTANT is the same in every record; TEXT is left-justified, blank-filled; NUMBER right-justified, zero-filled,
    an int; DIGITS a text of digits only, its leading zeros kept.
    """

    CONSTANT = "CONSTANT"
    TEXT = "TEXT"
    NUMBER = "NUMBER"
    DIGITS = "DIGITS"


class Field(NamedTuple):
    """value: what a CONSTANT says."""

    name: str
    width: int
    kind: Kind
    value: str = ""


class MisfitError(ValueError):
    """A value that its field cannot hold."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


def constant(name: str, value: str) -> Field:
    return Field(name, len(value), Kind.CONSTANT, value)


def text(name: str, width: int) -> Field:
    return Field(name, width, Kind.TEXT)


def number(name: str, width: int) -> Field:
    return Field(name, width, Kind.NUMBER)


def digits(name: str, width: int) -> Field:
    return Field(name, width, Kind.DIGITS)


class Layout:
    """The fields of one kind of record, which fill it without a gap."""

    def __init__(self, *fields: Field) -> None:
        self.fields = fields
        width = sum(field.width for field in fields)
        assert width == RECORD_LENGTH, f"{fields[0]}: {width} characters"

    def parse(self, line: str) -> tuple[Values, list[MisfitError]]:
        """Take a record of 94 ASCII characters apart, and tell which fields do not hold what they should.

        Such a field's value is 0 or zeros, so that the rest can be looked at. Texts lose their trailing blanks only.
        """
        values: Values = {}
        misfits: list[MisfitError] = []
        at = 0
        for field in self.fields:
            piece = line[at : at + field.width]
            at += field.width
            if field.kind is Kind.TEXT:
                values[field.name] = piece.rstrip(" ")
            elif field.kind is Kind.CONSTANT:
                if piece != field.value:
                    misfits.append(MisfitError(field.name, f"{piece!r} has to be {field.value!r}"))
            else:
                if not piece.isdigit():
                    misfits.append(MisfitError(field.name, f"{piece!r} is not numeric"))
                    piece = "0" * field.width
                values[field.name] = int(piece) if field.kind is Kind.NUMBER else piece
        return values, misfits

    def render(self, values: Mapping[str, int | str]) -> str:
        """Put a record together. Raises MisfitError where a value is too long or has other characters than its field
        may have: nothing is cut off here.
        """
        return "".join(_render(field, values) for field in self.fields)


def is_printable(content: str) -> bool:
    """Whether these are characters that a NACHA file may have: ASCII from blank to tilde."""
    return content.isascii() and (content.isprintable() or not content)


def _render(field: Field, values: Mapping[str, int | str]) -> str:
    if field.kind is Kind.CONSTANT:
        return field.value
    value = values[field.name]
    if field.kind is Kind.NUMBER:
        if not isinstance(value, int) or value < 0 or len(str(value)) > field.width:
            raise MisfitError(field.name, f"{value} does not fit into {field.width} digits")
        return str(value).rjust(field.width, "0")
    content = str(value)
    if not is_printable(content):
        raise MisfitError(field.name, f"{content!r} is not printable ASCII")
    if field.kind is Kind.DIGITS and (len(content) != field.width or not content.isdigit()):
        raise MisfitError(field.name, f"{content!r} has to be {field.width} digits")
    if len(content) > field.width:
        raise MisfitError(field.name, f"{content!r} is longer than {field.width} characters")
    return content.ljust(field.width)
