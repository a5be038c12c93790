"""The HTTP sink when its worker sleeps, and when what it talks to never ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from bursar.infra import sink
from bursar.infra.sink import Sink
from bursar.kit import ids
from tests.infra.test_events import emit
from tests.support.service import Service, eventually
from tests.support.wire import talking

HEAD = b"HTTP/1.1 200 OK\r\n"


@asynccontextmanager
async def answering(speak: Callable[[asyncio.StreamWriter, list[int]], Awaitable[None]]) -> AsyncIterator[str]:
    """A sink's other end. speak: answers the batch of events with these versions."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            batch = msgspec.json.decode(await reader.readexactly(length))
            await speak(writer, [event["sequence"] for event in batch])

    async with talking(talk) as url:
        yield url


@asynccontextmanager
async def posting(service: Service, url: str) -> AsyncIterator[Sink]:
    """A worker's sink that goes ahead when it is told to."""
    await service.app.database.execute(
        "insert into event_cursors (consumer) values ($1) on conflict do nothing", sink.NAME
    )
    made = Sink(service.app, url)
    async with made._client:
        yield made


async def tell(service: Service, stream: str, version: int) -> None:
    """Emit an event, and wait until no transaction that still runs, in any database, can put anything before it."""
    await emit(service, stream, version)
    below = "select not exists (select from events where tx >= pg_snapshot_xmin(pg_current_snapshot())) as is_so"

    async def is_told() -> bool:
        return bool((await service.fetch(below))[0]["is_so"])

    await eventually(is_told, 60)


class TestLease:
    async def test_a_worker_that_slept_through_it_does_not_move_the_cursor_back(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sink, "TIMEOUT_SECONDS", 300)  # it sleeps as long as it takes the other one
        taken: list[list[int]] = []
        awake = asyncio.Event()

        async def speak(writer: asyncio.StreamWriter, versions: list[int]) -> None:
            taken.append(versions)
            if len(taken) == 1:
                await awake.wait()
            writer.write(HEAD + b"content-length: 0\r\n\r\n")

        stream = ids.new(private.clock.now())
        async with answering(speak) as url, posting(private, url) as one, posting(private, url) as other:
            await tell(private, stream, 1)
            sleeping = asyncio.create_task(one.advance())
            await eventually(lambda: len(taken) == 1, 30)
            private.clock.advance(seconds=60)
            for version in (2, 3):
                await tell(private, stream, version)
                await advance_until(other, lambda version=version: taken[-1][-1] == version)
            awake.set()
            await sleeping
            await tell(private, stream, 4)
            await advance_until(other, lambda: taken[-1][-1] == 4)
        assert taken == [[1], [1, 2], [3], [4]]


class TestAnswer:
    async def test_that_never_ends_counts_by_its_status(self, private: Service) -> None:
        async def speak(writer: asyncio.StreamWriter, versions: list[int]) -> None:
            writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
                await writer.drain()

        await tell(private, ids.new(private.clock.now()), 1)
        async with answering(speak) as url, posting(private, url) as made:
            async with asyncio.timeout(30):
                assert await made.advance() == 1

    async def test_that_trickles_is_cut_off(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def speak(writer: asyncio.StreamWriter, versions: list[int]) -> None:
            for byte in HEAD * 10:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.1)

        await tell(private, ids.new(private.clock.now()), 1)
        async with answering(speak) as url, posting(private, url) as made:
            monkeypatch.setattr(sink, "TIMEOUT_SECONDS", 0.5)  # for the whole; its client's, for each byte, is longer
            async with asyncio.timeout(30):
                with pytest.raises(TimeoutError):
                    await made.advance()


async def advance_until(made: Sink, condition: Callable[[], bool]) -> None:
    async def is_so() -> bool:
        await made.advance()
        return condition()

    await eventually(is_so, 60)
