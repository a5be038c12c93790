"""Webhook endpoints over HTTP: made, changed, disabled, removed; their secret shown once; who may do what."""

from typing import Any

import pytest

from bursar.cli.replay import replay
from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.receiver import ENDPOINTS, register
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")

URL = "https://8.8.8.8/hooks"
"""No name that had to be looked up. Nothing is sent in these tests."""

NOBODY = "019b7966-e200-7000-8000-0000000000e1"


async def events_of(service: Service, endpoint_id: str) -> list[Any]:
    return await service.fetch("select type, data from events where stream = $1 order by version", endpoint_id)


class TestCreate:
    async def test_shows_the_endpoint_and_its_secret_once(self, service: Service, api: Api) -> None:
        answer = await api.call("POST", ENDPOINTS, {
            "url": URL, "description": "the shop", "eventTypes": ["payment.*", "payment.*", "kyc.verified"],
            "customerId": "ann", "metadata": {"team": "shop"},
        })  # fmt: skip
        made = json_of(answer, 201)
        assert answer.headers["location"] == f"{ENDPOINTS}/{made['id']}" and answer.headers["etag"] == '"1"'
        assert made["secret"].startswith("whsec_") and len(made["secret"]) == 50
        assert (made["status"], made["eventTypes"]) == ("ACTIVE", ["payment.*", "kyc.verified"])
        assert (made["customerId"], made["vendorId"], made["metadata"]) == ("ann", None, {"team": "shop"})
        shown = json_of(await api.get(f"{ENDPOINTS}/{made['id']}"), 200)
        assert shown == {name: value for name, value in made.items() if name != "secret"}

    async def test_takes_all_events_where_none_is_named(self, api: Api) -> None:
        assert (await register(api, URL))["eventTypes"] == ["*"]

    async def test_keeps_no_secret_in_clear(self, service: Service, api: Api) -> None:
        key = unique("key")
        made = json_of(await api.call("POST", ENDPOINTS, {"url": URL}, key=key), 201)
        bare = made["secret"].removeprefix("whsec_")
        for table in ("webhook_endpoints", "events", "idempotency_keys", "audit", "jobs"):
            rows = await service.fetch(f"select t::text from {table} t")
            assert not any(bare in row[0] for row in rows), table
        assert "secrets" not in (await events_of(service, made["id"]))[0]["data"]

    async def test_a_key_is_answered_again_byte_for_byte(self, api: Api) -> None:
        key = unique("key")
        first = await api.call("POST", ENDPOINTS, {"url": URL}, key=key)
        again = await api.call("POST", ENDPOINTS, {"url": URL}, key=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotency-replayed"] == "true" and again.json()["secret"]
        problem_of(await api.call("POST", ENDPOINTS, {"url": URL + "2"}, key=key), 422, "idempotency_key_reused")

    @pytest.mark.parametrize("body, field", [
        ({}, "url"),
        ({"url": "ftp://shop.example.com/"}, "url"),
        ({"url": "https://user:word@shop.example.com/"}, "url"),
        ({"url": "https://shop.example.com/#a"}, "url"),
        ({"url": "https://shop.example.com/?card=4242424242424242"}, "url"),
        ({"url": URL, "eventTypes": []}, "eventTypes"),
        ({"url": URL, "eventTypes": ["Payment.*"]}, "eventTypes.0"),
        ({"url": URL, "eventTypes": ["*.captured"]}, "eventTypes.0"),
        ({"url": URL, "secret": "whsec_own"}, "secret"),
        ({"url": URL, "vendorId": "a b"}, "vendorId"),
    ])  # fmt: skip
    async def test_refuses_what_cannot_be(self, api: Api, body: dict[str, Any], field: str) -> None:
        assert fields_of(await api.call("POST", ENDPOINTS, body)) == {field}

    @pytest.mark.parametrize("host", [
        "127.0.0.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost",
        "10.0.0.1", "192.168.1.1", "169.254.169.254", "[fe80::1]", "[64:ff9b::7f00:1]", "0.0.0.0", "224.0.0.1",
    ])  # fmt: skip
    async def test_refuses_what_lies_inside(self, service: Service, api: Api, host: str) -> None:
        before = await service.row_counts()
        for url in (f"http://{host}/", f"https://{host}:8443/x"):
            refused = problem_of(await api.call("POST", ENDPOINTS, {"url": url}), 422, "validation_failed")
            assert [(fault["field"], fault["code"]) for fault in refused["errors"]] == [("url", "address_not_allowed")]
        assert await service.row_counts() == before

    async def test_there_is_a_limit(self, serve: Serve) -> None:
        async with serve() as served:
            api = served.api.as_("admin")
            for _ in range(100):
                last = await register(api, URL)
            problem_of(await api.call("POST", ENDPOINTS, {"url": URL}), 409, "too_many_webhook_endpoints")
            json_of(await api.call("DELETE", f"{ENDPOINTS}/{last['id']}"), 200)
            await register(api, URL)


class TestChange:
    async def test_only_what_is_sent_changes(self, service: Service, api: Api) -> None:
        made = await register(api, URL, description="old", metadata={"a": "1", "b": "2"})
        path = f"{ENDPOINTS}/{made['id']}"
        body = {"url": URL + "/new", "description": None, "metadata": {"a": None, "c": "3"}}
        changed = json_of(await api.call("PATCH", path, body), 200)
        assert (changed["url"], changed["description"]) == (URL + "/new", None)
        assert (changed["metadata"], changed["version"]) == ({"b": "2", "c": "3"}, 2)
        told = (await events_of(service, made["id"]))[-1]
        assert told["type"] == "webhook_endpoint.updated"
        assert told["data"] == {"url": URL + "/new", "description": None, "metadata": {"b": "2", "c": "3"}}

    async def test_nothing_sent_changes_nothing(self, api: Api) -> None:
        made = await register(api, URL)
        assert json_of(await api.call("PATCH", f"{ENDPOINTS}/{made['id']}", {}), 200)["version"] == 1

    async def test_refuses_an_address_inside(self, api: Api) -> None:
        made = await register(api, URL)
        refused = await api.call("PATCH", f"{ENDPOINTS}/{made['id']}", {"url": "http://[::1]/"})
        assert fields_of(refused) == {"url"}

    async def test_disables_and_enables(self, service: Service, api: Api) -> None:
        made = await register(api, URL)
        path = f"{ENDPOINTS}/{made['id']}"
        disabled = json_of(await api.call("PATCH", path, {"status": "DISABLED"}), 200)
        assert (disabled["status"], disabled["disabledReason"]) == ("DISABLED", "REQUESTED")
        problem_of(await api.call("POST", f"{path}/test", {}), 409, "webhook_endpoint_not_active")
        same = json_of(await api.call("PATCH", path, {"status": "DISABLED"}), 200)
        assert same == disabled
        enabled = json_of(await api.call("PATCH", path, {"status": "ACTIVE", "url": URL + "2"}), 200)
        assert (enabled["status"], enabled["disabledReason"], enabled["url"]) == ("ACTIVE", None, URL + "2")
        types = [row["type"].partition(".")[2] for row in await events_of(service, made["id"])]
        assert types == ["created", "disabled", "enabled"]

    async def test_a_stale_version_is_refused(self, api: Api) -> None:
        path = f"{ENDPOINTS}/{(await register(api, URL))['id']}"
        for method, at, body in (("PATCH", path, {}), ("DELETE", path, None), ("POST", f"{path}/rotate-secret", {})):
            refused = await api.call(method, at, body, headers={"if-match": '"7"'})
            problem_of(refused, 412, "stale_version")

    async def test_removes(self, service: Service, api: Api) -> None:
        made = await register(api, URL)
        path = f"{ENDPOINTS}/{made['id']}"
        removed = json_of(await api.call("DELETE", path), 200)
        assert removed["status"] == "REMOVED" and removed["removedAt"]
        assert (await service.fetch("select secrets from webhook_endpoints where id = $1", made["id"]))[0][0] == []
        listed = json_of(await api.get(ENDPOINTS, limit=100), 200)["data"]
        assert made["id"] not in [row["id"] for row in listed]
        gone = json_of(await api.get(ENDPOINTS, status="REMOVED", limit=100), 200)["data"]
        assert made["id"] in [row["id"] for row in gone]
        for method, at, body in (("PATCH", path, {"description": "x"}), ("POST", f"{path}/rotate-secret", {})):
            problem_of(await api.call(method, at, body), 409, "webhook_endpoint_not_active")
        problem_of(await api.call("DELETE", path), 409, "invalid_state_transition")
        problem_of(await api.call("PATCH", path, {"status": "ACTIVE"}), 409, "invalid_state_transition")


class TestSecret:
    async def test_rotates(self, service: Service, api: Api) -> None:
        made = await register(api, URL)
        path, key = f"{ENDPOINTS}/{made['id']}/rotate-secret", unique("key")
        rotated = await api.call("POST", path, {"overlapHours": 2}, key=key)
        assert json_of(rotated, 200)["secret"] != made["secret"]
        assert (await api.call("POST", path, {"overlapHours": 2}, key=key)).content == rotated.content
        told = (await events_of(service, made["id"]))[-1]
        assert (told["type"], told["data"]) == ("webhook_endpoint.secret_rotated", {})

    async def test_only_so_many_are_valid_at_once(self, api: Api) -> None:
        path = f"{ENDPOINTS}/{(await register(api, URL))['id']}/rotate-secret"
        for _ in range(4):
            json_of(await api.call("POST", path, {}), 200)
        problem_of(await api.call("POST", path, {}), 409, "too_many_secrets")
        json_of(await api.call("POST", path, {"overlapHours": 0}), 200)

    @pytest.mark.parametrize("hours", [-1, 169, "2", 1.5])
    async def test_refuses_other_overlaps(self, api: Api, hours: Any) -> None:
        path = f"{ENDPOINTS}/{(await register(api, URL))['id']}/rotate-secret"
        assert fields_of(await api.call("POST", path, {"overlapHours": hours})) == {"overlapHours"}


class TestLists:
    async def test_page_by_page(self, api: Api) -> None:
        made = [(await register(api, URL))["id"] for _ in range(5)]
        first = json_of(await api.get(ENDPOINTS, limit=3), 200)
        second = json_of(await api.get(ENDPOINTS, limit=3, cursor=first["nextCursor"]), 200)
        assert [row["id"] for row in (*first["data"], *second["data"])][:5] == made[::-1]
        assert not any("secret" in row for row in first["data"])


class TestAccess:
    CALLS = (
        ("POST", ENDPOINTS, {"url": URL}),
        ("PATCH", f"{ENDPOINTS}/{NOBODY}", {}),
        ("DELETE", f"{ENDPOINTS}/{NOBODY}", None),
        ("POST", f"{ENDPOINTS}/{NOBODY}/rotate-secret", {}),
        ("POST", f"{ENDPOINTS}/{NOBODY}/test", {}),
        ("POST", f"{ENDPOINTS}/deliveries/{NOBODY}/redeliver", {}),
        ("GET", ENDPOINTS, None),
        ("GET", f"{ENDPOINTS}/{NOBODY}", None),
        ("GET", f"{ENDPOINTS}/{NOBODY}/deliveries", None),
        ("GET", f"{ENDPOINTS}/deliveries/{NOBODY}", None),
    )

    @pytest.mark.parametrize("method, path, body", CALLS)
    async def test_by_role(self, service: Service, method: str, path: str, body: Any) -> None:
        for role in ("customer", "vendor", "finance", "risk"):
            who = {"customer": {"customer_id": "ann"}, "vendor": {"vendorId": "v1"}}.get(role, {})
            problem_of(await service.api.as_(role, **who).call(method, path, body), 403, "forbidden")  # type: ignore[arg-type]
        support = await service.api.as_("support").call(method, path, body)
        assert (support.status_code == 403) is (method != "GET")
        for role in ("admin", "service"):
            assert (await service.api.as_(role).call(method, path, body)).status_code in (200, 201, 404)

    async def test_needs_a_token(self, service: Service) -> None:
        for method, path, body in self.CALLS:
            problem_of(await service.api.call(method, path, body), 401, "unauthenticated")


class TestHistory:
    async def test_makes_every_endpoint_again(self, serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
        async with serve() as served:
            api = served.api.as_("admin")
            made = [await register(api, URL, description="a", metadata={"a": "1"}, customerId="ann") for _ in range(4)]
            paths = [f"{ENDPOINTS}/{one['id']}" for one in made]
            json_of(await api.call("PATCH", paths[0], {"description": None, "eventTypes": ["kyc.*"]}), 200)
            json_of(await api.call("PATCH", paths[1], {"status": "DISABLED"}), 200)
            json_of(await api.call("POST", f"{paths[2]}/rotate-secret", {}), 200)
            json_of(await api.call("DELETE", paths[3]), 200)
            assert await replay(served.url) == 0
            assert "webhook_endpoints: 4 rebuilt from their events, 0 differ" in capsys.readouterr().out
