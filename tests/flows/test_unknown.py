"""A lost answer: never guessed, never tried again, asked for until the provider says what became of it."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from bursar.domains.payments import jobs
from tests.conftest import Serve
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.service import Service, eventually
from tests.support.truth import verify

pytestmark = pytest.mark.usefixtures("verified")

Act = Callable[[Api, str, str], Awaitable[httpx.Response]]


async def _authorize(api: Api, payment_id: str, key: str) -> httpx.Response:
    return await api.authorize(payment_id, key=key)


async def _capture(api: Api, payment_id: str, key: str) -> httpx.Response:
    return await api.capture(payment_id, 60, finalCapture=False, key=key)


async def _void(api: Api, payment_id: str, key: str) -> httpx.Response:
    return await api.act(payment_id, "cancel", key=key)


async def ready_for(api: Api, act: Act, when: str) -> dict[str, Any]:
    """A payment on which the answer to `act` will be lost."""
    if act is _authorize:
        method = "pm_sandbox_pending" if when == "pending" else f"pm_sandbox_timeout_{when}_effect"
        return await api.create_payment(paymentMethodId=method)
    return await api.authorized(paymentMethodId=f"pm_sandbox_capture_timeout_{when}_effect")


async def pass_time_and_inquire(service: Service) -> None:
    service.clock.advance(seconds=2)
    await service.run_jobs()


class TestDoneButUnheard:
    @pytest.mark.parametrize(
        "act, when, status",
        [
            (_authorize, "after", "AUTHORIZED"),
            (_authorize, "pending", "AUTHORIZED"),
            (_capture, "after", "PARTIALLY_CAPTURED"),
            (_void, "after", "CANCELLED"),
        ],
    )
    async def test_is_found_by_inquiry_and_the_key_replays_it(
        self, api: Api, service: Service, act: Act, when: str, status: str
    ) -> None:
        payment, key = await ready_for(api, act, when), unique("key")

        assert json_of(await act(api, payment["id"], key), 202)["status"] == "PROCESSING"
        waiting = await act(api, payment["id"], key)
        problem_of(waiting, 409, "idempotency_key_in_use")
        assert int(waiting.headers["retry-after"]) > 0
        assert "idempotency-replayed" not in waiting.headers
        await pass_time_and_inquire(service)

        first, second = await act(api, payment["id"], key), await act(api, payment["id"], key)
        assert json_of(first, 200)["status"] == status
        assert first.content == second.content and first.headers["idempotency-replayed"] == "true"
        assert first.headers["etag"] == second.headers["etag"]
        assert await api.show(payment["id"]) == first.json()

    async def test_an_automatic_charge_is_booked_once(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(
            paymentMethodId="pm_sandbox_timeout_after_effect", captureMethod="AUTOMATIC", amount=700
        )
        json_of(await api.authorize(payment["id"]), 202)
        for _ in range(2):
            await pass_time_and_inquire(service)

        assert (await api.show(payment["id"]))["amountCaptured"] == 700
        assert len(await service.fetch("select from postings where about = $1", payment["id"])) == 2

    async def test_get_repairs_it(self, serve: Serve) -> None:
        async with serve(inquiry_on_read_after_seconds=600) as service:  # longer than the test takes
            api = service.api.as_("service")
            payment = await api.create_payment(paymentMethodId="pm_sandbox_timeout_after_effect")
            json_of(await api.authorize(payment["id"]), 202)
            assert (await api.show(payment["id"]))["status"] == "PROCESSING"

            service.clock.advance(seconds=601)

            assert (await api.show(payment["id"]))["status"] == "AUTHORIZED"
            assert await service.inner_status(payment["id"]) == "AUTHORIZED"
            await verify(service)


class TestNeverDone:
    @pytest.mark.parametrize(
        "act, status",
        [(_authorize, "PENDING"), (_capture, "AUTHORIZED"), (_void, "AUTHORIZED")],
    )
    async def test_is_undone_and_the_key_is_free(self, api: Api, service: Service, act: Act, status: str) -> None:
        payment, key = await ready_for(api, act, "before"), unique("key")
        json_of(await act(api, payment["id"], key), 202)
        problem_of(await act(api, payment["id"], key), 409, "idempotency_key_in_use")

        await pass_time_and_inquire(service)

        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == (status, 0)
        assert json_of(await act(api, payment["id"], key), 202)["status"] == "PROCESSING"

    async def test_get_repairs_it(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(paymentMethodId="pm_sandbox_timeout_before_effect")
        json_of(await api.authorize(payment["id"]), 202)
        service.clock.advance(seconds=6)
        assert (await api.show(payment["id"]))["status"] == "PENDING"


class TestWhileUnknown:
    async def test_nothing_else_is_tried(self, api: Api, service: Service) -> None:
        payment = await ready_for(api, _authorize, "after")
        json_of(await api.authorize(payment["id"]), 202)

        for action in ("authorize", "capture", "complete", "fail", "cancel"):
            problem_of(await api.act(payment["id"], action), 409, "invalid_state_transition")

        assert len(service.sandbox.books.by_key) > 0
        await pass_time_and_inquire(service)
        assert (await api.show(payment["id"]))["status"] == "AUTHORIZED"

    async def test_a_slow_provider_counts_as_unknown(self, serve: Any) -> None:
        async with serve(provider_timeout_seconds=0.05, sandbox_slow_seconds=5) as service:
            api = service.api.as_("service")
            payment = await api.create_payment(paymentMethodId="pm_sandbox_slow")

            assert json_of(await api.authorize(payment["id"]), 202)["status"] == "PROCESSING"

            async def is_undone() -> bool:  # an inquiry, too, may take longer than that
                await pass_time_and_inquire(service)
                return bool((await api.show(payment["id"]))["status"] == "PENDING")

            await eventually(is_undone, 30)


async def test_the_sweep_finds_a_crash_behind_many_that_wait(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve() as service:
        api = service.api.as_("service")
        method = "pm_sandbox_capture_timeout_after_effect"
        waiting, crashed = [await api.authorized(paymentMethodId=method) for _ in range(2)]
        for payment in (waiting, crashed):
            json_of(await api.capture(payment["id"]), 202)
        await service.fetch("delete from jobs where args ->> 'paymentId' = $1", crashed["id"])
        await service.fetch(
            "update payments set attempts = jsonb_set(attempts, '{0,isUnknown}', 'false') where id = $1", crashed["id"]
        )
        service.clock.advance(seconds=60)
        monkeypatch.setattr(jobs, "SWEEP_SIZE", 1)
        await service.run_schedule("payments.sweep")
        service.clock.advance(seconds=2)
        await service.run_jobs()
        assert await service.inner_status(crashed["id"]) == "CAPTURED"
