"""Idempotency keys: the first answer is the answer, for a day at least, to the caller who has the key."""

from datetime import timedelta
from typing import Any

import pytest

from bursar.app import _own_schedules
from tests.support.api import CORE, Api, json_of, problem_of, unique
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


async def purge(service: Service) -> None:
    for schedule in _own_schedules(service.app.settings):
        if schedule.name == "infra.purge_idempotency_keys":
            await schedule.run(service.app)


class TestReplay:
    async def test_of_a_creation_is_byte_for_byte(self, api: Api, service: Service) -> None:
        body, key = api.new_payment(), unique("key")

        first = await api.call("POST", CORE, body, key=key)
        again = await api.call("POST", CORE, body, key=key)

        assert (first.status_code, again.status_code) == (201, 201)
        assert again.content == first.content
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
        assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        assert len(await service.fetch("select from payments where order_id = $1", body["orderId"])) == 1

    async def test_shows_what_was_then_not_what_is_now(self, api: Api) -> None:
        payment, key = await api.create_payment(), unique("key")
        first = await api.authorize(payment["id"], key=key)
        json_of(await api.capture(payment["id"]), 200)
        assert (await api.authorize(payment["id"], key=key)).content == first.content

    async def test_of_a_refusal(self, api: Api) -> None:
        payment, key = await api.create_payment(), unique("key")
        first = await api.capture(payment["id"], key=key)
        problem_of(first, 409, "invalid_state_transition")
        json_of(await api.authorize(payment["id"]), 200)
        again = await api.capture(payment["id"], key=key)
        assert (again.status_code, again.content) == (409, first.content)

    @pytest.mark.parametrize("method, path", [("PATCH", ""), ("PUT", "/fail"), ("PUT", "/cancel")])
    async def test_of_other_changes(self, api: Api, method: str, path: str) -> None:
        payment, key = await api.create_payment(), unique("key")
        body: dict[str, Any] = {"reason": "x"} if path else {"description": "new"}
        first = await api.call(method, f"{CORE}/{payment['id']}{path}", body, key=key)
        again = await api.call(method, f"{CORE}/{payment['id']}{path}", body, key=key)
        assert first.status_code == 200 and again.content == first.content
        assert (await api.show(payment["id"]))["version"] == 2


class TestReuse:
    async def test_with_another_body_is_refused(self, api: Api) -> None:
        key = unique("key")
        payment = await api.create_payment(key=key)
        for _ in range(2):
            problem_of(await api.post_payment(key=key), 422, "idempotency_key_reused")
        problem_of(await api.authorize(payment["id"], key=key), 422, "idempotency_key_reused")
        assert (await api.show(payment["id"]))["status"] == "PENDING"

    async def test_on_another_path_is_refused(self, api: Api) -> None:
        one, two, key = await api.create_payment(), await api.create_payment(), unique("key")
        json_of(await api.authorize(one["id"], key=key), 200)
        problem_of(await api.authorize(two["id"], key=key), 422, "idempotency_key_reused")

    async def test_by_another_caller_is_another_key(self, api: Api, service: Service) -> None:
        key = unique("key")
        other = service.api.as_("service", subject="another-service")
        assert (await api.create_payment(key=key))["id"] != (await other.create_payment(key=key))["id"]


class TestNotKept:
    async def test_a_refusal_before_the_work_began(self, api: Api, service: Service) -> None:
        body, key = api.new_payment(), unique("key")
        assert (await api.call("POST", CORE, {**body, "amount": 0}, key=key)).status_code == 422
        assert (await api.call("POST", CORE, b"{", key=key)).status_code == 400
        assert (await service.api.as_("vendor").call("POST", CORE, body, key=key)).status_code == 403
        json_of(await api.call("POST", CORE, body, key=key), 201)

    async def test_an_object_that_is_not_there_yet(self, api: Api) -> None:
        path, key = f"{CORE}/00000000-0000-7000-8000-000000000000/authorize", unique("key")
        problem_of(await api.call("PUT", path, {}, key=key), 404, "not_found")

    async def test_a_stale_version(self, api: Api) -> None:
        payment, key = await api.create_payment(), unique("key")
        stale = await api.authorize(payment["id"], key=key, headers={"if-match": '"9"'})
        problem_of(stale, 412, "stale_version")
        json_of(await api.authorize(payment["id"], key=key), 200)


class TestPurge:
    async def test_keeps_open_ones_and_young_ones(self, private: Service) -> None:
        api = private.api.as_("service")
        old, open_ = (
            await api.create_payment(key="old"),
            await api.create_payment(paymentMethodId="pm_sandbox_timeout_after_effect"),
        )
        json_of(await api.authorize(open_["id"], key="open"), 202)
        await private.fetch("update idempotency_keys set created_at = created_at - interval '25 hours'")
        await api.create_payment(key="young")
        await private.fetch(
            "update idempotency_keys set created_at = created_at - interval '23 hours 59 minutes' where key = 'young'"
        )

        await purge(private)

        rows = await private.fetch("select key from idempotency_keys order by key")
        assert [row[0] for row in rows] == ["open", "young"]
        private.clock.advance(seconds=2)
        await private.run_jobs()
        assert (await api.authorize(open_["id"], key="open")).headers["idempotency-replayed"] == "true"
        assert (await api.create_payment(key="old"))["id"] != old["id"]

    async def test_keeps_an_answer_for_its_day_however_long_its_key_was_open(self, private: Service) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment(paymentMethodId="pm_sandbox_timeout_after_effect")
        json_of(await api.authorize(payment["id"], key="late"), 202)
        await private.fetch("update idempotency_keys set created_at = created_at - interval '25 hours'")
        private.clock.advance(seconds=2)
        await private.run_jobs()
        await purge(private)
        assert (await api.authorize(payment["id"], key="late")).headers["idempotency-replayed"] == "true"

    async def test_forgets_all_that_is_old_however_much_it_is(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursar.infra.idempotency.PURGE_SIZE", 2)
        for number in range(5):
            await private.api.as_("service").create_payment(key=f"old-{number}")
        await private.fetch("update idempotency_keys set created_at = created_at - interval '25 hours'")
        await purge(private)
        assert await private.fetch("select from idempotency_keys") == []

    @pytest.mark.parametrize("hours", [0, 1, 24])
    async def test_never_keeps_less_than_a_day(self, serve: Any, hours: int) -> None:
        async with serve(idempotency_hours=hours) as service:
            await service.api.as_("service").create_payment(key="day")
            service.clock.advance(seconds=timedelta(hours=23).total_seconds())
            await purge(service)
            assert len(await service.fetch("select from idempotency_keys")) == 1
            service.clock.advance(hours=2)
            await purge(service)
            assert len(await service.fetch("select from idempotency_keys")) == 0


class TestGarbage:
    @pytest.mark.parametrize("key", ["x" * 255, "a b", "'; drop table payments; --", "%00", "\\", '"', "~!@#$%^&*()"])
    async def test_of_printable_characters_is_a_key(self, api: Api, key: str) -> None:
        body = api.new_payment()
        first = await api.call("POST", CORE, body, key=key)
        if first.status_code == 201:
            assert (await api.call("POST", CORE, body, key=key)).content == first.content
        else:
            problem_of(first, 422, "idempotency_key_reused")  # by a run of this test before
