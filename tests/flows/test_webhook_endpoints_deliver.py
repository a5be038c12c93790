"""Events on their way to endpoints: signed, in order, tried again by the schedule, given up, sent again."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from bursar.domains.webhook_endpoints.deliver import Deliverer
from tests.conftest import Serve
from tests.support.api import Api, json_of, unique
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
from tests.support.service import Service, eventually
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


class TestMessage:
    async def test_is_a_signed_cloud_event(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            payment = await api.create_payment()
            await deliver_until(service.app, lambda: len(receiver.taken) == 1)
            (message,) = receiver.taken
            message.verify(endpoint["secret"])
            with pytest.raises(WebhookVerificationError):
                message.verify("whsec_" + "A" * 43 + "=")
            assert message.path == "/hooks" and message.headers["content-type"] == "application/cloudevents+json"
            timeline = json_of(await api.get(f"/api/v1/payments/core/{payment['id']}/timeline"), 200)["data"]
            assert message.event in timeline and message.event["specversion"] == "1.0"
            assert message.headers["webhook-id"] == message.event["id"]

    async def test_comes_to_those_who_asked(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            ann, v1 = unique("ann"), unique("v")
            wanted: dict[str, dict[str, Any]] = {
                "all": {},
                "kind": {"eventTypes": ["fraud_check.*"]},
                "customer": {"customerId": ann},
                "vendor": {"vendorId": v1, "eventTypes": ["payment.*"]},
                "nobody": {"customerId": unique("bob")},
            }
            for name, asked in wanted.items():
                await register(api, f"http://127.0.0.1:{receiver.port}/{name}", **asked)
            await api.authorized(customerId=ann)
            await api.create_payment(splits=[{"vendorId": v1, "amount": 100}])
            # both payments: created, checked; the first: authorization requested, authorized; and four endpoints made
            await deliver_until(service.app, lambda: len(receiver.taken) == 6 + 2 + 4 + 1 + 4)
            by_path: dict[str, list[str]] = {}
            for message in receiver.taken:
                by_path.setdefault(message.path[1:], []).append(message.event["type"])
            assert {name: len(types) for name, types in by_path.items()} == {
                "all": 10, "kind": 2, "customer": 4, "vendor": 1,
            }  # fmt: skip
            assert set(by_path["kind"]) == {"fraud_check.completed"} and by_path["vendor"] == ["payment.created"]

    async def test_nothing_of_before_is_sent(self, service: Service, api: Api) -> None:
        await api.authorized()
        async with Receiver() as receiver:
            await register(api, receiver.url, eventTypes=["payment.*"])
            late = await api.create_payment()
            await deliver_until(service.app, lambda: len(receiver.taken) == 1)
            assert [message.stream for message in receiver.came] == [late["id"]]

    async def test_where_nobody_listens_nothing_is_written(self, service: Service, api: Api) -> None:
        await api.authorized()
        await fan_out(service)
        assert (await service.fetch("select count(*) from webhook_deliveries"))[0][0] == 0

    async def test_a_test_is_sent_whatever_is_asked_for(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["refund.failed"])
            begun = json_of(await api.call("POST", f"{ENDPOINTS}/{endpoint['id']}/test", {}), 202)
            assert (begun["status"], begun["isTest"]) == ("PENDING", True)
            await wait_for(service, endpoint, DELIVERED=1)
            (message,) = receiver.taken
            message.verify(endpoint["secret"])
            assert message.event["type"] == "webhook_endpoint.test" and message.id == begun["eventId"]
            events = await service.fetch("select type from events where stream = $1", endpoint["id"])
            assert [row[0] for row in events] == ["webhook_endpoint.created"]


class TestRotation:
    async def test_both_secrets_sign_for_a_while(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            path = f"{ENDPOINTS}/{endpoint['id']}/rotate-secret"
            newer = json_of(await api.call("POST", path, {"overlapHours": 1}), 200)["secret"]
            await api.create_payment()
            await deliver_until(service.app, lambda: len(receiver.taken) == 1)
            for secret in (endpoint["secret"], newer):
                receiver.taken[0].verify(secret)

            newest = json_of(await api.call("POST", path, {"overlapHours": 0}), 200)["secret"]
            await api.create_payment()
            await deliver_until(service.app, lambda: len(receiver.taken) == 2)
            receiver.taken[1].verify(newest)
            for secret in (endpoint["secret"], newer):
                with pytest.raises(WebhookVerificationError):
                    receiver.taken[1].verify(secret)

    async def test_the_older_one_ends_by_itself(self, service: Service, api: Api) -> None:
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            json_of(await api.call("POST", f"{ENDPOINTS}/{endpoint['id']}/rotate-secret", {"overlapHours": 2}), 200)
            for hours, signatures in ((0, 2), (1.9, 2), (0.2, 1)):
                service.clock.advance(hours=hours)
                await api.create_payment()
                await deliver_until(service.app, lambda: bool(receiver.taken))
                assert len(receiver.taken.pop().headers["webhook-signature"].split(" ")) == signatures


class TestTries:
    async def test_go_by_the_schedule_under_one_id(self, still: Service) -> None:
        service, api = still, still.api.as_("service")
        async with Receiver(lambda _: Reply(500, (), b"out of order")) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await api.create_payment()
            for number, seconds in enumerate((0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400), 1):
                if seconds:
                    service.clock.advance(seconds=seconds * 0.9)
                    await linger(service.app)
                    assert len(receiver.came) == number - 1, f"too early after {seconds} s"
                service.clock.advance(seconds=seconds * 0.35)
                await tried(service, endpoint, number)
            assert len({message.id for message in receiver.came}) == 1 and len(receiver.came) == 10
            assert len({message.headers["webhook-timestamp"] for message in receiver.came}) == 10
            (delivery,) = await deliveries_of(api, endpoint["id"], status="FAILED")
            assert (delivery["attempts"], delivery["nextAttemptAt"]) == (10, None)
            assert (delivery["lastStatusCode"], delivery["lastResponseBody"]) == (500, "out of order")
            assert [one["statusCode"] for one in delivery["tries"]] == [500] * 10
            assert json_of(await api.get(f"{ENDPOINTS}/deliveries/{delivery['id']}"), 200) == delivery

    async def test_a_stream_waits_and_nothing_else(self, service: Service, api: Api) -> None:
        """One event that its receiver cannot take holds up what comes after it in its stream, and only that."""
        bad: list[str] = []
        async with Receiver(lambda message: Reply(500 if message.stream in bad else 204)) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            held = await api.create_payment()
            bad.append(held["id"])
            json_of(await api.authorize(held["id"]), 200)
            others = [(await api.authorized())["id"] for _ in range(10)]
            await wait_for(service, endpoint, DELIVERED=30, PENDING=3)
            assert streams_of(receiver.taken) == {other: [1, 2, 3] for other in others}
            assert {message.version for message in receiver.came if message.stream == held["id"]} == {1}

            bad.clear()
            service.clock.advance(minutes=7)  # past the third try, should the second one have come meanwhile
            await wait_for(service, endpoint, DELIVERED=33)
            assert streams_of(receiver.taken)[held["id"]] == [1, 2, 3]

    async def test_a_stream_goes_on_when_one_is_given_up(self, service: Service, api: Api) -> None:
        async with Receiver(lambda message: Reply(500 if message.version == 1 else 204)) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            await api.authorized()
            for number, seconds in enumerate((5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400, 0), 1):
                await tried(service, endpoint, number)
                service.clock.advance(seconds=seconds * 1.25)
            await wait_for(service, endpoint, DELIVERED=2, FAILED=1)
            assert [message.version for message in receiver.taken] == [2, 3]

    async def test_a_slow_endpoint_delays_nobody_else(self, service: Service, api: Api) -> None:
        async with Receiver(lambda _: Reply(after=60)) as slow, Receiver() as quick, Receiver() as closed:
            url = closed.url
            await closed.close()
            for address in (slow.url, url, "http://no-such-host.invalid/", quick.url):
                await register(api, address, eventTypes=["payment.created"])
            for _ in range(5):
                await asyncio.gather(*(api.create_payment() for _ in range(10)))
            deliverer = Deliverer(service.app)
            running = asyncio.create_task(deliverer.run())
            await eventually(lambda: len(quick.taken) == 50, 9)  # before the first of the slow one has timed out
            await eventually(lambda: bool(slow.came))
            assert slow.taken == []
            await slow.close()
            deliverer.stop()
            await running

    async def test_not_too_many_are_under_way_at_once(self, service: Service, api: Api) -> None:
        async with Receiver(lambda _: Reply(after=0.5)) as receiver:
            await register(api, receiver.url, eventTypes=["payment.created"])
            for _ in range(10):
                await asyncio.gather(*(api.create_payment() for _ in range(10)))
            await deliver_until(service.app, lambda: len(receiver.taken) == 100)
            assert 16 <= receiver.at_once_max <= 32


class TestPause:
    @pytest.mark.parametrize("status", [429, 503])
    async def test_that_an_endpoint_asks_for_is_kept(self, still: Service, status: int) -> None:
        """Nothing comes before the pause is over; what was tried before it comes by its schedule."""
        api, replies = still.api.as_("service"), [Reply(status, (("retry-after", "2"),))]
        async with Receiver(lambda _: replies.pop() if replies else Reply()) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            first = (await api.create_payment())["id"]
            await tried(still, endpoint, 1)
            second = (await api.create_payment())["id"]
            await fan_out(still)
            steps: list[tuple[float, list[str]]] = [(1.9, []), (0.2, [second]), (2.8, [second])]
            for seconds, taken in (*steps, (1.2, [second, first])):
                still.clock.advance(seconds=seconds)
                await deliver_until(still.app, lambda taken=taken: len(receiver.taken) >= len(taken))  # type: ignore[misc]
                await linger(still.app)
                assert [message.stream for message in receiver.taken] == taken

    async def test_of_an_endpoint_that_is_down_ends_with_it(self, service: Service, api: Api) -> None:
        """Many events, a dead endpoint: it is asked now and then, and gets everything when it is back."""
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await receiver.close()
            for _ in range(10):
                await asyncio.gather(*(api.create_payment() for _ in range(10)))
            await tried(service, endpoint, 20)
            counted = sum(row["attempts"] for row in await deliveries_of(api, endpoint["id"]))
            assert counted < 50, "the rest is not tried in vain"
            await receiver.open()
            await wait_for(service, endpoint, DELIVERED=100)  # by their schedule some would come after five minutes

    async def test_what_failed_while_it_was_down_is_hastened(self, service: Service, api: Api) -> None:
        """Else the schedule would keep it waiting for minutes after the endpoint is back."""
        async with Receiver() as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.created"])
            await receiver.close()
            for _ in range(6):
                await api.create_payment()
            await tried(service, endpoint, 6)
            for number in range(7, 13):
                service.clock.advance(seconds=10)
                await tried(service, endpoint, number)
            waiting = await deliveries_of(api, endpoint["id"])
            later = (service.clock.now() + timedelta(seconds=60)).isoformat()
            assert all(row["nextAttemptAt"] > later for row in waiting), waiting
            await receiver.open()
            service.clock.advance(seconds=20)
            await wait_for(service, endpoint, DELIVERED=6)

    async def test_ends_when_the_endpoint_is_changed(self, service: Service, api: Api) -> None:
        async with Receiver() as dead, Receiver() as alive:
            endpoint = await register(api, dead.url, eventTypes=["payment.created"])
            await dead.close()
            for _ in range(10):
                await api.create_payment()
            await tried(service, endpoint, 10)
            json_of(await api.call("PATCH", f"{ENDPOINTS}/{endpoint['id']}", {"url": alive.url}), 200)
            service.clock.advance(seconds=10)
            await deliver_until(service.app, lambda: len(alive.taken) == 10)
