"""Serves a provider: request → fault before the effect → check → key → handler → fault after the effect → answer.

Under `/_sim` a simulator shows and takes what is not the provider's: `GET books, violations, webhooks, faults, calls`;
`POST faults` (see faults.Setting), `POST webhooks` {url, secret}, `POST clock` {advance: seconds}.
"""

import asyncio
import itertools
import json
import logging
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.routing import Route as HttpRoute
from starlette.types import Receive, Scope, Send

from simulators.kit import forms, openapi
from simulators.kit.faults import Kind, Setting
from simulators.kit.idempotency import State
from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.kit.openapi import Operation, Violation
from simulators.kit.provider import Provider, Trouble

CALLS_MAX: Final = 100_000
log = logging.getLogger("simulators")

TRANSPORT: Final = "simulators.transport"
"""The name in the scope under which the connection's transport lies."""


class Call(msgspec.Struct, frozen=True):
    """A request that came, and how it went. status: None where nothing was answered. at: Unix seconds."""

    at: float
    operation: str
    key: str | None
    fault: Kind | None
    status: int | None
    is_replayed: bool


class Simulator:
    """A provider being served: an ASGI application, and the record of what went over the wire."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.violations: list[Violation] = []
        self.calls: list[Call] = []
        self._closing = asyncio.Event()
        self._numbers = itertools.count(1)
        self._routes = [(re.compile(_pattern(route.template)), route) for route in provider.routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            body = await http.body()
        except ClientDisconnect:
            return  # it went before it had asked for anything
        wire = _Wire(scope, receive, send, self._closing)
        route, request = self._decode(http, body)
        if route is None:
            await wire.answer(self._dressed(self.provider.speak(Trouble.NOT_FOUND, request), request))
            return
        request.key = self.provider.key_of(request)
        subject = f"{request.method} {request.path}"
        request.fault = self.provider.faults.for_request(subject, request.key) if route.has_faults else None
        answer = await self._serve(route, request, wire)
        if len(self.calls) < CALLS_MAX:
            status = None if answer is None else answer.status
            is_replayed = answer is not None and answer.headers.get("Idempotent-Replayed") == "true"
            call = Call(self.provider.clock.now(), subject, request.key, request.fault, status, is_replayed)
            self.calls.append(call)
        if answer is not None:
            await wire.answer(self._dressed(answer, request))

    async def close(self) -> None:
        """Let everything that hangs end, and stop sending webhooks."""
        self._closing.set()
        await self.provider.webhooks.close()

    def _decode(self, http: HttpRequest, body: bytes) -> tuple[Route | None, Request]:
        request = Request(
            method=http.method,
            path=http.url.path,
            headers={name.lower(): value for name, value in http.headers.items()},
            body=body,
            query={},
            params={},
            base_url=f"{http.url.scheme}://{http.url.netloc}",
            now=self.provider.clock.unix(),
            number=next(self._numbers),
        )
        request.query = forms.decode(http.url.query)
        for pattern, route in self._routes:
            matched = pattern.fullmatch(request.path)
            if matched and route.method == request.method:
                request.path_values = matched.groupdict()
                return route, request
        return None, request

    async def _serve(self, route: Route, request: Request, wire: "_Wire") -> Answer | None:
        """The answer; None where the connection was torn or left hanging."""
        provider, fault = self.provider, request.fault
        if fault is Kind.TOO_MANY_REQUESTS:
            answer = self._spoken(route, Trouble.TOO_MANY_REQUESTS, request)
            return Answer(
                answer.status, answer.body, answer.headers | {"Retry-After": str(provider.faults.retry_after_seconds)}
            )
        if fault in (Kind.TIMEOUT_BEFORE_EFFECT, Kind.HANG):
            await wire.hang(provider.faults.timeout_seconds if fault is Kind.TIMEOUT_BEFORE_EFFECT else None)
            return None
        refused = self._check(route, request) or provider.authenticate(request)
        if refused is not None:
            self._check_trouble(route, refused)
            return refused
        answer = await self._once(route, request)
        if fault is Kind.TIMEOUT_AFTER_EFFECT:
            await wire.hang(provider.faults.timeout_seconds)
            return None
        if fault in (Kind.RESET, Kind.GARBAGE):
            await wire.spoil(self._dressed(answer, request), is_reset=fault is Kind.RESET)
            return None
        if fault is Kind.ERROR_AFTER_EFFECT:
            return self._spoken(route, Trouble.SERVER_ERROR, request)
        return provider.distort(answer) if fault is Kind.WRONG_AMOUNT else answer

    def _check(self, route: Route, request: Request) -> Answer | None:
        """The refusal of a request that the document does not allow; types the request on the way."""
        operation = self._operation(route)
        try:
            request.params = openapi.decode_body(request.headers.get("content-type", ""), request.body)
            violations = operation.check_request(request) if operation else []
            if operation is None and self.provider.guesses_types:
                request.query, request.params = forms.guessed(request.query), forms.guessed(request.params)
        except ValueError as fault:
            violations = [Violation("REQUEST", route.template, "", "decode", str(fault))]
        self.violations += violations
        return self.provider.refuse(request, violations) if violations else None

    async def _once(self, route: Route, request: Request) -> Answer:
        """The answer of the handler, or the one that was kept for the key."""
        provider, store, key = self.provider, self.provider.store, request.key
        if store is None or key is None:
            return (await self._handle(route, request))[0]
        fingerprint = f"{request.method} {request.path}\n".encode() + request.body
        begun = store.begin(key, fingerprint, provider.clock.now())
        if isinstance(begun, Answer):
            return begun
        if begun is not State.NEW:
            trouble = Trouble.KEY_REUSED if begun is State.REUSED else Trouble.KEY_IN_FLIGHT
            return self._spoken(route, trouble, request)
        is_kept, answer = False, None
        try:
            answer, is_kept = await self._handle(route, request)
            if request.fault is Kind.ERROR_AFTER_EFFECT:
                answer = provider.speak(Trouble.SERVER_ERROR, request)
        finally:
            store.end(key, answer if is_kept else None)
        return answer

    async def _handle(self, route: Route, request: Request) -> tuple[Answer, bool]:
        """What the handler answers, checked against the document; and whether it is to be kept."""
        if request.fault is Kind.SLOW:
            await asyncio.sleep(self.provider.faults.slow_seconds)
        is_kept = True
        try:
            answer = route.handle(request)
        except Refusal as refusal:
            answer, is_kept = refusal.answer, refusal.is_kept
        except Exception as fault:
            self._record([Violation("ANSWER", f"{route.method} {route.template}", "", "raised", repr(fault))])
            raise
        operation = self._operation(route)
        if operation is not None:
            self._record(operation.check_answer(answer))
        return answer, is_kept

    def _spoken(self, route: Route, trouble: Trouble, request: Request) -> Answer:
        """The provider's words for a trouble, checked like any answer."""
        answer = self.provider.speak(trouble, request)
        self._check_trouble(route, answer)
        return answer

    def _check_trouble(self, route: Route, answer: Answer) -> None:
        """Documents leave out some statuses that every operation can have; these are let through."""
        operation = self._operation(route)
        if operation is not None and operation.knows(answer.status):
            self._record(operation.check_answer(answer))

    def _record(self, violations: Sequence[Violation]) -> None:
        """An answer that is not as documented is a fault of the simulator."""
        self.violations += violations
        for violation in violations:
            log.error("an answer of ours is wrong: %s", violation)

    def _operation(self, route: Route) -> Operation | None:
        if self.provider.document is None or not route.is_documented:
            return None
        operation = self.provider.document.operation(route.method, route.template)
        assert operation is not None, f"the document has no {route.method} {route.template}"
        return operation

    def _dressed(self, answer: Answer, request: Request) -> Answer:
        return Answer(answer.status, answer.body, {**self.provider.headers(request), **answer.headers})


class _Wire:
    """One connection, which may be answered, left hanging or torn."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, closing: asyncio.Event) -> None:
        self._scope, self._receive, self._send, self._closing = scope, receive, send, closing

    async def answer(self, answer: Answer) -> None:
        await _response(answer)(self._scope, self._receive, self._send)

    async def hang(self, seconds: float | None) -> None:
        """Answer nothing until the client goes, the server ends, or so many seconds pass; then tear the connection."""
        waits = [asyncio.ensure_future(self._gone()), asyncio.ensure_future(self._closing.wait())]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await self._tear()

    async def spoil(self, answer: Answer, *, is_reset: bool) -> None:
        """Send half of the answer: as if it were all, or torn by a reset."""
        response = _response(answer)
        content = bytes(response.body)
        half = content[: len(content) // 2]
        headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
        length = len(content) if is_reset else len(half)
        headers.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": half, "more_body": is_reset})
        if is_reset:
            await self._tear()

    async def _tear(self) -> None:
        """Reset the connection."""
        transport = self._scope[TRANSPORT]
        if not transport.is_closing():
            linger = struct.pack("ii", 1, 0)  # so that the end is a RST, not a FIN
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        await self._gone()  # uvicorn has seen it, and does not answer by itself

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Application:
    """An ASGI application for uvicorn: whose `send` is a method of an object that holds the connection's transport."""

    def __init__(self, simulator: Simulator, inner: Starlette) -> None:
        self.simulator = simulator
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = send.__self__.transport  # type: ignore[attr-defined]
        await self._inner(scope, receive, send)


def build(provider: Provider) -> Application:
    """The application that serves a provider, and the control endpoints under `/_sim`."""
    simulator = Simulator(provider)

    shown: dict[str, Callable[[], Any]] = {
        "books": provider.books.state,
        "calls": lambda: msgspec.to_builtins(simulator.calls),
        "faults": provider.faults.state,
        "violations": lambda: msgspec.to_builtins(simulator.violations),
        "webhooks": provider.webhooks.state,
    }

    async def show(http: HttpRequest) -> Response:
        return JSONResponse(shown[http.url.path.rpartition("/")[2]]())

    async def take(http: HttpRequest) -> Response:
        topic, body = http.url.path.rpartition("/")[2], await http.body()
        try:
            if topic == "faults":
                provider.faults.apply(msgspec.json.decode(body, type=Setting))
            elif topic == "webhooks":
                target = json.loads(body)
                provider.webhooks.url = target["url"]
                provider.webhooks.secret = target.get("secret", provider.webhooks.secret)
            else:
                provider.clock.advance(float(json.loads(body)["advance"]))
        except (ValueError, KeyError, msgspec.MsgspecError, re.error) as fault:
            return JSONResponse({"fault": str(fault)}, 400)
        return JSONResponse({"taken": topic})

    routes = [
        *(HttpRoute(f"/_sim/{topic}", take, methods=["POST"]) for topic in ("clock", "faults", "webhooks")),
        *(HttpRoute(f"/_sim/{topic}", show, methods=["GET"]) for topic in shown),
        Mount("/", app=simulator),
    ]
    return Application(simulator, Starlette(routes=routes))


class Server(uvicorn.Server):
    """uvicorn that leaves signals to others, and lets go of whatever hangs when it ends."""

    def __init__(self, app: Application, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_config=None,
                ws="none",
                access_log=False,
                log_level="warning",
                proxy_headers=False,
                timeout_graceful_shutdown=2,
                **options,
            )
        )
        self.ready = asyncio.Event()
        self._simulator: Simulator = app.simulator

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._simulator.close()
        await super().shutdown(sockets)


@asynccontextmanager
async def running(app: Application) -> AsyncIterator[str]:
    """Serve an application of `build` in this process on a free port; yields its address, ends with the block."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # with proto 0, asyncio would leave Nagle's algorithm on
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        server = Server(app)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def serve(apps: Sequence[tuple[Application, str, int]], stop: asyncio.Event) -> None:
    """Serve applications side by side at (app, host, port) until `stop` is set."""
    servers = [Server(app, host=host, port=port) for app, host, port in apps]
    tasks = [asyncio.create_task(server.serve()) for server in servers]
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*tasks)


def _pattern(template: str) -> str:
    return re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))


def _response(answer: Answer) -> Response:
    if answer.body is None:
        return Response(status_code=answer.status, headers=answer.headers)
    if isinstance(answer.body, str):
        return Response(answer.body, status_code=answer.status, headers=answer.headers, media_type="text/html")
    return JSONResponse(answer.body, status_code=answer.status, headers=answer.headers)
