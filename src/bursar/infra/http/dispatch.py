"""The dispatcher: an ASGI application that finds the route in a tree of path segments and speaks problem+json for all
of them.
"""

import asyncio
import re
import secrets
import time
from collections.abc import Iterable
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

import structlog

from bursar.infra import observe
from bursar.infra.answer import Answer, Answered, refusal
from bursar.infra.auth import Authenticator, Caller
from bursar.infra.db import UNREACHABLE
from bursar.infra.http.call import Call
from bursar.infra.http.limit import RateLimiter
from bursar.infra.http.route import WITH_BODY, LeanRoute
from bursar.infra.http.trace import trace_of
from bursar.kit.cardnumber import contains_card_number
from bursar.kit.errors import (
    BadRequest,
    BodyTooLarge,
    DatabaseUnavailable,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Problem,
)

log = structlog.get_logger()

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_NOBODY: Final = Caller("", frozenset(), None, None, 0.0)
BODY_SECONDS_MAX: Final = 30


class _Node:
    """One segment of the tree of paths; a fixed segment wins over a parameter."""

    __slots__ = ("children", "parameter", "routes")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, _Served] = {}


class _Served:
    """A route with its metrics bound once."""

    __slots__ = ("by_status", "route", "seconds")

    def __init__(self, route: LeanRoute) -> None:
        self.route = route
        self.seconds = observe.REQUEST_SECONDS.labels(route.operation)
        self.by_status: dict[int, Any] = {}

    def observe(self, status: int, seconds: float) -> None:
        counter = self.by_status.get(status)
        if counter is None:
            counter = self.by_status[status] = observe.REQUESTS.labels(self.route.operation, str(status))
        counter.inc()
        self.seconds.observe(seconds)


class Dispatcher:
    """Serves `routes`; everything under `fallback_paths` goes to `fallback` (the documentation pages)."""

    def __init__(
        self,
        routes: Iterable[LeanRoute],
        *,
        bursar: Any,
        authenticator: Authenticator,
        limiter: RateLimiter,
        body_size_max: int,
        fallback: Any,
        fallback_paths: frozenset[str],
    ) -> None:
        self._root = _Node()
        self._bursar = bursar
        self._authenticator = authenticator
        self._limiter = limiter
        self._body_size_max = body_size_max
        self._fallback = fallback
        self._fallback_paths = fallback_paths
        self._request_ids = _RequestIds()
        for route in routes:
            self._add(route)

    def _add(self, route: LeanRoute) -> None:
        node = self._root
        for segment in _segments(route.path):
            if segment.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        for method in route.methods or ():
            assert method not in node.routes, f"two routes for {method} {route.path}"
            node.routes[method] = _Served(route)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in self._fallback_paths:
            await self._fallback(scope, receive, send)
            return
        started = time.perf_counter()
        headers = dict(scope["headers"])
        trace = trace_of(headers.get(b"traceparent"))
        request_id = _taken(headers.get(b"x-request-id")) or _taken(trace and trace.id) or self._request_ids.next()
        served: _Served | None = None
        extra: dict[str, str] = {}
        try:
            served, values = self._find(_segments_of(scope), scope["method"])
            caller = _NOBODY
            authorization = headers.get(b"authorization")
            if served.route.takes_token and not (served.route.is_public and authorization is None):
                caller = self._authenticator.remembered(authorization) or await self._authenticator.verify(
                    authorization
                )
                extra = self._limiter.admit(caller)
            body = b""
            if scope["method"] in WITH_BODY:
                body = await _read(headers, receive, size_max=self._body_size_max_of(served.route))
            call = Call(scope, bursar=self._bursar, caller=caller, request_id=request_id, headers=headers, body=body)
            answer = await served.route.answer(call, values)
        except Answered as kept:
            answer = kept.answer
            if kept.is_replay:
                extra = {**extra, "Idempotency-Replayed": "true"}
        except Problem as problem:
            if problem.status >= 500:
                log.warning("request.failed", request_id=request_id, code=problem.code, cause=repr(problem.__cause__))
            answer = refusal(problem, request_id=request_id, instance=scope["path"])
        except _Gone:
            return
        except UNREACHABLE as error:
            log.warning("request.failed", request_id=request_id, code=DatabaseUnavailable.code, cause=repr(error))
            answer = refusal(DatabaseUnavailable(retry_after=1), request_id=request_id, instance=scope["path"])
        except Exception:  # impossible states: told to the log, never to the caller
            log.exception("request.broken", request_id=request_id, path=scope["path"])
            answer = refusal(InternalError(), request_id=request_id, instance=scope["path"])
        if served is not None:
            served.observe(answer.status, time.perf_counter() - started)
        if trace is not None:
            extra = {**extra, "traceparent": trace.answered().decode()}
        await _send(send, answer, request_id, extra)

    def _find(self, segments: list[str], method: str) -> tuple[_Served, list[str]]:
        node: _Node | None = self._root
        values: list[str] = []
        for segment in segments:
            assert node is not None
            child = node.children.get(segment)
            if child is None:
                if node.parameter is None:
                    raise NotFound("no such path")
                values.append(segment)
                child = node.parameter
            node = child
        assert node is not None
        served = node.routes.get(method)
        if served is None:
            if not node.routes:
                raise NotFound("no such path")
            raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(node.routes))})
        return served, values

    def _body_size_max_of(self, route: LeanRoute) -> int:
        if route.body_setting is None:
            return self._body_size_max
        size_max: int = getattr(self._bursar.settings, route.body_setting)
        return size_max


async def _read(headers: dict[bytes, bytes], receive: Any, *, size_max: int) -> bytes:
    declared = headers.get(b"content-length")
    if declared is not None and (len(declared) > 12 or int(declared) > size_max):
        raise BodyTooLarge(f"at most {size_max} bytes")
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise _Gone
    if not message.get("more_body"):
        if len(body) > size_max:
            raise BodyTooLarge(f"at most {size_max} bytes")
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            return await _read_rest(body, receive, size_max=size_max)
    except TimeoutError as error:
        raise BadRequest("the body did not come in time") from error


async def _read_rest(first: bytes, receive: Any, *, size_max: int) -> bytes:
    chunks, size = [first], len(first)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > size_max:
            raise BodyTooLarge(f"at most {size_max} bytes")
        if not message.get("more_body"):
            return b"".join(chunks)


def _taken(given: bytes | None) -> str | None:
    """The caller's id for the request, where it is one."""
    if given is None or not _REQUEST_ID.fullmatch(given) or contains_card_number(given.decode()):
        return None
    return given.decode()


class _RequestIds:
    """Ids for requests that bring none: unlike those of any other process, and cheap to make."""

    def __init__(self) -> None:
        self._prefix = f"req-{secrets.token_hex(8)}-"
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self._prefix}{self._count}"


class _Gone(Exception):  # noqa: N818  a signal within this module
    """The client hung up before it had sent its body."""


def _segments_of(scope: Any) -> list[str]:
    """The segments that are asked for; an escaped slash is part of its segment."""
    raw: bytes = scope["raw_path"]
    if b"%" not in raw:
        return _segments(scope["path"])
    return [unquote(segment) for segment in _segments(raw.decode("ascii"))]


def _segments(path: str) -> list[str]:
    parts = path.split("/")
    return parts[1:-1] if parts[-1] == "" else parts[1:]


@cache
def _header_name(name: str) -> bytes:
    return name.lower().encode()


async def _send(send: Any, answer: Answer, request_id: str, extra: dict[str, str]) -> None:
    headers = [
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id.encode()),
    ]
    if "Content-Type" not in answer.headers:
        headers.append((b"content-type", answer.media_type))
    headers += [(_header_name(name), value.encode()) for name, value in answer.headers.items()]
    if extra:
        headers += [(_header_name(name), value.encode()) for name, value in extra.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
