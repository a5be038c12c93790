"""Holds requests and answers against a provider's own OpenAPI 3.0 document.

A document is read once (some 50 ms for Stripe's 7 MB); what an operation needs is converted when it is first called,
and kept.
"""

import gzip
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from jsonschema.exceptions import ValidationError, best_match

from simulators.kit import forms
from simulators.kit.message import Answer, Request
from simulators.kit.schemas import Schemas, Side

DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data" / "openapi"
"""Where the documents lie: beside the repository, not in it."""

FORM: Final = "application/x-www-form-urlencoded"
_IGNORED_HEADERS: Final = frozenset({"accept", "authorization", "content-type"})
"""OpenAPI says that parameters of these names are to be ignored."""


class Violation(msgspec.Struct, frozen=True):
    """Where a request or an answer is not as the document says. side: REQUEST or ANSWER. parameter: the innermost
    name, as `card[exp_year]`. rule: the schema's keyword that is broken.
    """

    side: str
    operation: str
    parameter: str
    rule: str
    message: str


class Operation:
    """One method of one path. template: as in the document."""

    def __init__(
        self, method: str, template: str, item: Mapping[str, Any], document: dict[str, Any], closed: bool
    ) -> None:
        self.method, self.template = method, template
        self._asked = Schemas(document, Side.REQUEST)
        self._answered = Schemas(document, Side.ANSWER, is_closed=closed)
        self._spec: Mapping[str, Any] = item[method.lower()]
        self._parameters = self._group_parameters([*item.get("parameters", ()), *self._spec.get("parameters", ())])
        body = self._spec.get("requestBody", {})
        self._body = self._asked.resolve(body["$ref"]) if "$ref" in body else body
        self._validators: dict[Any, Any] = {}

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"

    def _group_parameters(self, parameters: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        """For each place (query, header, path) one object schema that says all of its parameters."""
        groups: dict[str, dict[str, Any]] = {
            place: {"type": "object", "properties": {}, "required": []} for place in ("query", "header", "path")
        }
        groups["query"]["additionalProperties"] = False
        for each in parameters:
            parameter = self._asked.resolve(each["$ref"]) if "$ref" in each else each
            name, place = parameter["name"], parameter["in"]
            if place == "header":
                name = name.lower()
            if place not in groups or (place == "header" and name in _IGNORED_HEADERS):
                continue
            groups[place]["properties"][name] = parameter.get("schema", {})
            if parameter.get("required"):
                groups[place]["required"].append(name)
        return groups

    def check_request(self, request: Request) -> list[Violation]:
        """Type the request's query and params by the document, and say what the document does not allow."""
        violations = []
        request.query = self._asked.coerce(request.query, self._parameters["query"])
        values = {"query": request.query, "header": request.headers}
        values["path"] = self._asked.coerce(dict(request.path_values), self._parameters["path"])
        for place, value in values.items():
            violations += self._broken(Side.REQUEST, place, self._asked, self._parameters[place], value)
        return violations + self._check_body(request)

    def _check_body(self, request: Request) -> list[Violation]:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        content: Mapping[str, Any] = self._body.get("content", {})
        if not request.body and not (FORM in content and content[FORM]["schema"].get("required")):
            if self._body.get("required") and FORM not in content:
                return [Violation("REQUEST", self.name, "", "required", "the request has no body")]
            return []
        if media_type not in content and request.body:
            message = f"a body of {media_type or 'no type'} is not expected"
            return [Violation("REQUEST", self.name, "", "content", message)]
        schema = content[media_type or FORM].get("schema", {})
        if FORM in (media_type, media_type or FORM):
            request.params = self._asked.coerce(request.params, schema)
        return self._broken(Side.REQUEST, "body", self._asked, schema, request.params)

    def knows(self, status: int) -> bool:
        """Whether the document says how an answer of this status looks. `default` says nothing of 429: PayPal's lists
        the errors that it means, and 429 is none of them.
        """
        found = self._response(status)
        return found is not None and (status != 429 or found is not self._spec["responses"].get("default"))

    def _response(self, status: int) -> Mapping[str, Any] | None:
        responses: Mapping[str, Any] = self._spec["responses"]
        names = (str(status), f"{status // 100}XX", "default")
        return next((responses[name] for name in names if name in responses), None)

    def check_answer(self, answer: Answer) -> list[Violation]:
        """Say where an answer is not as the document says."""
        response = self._response(answer.status)
        if response is None:
            message = f"the document knows no status {answer.status}"
            return [Violation("ANSWER", self.name, "", "responses", message)]
        if "$ref" in response:
            response = self._answered.resolve(response["$ref"])
        content = response.get("content", {}).get("application/json")
        if content is None:
            told = [] if answer.body is None else ["the document knows no body here"]
            return [Violation("ANSWER", self.name, "", "content", message) for message in told]
        return self._broken(Side.ANSWER, str(answer.status), self._answered, content.get("schema", {}), answer.body)

    def _broken(
        self, side: Side, place: str, schemas: Schemas, schema: Mapping[str, Any], value: Any
    ) -> list[Violation]:
        validator = self._validators.get((side, place))
        if validator is None:
            validator = self._validators[side, place] = schemas.validator(schema)
        return [
            Violation(side.value, self.name, _parameter(error), str(error.validator), error.message[:300])
            for error in map(_innermost, validator.iter_errors(value))
        ]


class Document:
    """The operations of one or more documents. is_closed: answers have no properties that the documents do not name."""

    def __init__(self, documents: Sequence[dict[str, Any]], *, is_closed: bool = False) -> None:
        self._operations: dict[tuple[str, str], Operation] = {}
        self._items: dict[tuple[str, str], tuple[Mapping[str, Any], dict[str, Any]]] = {}
        self._is_closed = is_closed
        for document in documents:
            for template, item in document["paths"].items():
                for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
                    self._items[method.upper(), _anonymous(template)] = (item, document)

    @classmethod
    def load(cls, *paths: Path, is_closed: bool = False) -> "Document | None":
        """Read documents (JSON, or JSON in gzip). None, and one line, where one of them is absent."""
        for path in paths:
            if not path.is_file():
                print(f"{path} is absent: requests and answers are not checked")  # noqa: T201
                return None
        return cls([read(path) for path in paths], is_closed=is_closed)

    def operation(self, method: str, template: str) -> Operation | None:
        """The operation for a route's template, whatever its parameters are called."""
        place = (method, _anonymous(template))
        if place not in self._operations:
            if place not in self._items:
                return None
            item, document = self._items[place]
            self._operations[place] = Operation(method, template, item, document, self._is_closed)
        return self._operations[place]


def read(path: Path) -> Any:
    """A JSON file, unpacked where its name ends in .gz."""
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def decode_body(content_type: str, body: bytes) -> dict[str, Any]:
    """A body as nested dicts; texts where it is a form. Raises ValueError."""
    if not body:
        return {}
    if content_type.partition(";")[0].strip().lower() == FORM:
        return forms.decode(body.decode())
    decoded = json.loads(body)
    return decoded if isinstance(decoded, dict) else {"": decoded}


def _anonymous(template: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", template)


def _innermost(error: ValidationError) -> ValidationError:
    return best_match([error]) or error


def _parameter(error: ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        missing = re.match(r"'([^']*)'", error.message)
        path += [missing.group(1)] if missing else []
    elif error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
        path += [next(str(name) for name in error.instance if name not in known)]
    return path[0] + "".join(f"[{part}]" for part in path[1:]) if path else ""
