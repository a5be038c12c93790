"""An endpoint that receives webhooks: a real HTTP server on this machine, which verifies what it gets by the
`standardwebhooks` package and answers as it is told. Run as a module, it is a worker that does nothing but deliver.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from standardwebhooks.webhooks import Webhook

from bursar.app import running
from bursar.domains.webhook_endpoints.deliver import NAME, Deliverer
from bursar.settings import Settings
from tests.support.api import Api, json_of
from tests.support.ports import free_port
from tests.support.service import Service, eventually

ENDPOINTS = "/api/v1/webhook-endpoints"
SECONDS_MAX = 60
"""How long is waited for what is done at once on an idle machine: transactions of other tests hold events back."""


class Reply(NamedTuple):
    """status 0: hang up without a word. after: wait so many seconds first. until: wait for this, too."""

    status: int = 204
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    after: float = 0
    until: asyncio.Event | None = None


class Message:
    """A request that came in."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path = path
        self.headers = headers
        self.body = body

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        document: dict[str, Any] = msgspec.json.decode(self.body)
        return document

    @property
    def stream(self) -> str:
        return str(self.event["subject"])

    @property
    def version(self) -> int:
        return int(self.event["sequence"])

    def verify(self, secret: str) -> None:
        """Raise WebhookVerificationError unless it was signed with `secret`, just now."""
        Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """`async with Receiver() as receiver`; close and open make it go down and come back at the same address."""

    def __init__(
        self, reply: Callable[[Message], Reply] | None = None, host: str = "127.0.0.1", tls: Any = None
    ) -> None:
        self.host = host
        self.port = 0
        self.reply = reply or (lambda message: Reply())
        self.came: list[Message] = []
        self.taken: list[Message] = []
        """Those that were answered with 2xx."""
        self.at_once = self.at_once_max = 0
        self.connections = 0
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Receiver":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}/hooks"

    async def open(self) -> None:
        """Listen; at a port that the kernel gives to nobody else while this is closed."""
        while self._server is None:
            port = self.port or free_port()
            try:
                self._server = await asyncio.start_server(self._serve, self.host, port, ssl=self._tls)
            except OSError:
                if self.port:
                    raise
        self.port = port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._connections):
                writer.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        message = Message(first.split(" ")[1], headers, await reader.readexactly(int(headers["content-length"])))
        self.came.append(message)
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        reply = self.reply(message)
        try:
            await asyncio.sleep(reply.after)
            if reply.until is not None:
                await reply.until.wait()
        finally:
            self.at_once -= 1
        if not reply.status:
            writer.close()
            return
        if 200 <= reply.status < 300:
            self.taken.append(message)
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(reply.body)}\r\n{extra}\r\n".encode() + reply.body)
        await writer.drain()


def streams_of(messages: list[Message]) -> dict[str, list[int]]:
    """The versions of each stream in the order in which they came, repeats left out."""
    streams: dict[str, list[int]] = {}
    seen = set[str]()
    for message in messages:
        if message.id not in seen:
            seen.add(message.id)
            streams.setdefault(message.stream, []).append(message.version)
    return streams


async def register(api: Api, url: str, **changes: Any) -> dict[str, Any]:
    """A new endpoint, with its secret."""
    return json_of(await api.call("POST", ENDPOINTS, {"url": url, **changes}), 201)


async def deliveries_of(api: Api, endpoint_id: str, **params: Any) -> list[dict[str, Any]]:
    """What was, is and will not be delivered, oldest first."""
    answer = json_of(await api.get(f"{ENDPOINTS}/{endpoint_id}/deliveries", limit=100, **params), 200)
    return list(reversed(answer["data"]))


async def deliver_until(
    app: Any, condition: Callable[[], bool | Awaitable[bool]], seconds: float = SECONDS_MAX
) -> None:
    """Run the delivering part of a worker until the condition holds."""
    deliverer = Deliverer(app)
    task = asyncio.create_task(deliverer.run())
    try:
        await eventually(condition, seconds)
    finally:
        deliverer.stop()
        await task


async def linger(app: Any, seconds: float = 0.3) -> None:
    """Run the delivering part of a worker for a while in which nothing may be sent."""
    until = time.monotonic() + seconds
    await deliver_until(app, lambda: time.monotonic() >= until)


async def wait_for(service: Service, endpoint: dict[str, Any], **statuses: int) -> None:
    """Deliver until so many deliveries are in each status."""

    async def is_so() -> bool:
        rows = await service.fetch(
            "select status, count(*) from webhook_deliveries where endpoint_id = $1 group by 1", endpoint["id"]
        )
        found = {row[0]: row[1] for row in rows}
        return all(found.get(status, 0) == count for status, count in statuses.items())

    await deliver_until(service.app, is_so)


async def fan_out(service: Service) -> None:
    """Make deliveries of all events that there are, and send none."""
    deliverer = Deliverer(service.app)

    async def has_passed_all() -> bool:
        await deliverer.fan_out()
        sql = "select tx > (select max(tx) from events) from event_cursors where consumer = $1"
        rows = await service.fetch(sql, NAME)
        return bool(rows and rows[0][0])

    await service.fetch("insert into event_cursors (consumer) values ($1) on conflict do nothing", NAME)
    await eventually(has_passed_all, SECONDS_MAX)


async def tried(service: Service, endpoint: dict[str, Any], count: int) -> None:
    """Deliver until so many tries were written down."""

    async def is_so() -> bool:
        sql = "select coalesce(sum(attempts), 0) from webhook_deliveries where endpoint_id = $1"
        return bool((await service.fetch(sql, endpoint["id"]))[0][0] >= count)

    await deliver_until(service.app, is_so)


async def _main(url: str, data_dir: str) -> None:
    settings = Settings(data_dir=data_dir, database_pool_size=4, delivery_private_networks=True)
    async with running(settings, url) as app:
        await Deliverer(app).run()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], str(Path(sys.argv[2]))))
