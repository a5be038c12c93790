"""The OpenAPI document: FastAPI's, with what it cannot know: tokens, keys, versions, problems and headers.

Which headers an operation takes is read from its endpoint's code: the document promises nothing that nobody reads.
"""

from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Any, Final

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from bursar.infra.http.route import BODY_SETTING, IS_PUBLIC, UNLESS_TOKEN, WITH_BODY
from bursar.infra.http.types import ProblemDocument

Schema = dict[str, Any]

BEARER: Final = "bearer"
PROBLEM: Final = "#/components/schemas/ProblemDocument"

INTRODUCTION: Final = """
The payment service of a multi-vendor commerce platform.

Amounts are integers in minor units beside an ISO 4217 currency. Times are RFC 3339 in UTC. Ids are UUIDv7.
Unknown request fields are refused. Every refusal is an RFC 9457 problem whose `code` is stable (docs/errors.md).
A write that carries an `Idempotency-Key` has its first answer kept and replayed byte for byte; `If-Match` makes it
depend on the version that was read. A 202 says that the outcome is not known yet: it comes by event and by GET.
""".strip()

PROBLEMS: Final[dict[int, tuple[str, str]]] = {
    # status: (name of the response, what it says)
    400: ("BadRequest", "The request, its body or one of its headers cannot be read"),
    401: ("Unauthenticated", "A valid bearer token is needed"),
    402: ("Declined", "The provider declined; `declineCode` says why, `isRetryable` whether another try may succeed"),
    403: ("Forbidden", "The caller's role may not do this"),
    404: ("NotFound", "There is no such object for this caller"),
    409: ("Conflict", "The present status does not allow this, or a request with the same key is still running"),
    410: ("Erased", "The person's data was erased on request"),
    412: ("StaleVersion", "If-Match names another version than the present one"),
    413: ("BodyTooLarge", "The body is larger than this service reads"),
    415: ("UnsupportedMediaType", "The body has to be application/json"),
    422: ("Invalid", "The request is not valid; `errors` lists every fault that was found"),
    429: ("TooManyRequests", "The caller's rate limit is reached"),
    500: ("InternalError", "A fault of ours; the log has the rest under `requestId`"),
    503: ("Unavailable", "Overloaded, or the database or the provider cannot be reached"),
}
NAMES_OF_OBJECTS: Final = frozenset({"paymentId", "ruleId"})
"""Fields of requests that name an object which has to be there."""

RETRIED: Final = frozenset({409, 429, 503})
"""Problems that may carry a Retry-After."""

PRINTABLE: Final = r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$"

PARAMETERS: Final[dict[str, Schema]] = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a repeat of this request harmless: its first answer is kept for 24 hours or more",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": PRINTABLE},
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The ETag that was read last: 412 where the object has changed since",
        "schema": {"type": "string", "pattern": r'^(\*|"\d{1,9}")$', "examples": ['"3"']},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`respond-async`: answer 202 at once; the outcome comes by event and by GET",
        "schema": {"type": "string", "examples": ["respond-async"]},
    },
}
LATE: Final = "The outcome is not known yet; it comes by event and by GET"
READ_BY: Final = {"claim": "IdempotencyKey", "expected_version": "IfMatch", "wants_asynchronous": "Prefer"}
"""What an endpoint reads of its call, and the parameter that it thereby takes."""

HEADERS: Final[dict[str, Schema]] = {
    "X-Request-Id": {
        "description": "The caller's own, else the trace's id, else a new one",
        "schema": {"type": "string"},
    },
    "traceparent": {
        "description": "The caller's trace, where the request is a part of one",
        "schema": {"type": "string"},
    },
    "ETag": {"description": "The version of the object, for If-Match", "schema": {"type": "string"}},
    "Location": {
        "description": "The address of what was made",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Idempotency-Replayed": {
        "description": "`true` where this is the kept answer of an earlier request",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {"description": "Seconds until the same request may succeed", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "`Bearer`", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "How many requests this caller has a second", "schema": {"type": "string"}},
    "RateLimit": {"description": "How many of them are left", "schema": {"type": "string"}},
}

LIST_PARAMETERS: Final = {
    "limit": "How many at the most",
    "cursor": "`nextCursor` of the page before, as it is",
    "createdFrom": "Made at this time or later",
    "createdTo": "Made before this time",
}


class Documentation(FastAPI):
    """The application that makes the document of `routers` and shows it; it serves no other request."""

    def __init__(self, routers: Sequence[APIRouter], *, version: str) -> None:
        super().__init__(
            title="Bursar",
            version=version,
            description=INTRODUCTION,
            redoc_url=None,
            generate_unique_id_function=operation_id,
        )
        self._endpoints: dict[str, Any] = {}
        for router in routers:
            self.include_router(router)
            routes = [route for route in router.routes if isinstance(route, APIRoute)]
            self._endpoints |= {operation_id(route): route.endpoint for route in routes}

    def openapi(self) -> Schema:
        """The document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = completed(super().openapi(), self._endpoints)
        return self.openapi_schema


def operation_id(route: APIRoute) -> str:
    """The endpoint's name in camelCase: createPayment."""
    head, *rest = route.name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def completed(document: Schema, endpoints: dict[str, Any]) -> Schema:
    """FastAPI's document with what it cannot know. endpoints: the functions behind it, by operationId."""
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    for schema in schemas.values():
        _tidy(schema)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            used = _reads(endpoints[operation["operationId"]])
            _complete(operation, method.upper(), "{" in path, used, schemas)
    document["components"] = {
        "schemas": dict(sorted(schemas.items())),
        "responses": {name: _problem(status, says) for status, (name, says) in PROBLEMS.items()},
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "securitySchemes": {BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
    }
    document["security"] = [{BEARER: []}]
    document["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
    return document


def _complete(operation: Schema, method: str, has_path_values: bool, used: set[str], schemas: Schema) -> None:
    is_public = operation.pop(IS_PUBLIC, False)
    operation.pop(BODY_SETTING, None)
    takes_token = not is_public or is_public == UNLESS_TOKEN
    operation["summary"] = _spaced(operation["operationId"])
    for parameter in operation.get("parameters", []):
        _tidy_parameter(parameter)
    taken = [{"$ref": f"#/components/parameters/{name}"} for reads, name in READ_BY.items() if reads in used]
    if taken:
        operation["parameters"] = [*operation.get("parameters", []), *taken]
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        operation["requestBody"]["required"] = bool(_resolved(schema, schemas).get("required"))
    _complete_successes(operation, used, schemas)
    statuses = {500, 503}
    if is_public:
        operation["security"] = [{}, {BEARER: []}] if takes_token else []
    if takes_token:
        statuses |= {401, 403, 429} | ({404} if has_path_values else set())
    if any(parameter.get("name") != "id" for parameter in operation.get("parameters", [])):
        statuses.add(422)
    if "claim" in used or any(parameter.get("in") == "query" for parameter in operation.get("parameters", [])):
        statuses.add(400)
    if method in WITH_BODY:
        statuses |= {400, 413}
    if "requestBody" in operation:
        statuses |= {415, 422} | ({404} if _names_object(operation, schemas) else set())
    if "201" in operation["responses"]:
        statuses.add(410)
    if used & READ_BY.keys():
        statuses.add(409)
    if "expected_version" in used:
        statuses.add(412)
    if "wants_asynchronous" in used:
        statuses.add(402)
    responses = operation["responses"]
    statuses |= {int(status) for status in responses if int(status) in PROBLEMS and status != "422"}
    responses.pop("422", None)
    for status in sorted(statuses):
        responses[str(status)] = {"$ref": f"#/components/responses/{PROBLEMS[status][0]}"}


def _names_object(operation: Schema, schemas: Schema) -> bool:
    """Whether the body names an object of ours, which the caller may not have."""
    schema = operation["requestBody"]["content"].get("application/json", {}).get("schema", {})
    return not NAMES_OF_OBJECTS.isdisjoint(_resolved(schema, schemas).get("properties", {}))


def _complete_successes(operation: Schema, used: set[str], schemas: Schema) -> None:
    """Describe the answers that are no problems: 202 beside 200 where the outcome may be late, and their headers."""
    responses = operation["responses"]
    for status, response in list(responses.items()):
        if not status.startswith("2"):
            continue
        schema = response.get("content", {}).get("application/json", {}).get("schema")
        if not schema:
            response.pop("content", None)
        names = ["X-Request-Id", "traceparent"]
        if schema and "version" in _resolved(schema, schemas).get("properties", {}):
            names.append("ETag")
        if "claim" in used:
            names.append("Idempotency-Replayed")
        if status == "201":
            names.append("Location")
        response["description"] = {"201": "Made", "202": LATE}.get(status, "Done")
        response["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
        if "wants_asynchronous" in used:
            responses["202"] = {**response, "description": LATE}


def _problem(status: int, says: str) -> Schema:
    names = ["X-Request-Id", "traceparent"]
    if status in RETRIED:
        names.append("Retry-After")
    if status == 401:
        names.append("WWW-Authenticate")
    if status == 429:
        names += ["RateLimit-Policy", "RateLimit"]
    return {
        "description": says,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
        "content": {"application/problem+json": {"schema": {"$ref": PROBLEM}}},
    }


def _reads(endpoint: Any) -> set[str]:
    """The names that an endpoint's code uses, and that of the functions of its module which it calls or contains."""
    names: set[str] = set()
    seen: set[CodeType] = set()
    waiting: list[CodeType] = [endpoint.__code__]
    while waiting:
        code = waiting.pop()
        if code in seen:
            continue
        seen.add(code)
        names.update(code.co_names)
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for name in code.co_names:
            function = endpoint.__globals__.get(name)
            if isinstance(function, FunctionType) and function.__module__ == endpoint.__module__:
                waiting.append(function.__code__)
    return names


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = schemas[name] if name else schema
    return found


def _tidy(schema: Any) -> None:
    """Drop the titles that only repeat a name, and write whole numbers as such, here and below."""
    if not isinstance(schema, dict):
        return
    schema.pop("title", None)
    for name, value in schema.items():
        if isinstance(value, float) and value.is_integer():
            schema[name] = int(value)
    for name in ("properties", "patternProperties", "$defs"):
        for inner in schema.get(name, {}).values():
            _tidy(inner)
    for name in ("items", "additionalProperties", "propertyNames"):
        _tidy(schema.get(name))
    for name in ("anyOf", "allOf", "oneOf", "prefixItems"):
        for inner in schema.get(name, []):
            _tidy(inner)


def _tidy_parameter(parameter: Schema) -> None:
    """A parameter is absent or has a value: it is never null."""
    schema = parameter["schema"]
    choices = [choice for choice in schema.pop("anyOf", []) if choice != {"type": "null"}]
    schema.update(choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})
    _tidy(schema)
    says = schema.pop("description", None) or LIST_PARAMETERS.get(parameter["name"])
    if says and "description" not in parameter:
        parameter["description"] = says


def _spaced(name: str) -> str:
    """`listPaymentsOfOrder` as `List payments of order`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return words[:1].upper() + words[1:]
