"""The bus: a real nats-server, which dies and comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.errors import Error

from bursar import wiring
from bursar.infra import events
from bursar.infra.bus import Inbound, Message, publish
from bursar.infra.bus.connection import Bus
from bursar.infra.bus.listen import TRIES_MAX
from bursar.kit import ids
from tests.support.api import json_of, unique
from tests.support.nats import NatsServer, is_drained, is_listening, nats_server
from tests.support.service import Service, eventually

STREAM = "BURSAR"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with nats_server(tmp_path / "nats") as started:
        yield started


@asynccontextmanager
async def joined(service: Service, server: Any, inbound: Inbound = wiring.INBOUND) -> AsyncIterator[Bus]:
    bus = Bus(service.app, server.url, STREAM, inbound)
    running = asyncio.create_task(bus.run())
    try:
        yield bus
    finally:
        bus.stop()
        await running


async def emit(service: Service, stream: str, version: int) -> None:
    async with service.app.database.transaction(now=service.clock.now()) as tx:
        events.emit(tx, stream=stream, version=version, event_type="test.happened", about=stream, data={"n": version})


async def emit_many(service: Service, streams: list[str], versions: range) -> None:
    for version in versions:
        await asyncio.gather(*(emit(service, stream, version) for stream in streams))


def has(server: NatsServer, count: int) -> Callable[[], Awaitable[bool]]:
    async def is_there() -> bool:
        try:
            return await server.last_sequence() >= count
        except Error:  # it begins just now
            return False

    return is_there


async def everything(service: Service) -> list[str]:
    """The ids of all events, in the order that consumers see."""
    return [row["id"] for row in await service.fetch("select id from events order by tx, position")]


def sent(messages: list[Any]) -> list[str]:
    return [headers["Nats-Msg-Id"] for _, headers, _ in messages]


def streams_of(service: Service, count: int) -> list[str]:
    return [ids.new(service.clock.now()) for _ in range(count)]


class TestOut:
    async def test_each_event_is_one_message_under_its_type(self, private: Service, server: NatsServer) -> None:
        api = private.api.as_("service")
        payment = await api.authorized()
        async with joined(private, server):
            await eventually(has(server, 4), 60)

        messages = await server.stored()
        assert sent(messages) == await everything(private)
        subject, headers, document = next(m for m in messages if m[2]["type"] == "payment.authorized")
        assert subject == "bursar.payment.authorized"
        assert headers["Content-Type"] == "application/cloudevents+json"
        shown = json_of(await api.get(f"/api/v1/events/{document['id']}"), 200)
        assert document == shown and document["subject"] == payment["id"]

    async def test_a_missing_stream_is_made_and_kept_on_disk(self, private: Service, server: NatsServer) -> None:
        await emit(private, ids.new(private.clock.now()), 1)
        async with joined(private, server):
            await eventually(has(server, 1), 60)
        async with server.jetstream() as jetstream:
            config = (await jetstream.stream_info(STREAM)).config
        assert (config.storage, config.subjects) == ("file", ["bursar.>"])
        assert config.max_age == publish.KEPT_SECONDS and config.max_msgs == publish.KEPT_MAX
        assert config.duplicate_window == publish.DUPLICATE_WINDOW_SECONDS

    async def test_a_stream_of_the_operator_stays_as_it_is(self, private: Service, server: NatsServer) -> None:
        async with server.jetstream() as jetstream:
            await jetstream.add_stream(name=STREAM, subjects=["bursar.>"], max_msgs=77)
        await emit(private, ids.new(private.clock.now()), 1)
        async with joined(private, server):
            await eventually(has(server, 1), 60)
        async with server.jetstream() as jetstream:
            assert (await jetstream.stream_info(STREAM)).config.max_msgs == 77

    async def test_the_server_dies_and_nothing_is_lost_or_out_of_order(
        self, private: Service, server: NatsServer
    ) -> None:
        streams = streams_of(private, 5)
        async with joined(private, server):
            await emit_many(private, streams, range(1, 21))
            await eventually(has(server, 60), 60)
            server.kill()
            await emit_many(private, streams, range(21, 61))
            await asyncio.sleep(1)
            server.start()
            await emit_many(private, streams, range(61, 81))
            server.kill()
            server.start()
            await eventually(has(server, 400), 90)

        assert sent(await server.stored()) == await everything(private)

    async def test_begins_when_the_server_comes(self, private: Service, server: NatsServer) -> None:
        server.kill()
        await emit(private, ids.new(private.clock.now()), 1)
        async with joined(private, server):
            sql = "select failures, lease_until from event_cursors where consumer = 'nats'"

            async def has_begun() -> bool:
                return bool(await private.fetch(sql))

            await eventually(has_begun)
            await asyncio.sleep(0.5)
            assert [tuple(row) for row in await private.fetch(sql)] == [(0, None)]
            server.start()
            await eventually(has(server, 1), 60)

    async def test_killed_between_publishing_and_the_cursor_repeats_nothing(
        self, private: Service, server: NatsServer
    ) -> None:
        await emit_many(private, streams_of(private, 3), range(1, 11))
        async with joined(private, server):
            await eventually(has(server, 30), 60)
        await emit_many(private, streams_of(private, 3), range(1, 6))
        await private.fetch("update event_cursors set tx = '0', position = 0 where consumer = 'nats'")

        async with joined(private, server):
            await eventually(has(server, 45), 60)
            await eventually(lambda: moved(private), 60)
        assert sent(await server.stored()) == await everything(private)

    async def test_nor_does_it_after_the_duplicate_window(
        self, private: Service, server: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(publish, "DUPLICATE_WINDOW_SECONDS", 0.1)
        await emit_many(private, streams_of(private, 3), range(1, 6))
        async with joined(private, server):
            await eventually(has(server, 15), 60)
        await private.fetch("update event_cursors set tx = '0', position = 0 where consumer = 'nats'")
        await emit_many(private, streams_of(private, 1), range(1, 6))
        await asyncio.sleep(0.3)
        server.kill()
        server.start()

        async with joined(private, server):
            await eventually(has(server, 20), 60)
            await eventually(lambda: moved(private), 60)
        assert sent(await server.stored()) == await everything(private)

    async def test_two_workers_publish_each_once(self, private: Service, server: NatsServer) -> None:
        streams = streams_of(private, 3)
        async with joined(private, server), joined(private, server):
            await emit_many(private, streams, range(1, 41))
            await eventually(has(server, 120), 60)
        assert sent(await server.stored()) == await everything(private)

    async def test_a_worker_that_slept_through_its_lease_changes_nothing(
        self, private: Service, server: NatsServer
    ) -> None:
        """Both hold what they believe to be a lease, and send at the same time, again and again."""
        streams = streams_of(private, 4)
        async with joined(private, server) as one, joined(private, server) as other:
            for first in range(1, 81, 20):
                await emit_many(private, streams, range(first, first + 20))
                await private.fetch("update event_cursors set lease_until = null where consumer = 'nats'")
                together = (one.publisher.advance(), other.publisher.advance())
                await asyncio.gather(*together, return_exceptions=True)
            await eventually(has(server, 320), 60)
            await eventually(lambda: moved(private), 60)
        assert sent(await server.stored()) == await everything(private)

    async def test_a_cursor_is_moved_only_from_where_it_was_read(self, private: Service, server: NatsServer) -> None:
        async with joined(private, server):
            await emit(private, ids.new(private.clock.now()), 1)
            await eventually(has(server, 1), 60)
            await eventually(lambda: moved(private), 60)
        rows = await private.fetch("select tx, position from event_cursors where consumer = 'nats'")
        late = (publish.NAME, 1, 1, 0, 0)
        assert await private.app.database.execute(events.MOVE_FROM, *late) == "UPDATE 0"
        assert rows == await private.fetch("select tx, position from event_cursors where consumer = 'nats'")


async def moved(service: Service) -> bool:
    """Whether the cursor is behind the last event."""
    rows = await service.fetch(
        """select c.tx > (select max(tx) from events) from event_cursors c where consumer = 'nats'"""
    )
    return bool(rows and rows[0][0])


def cloud_event(event_type: str, data: Any, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": unique("bus"),
        "source": "/platform/orders",
        "type": event_type,
        "data": data,
        **changes,
    }


async def rows_of(service: Service, event_id: str) -> list[Any]:
    return await service.fetch("select * from integration_events where event_id = $1", event_id)


class TestIn:
    async def send(self, server: NatsServer, document: Any, headers: dict[str, str] | None = None) -> int:
        body = document if isinstance(document, bytes) else msgspec.json.encode(document)
        async with server.jetstream() as jetstream:
            return (await jetstream.publish("platform.orders", body, headers=headers)).seq

    async def test_does_what_a_post_does(self, private: Service, server: NatsServer) -> None:
        order = unique("order")
        payment = await private.api.as_("service").authorized(orderId=order)
        document = cloud_event("order.cancelled", {"orderId": order})
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
            await self.send(server, document)
            await self.send(server, document)
            await eventually(lambda: is_drained(server), 60)
        again = await private.api.as_("service").call("POST", "/api/v1/integration-events", document)
        assert json_of(again, 200)["eventId"] == document["id"]

        await private.run_jobs()
        assert [row["status"] for row in await rows_of(private, document["id"])] == ["PROCESSED"]
        assert (await private.api.as_("service").show(payment["id"]))["status"] == "CANCELLED"

    async def test_what_came_meanwhile_is_taken_in(self, private: Service, server: NatsServer) -> None:
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
        document = cloud_event("order.delivered", {"orderId": unique("order")})
        await self.send(server, document)
        server.kill()
        server.start()
        async with joined(private, server):
            await eventually(lambda: self.is_kept(private, document["id"]), 60)

    async def is_kept(self, service: Service, event_id: str) -> bool:
        return bool(await rows_of(service, event_id))

    async def test_binary_mode_is_read(self, private: Service, server: NatsServer) -> None:
        event_id = unique("bus")
        headers = {
            "ce-specversion": "1.0",
            "ce-id": event_id,
            "ce-source": "/platform/%6Frders",
            "ce-type": "order.delivered",
        }
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
            await self.send(server, {"orderId": "o-1"}, headers)
            await eventually(lambda: self.is_kept(private, event_id))
        row = (await rows_of(private, event_id))[0]
        assert (row["source"], row["data"]) == ("/platform/orders", {"orderId": "o-1"})

    async def test_poison_is_kept_as_failed_and_delays_nobody(self, private: Service, server: NatsServer) -> None:
        sound = cloud_event("order.delivered", {"orderId": "o-1"})
        async with joined(private, server):
            await eventually(lambda: is_listening(server), 60)
            poison = [
                await self.send(server, content)
                for content in (
                    b"\xff\xfe no JSON, Ada Byron",
                    b"[]",
                    {"specversion": "1.0", "id": "x", "name": "Ada Byron"},
                    cloud_event("order.cancelled", {"name": "Ada Byron"}),
                )
            ]
            await self.send(server, sound)
            await eventually(lambda: self.is_kept(private, sound["id"]))
            await eventually(lambda: is_drained(server), 60)

        rows = await private.fetch("select * from integration_events where source = 'nats:PLATFORM'")
        assert {row["event_id"] for row in rows} == {str(place) for place in poison}
        assert {(row["status"], row["type"], str(row["data"])) for row in rows} == {("FAILED", "unreadable", "{}")}
        assert not any("Ada" in str(row) for row in rows)
        assert "data.orderId: missing" in {row["last_error"] for row in rows}

    async def test_is_acknowledged_after_the_commit_alone(self, private: Service, server: NatsServer) -> None:
        taken: list[int] = []

        async def take(app: Any, message: Message) -> None:
            taken.append(message.tries)
            if len(taken) == 1:
                raise ConnectionResetError("the database went away")
            await wiring.INBOUND.take(app, message)

        document = cloud_event("order.delivered", {"orderId": "o-1"})
        async with joined(private, server, Inbound(take, wiring.INBOUND.refuse)):
            await eventually(lambda: is_listening(server), 60)
            await self.send(server, document)
            await eventually(lambda: self.is_kept(private, document["id"]), 60)
            await eventually(lambda: is_drained(server), 60)
        assert len(taken) == 2  # which try it is, nats-server 2.9 now and then counts anew

    async def test_is_given_up_after_so_many_tries(
        self, private: Service, server: NatsServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        taken: list[int] = []

        async def take(_: Any, message: Message) -> None:
            taken.append(message.tries)
            raise LookupError("Ada Byron")

        monkeypatch.setattr("bursar.infra.bus.listen.BACKOFF_MAX_SECONDS", 0.01)
        async with joined(private, server, Inbound(take, wiring.INBOUND.refuse)):
            await eventually(lambda: is_listening(server), 60)
            place = await self.send(server, cloud_event("order.delivered", {"orderId": "o-1"}))
            await eventually(lambda: self.is_kept(private, str(place)), 60)
            await eventually(lambda: is_drained(server), 60)
        assert taken[-TRIES_MAX:] == list(range(1, TRIES_MAX + 1))  # it now and then counts anew, as above
        row = (await rows_of(private, str(place)))[0]
        assert (row["status"], row["attempts"], row["last_error"]) == ("FAILED", TRIES_MAX, "LookupError")
