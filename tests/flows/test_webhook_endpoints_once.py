"""Keys, versions and limits of webhook endpoints where two things come together."""

import pytest

from bursar.domains.webhook_endpoints import send, service
from tests.support.api import json_of, problem_of, unique
from tests.support.races import at_once
from tests.support.receiver import ENDPOINTS, deliveries_of, fan_out, register
from tests.support.service import Service

URL = "https://8.8.8.8/hooks"


class TestKeys:
    async def test_an_answer_that_is_kept_asks_for_no_name_again(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the host resolves to by now changes nothing in what was answered."""
        api, made_by, changed_by = private.api.as_("service"), unique("key"), unique("key")
        made = await api.call("POST", ENDPOINTS, {"url": URL}, key=made_by)
        path, change = f"{ENDPOINTS}/{json_of(made, 201)['id']}", {"url": URL + "2"}
        changed = await api.call("PATCH", path, change, key=changed_by)

        async def is_inside(*_: object, **__: object) -> bool:
            return True

        monkeypatch.setattr(send, "is_refused", is_inside)
        again = await api.call("POST", ENDPOINTS, {"url": URL}, key=made_by)
        assert (again.status_code, again.content) == (201, made.content)
        again = await api.call("PATCH", path, change, key=changed_by)
        assert (again.status_code, again.content) == (200, changed.content)
        problem_of(await api.call("POST", ENDPOINTS, {"url": URL}, key=unique("key")), 422, "validation_failed")


class TestVersions:
    async def test_a_stale_one_sends_nothing(self, private: Service) -> None:
        api = private.api.as_("service")
        endpoint = await register(api, URL, eventTypes=["payment.created"])
        await api.create_payment()
        await fan_out(private)
        (delivery,) = await deliveries_of(api, endpoint["id"])
        for path in (f"{ENDPOINTS}/{endpoint['id']}/test", f"{ENDPOINTS}/deliveries/{delivery['id']}/redeliver"):
            stale = await api.call("POST", path, {}, headers={"if-match": '"7"'})
            problem_of(stale, 412, "stale_version")
            json_of(await api.call("POST", path, {}, headers={"if-match": '"1"'}), 202)


class TestLimit:
    async def test_holds_for_those_made_at_once(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "ENDPOINTS_MAX", 3)
        api = private.api.as_("service")
        answers = await at_once(api, 20, lambda _: api.call("POST", ENDPOINTS, {"url": URL}))
        assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 17
