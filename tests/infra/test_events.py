"""Events: in the order of each stream, at least once to everybody, and only what no running transaction can precede."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from bursar.infra import events, sink
from bursar.infra.db import LiveTx
from bursar.infra.events import RELAY_SIZE, Consumer, Event, Relay, follow
from bursar.infra.sink import Sink
from bursar.kit import ids
from tests.support.service import Service, eventually


async def emit(service: Service, stream: str, version: int, event_type: str = "test.happened") -> None:
    async with service.app.database.transaction(now=service.clock.now()) as tx:
        events.emit(tx, stream=stream, version=version, event_type=event_type, about=stream, data={"n": version})


class Listener:
    """A consumer that notes what it is told."""

    def __init__(self, service: Service, name: str = "test.listener") -> None:
        self.service = service
        self.heard: list[tuple[str, int]] = []
        self.fails_on: set[int] = set()
        self.consumer = Consumer(name, frozenset({"test.happened"}), self.react)
        self.relay = Relay(service.app, [self.consumer])

    async def react(self, tx: LiveTx, event: Event) -> None:
        if event.version in self.fails_on:
            self.fails_on.discard(event.version)
            raise ConnectionResetError("not now")
        self.heard.append((event.stream, event.version))

    async def start(self) -> None:
        await self.service.app.database.execute(
            "insert into event_cursors (consumer) values ($1) on conflict do nothing", self.consumer.name
        )

    async def catch_up(self) -> None:
        while await self.relay.advance(self.consumer):
            pass

    async def has_heard(self, count: int) -> bool:
        await self.catch_up()
        return len(self.heard) >= count


class Broken(Listener):
    """One that can do nothing with any event."""

    async def react(self, tx: LiveTx, event: Event) -> None:
        raise ConnectionResetError("never")


class TestRelay:
    async def test_tells_each_stream_in_order(self, private: Service) -> None:
        listener = Listener(private)
        await listener.start()
        streams = [ids.new(private.clock.now()) for _ in range(5)]
        for version in range(1, 31):
            await asyncio.gather(*(emit(private, stream, version) for stream in streams))

        await eventually(lambda: listener.has_heard(150), 60)

        assert len(listener.heard) == 150
        for stream in streams:
            assert [version for name, version in listener.heard if name == stream] == list(range(1, 31))

    async def test_tells_only_what_is_asked_for(self, private: Service) -> None:
        listener = Listener(private)
        await listener.start()
        stream = ids.new(private.clock.now())
        for version in range(1, 5):
            await emit(private, stream, version, "test.other" if version % 2 else "test.happened")
        await eventually(lambda: listener.has_heard(2))
        assert [version for _, version in listener.heard] == [2, 4]

    async def test_repeats_after_a_failure_and_loses_nothing(self, private: Service) -> None:
        listener = Listener(private)
        listener.fails_on = {2, 4}
        stream = ids.new(private.clock.now())
        for version in range(1, 6):
            await emit(private, stream, version)

        running = asyncio.create_task(listener.relay.run())
        await eventually(lambda: len(set(listener.heard)) == 5, 30)
        listener.relay.stop()
        await running

        assert list(dict.fromkeys(version for _, version in listener.heard)) == [1, 2, 3, 4, 5]
        row = (await private.fetch("select * from event_cursors where consumer = 'test.listener'"))[0]
        assert (row["failures"], row["last_error"]) == (0, None)

    async def test_a_consumer_that_fails_delays_nobody_else(self, private: Service) -> None:
        broken, sound = Broken(private, "test.broken"), Listener(private, "test.sound")
        stream = ids.new(private.clock.now())
        relay = Relay(private.app, [broken.consumer, sound.consumer])
        running = asyncio.create_task(relay.run())
        for version in range(1, 6):
            await emit(private, stream, version)
        await eventually(lambda: len(sound.heard) == 5, 30)

        async def is_noted() -> bool:
            rows = await private.fetch("select failures, retry_at from event_cursors where consumer = 'test.broken'")
            return bool(rows and rows[0]["failures"] >= 1 and rows[0]["retry_at"] is not None)

        await eventually(is_noted)
        relay.stop()
        await running

    async def test_two_relays_share_one_cursor(self, private: Service) -> None:
        listener = Listener(private)
        await listener.start()
        other = Relay(private.app, [listener.consumer])
        stream = ids.new(private.clock.now())
        for version in range(1, 21):
            await emit(private, stream, version)

        async def has_heard_all() -> bool:
            await asyncio.gather(listener.relay.advance(listener.consumer), other.advance(listener.consumer))
            return len(listener.heard) >= 20

        await eventually(has_heard_all, 30)
        assert [version for _, version in listener.heard] == list(range(1, 21))

    async def test_survives_a_lost_connection(self, private: Service) -> None:
        listener = Listener(private)
        running = asyncio.create_task(listener.relay.run())
        stream = ids.new(private.clock.now())
        for version in range(1, 6):
            await private.fetch(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'bursar' "
                "and datname = current_database() and pid <> pg_backend_pid()"
            )
            async with private.connection() as connection, connection.transaction():
                tx = LiveTx(connection, now=private.clock.now(), origin=events.Origin("x", ""))
                events.emit(tx, stream=stream, version=version, event_type="test.happened", about=stream, data={})
                await tx.flush()
            await asyncio.sleep(0.03)
        await eventually(lambda: len(set(listener.heard)) == 5, 60)
        listener.relay.stop()
        await running

    async def test_begins_when_the_database_comes_back(self, private: Service) -> None:
        listener = Listener(private)
        await private.fetch("revoke insert on event_cursors from bursar_app")
        running = asyncio.create_task(listener.relay.run())
        await asyncio.sleep(0.1)
        assert not running.done()

        await private.fetch("grant insert on event_cursors to bursar_app")
        await emit(private, ids.new(private.clock.now()), 1)
        await eventually(lambda: len(listener.heard) == 1, 30)
        listener.relay.stop()
        await running


class TestPace:
    """A transaction for each event that trickles in would take the database from those who pay."""

    @pytest.mark.parametrize(
        "passed, rounds, least, most", [(0, 5, 0.125, 0.35), (1, 12, 0.035, 0.1), (RELAY_SIZE, 100, 0, 0.005)]
    )
    async def test_rounds_are_as_full_as_events_come(
        self, private: Service, passed: int, rounds: int, least: float, most: float
    ) -> None:
        """What else runs on this machine can make pauses longer, never shorter: the shortest says how long they are."""
        began, stopping = list[float](), asyncio.Event()

        async def advance() -> int:
            began.append(time.monotonic())
            await asyncio.sleep(0)
            return passed

        following = asyncio.create_task(follow(private.app, stopping, "test.pace", advance))
        await eventually(lambda: len(began) > rounds, 30)
        stopping.set()
        await following
        pauses = [after - before for before, after in pairwise(began)]
        assert least <= min(pauses) < most


class TestHorizon:
    async def test_nothing_is_read_above_a_running_transaction(self, private: Service) -> None:
        listener = Listener(private)
        await listener.start()
        early, late = ids.new(private.clock.now()), ids.new(private.clock.now())
        async with private.connection() as slow:
            transaction = slow.transaction()
            await transaction.start()
            tx = LiveTx(slow, now=private.clock.now(), origin=events.Origin("x", ""))
            events.emit(tx, stream=early, version=1, event_type="test.happened", about=early, data={})
            await tx.flush()
            await emit(private, late, 1)
            for _ in range(3):
                await listener.catch_up()
            assert listener.heard == []
            await transaction.commit()

        await eventually(lambda: listener.has_heard(2))
        assert listener.heard == [(early, 1), (late, 1)]

    async def test_the_timeline_shows_at_once_what_was_committed(self, private: Service) -> None:
        stream = ids.new(private.clock.now())
        await emit(private, stream, 1)
        assert [event.version for event in await events.of_timeline(private.app.database, stream, limit=5)] == [1]


class TestAppendOnly:
    @pytest.mark.parametrize("table", ["events", "audit", "journals", "postings", "seals"])
    @pytest.mark.parametrize("sql", ["update {} set tx = tx", "delete from {}", "truncate {} cascade"])
    async def test_not_even_the_owner_changes_it(self, private: Service, table: str, sql: str) -> None:
        import asyncpg

        payment = await private.api.as_("service").authorized()
        assert (await private.api.as_("service").capture(payment["id"])).status_code == 200
        column = {"postings": "line = line", "seals": "number = number"}.get(table, "tx = tx")
        with pytest.raises(asyncpg.RestrictViolationError):
            await private.fetch(sql.format(table).replace("tx = tx", column))


class Receiver:
    """An HTTP server that keeps what it is posted, and breaks as told."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.types: set[str] = set()
        self.faults: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                body = await reader.readexactly(int(head["content-length"]))
                fault = self.faults.pop(0) if self.faults else ""
                if fault == "hang up before":
                    return
                if fault != "refuse":
                    self.types.add(head["content-type"])
                    self.batches.append(msgspec.json.decode(body))
                if fault == "hang up after":
                    return
                status = "503 Busy" if fault == "refuse" else "204 No Content"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        finally:
            writer.close()

    def versions(self, stream: str) -> list[int]:
        return [event["sequence"] for batch in self.batches for event in batch if event["subject"] == stream]


async def _head(reader: asyncio.StreamReader) -> dict[str, str]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return {}
    return dict(line.split(": ", 1) for line in lines[1:] if line)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    async with server:
        yield receiver


class TestSink:
    async def test_posts_everything_in_order_through_failures(self, private: Service, receiver: Receiver) -> None:
        receiver.faults = ["refuse", "", "hang up before", "hang up after", "refuse", ""]
        posting = Sink(private.app, receiver.url)
        running = asyncio.create_task(posting.run())
        stream = ids.new(private.clock.now())
        for version in range(1, 13):
            await emit(private, stream, version)
            await asyncio.sleep(0.02)

        await eventually(lambda: set(receiver.versions(stream)) == set(range(1, 13)), 60)
        posting.stop()
        await running

        heard = receiver.versions(stream)
        assert list(dict.fromkeys(heard)) == list(range(1, 13))
        assert receiver.types == {"application/cloudevents-batch+json"}
        event = receiver.batches[0][0]
        assert event["specversion"] == "1.0" and event["type"] == "test.happened" and event["data"] == {"n": 1}

    async def test_posts_once_where_two_workers_run(self, private: Service, receiver: Receiver) -> None:
        sinks = [Sink(private.app, receiver.url) for _ in range(2)]
        running = [asyncio.create_task(posting.run()) for posting in sinks]
        stream = ids.new(private.clock.now())
        for version in range(1, 11):
            await emit(private, stream, version)
        await eventually(lambda: len(receiver.versions(stream)) >= 10, 30)
        for posting in sinks:
            posting.stop()
        await asyncio.gather(*running)
        assert receiver.versions(stream) == list(range(1, 11))

    async def test_goes_on_where_another_left_off(self, private: Service, receiver: Receiver) -> None:
        stream = ids.new(private.clock.now())
        await private.app.database.execute("insert into event_cursors (consumer) values ($1)", sink.NAME)
        posting = Sink(private.app, receiver.url)
        for version in (1, 2, 3):
            await emit(private, stream, version)

            async def is_posted(version: int = version) -> bool:
                await posting.advance()
                return version in receiver.versions(stream)

            await eventually(is_posted)
        assert receiver.versions(stream) == [1, 2, 3]
        await posting._client.aclose()
