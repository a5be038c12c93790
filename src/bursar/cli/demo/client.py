"""A small HTTP client: one keep-alive connection, one request at a time, JSON in and out; not what is measured."""

import asyncio
from typing import Any, Final, cast

import httptools
import msgspec

ANSWER_SECONDS_MAX: Final = 60


class Connection(asyncio.Protocol):
    """A connection that is opened when it is first used, and again after it was lost."""

    def __init__(self, host: str, port: int, token: str) -> None:
        self._host = host
        self._port = port
        self._head = f"Host: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser: Any = None
        self._chunks: list[bytes] = []

    async def request(self, method: str, path: str, document: Any = None, *, key: str = "") -> tuple[int, Any]:
        """Send a request and wait for its answer: status and document. Raises OSError where the connection is lost."""
        loop = asyncio.get_running_loop()
        if self._transport is None:
            await loop.create_connection(lambda: self, self._host, self._port)
        transport = self._transport
        if transport is None:
            raise ConnectionResetError("the connection was closed at once")
        body = b"" if document is None else msgspec.json.encode(document)
        lines = f"{method} {path} HTTP/1.1\r\n{self._head}"
        if key:
            lines += f"Idempotency-Key: {key}\r\n"
        if body:
            lines += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._parser = httptools.HttpResponseParser(self)
        self._chunks = []
        self._answer = loop.create_future()
        transport.write(f"{lines}\r\n".encode() + body)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                status, content = await self._answer
        except TimeoutError:
            self.close()
            raise
        finally:
            self._answer = None
        return status, msgspec.json.decode(content) if content else None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._refuse(ConnectionResetError(f"the connection was lost: {error or 'closed by the service'}"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.close()
            self._refuse(ConnectionResetError(f"not HTTP: {error}"))

    def _refuse(self, error: OSError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._chunks)))
        if not self._parser.should_keep_alive():
            self.close()
