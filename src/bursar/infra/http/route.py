"""The lean route: FastAPI's declaration and OpenAPI document, without its dependency solving and response
serialization.

An endpoint takes `call`, path parameters, at most one `body` model and at most one `query` model, and returns an
Answer. Every fault of path, query and body is reported at once.
"""

import inspect
import typing
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import params
from fastapi.datastructures import DefaultPlaceholder
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from bursar.infra.answer import Answer
from bursar.infra.http.call import Call
from bursar.kit.errors import BadRequest, Fault, Invalid, MalformedJson, NotFound, UnsupportedMediaType

Model = TypeVar("Model", bound=BaseModel)

PARAMETERS_MAX: Final = 50
WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
IS_PUBLIC: Final = "x-public"
"""In `openapi_extra`: the route needs no token."""

BODY_SETTING: Final = "x-body-setting"
"""In `openapi_extra`: the setting that limits this route's body, in place of body_size_max."""

UNLESS_TOKEN: Final = "unless a token is sent"  # noqa: S105  no password
"""The value of IS_PUBLIC of a route that takes callers too: a token is verified where one is sent."""


class LeanRoute(APIRoute):
    """A route that the dispatcher calls directly."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if isinstance(options.get("response_model"), DefaultPlaceholder):
            options["response_model"] = None
        super().__init__(path, endpoint, **options)
        self.run: Callable[..., Awaitable[Answer]] = endpoint
        self.is_public = bool((self.openapi_extra or {}).get(IS_PUBLIC))
        self.takes_token = not self.is_public or (self.openapi_extra or {}).get(IS_PUBLIC) == UNLESS_TOKEN
        self.body_setting: str | None = (self.openapi_extra or {}).get(BODY_SETTING)
        self.operation = self.name
        self._body_model: type[BaseModel] | None = None
        self._query_model: type[BaseModel] | None = None
        self._path_parameters: list[tuple[str, TypeAdapter[Any]]] = []
        hints = typing.get_type_hints(endpoint, include_extras=True)
        for name in inspect.signature(endpoint).parameters:
            self._declare(name, hints[name])

    def _declare(self, name: str, hint: Any) -> None:
        if name == "call":
            return
        if name in self.param_convertors:
            self._path_parameters.append((name, TypeAdapter(hint)))
        elif any(isinstance(extra, params.Query) for extra in getattr(hint, "__metadata__", ())):
            self._query_model = typing.get_args(hint)[0]
        else:
            assert name == "body" and issubclass(hint, BaseModel), f"{self.path}: what is {name}?"
            self._body_model = hint

    async def answer(self, call: Call, path_values: Sequence[str]) -> Answer:
        """Parse, then call the endpoint."""
        values: dict[str, Any] = {}
        faults: list[Fault] = []
        for (name, adapter), value in zip(self._path_parameters, path_values, strict=True):
            try:
                values[name] = adapter.validate_python(value)
            except ValidationError as error:
                if name == "id":
                    raise NotFound from error
                faults += _faults(error, name)
        if self._query_model is not None:
            self._read_query(call, values, faults)
        if self._body_model is not None:
            self._read_body(call, values, faults)
        if faults:
            raise Invalid(f"{len(faults)} fault(s)", errors=tuple(faults))
        return await self.run(call, **values)

    def _read_query(self, call: Call, values: dict[str, Any], faults: list[Fault]) -> None:
        assert self._query_model is not None
        text = call.scope["query_string"].decode("latin-1")
        if text.count("&") >= PARAMETERS_MAX:
            raise BadRequest(f"at most {PARAMETERS_MAX} query parameters")
        pairs = _pairs(text)
        given = dict(pairs)
        if len(given) != len(pairs):
            faults.append(Fault("query", "duplicate", "a query parameter is given twice"))
        try:
            values["query"] = self._query_model.model_validate_strings(given)
        except ValidationError as error:
            faults += _faults(error)

    def _read_body(self, call: Call, values: dict[str, Any], faults: list[Fault]) -> None:
        assert self._body_model is not None
        try:
            values["body"] = _parsed(call, self._body_model)
        except ValidationError as error:
            faults += _faults(error)


def _pairs(text: str) -> list[tuple[str, str]]:
    """The names and values of a query; where nothing is escaped, without looking at every piece for it."""
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    pieces = (piece.partition("=") for piece in text.split("&") if piece)
    return [(name, value) for name, _, value in pieces]


def parsed_body(call: Call, model: type[Model]) -> Model:
    """The body as `model`, for an endpoint that does not always take one. Raises Invalid, MalformedJson,
    UnsupportedMediaType.
    """
    try:
        return _parsed(call, model)
    except ValidationError as error:
        faults = _faults(error)
        raise Invalid(f"{len(faults)} fault(s)", errors=tuple(faults)) from error


def _parsed(call: Call, model: type[Model]) -> Model:
    body = call.body_bytes
    if body:
        media_type = call.raw.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
        if media_type != b"application/json" and not media_type.endswith(b"+json"):
            raise UnsupportedMediaType
    try:
        parsed: Model = model.__pydantic_validator__.validate_json(body or b"{}")
    except ValidationError as error:
        if error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid":
            raise MalformedJson(_first_message(error)) from error
        raise
    return parsed


def _first_message(error: ValidationError) -> str:
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["msg"]


def _faults(error: ValidationError, name: str | None = None) -> list[Fault]:
    return [
        Fault(name or ".".join(map(str, item["loc"])) or "body", item["type"], item["msg"])
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
