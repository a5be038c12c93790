"""What a provider has told and what never reached us is found in its log of events; bodies are forgotten in time."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bursar.domains.webhooks import missed
from bursar.infra.db import Database
from simulators.kit.faults import Kind
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.disputes import DISPUTES
from tests.support.paypal import paypal_shop
from tests.support.refunds import REFUNDS
from tests.support.service import Service
from tests.support.stripe import Shop, shop
from tests.support.webhooks import HOOKS, Postman, read_logs, stripe_event, unknown_intent

LOGS = "select provider, read_until from provider_event_logs"


async def begun(service: Service) -> None:
    """From now on the logs are read."""
    await service.run_schedule("webhooks.missed")
    assert await service.fetch("select id from jobs where kind = 'webhook.fetch' and status = 'READY'") == []


async def disputed(at: Shop) -> dict[str, Any]:
    """A payment whose customer disputes it at once, of which no webhook tells."""
    return await at.captured("4000000000000259")


async def disputes_of(at: Shop, payment: dict[str, Any]) -> list[Any]:
    return list(json_of(await at.service.api.as_("risk").get(f"{DISPUTES}/payment/{payment['id']}"), 200)["data"])


class TestStripe:
    async def test_a_refund_and_a_dispute_are_learnt_though_no_webhook_came(self, serve: Serve) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            payment, quarrel = await at.captured(), await disputed(at)
            made = await at.in_dashboard("refunds", payment_intent=payment["transactionId"], amount="300")
            assert await at.service.fetch("select id from webhooks") == []
            await read_logs(at.service)
            (row,) = await at.service.fetch("select id from refunds where payment_id = $1", payment["id"])
            refund = json_of(await at.api.get(f"{REFUNDS}/{row['id']}"), 200)
            assert (refund["status"], refund["amount"], refund["providerReference"]) == ("COMPLETED", 300, made["id"])
            assert [each["status"] for each in await disputes_of(at, quarrel)] == ["NEEDS_RESPONSE"]
            rows = await at.service.fetch("select event_type, status::text from webhooks where status <> 'IGNORED'")
            assert {row["status"] for row in rows} == {"PROCESSED"}, rows
            actors = await at.service.fetch("select distinct actor from audit where action = 'webhook.receive'")
            assert [row["actor"] for row in actors] == ["webhook-log:stripe"]

    async def test_what_has_come_is_not_taken_again(self, serve: Serve) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            at.listen()
            await at.in_dashboard("refunds", payment_intent=(await at.captured())["transactionId"], amount="300")
            await at.hear()
            before = await at.service.row_counts()
            await read_logs(at.service)
            after = await at.service.row_counts()
            assert {name for name in after if after[name] != before[name]} <= {"jobs"}

    async def test_nothing_is_taken_twice_when_a_log_is_read_again(self, serve: Serve) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            quarrel = await disputed(at)
            await read_logs(at.service)
            count = (await at.service.row_counts())["webhooks"]
            await at.service.fetch("update provider_event_logs set read_until = read_until - interval '1 hour'")
            await read_logs(at.service)
            assert (await at.service.row_counts())["webhooks"] == count > 0
            assert len(await disputes_of(at, quarrel)) == 1

    async def test_what_nobody_handles_is_left_there(self, serve: Serve) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            at.simulator.provider.world.event("customer.created", {"id": "cus_1", "object": "customer"})
            await read_logs(at.service)
            assert await at.service.fetch("select id from webhooks") == []

    async def test_a_log_of_many_pages_and_hours_is_read_to_its_end(self, serve: Serve) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            (before,) = await at.service.fetch(LOGS)
            for number in range(130):
                held = {"id": f"re_{number}", "object": "refund", "payment_intent": "pi_unknown"}
                at.simulator.provider.world.event("refund.created", held)
            await read_logs(at.service, minutes=600)
            (after,) = await at.service.fetch(LOGS)
            assert after["read_until"] - before["read_until"] >= timedelta(minutes=594)
            rows = await at.service.fetch("select event_id from webhooks")
            assert len({row["event_id"] for row in rows}) == 130

    @pytest.mark.parametrize("fault", [Kind.GARBAGE, Kind.RESET, Kind.TOO_MANY_REQUESTS])
    async def test_a_log_that_cannot_be_had_is_read_later(self, serve: Serve, fault: Kind) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            quarrel = await disputed(at)
            (before,) = await at.service.fetch(LOGS)
            at.faults.plan(fault, on="GET /v1/events", times=1)
            await read_logs(at.service)
            assert await at.service.fetch(LOGS) == [before] and await disputes_of(at, quarrel) == []
            await read_logs(at.service)
            assert len(await disputes_of(at, quarrel)) == 1

    async def test_an_interrupted_reading_goes_on(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some are taken in, and how far was read is not noted."""
        async with shop(serve) as at:
            await begun(at.service)
            quarrel = await disputed(at)

            async def die(*args: Any) -> None:
                raise ConnectionResetError("now")

            with monkeypatch.context() as patch:
                patch.setattr(missed.store, "note_log_read", die)
                await read_logs(at.service)
            await read_logs(at.service)
            assert len(await disputes_of(at, quarrel)) == 1
            rows = await at.service.fetch("select count(*) as n from webhooks group by event_id")
            assert {row["n"] for row in rows} == {1}

    async def test_a_reading_that_broke_for_long_goes_on(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        async with shop(serve) as at:
            await begun(at.service)
            quarrel = await disputed(at)

            async def break_(*args: Any) -> None:
                raise RuntimeError("whatever it is")

            with monkeypatch.context() as patch:
                patch.setattr(missed.store, "known_events", break_)
                for _ in range(25):
                    await read_logs(at.service)
            await read_logs(at.service)
            assert len(await disputes_of(at, quarrel)) == 1

    async def test_is_looked_at_no_more_often_than_is_set(self, serve: Serve) -> None:
        async with shop(serve, webhook_fetch_minutes=60) as at:
            await begun(at.service)
            before = await at.service.fetch(LOGS)
            await read_logs(at.service, minutes=64)
            assert await at.service.fetch(LOGS) == before
            await read_logs(at.service, minutes=2)
            assert await at.service.fetch(LOGS) != before

    async def test_is_not_looked_at_where_that_is_switched_off(self, serve: Serve) -> None:
        async with shop(serve, webhook_fetch_minutes=0) as at:
            await begun(at.service)
            await read_logs(at.service, minutes=600)
            assert await at.service.fetch(LOGS) == []


class TestPayPal:
    async def test_a_refund_is_learnt_though_no_webhook_came(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            at.there.webhooks.url = None
            await begun(at.service)
            payment = await at.captured()
            await at.there_is("refunds", capture_id=at.capture_id(payment), amount=300)
            await read_logs(at.service)
            (row,) = await at.service.fetch("select id from refunds where payment_id = $1", payment["id"])
            refund = json_of(await at.api.get(f"{REFUNDS}/{row['id']}"), 200)
            assert (refund["status"], refund["amount"]) == ("COMPLETED", 300)

    async def test_a_log_that_has_forgotten_where_it_was_read_is_read_on(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            at.there.webhooks.url = None
            await begun(at.service)
            at.service.clock.advance(days=40)
            at.there.clock.advance(40 * 86_400)
            payment = await at.captured()
            await at.there_is("refunds", capture_id=at.capture_id(payment), amount=300)
            now = at.service.clock.now()
            await read_logs(at.service)
            (read,) = await at.service.fetch(LOGS)
            assert read["read_until"] > now
            (row,) = await at.service.fetch("select status from refunds where payment_id = $1", payment["id"])
            assert row["status"] == "COMPLETED"

    async def test_an_entry_that_is_no_event_keeps_nothing_back(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            at.there.webhooks.url = None
            await begun(at.service)
            payment = await at.captured()
            await at.there_is("refunds", capture_id=at.capture_id(payment), amount=300)
            at.there.webhooks.events.append({"create_time": at.there.webhooks.events[-1]["create_time"], "id": 5})
            await read_logs(at.service)
            assert len(await at.service.fetch("select id from refunds where payment_id = $1", payment["id"])) == 1

    async def test_a_log_of_long_events_is_read_to_its_end(self, serve: Serve, tmp_path: Path) -> None:
        async with paypal_shop(serve, tmp_path) as at:
            at.there.webhooks.url = None
            await begun(at.service)
            for number in range(110):
                resource = {"id": f"R-{number}", "note": "x" * 12_000}
                at.there.orders.desk.emit("PAYMENT.REFUND.PENDING", "refund", resource, "A long one")
            await read_logs(at.service)
            assert len(await at.service.fetch("select id from webhooks")) == 110


class TestBodies:
    async def test_are_forgotten_with_their_keys_after_a_time(self, private: Service) -> None:
        postman = Postman(private)
        old = await postman.brought(stripe_event("refund.created", {"id": "re_1", "object": "refund"}))
        private.clock.advance(days=20)
        young = await postman.brought(stripe_event("refund.created", {"id": "re_2", "object": "refund"}))
        private.clock.advance(days=11)
        await private.run_schedule("webhooks.forget_bodies")
        rows = await private.fetch("select id, body_ciphertext is null as b, wrapped_key is null as k from webhooks")
        assert {str(row["id"]): (row["b"], row["k"]) for row in rows} == {
            old["id"]: (True, True),
            young["id"]: (False, False),
        }

    async def test_are_not_needed_to_process_anew(self, private: Service) -> None:
        postman = Postman(private)
        unknown = unknown_intent()
        webhook = await postman.brought(stripe_event("payment_intent.succeeded", unknown))
        await postman.run(minutes=600, times=14)
        assert (await postman.show(webhook["id"]))["status"] == "DEAD_LETTER"
        private.clock.advance(days=31)
        await private.run_schedule("webhooks.forget_bodies")
        shown = json_of(await private.api.as_("admin").call("POST", f"{HOOKS}/{webhook['id']}/retry", {}), 202)
        assert shown["status"] == "RECEIVED"
        await postman.run()
        assert (await postman.show(webhook["id"]))["status"] == "FAILED"

    async def test_many_are_forgotten_in_bites(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        postman = Postman(private)
        for number in range(7):
            await postman.brought(stripe_event("refund.created", {"id": f"re_{number}", "object": "refund"}))
        private.clock.advance(days=31)
        database: Database = private.app.database
        assert await missed.store.forget_bodies(database, before=private.clock.now(), limit=3) == 3
        await private.run_schedule("webhooks.forget_bodies")
        assert await private.fetch("select id from webhooks where body_ciphertext is not null") == []
