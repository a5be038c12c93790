"""The bus when things go wrong: hostile messages, a database that is away, a server that shows us the door."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar import wiring
from bursar.infra.bus import Inbound, Message
from bursar.infra.bus.listen import TRIES_MAX
from bursar.kit import ids
from bursar.kit.errors import Overloaded
from tests.infra.test_bus import cloud_event, emit, everything, has, joined, rows_of, sent
from tests.support.nats import NatsServer, is_drained, is_listening, nats_server
from tests.support.service import Service, eventually


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as started:
        yield started


async def send(server: NatsServer, body: bytes, headers: dict[str, str] | None = None) -> str:
    async with server.jetstream() as jetstream:
        return str((await jetstream.publish("platform.orders", body, headers=headers)).seq)


async def is_taken(service: Service, event_id: str) -> bool:
    return bool(await rows_of(service, event_id))


class TestIn:
    @pytest.mark.parametrize("body", [b'"\xff"', b"[" * 100_000, b"{"])
    async def test_poison_in_binary_mode_is_given_up(self, private: Service, server: NatsServer, body: bytes) -> None:
        attributes = {"specversion": "1.0", "id": "x-1", "source": "/platform", "type": "order.cancelled"}
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
            place = await send(server, body, {f"ce-{name}": value for name, value in attributes.items()})
            await eventually(lambda: is_drained(server), 60)
        assert [row["status"] for row in await rows_of(private, place)] == ["FAILED"]

    @pytest.mark.parametrize("error", [ConnectionResetError("away"), Overloaded(retry_after=1)])
    async def test_what_we_cannot_take_now_is_not_given_up(
        self, private: Service, server: NatsServer, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        """However long the database is away or overloaded: that is no fault of the message."""
        tries: list[int] = []

        async def take(app: Any, message: Message) -> None:
            tries.append(message.tries)
            if len(tries) < TRIES_MAX + 3:
                raise error
            await wiring.INBOUND.take(app, message)

        monkeypatch.setattr("bursar.infra.bus.listen.BACKOFF_MAX_SECONDS", 0.01)
        document = cloud_event("order.delivered", {"orderId": "o-1"})
        async with joined(private, server, Inbound(take, wiring.INBOUND.refuse)):
            await eventually(lambda: is_listening(server), 60)
            await send(server, msgspec.json.encode(document))
            await eventually(lambda: is_drained(server), 60)
        assert [row["status"] for row in await rows_of(private, document["id"])] == ["PROCESSED"]

    async def test_a_consumer_that_was_deleted_is_made_anew(self, private: Service, server: NatsServer) -> None:
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
            async with server.jetstream() as jetstream:
                await jetstream.delete_stream("PLATFORM")
            await eventually(lambda: is_listening(server), 60)
            document = cloud_event("order.delivered", {"orderId": "o-1"})
            await send(server, msgspec.json.encode(document))
            await eventually(lambda: is_taken(private, document["id"]), 60)


class Doorman:
    """Stands before a server, and shows everybody out when it is told to."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._guests: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside, further = await asyncio.open_connection("127.0.0.1", self._server.port)
        self._guests.add(writer)
        await asyncio.gather(self._carry(reader, further), self._carry(inside, writer))
        self._guests.discard(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await reader.read(65_536):
                writer.write(content)
        writer.close()

    def show_out(self) -> None:
        for guest in self._guests:
            guest.write(b"-ERR 'User Authentication Expired'\r\n")
            guest.close()


@pytest.fixture
async def doorman(server: NatsServer) -> AsyncIterator[Doorman]:
    made = Doorman(server)
    door = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"nats://127.0.0.1:{door.sockets[0].getsockname()[1]}"
    async with door:
        yield made


class TestDoor:
    async def test_goes_on_when_it_is_let_in_again(
        self, private: Service, server: NatsServer, doorman: Doorman
    ) -> None:
        """A server may end a connection by a word of its own; the client then gives up for good."""
        stream, place = ids.new(private.clock.now()), cloud_event("order.delivered", {"orderId": "o-1"})
        async with joined(private, doorman):
            await emit(private, stream, 1)
            await eventually(has(server, 1), 60)
            await eventually(lambda: is_listening(server), 60)
            doorman.show_out()
            await emit(private, stream, 2)
            await eventually(has(server, 2), 60)
            await send(server, msgspec.json.encode(place))
            await eventually(lambda: is_taken(private, place["id"]), 60)
        assert sent(await server.stored())[:2] == (await everything(private))[:2]
