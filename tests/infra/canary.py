"""Card numbers that are sent everywhere, and the search for them in whatever the service leaves behind."""

import base64
import copy
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

NUMBERS: Final = ("4111111111111111", "5105105105105100", "378282246310005", "6011000990139424", "30569309025904")
DECLINED: Final = "4000000000000002"
CVC: Final = "7391"
UUID: Final = "019b7966-e200-7000-8000-0000000000e1"
_ALIGNMENTS: Final = range(3)


def grouped(number: str, separator: str) -> str:
    """The number in groups of four."""
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


def forms(number: str) -> list[str]:
    """The ways in which people and programs write a number down."""
    return [
        number,
        grouped(number, " "),
        grouped(number, "-"),
        f"please charge {number}, thanks",
        f"for {UUID} {grouped(number, ' ')}",
    ]


def needles() -> dict[bytes, str]:
    """Every sequence of bytes that would betray a number, and which number."""
    found: dict[bytes, str] = {}
    for number in (*NUMBERS, DECLINED):
        for separator in ("", " ", "-"):
            text = grouped(number, separator)
            found[text.encode()] = number
            for shift in _ALIGNMENTS:  # base64 depends on where in the text the number stands
                encoded = base64.b64encode(b"\0" * shift + text.encode()).rstrip(b"=")
                found[encoded[-(-shift * 8 // 6) : -1]] = number
        found[number.encode().hex().encode()] = number
    return found


NEEDLES: Final = needles()


def hits(content: bytes) -> set[str]:
    """The numbers that stand in `content`, in any form."""
    return {number for needle, number in NEEDLES.items() if needle in content}


def hits_in_files(root: Path) -> dict[str, set[str]]:
    """The files under `root` in which numbers stand. Whoever writes there may take some away meanwhile."""
    found = {}
    for path in sorted(Path(folder, name) for folder, _, names in os.walk(root) for name in names):
        with suppress(FileNotFoundError):
            if path.is_file() and not path.is_symlink() and (seen := hits(path.read_bytes())):
                found[str(path)] = seen
    return found


class Document:
    """The service's OpenAPI document: what it can be sent."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any] | None]]:
        """Method, path and the schema of the body of each operation; None where it takes none."""
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                content = operation.get("requestBody", {}).get("content", {})
                schema = content.get("application/json", {}).get("schema")
                yield method.upper(), path, None if schema is None else self.resolved(schema)

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema behind a reference, and the one of several that is not null."""
        while True:
            if "$ref" in schema:
                schema = self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            elif choices := [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]:
                schema = choices[0]
            else:
                return schema

    def fields(self, schema: dict[str, Any], path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
        """Where a value may stand in a body: its path, and whether it is a `string`, an `integer`, an `object` with
        names of the caller's own, or one with names of ours (`body`).
        """
        schema = self.resolved(schema)
        kind = schema.get("type", "string")
        if kind == "array":
            yield from self.fields(schema["items"], (*path, 0))
        elif kind == "object" and "properties" in schema:
            yield path, "body"
            for name, inner in schema["properties"].items():
                yield from self.fields(inner, (*path, name))
        else:
            yield path, kind


def with_value(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of `body` with `value` at `path`; what is missing on the way is made."""
    changed = copy.deepcopy(body)
    here: Any = changed
    for step, following in zip(path, (*path[1:], None), strict=True):
        if isinstance(here, list):
            here.extend([{}] if not here else [])
        if following is None:
            here[step] = value
        elif isinstance(here, list) or isinstance(here.get(step), dict | list):
            here = here[step]
        else:
            here[step] = [] if following == 0 else {}
            here = here[step]
    return changed


def bodies(document: Document, schema: dict[str, Any], base: dict[str, Any], number: str) -> Iterator[Any]:
    """`base` with the number in each of its fields, in an unknown field of each object, and as a field's name."""
    for path, kind in document.fields(schema):
        if kind == "integer" or kind == "boolean" or kind == "number":
            yield with_value(base, path, int(number))
            yield with_value(base, path, number)
            continue
        for form in forms(number):
            if kind == "string":
                yield with_value(base, path, form)
            else:
                yield with_value(base, (*path, form), "x")
                yield with_value(base, (*path, "note"), form)
                yield with_value(base, (*path, "note"), {form: [form]})
