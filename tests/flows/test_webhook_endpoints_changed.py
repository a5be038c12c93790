"""Endpoints that are changed while messages to them are under way."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bursar.domains.webhook_endpoints.deliver import Deliverer
from tests.conftest import Serve
from tests.support.api import Api, json_of
from tests.support.delivering import delivering
from tests.support.receiver import (
    ENDPOINTS,
    SECONDS_MAX,
    Receiver,
    Reply,
    deliver_until,
    deliveries_of,
    register,
)
from tests.support.service import Service, eventually


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    """One of the test's own, which may call this machine."""
    async with delivering(serve, delivery_timeout_seconds=30.0) as served:
        yield served


@pytest.fixture
def api(service: Service) -> Api:
    """It, called by another service of the platform."""
    return service.api.as_("service")


class TestAnswersOfBefore:
    @pytest.mark.parametrize("status", [503, 410])
    async def test_say_nothing_of_the_endpoint_as_it_is_now(self, service: Service, api: Api, status: int) -> None:
        """The address was changed while the old one was asked: what that says delays nothing for the new one."""
        is_changed = asyncio.Event()
        late = Reply(status, (("retry-after", "86400"),), until=is_changed)
        async with Receiver(lambda _: late) as old, Receiver() as new:
            endpoint = await register(api, old.url, eventTypes=["payment.created"])
            await api.create_payment()
            deliverer = Deliverer(service.app)
            running = asyncio.create_task(deliverer.run())
            await eventually(lambda: len(old.came) == 1, SECONDS_MAX)
            json_of(await api.call("PATCH", f"{ENDPOINTS}/{endpoint['id']}", {"url": new.url}), 200)
            is_changed.set()
            await asyncio.sleep(0.5)
            deliverer.stop()  # what is under way is written down
            await running
            payment = await api.create_payment()
            await deliver_until(service.app, lambda: payment["id"] in {message.stream for message in new.taken})
            await deliver_until(service.app, lambda: len(new.taken) == 2)
            assert {row["status"] for row in await deliveries_of(api, endpoint["id"])} == {"DELIVERED"}
