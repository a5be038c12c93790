"""Everything that happened, as it is listed."""

import json
from datetime import timedelta
from typing import Any

import pytest

from bursar.infra import events, history
from bursar.infra.history import Wanted
from bursar.kit import ids
from tests.support.api import CORE, Api, fields_of, json_of, problem_of
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")
EVENTS = "/api/v1/events"
BLOCKS_MAX = 450
FILL = """
insert into events (id, stream, version, type, about, data, occurred_at)
select ('019b7966-' || lpad(to_hex(n / 4096), 4, '0') || '-7' || lpad(to_hex(n % 4096), 3, '0')
           || '-8000-000000000000')::uuid,
       gen_random_uuid(), 1, case when n % 20000 = 7 then 'test.rare' else 'test.type_' || chr(97 + n % 20) end,
       gen_random_uuid(), '{}', now()
from generate_series(1, 60000) n
"""
"""A table of a thousand pages."""


async def pages(api: Api, **params: Any) -> list[dict[str, Any]]:
    """All pages of a list, one after another."""
    found, cursor = [], None
    while True:
        page = json_of(await api.get(EVENTS, **params, **({"cursor": cursor} if cursor else {})), 200)
        found += page["data"]
        cursor = page["nextCursor"]
        assert page["hasMore"] is (cursor is not None)
        if cursor is None:
            return found


async def captured(api: Api) -> dict[str, Any]:
    payment = await api.authorized()
    json_of(await api.capture(payment["id"]), 200)
    return payment


class TestEvents:
    async def test_of_one_object_in_the_order_of_its_versions(self, api: Api) -> None:
        payment = await captured(api)
        found = await pages(api, subject=payment["id"], limit=2)
        assert [event["sequence"] for event in found] == [5, 4, 3, 2, 1]
        assert [event["type"] for event in found][::4] == ["payment.captured", "payment.created"]
        assert {event["subject"] for event in found} == {payment["id"]}

    async def test_a_timeline_has_what_belongs_to_the_object(self, api: Api) -> None:
        payment = await captured(api)
        found = await pages(api, about=payment["id"], limit=1)
        shown = json_of(await api.get(f"{CORE}/{payment['id']}/timeline"), 200)["data"]
        assert [event["id"] for event in found] == [event["id"] for event in reversed(shown)]
        assert "fraud_check.completed" in {event["type"] for event in found}
        assert await pages(api, about=payment["id"], type="fraud_check.*") == [
            event for event in found if event["type"].startswith("fraud_check.")
        ]
        assert [event["type"] for event in await pages(api, subject=payment["id"], type="payment.captured")] == [
            "payment.captured"
        ]

    async def test_one_by_its_id(self, api: Api) -> None:
        payment = await captured(api)
        event = (await pages(api, subject=payment["id"], type="payment.captured"))[0]
        shown = json_of(await api.get(f"{EVENTS}/{event['id']}"), 200)
        assert shown == event
        assert (shown["specversion"], shown["source"], shown["data"]["status"]) == ("1.0", "/bursar", "CAPTURED")
        problem_of(await api.get(f"{EVENTS}/019b7966-e200-7000-8000-0000000000e1"), 404, "not_found")
        problem_of(await api.get(f"{EVENTS}/nothing"), 404, "not_found")

    async def test_all_newest_first_and_by_type_and_time(self, private: Service) -> None:
        api = private.api.as_("service")
        start = private.clock.now()
        early = await captured(api)
        private.clock.advance(hours=1)
        between = private.clock.now()
        private.clock.advance(hours=1)
        late = await captured(api)

        found = await pages(api, limit=3)
        assert [event["id"] for event in found] == sorted((event["id"] for event in found), reverse=True)
        rows = await private.fetch("select id from events")
        assert {event["id"] for event in found} == {row["id"] for row in rows}

        kinds = {event["type"].partition(".")[0] for event in await pages(api, type="payment.*", limit=3)}
        assert kinds == {"payment"}
        only = await pages(api, type="payment.captured", limit=1)
        assert [event["subject"] for event in only] == [late["id"], early["id"]]
        assert await pages(api, type="payment.vanished") == [] == await pages(api, type="pay.*")

        moment = between.isoformat()
        assert [e["subject"] for e in await pages(api, type="payment.*", createdTo=moment, limit=3)] == [
            early["id"]
        ] * 5
        assert {e["subject"] for e in await pages(api, type="payment.captured", createdFrom=moment)} == {late["id"]}
        assert await pages(api, createdTo=(start - timedelta(days=1)).isoformat()) == []
        assert await pages(api, about=early["id"], createdFrom=moment) == []

    @pytest.mark.parametrize("role", ["service", "finance", "admin", "support", "risk"])
    async def test_staff_reads(self, service: Service, role: str) -> None:
        json_of(await service.api.as_(role).get(EVENTS, limit=1), 200)

    @pytest.mark.parametrize("role", ["customer", "vendor"])
    async def test_nobody_else_does(self, service: Service, role: str) -> None:
        caller = service.api.as_(role, customer_id="c-1")
        problem_of(await caller.get(EVENTS), 403, "forbidden")
        problem_of(await caller.get(f"{EVENTS}/019b7966-e200-7000-8000-0000000000e1"), 403, "forbidden")

    async def test_names_every_fault(self, api: Api) -> None:
        faults = fields_of(await api.get(EVENTS, subject="x", about="y", type="payment", limit=0, colour="red"))
        assert faults == {"subject", "about", "type", "limit", "colour"}
        assert fields_of(await api.get(EVENTS, type="*.captured")) == {"type"}
        assert fields_of(await api.get(EVENTS, cursor="%%")) == {"cursor"}

    @pytest.mark.parametrize("event_type", [None, "test.rare", "test.type_*"])
    @pytest.mark.parametrize("is_at_the_far_end", [False, True])
    async def test_what_a_page_reads_does_not_grow_with_the_table(
        self, private: Service, event_type: str | None, is_at_the_far_end: bool
    ) -> None:
        await private.fetch(FILL)
        await private.fetch("vacuum analyze events")
        edge = (await private.fetch("select id::text from events order by id offset 10 limit 1"))[0][0]
        wanted = Wanted(lowest=ids.FIRST, highest=edge if is_at_the_far_end else ids.LAST, event_type=event_type)
        args: list[Any] = []
        sql = history._of_all(wanted, args, [], 21)
        plan = (await private.fetch(f"explain (analyze, buffers, format json) {sql}", *args))[0][0]
        top = json.loads(plan)[0]["Plan"]
        assert top["Shared Hit Blocks"] + top["Shared Read Blocks"] < BLOCKS_MAX
        assert len(await history.listed(private.app.database, wanted, limit=21)) == top["Actual Rows"]

    async def test_events_of_one_transaction_keep_their_order(self, private: Service) -> None:
        stream = ids.new(private.clock.now())
        async with private.app.database.transaction(now=private.clock.now()) as tx:
            for version in (1, 2, 3):
                events.emit(tx, stream=stream, version=version, event_type="test.happened", about=stream, data={})
        found = await pages(private.api.as_("service"), subject=stream, limit=1)
        assert [event["sequence"] for event in found] == [3, 2, 1]
