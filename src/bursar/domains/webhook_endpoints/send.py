"""Sending one message: to an address that was checked, within a time, following nothing, keeping little.

The host is resolved here and every address that it has is judged; the connection goes to one of just those, so a name
that resolves to something else a moment later leads nowhere. TLS and the Host header keep the name.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import TracebackType
from typing import Any, Final

import httpx
import structlog

import bursar
from bursar.domains.webhook_endpoints import address
from bursar.domains.webhook_endpoints.address import Target
from bursar.domains.webhook_endpoints.delivery import Outcome
from bursar.domains.webhook_endpoints.wire import Answer, BrokenAnswer, Silence, Wire
from bursar.kit.cardnumber import contains_card_number
from bursar.kit.clock import Clock

log = structlog.get_logger()

ADDRESSES_MAX: Final = 4
RESOLVED_SECONDS: Final = 5.0
"""How long a look at a name holds for further connections; at the most so long does one take when asked for."""

KEPT_SECONDS: Final = 10.0
RESOLVERS_MAX: Final = 100
"""Threads that wait for names: one for each endpoint, so that a name that hangs delays nobody else's."""

HEADERS: Final = {
    "content-type": "application/cloudevents+json",
    "user-agent": f"Bursar-Webhooks/{bursar.__version__}",
    "accept": "*/*",
}

Resolve = Callable[[str, int], Awaitable[list[str]]]


class AddressRefused(Exception):  # noqa: N818  told as the outcome of a try
    """The host resolves to an address that is never connected to."""


@cache
def _resolvers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(RESOLVERS_MAX, thread_name_prefix="resolve")


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, by the machine's resolver. Raises OSError where it has none."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_resolvers(), _addresses, host, port)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _addresses(host: str, port: int) -> list[Any]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError as error:  # a label that is empty or too long
        raise OSError(f"{host} is no name of a host") from error


async def check(host: str, port: int, *, private: bool, resolve: Resolve = resolve) -> list[str]:
    """The addresses of a host. Raises AddressRefused where one of them is not allowed, OSError where there is none."""
    addresses = await resolve(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    for one in addresses:
        if not address.is_allowed(one, private=private):
            raise AddressRefused(f"{host} is {one}, which lies inside")
    return addresses


async def is_refused(host: str, port: int, *, private: bool) -> bool:
    """Whether a host is inside, as far as it can be told within RESOLVED_SECONDS."""
    try:
        async with asyncio.timeout(RESOLVED_SECONDS):
            await check(host, port, private=private)
    except AddressRefused:
        return True
    except OSError:  # TimeoutError among them
        return False
    return False


class Sender:
    """Sends to one endpoint, over connections of its own that are used again."""

    def __init__(
        self,
        clock: Clock,
        *,
        timeout_seconds: float,
        private: bool,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._private = private
        self._resolve = resolve
        self._tls = tls
        self._origin: tuple[str, str, int] | None = None
        self._idle: list[Wire] = []
        self._looking = asyncio.Lock()
        self._addresses: list[str] = []
        self._looked_at = 0.0

    async def __aenter__(self) -> "Sender":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop_all()

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> Outcome:
        """Post a body once. Whatever happens is an outcome."""
        started = time.perf_counter()
        answer, error = None, None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await self._post(address.parse(url), {**HEADERS, **headers}, body)
        except TimeoutError:
            error = f"no answer within {self._timeout_seconds:g} s"
        except AddressRefused as refused:
            error = f"address refused: {refused}"
        except (BrokenAnswer, OSError, ValueError) as broken:
            error = f"{type(broken).__name__}: {broken}"[:500]
        except Exception as fault:  # one of ours: a failed try to be seen in the log, and nobody else's delay
            log.exception("webhooks.send_broken", url=url)
            error = repr(fault)[:500]
        milliseconds = round((time.perf_counter() - started) * 1_000)
        if answer is None:
            return Outcome(self._clock.now(), error=error, milliseconds=milliseconds)
        return Outcome(self._clock.now(), answer.status, None, _text(answer.body), answer.retry_after, milliseconds)

    async def _post(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        self._turn_to(target)
        wire = self._reused()
        if wire is not None:
            try:
                return await self._ask(wire, target, headers, body)
            except (Silence, ConnectionError):
                self._drop_all()  # it was hung up just when it was used again; the others were most likely, too
        return await self._ask(await self._connected(target), target, headers, body)

    async def _ask(self, wire: Wire, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        is_reusable = False
        try:
            answer = await wire.post(target, headers, body)
            is_reusable = answer.is_reusable
            return answer
        finally:
            if is_reusable and self._origin == _origin(target):
                wire.idle_since = time.monotonic()
                self._idle.append(wire)
            else:
                wire.close()

    async def _connected(self, target: Target) -> Wire:
        tls = (self._tls or _tls()) if target.scheme == "https" else None
        failure: OSError | None = None
        for one in (await self._checked(target))[:ADDRESSES_MAX]:
            try:
                return await Wire.open(one, target, tls)
            except OSError as error:
                failure = error
        assert failure is not None, "a host that was checked has an address"
        raise failure

    async def _checked(self, target: Target) -> list[str]:
        """Connections that are opened together share one look."""
        async with self._looking:
            if not self._addresses or time.monotonic() - self._looked_at > RESOLVED_SECONDS:
                self._addresses = await check(target.host, target.port, private=self._private, resolve=self._resolve)
                self._looked_at = time.monotonic()
            return self._addresses

    def _turn_to(self, target: Target) -> None:
        """Forget what belongs to another host than this one."""
        origin = _origin(target)
        if origin != self._origin:
            self._drop_all()
            self._origin, self._addresses = origin, []

    def _reused(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if wire.is_open and time.monotonic() - wire.idle_since < KEPT_SECONDS:
                return wire
            wire.close()
        return None

    def _drop_all(self) -> None:
        while self._idle:
            self._idle.pop().close()


def _origin(target: Target) -> tuple[str, str, int]:
    return (target.scheme, target.host, target.port)


def _text(kept: bytes) -> str | None:
    """PostgreSQL stores no NUL, and we no card number."""
    if not kept:
        return None
    text = kept.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return "it held a card number" if contains_card_number(text) else text
