"""Expected failures. A `Problem` is raised, never returned, and becomes application/problem+json in one place."""

from typing import Any, ClassVar, NamedTuple


class Fault(NamedTuple):
    """One fault of a request: where it is, a stable code, what to do about it."""

    field: str
    code: str
    message: str


class Problem(Exception):  # noqa: N818  the term of RFC 9457
    """An expected failure with its HTTP status and its stable code (RFC 9457).

    Subclasses fix `status`, `code` and `title`; an instance adds `detail`, and `context`: extra members of the body.
    `retry_after`: seconds until the same request may succeed; such an answer is never kept for an idempotency key.
    `headers`: of the answer.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something broke on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: int | None = None,
        errors: tuple[Fault, ...] = (),
        headers: dict[str, str] | None = None,
        **context: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.retry_after = retry_after
        self.errors = errors
        self.headers = headers or {}
        self.context = context


class InternalError(Problem):
    """A fault of ours; the log has the rest under the request's id."""


class MalformedJson(Problem):
    status, code, title = 400, "malformed_json", "The body is not readable JSON"


class BadRequest(Problem):
    status, code, title = 400, "bad_request", "The request cannot be read"


class Unauthenticated(Problem):
    status, code, title = 401, "unauthenticated", "A valid bearer token is needed"


class Forbidden(Problem):
    status, code, title = 403, "forbidden", "The caller's role may not do this"


class NotFound(Problem):
    status, code, title = 404, "not_found", "There is no such object for this caller"


class MethodNotAllowed(Problem):
    status, code, title = 405, "method_not_allowed", "The path does not answer to this method"


class InvalidTransition(Problem):
    status, code, title = 409, "invalid_state_transition", "The present status does not allow this action"


class KeyInUse(Problem):
    status, code, title = 409, "idempotency_key_in_use", "A request with this idempotency key is still running"


class RowBusy(Problem):
    status, code, title = 409, "row_busy", "Another process holds this object; try again"


class StaleVersion(Problem):
    status, code, title = 412, "stale_version", "If-Match names another version than the present one"


class BodyTooLarge(Problem):
    status, code, title = 413, "body_too_large", "The body is larger than this service reads"


class UnsupportedMediaType(Problem):
    status, code, title = 415, "unsupported_media_type", "The body has to be application/json"


class Invalid(Problem):
    status, code, title = 422, "validation_failed", "The request is not valid"


class KeyReused(Problem):
    status, code, title = 422, "idempotency_key_reused", "This idempotency key came with another request before"


class TooManyRequests(Problem):
    status, code, title = 429, "rate_limited", "Too many requests"


class Overloaded(Problem):
    status, code, title = 503, "overloaded", "The service is at its limit; try again"


class DatabaseUnavailable(Problem):
    status, code, title = 503, "database_unavailable", "The database did not answer; the outcome is not known"
