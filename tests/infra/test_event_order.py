"""Events of one stream come in the order of its versions, however transactions overlap."""

import msgspec
import pytest

from bursar import wiring
from bursar.domains.payments import store
from bursar.domains.payments.change import emit
from bursar.infra.commands import Command, run_alone
from bursar.infra.db import SYSTEM, LiveTx, Tx
from bursar.infra.events import Consumer, Event, Relay
from bursar.kit.errors import RowBusy
from tests.support.api import CORE, json_of
from tests.support.service import Service, eventually


async def versions_of(service: Service, stream: str) -> list[int]:
    """The versions of a stream in the order that consumers see."""
    rows = await service.fetch("select version from events where stream = $1 order by tx, position", stream)
    return [row[0] for row in rows]


class TestReactions:
    async def test_do_not_overtake_what_was_committed_since_they_began(self, private: Service) -> None:
        """A reaction's transaction has its number from when it took its cursor."""
        api = private.api.as_("service")
        (reviewed,) = wiring.CONSUMERS
        payment = await api.create_payment(amount=5_000_000)
        assert payment["status"] == "IN_REVIEW"
        path = f"/api/v1/fraud-checks/{payment['fraudCheckId']}/review"
        body = {"decision": "APPROVE", "notes": "known to us"}
        json_of(await private.api.as_("risk").call("PUT", path, body), 200)
        descriptions = ["meanwhile"]

        async def react(tx: LiveTx, event: Event) -> None:
            if descriptions:
                change = {"description": descriptions.pop()}
                json_of(await api.call("PATCH", f"{CORE}/{payment['id']}", change), 200)
            await reviewed.react(tx, event)

        consumer = Consumer("test.order", reviewed.types, react)
        relay = Relay(private.app, [consumer])
        await private.app.database.execute("insert into event_cursors (consumer) values ($1)", consumer.name)

        async def has_seen_it() -> bool:
            return await relay.advance(consumer) > 0  # other tests' transactions may hide it for a while

        with pytest.raises(RowBusy):
            await eventually(has_seen_it, 60)

        async def has_reacted() -> bool:
            await relay.advance(consumer)
            return bool((await api.show(payment["id"]))["status"] != "IN_REVIEW")

        await eventually(has_reacted, 60)
        assert await versions_of(private, payment["id"]) == [1, 2, 3, 4]


class TestCommands:
    async def test_that_run_alone_do_not_either(self, private: Service) -> None:
        """The second row that one locks has changed since its first lock."""
        api = private.api.as_("service")
        first, second = await api.create_payment(), await api.create_payment()
        descriptions = ["meanwhile"]

        async def decide(tx: Tx) -> None:
            await store.lock(tx, first["id"])
            if descriptions:
                change = {"description": descriptions.pop()}
                json_of(await api.call("PATCH", f"{CORE}/{second['id']}", change), 200)
            row = await store.lock(tx, second["id"])
            after = msgspec.structs.replace(row, version=row.version + 1, description="by the one that went alone")
            tx.update(store.TABLE, after, was=row.version)
            emit(tx, after, "payment.updated", ("description",))

        await run_alone(private.app.database, Command("test", "test", decide, SYSTEM), private.clock)
        assert await versions_of(private, second["id"]) == [1, 2, 3]
