"""Fifty requests with one idempotency key: one effect, one answer."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.support.api import CORE, Api, unique
from tests.support.races import at_once
from tests.support.service import Service, serving

pytestmark = pytest.mark.usefixtures("verified")


async def one_answer(api: Api, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send fifty at once, check that there is one answer among them, and that a retry gives it again."""
    answers = await at_once(api, 50, lambda _: send())
    final = [answer for answer in answers if answer.status_code != 409]
    assert len({answer.content for answer in final}) == 1 and len({answer.status_code for answer in final}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in final) == 1
    in_use = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.json()["code"] == "idempotency_key_in_use" and answer.headers["retry-after"] for answer in in_use)
    again = await send()
    assert (again.status_code, again.content) == (final[0].status_code, final[0].content)
    assert again.headers["idempotency-replayed"] == "true"
    return again


class TestFiftyWithOneKey:
    async def test_create_one_payment(self, api: Api, service: Service) -> None:
        body, key = api.new_payment(), unique("race")
        answer = await one_answer(api, lambda: api.call("POST", CORE, body, key=key))
        assert answer.status_code == 201
        rows = await service.fetch("select id from payments where order_id = $1", body["orderId"])
        assert [row[0] for row in rows] == [answer.json()["id"]]

    async def test_create_one_with_personal_data(self, api: Api, service: Service) -> None:
        body, key = api.new_payment(billingAddress={"name": "Ann"}), unique("race")
        await one_answer(api, lambda: api.call("POST", CORE, body, key=key))
        rows = await service.fetch("select from personal_data where subject = $1", body["customerId"])
        assert len(rows) == 1

    async def test_authorize_once(self, api: Api, service: Service) -> None:
        payment, key = await api.create_payment(), unique("race")
        asked = len(service.sandbox.books.by_key)
        answer = await one_answer(api, lambda: api.authorize(payment["id"], key=key))
        assert answer.json()["status"] == "AUTHORIZED"
        assert len(service.sandbox.books.by_key) == asked + 1

    async def test_are_declined_once(self, api: Api, service: Service) -> None:
        payment, key = await api.create_payment(paymentMethodId="pm_sandbox_declined"), unique("race")
        asked = len(service.sandbox.books.by_key)
        assert (await one_answer(api, lambda: api.authorize(payment["id"], key=key))).status_code == 402
        assert len(service.sandbox.books.by_key) == asked + 1

    @pytest.mark.parametrize("method", ["pm_sandbox_visa", "pm_sandbox_slow"])
    async def test_capture_once(self, api: Api, service: Service, method: str) -> None:
        payment, key = await api.authorized(paymentMethodId=method), unique("race")
        send = lambda: api.capture(payment["id"], 30, finalCapture=False, key=key)  # noqa: E731
        answer = await one_answer(api, send)
        assert answer.json()["amountCaptured"] == 30
        assert len(await service.fetch("select from postings where about = $1", payment["id"])) == 2

    async def test_on_two_processes_too(self, service: Service, api: Api) -> None:
        settings = service.app.settings
        async with serving(service.url, settings.data_path, clock=service.clock) as second:
            other = second.api.as_("service")
            body, key = api.new_payment(), unique("race")
            callers = [api, other]
            answers = await at_once(api, 50, lambda n: callers[n % 2].call("POST", CORE, body, key=key))
            made = {answer.content for answer in answers if answer.status_code == 201}
            assert len(made) == 1 and all(answer.status_code in (201, 409) for answer in answers)
            payment_id = (await other.call("POST", CORE, body, key=key)).json()["id"]

            key = unique("race")
            answers = await at_once(api, 50, lambda n: callers[n % 2].authorize(payment_id, key=key))
            assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
            assert {answer.status_code for answer in answers} <= {200, 409}
            retried = [await caller.authorize(payment_id, key=key) for caller in callers]
            assert retried[0].content == retried[1].content and retried[0].status_code == 200
