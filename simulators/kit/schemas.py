"""OpenAPI 3.0 schemas as jsonschema understands them, and values of forms brought to a schema's types."""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final

from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend


class Side(Enum):
    """A read-only property need not be in a request, a write-only one not in an answer."""

    REQUEST = "REQUEST"
    ANSWER = "ANSWER"


_KEPT: Final = (
    "enum", "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "exclusiveMaximum", "exclusiveMinimum", "multipleOf", "uniqueItems", "type",
)  # fmt: skip
_GROUPS: Final = ("allOf", "anyOf", "oneOf")
_HIDDEN: Final = {Side.REQUEST: "readOnly", Side.ANSWER: "writeOnly"}


class Schemas:
    """The schemas of one document for one side, converted when they are first met, and kept.

    is_closed: an object has no properties but those that the schema names (only for documents that do not combine
    objects by allOf).
    """

    def __init__(self, document: dict[str, Any], side: Side, *, is_closed: bool = False) -> None:
        self._document = document
        self._side = side
        self._is_closed = is_closed
        self._converted: dict[int, dict[str, Any]] = {}
        self._by_ref: dict[str, dict[str, Any]] = {}
        self._class = extend(Draft4Validator, {"$ref": self._follow})

    def validator(self, schema: Mapping[str, Any]) -> Any:
        """A jsonschema validator for a schema of the document, as it stands there."""
        return self._class(self.convert(schema))

    def resolve(self, ref: str) -> dict[str, Any]:
        """What `#/components/schemas/charge` points to, as it stands in the document."""
        target: Any = self._document
        for part in ref.removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        assert isinstance(target, dict)
        return target

    def convert(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The schema in JSON Schema draft 4; references stay references."""
        kept = self._converted.get(id(schema))
        if kept is None:
            kept = self._converted[id(schema)] = self._convert(schema)
        return kept

    def _convert(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        result: dict[str, Any] = {name: schema[name] for name in _KEPT if name in schema}
        for group in _GROUPS:
            if group in schema:
                result[group] = [self.convert(branch) for branch in schema[group]]
        if "items" in schema:
            result["items"] = self.convert(schema["items"])
        if "not" in schema:
            result["not"] = self.convert(schema["not"])
        if _is_pattern(schema.get("pattern")):
            result["pattern"] = schema["pattern"]
        self._convert_object(schema, result)
        return _nullable(result) if schema.get("nullable") else result

    def _convert_object(self, schema: Mapping[str, Any], result: dict[str, Any]) -> None:
        properties = schema.get("properties", {})
        if properties:
            result["properties"] = {name: self.convert(child) for name, child in properties.items()}
        hidden = _HIDDEN[self._side]
        required = [name for name in schema.get("required", ()) if not properties.get(name, {}).get(hidden)]
        if required:
            result["required"] = required
        extra = schema.get("additionalProperties")
        if isinstance(extra, bool):
            result["additionalProperties"] = extra
        elif extra is not None:
            result["additionalProperties"] = self.convert(extra)
        elif self._is_closed and properties:
            result["additionalProperties"] = False

    def _follow(self, validator: Any, ref: str, instance: Any, _: Any) -> Iterator[ValidationError]:
        target = self._by_ref.get(ref)
        if target is None:
            target = self._by_ref[ref] = self.convert(self.resolve(ref))
        yield from validator.descend(instance, target)

    def coerce(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """A form's texts as the schema's integers, booleans and lists, wherever they can be read so."""
        if "$ref" in schema:
            return self.coerce(value, self.resolve(schema["$ref"]))
        for group in ("anyOf", "oneOf"):
            for branch in schema.get(group, ()):
                read = self.coerce(value, branch)
                if self.validator(branch).is_valid(read):
                    return read
        reader = _READERS.get(schema.get("type", ""))
        if isinstance(value, str) and reader is not None:
            return reader(value)
        if isinstance(value, list) and "items" in schema:
            return [self.coerce(item, schema["items"]) for item in value]
        if isinstance(value, list) and schema.get("type") == "object":
            value = {str(number): item for number, item in enumerate(value)}  # names that happen to be numbers
        if isinstance(value, dict):
            extra = schema.get("additionalProperties")
            extra = extra if isinstance(extra, dict) else {}
            properties = schema.get("properties", {})
            return {name: self.coerce(child, properties.get(name, extra)) for name, child in value.items()}
        return value


def _is_pattern(pattern: Any) -> bool:
    """Whether Python can read it: a few documents use ECMAScript's own classes."""
    if not isinstance(pattern, str):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "allOf" in schema or "$ref" in schema:
        return {"anyOf": [{"type": "null"}, schema]}
    result = dict(schema)
    if "type" in schema:
        result["type"] = [schema["type"], "null"]
    if "enum" in schema:
        result["enum"] = [*schema["enum"], None]
    for group in ("anyOf", "oneOf"):
        if group in schema:
            result[group] = [*schema[group], {"type": "null"}]
    return result


def _integer(text: str) -> Any:
    return int(text) if re.fullmatch(r"-?[0-9]{1,18}", text) else text


def _number(text: str) -> Any:
    return float(text) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) else text


def _boolean(text: str) -> Any:
    return {"true": True, "false": False}.get(text, text)


_READERS: Final[dict[str, Callable[[str], Any]]] = {"integer": _integer, "number": _number, "boolean": _boolean}
