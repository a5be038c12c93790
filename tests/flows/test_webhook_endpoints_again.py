"""Endpoints that are disabled, deliveries that are given up, and what is sent again."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Serve
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.delivering import delivering
from tests.support.receiver import (
    ENDPOINTS,
    Receiver,
    Reply,
    deliver_until,
    deliveries_of,
    fan_out,
    linger,
    register,
    streams_of,
    tried,
    wait_for,
)
from tests.support.service import Service
from tests.support.webhooks import StillClock


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    """One of the test's own, which may call this machine."""
    async with delivering(serve, delivery_timeout_seconds=10.0) as served:
        yield served


@pytest.fixture
async def still(serve: Serve) -> AsyncIterator[Service]:
    """The same, whose clock moves only when the test says so."""
    async with delivering(serve, clock=StillClock()) as served:
        yield served


@pytest.fixture
def api(service: Service) -> Api:
    """It, called by another service of the platform."""
    return service.api.as_("service")


class TestDisabling:
    async def test_410_disables(self, service: Service, api: Api) -> None:
        replies = [Reply(410)]
        async with Receiver(lambda _: replies.pop() if replies else Reply()) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            path = f"{ENDPOINTS}/{endpoint['id']}"
            payment = await api.authorized()
            await fan_out(service)

            async def is_disabled() -> bool:
                return bool(json_of(await api.get(path), 200)["status"] == "DISABLED")

            await deliver_until(service.app, is_disabled)
            assert json_of(await api.get(path), 200)["disabledReason"] == "GONE"
            told = await service.fetch("select data from events where type = 'webhook_endpoint.disabled'")
            assert [row[0]["disabledReason"] for row in told] == ["GONE"]

            missed = await api.create_payment()
            await fan_out(service)
            json_of(await api.call("PATCH", path, {"status": "ACTIVE"}), 200)
            await wait_for(service, endpoint, FAILED=1, DELIVERED=2, PENDING=0)
            taken = streams_of(receiver.taken)
            assert taken[payment["id"]] in ([2, 3], [1, 3], [1, 2]) and missed["id"] not in taken

    async def test_days_of_failure_disable(self, service: Service, api: Api) -> None:
        async with Receiver(lambda _: Reply(500)) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await api.create_payment()
            await tried(service, endpoint, 1)
            service.clock.advance(days=4)
            await tried(service, endpoint, 2)
            assert json_of(await api.get(f"{ENDPOINTS}/{endpoint['id']}"), 200)["status"] == "ACTIVE"
            service.clock.advance(days=1.1)
            await tried(service, endpoint, 3)
            shown = json_of(await api.get(f"{ENDPOINTS}/{endpoint['id']}"), 200)
            assert (shown["status"], shown["disabledReason"]) == ("DISABLED", "FAILING")

    async def test_what_waits_for_a_removed_one_is_given_up(self, service: Service, api: Api) -> None:
        async with Receiver(lambda _: Reply(500)) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            await api.authorized()
            await tried(service, endpoint, 1)
            json_of(await api.call("DELETE", f"{ENDPOINTS}/{endpoint['id']}"), 200)
            service.clock.advance(hours=1)
            await linger(service.app)
            assert len(receiver.came) == 1
            await service.run_schedule("webhook_endpoints.purge")
            rows = await deliveries_of(api, endpoint["id"])
            assert {(row["status"], row["lastError"]) for row in rows} == {("FAILED", "the endpoint was removed")}
            service.clock.advance(days=31)
            await service.run_schedule("webhook_endpoints.purge")
            assert await deliveries_of(api, endpoint["id"]) == []


class TestRedelivery:
    async def test_sends_the_event_again_under_its_id(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            await api.authorized()
            await wait_for(service, endpoint, DELIVERED=3)
            first = (await deliveries_of(api, endpoint["id"]))[0]
            path, key = f"{ENDPOINTS}/deliveries/{first['id']}/redeliver", unique("key")
            again = json_of(await api.call("POST", path, {}, key=key), 202)
            assert again["redeliveryOf"] == first["id"] != again["id"] and again["eventId"] == first["eventId"]
            assert json_of(await api.call("POST", path, {}, key=key), 202) == again
            await wait_for(service, endpoint, DELIVERED=4)
            assert receiver.taken[-1].body == receiver.taken[0].body
            assert receiver.taken[-1].id == receiver.taken[0].id

    async def test_brings_a_failed_one_back(self, service: Service, api: Api) -> None:
        replies = [Reply(410)]
        async with Receiver(lambda _: replies.pop() if replies else Reply()) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await api.create_payment()
            await wait_for(service, endpoint, FAILED=1)
            (failed,) = await deliveries_of(api, endpoint["id"], status="FAILED")
            path = f"{ENDPOINTS}/deliveries/{failed['id']}/redeliver"
            problem_of(await api.call("POST", path, {}), 409, "webhook_endpoint_not_active")
            json_of(await api.call("PATCH", f"{ENDPOINTS}/{endpoint['id']}", {"status": "ACTIVE"}), 200)
            json_of(await api.call("POST", path, {}), 202)
            await wait_for(service, endpoint, DELIVERED=1, FAILED=1)
            assert [message.id for message in receiver.taken] == [failed["eventId"]]

    async def test_hastens_one_that_waits(self, still: Service) -> None:
        service, api = still, still.api.as_("service")
        replies = [Reply(500)]
        async with Receiver(lambda _: replies.pop() if replies else Reply()) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await api.create_payment()
            await tried(service, endpoint, 1)
            (waiting,) = await deliveries_of(api, endpoint["id"], status="PENDING")
            same = json_of(await api.call("POST", f"{ENDPOINTS}/deliveries/{waiting['id']}/redeliver", {}), 202)
            assert same["id"] == waiting["id"] and same["nextAttemptAt"] < waiting["nextAttemptAt"]
            await wait_for(service, endpoint, DELIVERED=1)  # though no time passes
            assert len(receiver.taken) == 1

    async def test_of_nothing_is_not_found(self, service: Service, api: Api) -> None:
        path = f"{ENDPOINTS}/deliveries/019b7966-e200-7000-8000-0000000000e1"
        problem_of(await api.get(path), 404, "not_found")
        problem_of(await api.call("POST", f"{path}/redeliver", {}), 404, "not_found")

    async def test_lists_are_paged_and_narrowed(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            await api.authorized()
            await wait_for(service, endpoint, DELIVERED=3)
            path = f"{ENDPOINTS}/{endpoint['id']}/deliveries"
            first = json_of(await api.get(path, limit=2), 200)
            second = json_of(await api.get(path, limit=2, cursor=first["nextCursor"]), 200)
            assert [row["eventType"] for row in (*first["data"], *second["data"])] == [
                "payment.authorized", "payment.authorization_requested", "payment.created",
            ]  # fmt: skip
            assert len(json_of(await api.get(path, eventType="payment.created"), 200)["data"]) == 1
            assert json_of(await api.get(path, status="FAILED"), 200)["data"] == []
