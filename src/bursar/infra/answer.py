"""An HTTP answer as bytes: made once, inside the transaction of its effect, kept there and replayed as it is."""

from typing import Any

import msgspec

from bursar.kit.cardnumber import contains_card_number
from bursar.kit.errors import Problem

JSON = b"application/json"
PROBLEM = b"application/problem+json"
ERROR_TYPE = "https://bursar.dev/errors/"
"""Prefix of a problem's `type`; the code follows. docs/errors.md describes each."""

encode = msgspec.json.encode


class Answer(msgspec.Struct, frozen=True):
    """Status, body and further headers; `body` is JSON in UTF-8 unless a Content-Type says otherwise."""

    status: int
    body: bytes
    headers: dict[str, str] = {}

    @property
    def media_type(self) -> bytes:
        return PROBLEM if self.status >= 400 else JSON


def ok(document: Any, *, version: int | None = None) -> Answer:
    """200 with `document`; the ETag where the document is one resource."""
    return Answer(200, encode(document), {"ETag": f'"{version}"'} if version is not None else {})


def created(document: Any, *, location: str, version: int) -> Answer:
    """201 with the new resource, its address and its ETag."""
    return Answer(201, encode(document), {"Location": location, "ETag": f'"{version}"'})


def accepted(document: Any, *, version: int) -> Answer:
    """202: the work goes on; the outcome comes by event and by GET."""
    return Answer(202, encode(document), {"ETag": f'"{version}"'})


def refusal(problem: Problem, *, request_id: str, instance: str) -> Answer:
    """The problem as application/problem+json (RFC 9457)."""
    body: dict[str, Any] = {
        **problem.context,
        "type": ERROR_TYPE + problem.code,
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or problem.title,
        "instance": _without_card_numbers(instance),
        "code": problem.code,
        "requestId": request_id,
    }
    if problem.errors:
        body["errors"] = [{**fault._asdict(), "field": _without_card_numbers(fault.field)} for fault in problem.errors]
    headers = dict(problem.headers)
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Answer(problem.status, encode(body), headers)


def _without_card_numbers(text: str) -> str:
    """A path, or the name of a field, as it may be told: one that holds a card number says only that."""
    return "(a card number)" if contains_card_number(text) else text


class Answered(Exception):  # noqa: N818  not an error: the answer is already there
    """Raised where a command is answered without its effect: a kept answer replayed, or a refusal that was kept."""

    def __init__(self, answer: Answer, *, is_replay: bool) -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.is_replay = is_replay
