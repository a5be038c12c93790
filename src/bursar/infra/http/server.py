"""How the API is served: by uvicorn, as lean as it goes."""

import asyncio
from typing import Any, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SIZE_MAX: Final = 64 * 1024
"""Bytes of a request's line and headers, or of its trailers, that are gathered before they are whole."""

READ_SECONDS: Final = 60
"""Within which a head has to be whole once its connection or its first byte is there, and a body has to go on."""

BACKLOG: Final = 2_048
KEEP_ALIVE_SECONDS: Final = 75  # longer than clients keep idle connections, so that they close first
SHUTDOWN_SECONDS: Final = 8


class Protocol(HttpToolsProtocol):
    """uvicorn's, which by itself gathers a head of any length, waits for its end for ever, takes trailers for headers,
    and loses the body of a request that offers an upgrade, as Java's client does: here it is read as if it did not
    offer one.
    """

    _gathered = 0
    _is_whole = True
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not for ever."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; hang up on what it cannot read, and on a head that is too long."""
        self._unset_keepalive_if_required()
        self._feed(data)
        if self._is_whole and not self._gathered:
            self._stop_waiting()
        elif self._patience is None or not self._gathered:
            self._wait()

    def _feed(self, data: bytes) -> None:
        self._gathered += len(data)
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as stopped:
                data = self._head_without_upgrade() + data[stopped.args[0] :]
            except httptools.HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
                return
        if self._gathered > HEAD_SIZE_MAX and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head is to be read again."""
        self._gathered = 0
        if not self._offers_upgrade():
            self._is_whole = False
            super().on_headers_complete()
            self.headers = []  # where trailers go, which nobody reads

    def on_body(self, body: bytes) -> None:
        """Hand a piece of the body over, for which uvicorn has a limit of its own."""
        self._gathered = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._gathered = 0
        if not self._offers_upgrade():
            self._is_whole = True
            super().on_message_complete()

    def _wait(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(READ_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self) -> None:
        if self.flow.read_paused:  # it is we who do not read on
            self._wait()
        else:
            self.transport.close()

    def _offers_upgrade(self) -> bool:
        return bool(self.parser.should_upgrade()) and self.parser.get_method() != b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        """The head that was read last, as it would be without the offer."""
        start = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%s: %s" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join((start, *fields, b"", b""))


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
