"""One HTTP/1.1 connection to one address: a POST at a time, its answer's status, and little of its body.

No client of the usual kind: it may resolve nothing, follow nothing, use no proxy and read no more than it is told, and
thousands of small messages a minute go through it.
"""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

import httptools

from bursar.domains.webhook_endpoints.address import Target

BODY_KEPT: Final = 1_024
READ_MAX: Final = 32_768
"""An answer is read so far, that its connection can be used again; one that is longer costs its connection."""

REST_SECONDS: Final = 1.0
"""How long the rest of an answer may take after its head."""


class BrokenAnswer(Exception):  # noqa: N818  told as the outcome of a try
    """What came is no answer of HTTP."""


class Silence(BrokenAnswer):
    """The connection ended before a byte had come."""


class Answer:
    """What came so far; the callbacks are the parser's."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status: int | None = None
        self.retry_after: str | None = None
        self.body = b""
        self.size = 0
        self.is_complete = False
        self.is_reusable = False

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.is_reusable = False
            raise BrokenAnswer("something follows the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after":
            self.retry_after = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        self.status = status if status >= 200 else None  # 103 and its like come before the answer

    def on_body(self, body: bytes) -> None:
        self.body = (self.body + body)[:BODY_KEPT]

    def on_message_complete(self) -> None:
        self.is_complete = self.status is not None
        self.is_reusable = self.is_complete and self.parser.should_keep_alive()


class Wire:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.idle_since = 0.0

    @classmethod
    async def open(cls, address: str, target: Target, tls: ssl.SSLContext | None) -> "Wire":
        """Connect to an address; TLS is spoken with the name that `target` has. Raises OSError."""
        if target.scheme == "http":
            return cls(*await asyncio.open_connection(address, target.port))
        assert tls is not None, "https needs a context"
        return cls(*await asyncio.open_connection(address, target.port, ssl=tls, server_hostname=target.host))

    @property
    def is_open(self) -> bool:
        """Whether the other side has neither hung up nor said anything unasked, as far as is known: what it said, be it
        408 for having waited, is no answer to what is asked next.
        """
        has_more = bool(self._reader._buffer)  # type: ignore[attr-defined]
        return not has_more and not self._reader.at_eof() and not self._writer.transport.is_closing()

    def close(self) -> None:
        """End the connection at once."""
        self._writer.transport.abort()

    async def post(self, target: Target, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request and read its answer, as much of it as is wanted. Raises BrokenAnswer, OSError."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST {target.path} HTTP/1.1\r\nhost: {target.authority}\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
        self._writer.write(head.encode("ascii") + body)
        await self._writer.drain()
        answer = Answer()
        while answer.status is None and await self._read(answer):
            pass
        if answer.status is None:
            raise (BrokenAnswer if answer.size else Silence)("the connection ended without an answer")
        with suppress(TimeoutError, OSError):  # it counts by its status, whatever becomes of its body
            async with asyncio.timeout(REST_SECONDS):
                while not answer.is_complete and await self._read(answer):
                    pass
        return answer

    async def _read(self, answer: Answer) -> bool:
        """Read some more of an answer. Returns whether there may be more that is wanted."""
        chunk = await self._reader.read(READ_MAX)
        answer.size += len(chunk)
        try:
            answer.parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if answer.status is None:
                raise BrokenAnswer(f"no answer of HTTP: {error}") from error
            return False
        return bool(chunk) and answer.size <= READ_MAX
