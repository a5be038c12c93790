"""The HTTP server: uvicorn, with each answer sent by one system call.

uvicorn writes an answer's head and body apart, and uvloop sends each write at once: that is two packets, and wakes
the client for half an answer. The transport here joins them.
"""

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG: Final = 2_048
KEEP_ALIVE_SECONDS: Final = 75  # longer than clients keep idle connections, so that they close first
SHUTDOWN_SECONDS: Final = 8


class CorkedTransport:
    """A transport that holds a write until the next one, or until the event loop's next turn, whichever comes first."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._held = data
            self._loop.call_soon(self._flush)
        else:
            joined, self._held = self._held + data, None
            self._transport.write(joined)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._transport.write(held)


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol on a corked transport."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(CorkedTransport(transport))  # type: ignore[arg-type]  # it has what is used of one


def server_config(asgi: Any, *, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    """How the API is served. On SIGTERM the requests under way are answered first."""
    return uvicorn.Config(
        asgi,
        host=host,
        port=port,
        loop="none",
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
