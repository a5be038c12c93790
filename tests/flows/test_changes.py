"""Description and metadata, versions and ETags, the timeline."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from bursar.cli.replay import replay
from bursar.domains.payments.model import Status
from tests.support.api import CORE, Api, fields_of, json_of, problem_of
from tests.support.drive import drive
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


async def patch(api: Api, payment_id: str, body: object, **options: object) -> httpx.Response:
    return await api.call("PATCH", f"{CORE}/{payment_id}", body, **options)


class TestPatch:
    async def test_changes_only_what_is_sent(self, api: Api) -> None:
        payment = await api.create_payment(description="old", metadata={"a": "1", "b": "2"})

        merged = json_of(await patch(api, payment["id"], {"metadata": {"b": None, "c": "3"}}), 200)
        assert (merged["metadata"], merged["description"]) == ({"a": "1", "c": "3"}, "old")

        bare = json_of(await patch(api, payment["id"], {"description": None}), 200)
        assert (bare["metadata"], bare["description"], bare["version"]) == ({"a": "1", "c": "3"}, None, 3)
        emptied = json_of(await patch(api, payment["id"], {"metadata": None}), 200)
        assert emptied["metadata"] == {}
        assert await api.show(payment["id"]) == emptied

    async def test_keeps_the_number_of_keys_within_its_limit(self, api: Api) -> None:
        payment = await api.create_payment(metadata={f"key{number}": "x" for number in range(50)})
        assert fields_of(await patch(api, payment["id"], {"metadata": {"one": "more"}})) == {"metadata"}
        json_of(await patch(api, payment["id"], {"metadata": {"one": "more", "key0": None}}), 200)

    async def test_refuses_what_does_not_change(self, api: Api) -> None:
        payment = await api.create_payment()
        assert fields_of(await patch(api, payment["id"], {"amount": 5, "status": "CAPTURED"})) == {"amount", "status"}
        assert await api.show(payment["id"]) == payment


class TestIfMatch:
    async def authorize(self, api: Api, payment_id: str, match: str) -> httpx.Response:
        return await api.authorize(payment_id, headers={"if-match": match})

    async def cancel(self, api: Api, payment_id: str, match: str) -> httpx.Response:
        return await api.act(payment_id, "cancel", headers={"if-match": match})

    async def update(self, api: Api, payment_id: str, match: str) -> httpx.Response:
        return await patch(api, payment_id, {"description": "new"}, headers={"if-match": match})

    @pytest.mark.parametrize("act", [authorize, cancel, update])
    async def test_lets_only_the_present_version_be_changed(
        self, api: Api, service: Service, act: Callable[["TestIfMatch", Api, str, str], Awaitable[httpx.Response]]
    ) -> None:
        payment = await api.create_payment()
        json_of(await patch(api, payment["id"], {"metadata": {"a": "1"}}), 200)
        before = await api.show(payment["id"])

        for stale in ('"1"', '"3"', 'W/"2"', "2", '"x"', '"1", "2"', ""):
            problem_of(await act(self, api, payment["id"], stale), 412, "stale_version")
        assert await api.show(payment["id"]) == before

        done = await act(self, api, payment["id"], '"2"')
        assert json_of(done, 200)["version"] > 2
        assert done.headers["etag"] == f'"{done.json()["version"]}"'

    async def test_with_a_star_takes_any_version(self, api: Api) -> None:
        payment = await api.create_payment()
        assert json_of(await self.authorize(api, payment["id"], "*"), 200)["status"] == "AUTHORIZED"

    async def test_is_told_by_get(self, api: Api) -> None:
        payment = await api.authorized()
        shown = await api.get(f"{CORE}/{payment['id']}")
        assert shown.headers["etag"] == f'"{shown.json()["version"]}"' == '"3"'


class TestTimeline:
    async def test_tells_everything_in_order(self, api: Api) -> None:
        payment = await api.authorized()
        json_of(await api.capture(payment["id"], 40, finalCapture=False), 200)
        json_of(await patch(api, payment["id"], {"description": "two"}), 200)
        json_of(await api.act(payment["id"], "complete"), 200)

        timeline = json_of(await api.get(f"{CORE}/{payment['id']}/timeline"), 200)["data"]

        assert {event["type"] for event in timeline[:2]} == {"fraud_check.completed", "payment.created"}
        assert [event["type"] for event in timeline[2:]] == [
            "payment.authorization_requested",
            "payment.authorized",
            "payment.capture_requested",
            "payment.partially_captured",
            "payment.updated",
            "payment.void_requested",
            "payment.completed",
        ]
        mine = [event for event in timeline if event["subject"] == payment["id"]]
        assert [event["sequence"] for event in mine] == list(range(1, len(mine) + 1))
        assert all(event["specversion"] == "1.0" and event["source"] and event["time"] for event in timeline)
        assert mine[-1]["data"]["status"] == "COMPLETED"

    async def test_rebuilds_a_payment_in_any_status(self, private: Service) -> None:
        for status in Status:
            await drive(private, status)
        assert await replay(private.url) == 0
