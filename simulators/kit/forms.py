"""Form bodies with nested brackets, as Stripe takes them: `card[exp_year]=2030&expand[0]=a&expand[]=b`."""

import re
from typing import Any, Final
from urllib.parse import parse_qsl

DEPTH_MAX: Final = 8
FIELDS_MAX: Final = 1000

_PART: Final = re.compile(r"\[([^\[\]]*)\]")


def decode(text: str) -> dict[str, Any]:
    """Nested dicts of texts. Where every name of a dict is a number (or empty), it is a list, in the order of the
    numbers. Raises ValueError for brackets that do not nest and for too many fields.
    """
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX):
        head, bracket, rest = name.partition("[")
        parts = [head, *_PART.findall(bracket + rest)] if bracket else [head]
        if len(parts) > DEPTH_MAX or (bracket and _PART.sub("", bracket + rest)):
            raise ValueError(f"not a parameter's name: {name}")
        _put(root, parts, value)
    listed = _listed(root)
    return listed if isinstance(listed, dict) else root


def guessed(value: Any) -> Any:
    """Integers and booleans for texts that look so, where no document says the types; metadata stay texts."""
    if isinstance(value, dict):
        return {name: child if name == "metadata" else guessed(child) for name, child in value.items()}
    if isinstance(value, list):
        return [guessed(child) for child in value]
    if isinstance(value, str) and re.fullmatch(r"-?[1-9][0-9]{0,11}|0", value):
        return int(value)
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _put(level: dict[str, Any], parts: list[str], value: str) -> None:
    for part in parts[:-1]:
        level = level.setdefault(part or str(len(level)), {})
        if not isinstance(level, dict):
            raise ValueError(f"{part} is a value and a group at once")
    level[parts[-1] or str(len(level))] = value


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(child) for name, child in value.items()}
    if inner and all(name.isdecimal() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
