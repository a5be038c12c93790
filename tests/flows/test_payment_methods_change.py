"""Payment methods change: the default and its heirs, expiry, addresses, and removal."""

from typing import Any

import pytest

from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.methods import (
    EXP_YEAR,
    METHODS,
    add,
    card,
    change,
    default_faults,
    default_of,
    events_of,
    iban_account,
    provider_token,
    remove,
    rule,
    set_default,
    shown,
    us_account,
    wallet,
)
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestDefault:
    async def test_is_the_first_and_stays_it(self, api: Api) -> None:
        customer = unique("customer")
        first, second = await add(api, customer), await add(api, customer)
        assert (first["isDefault"], second["isDefault"]) == (True, False)
        assert await default_of(api, customer) == first["id"]

    async def test_is_set_at_once_where_the_new_one_is_to_be_it(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        first, second = await add(api, customer), await add(api, customer, setDefault=True)
        assert second["isDefault"] is True and await default_of(api, customer) == second["id"]
        before = await shown(api, first)
        assert (before["isDefault"], before["version"]) == (False, 2)
        assert await events_of(service, first) == ["created", "default_taken"]

    async def test_is_set_by_name(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        first, second = await add(api, customer), await add(api, customer)

        answer = await set_default(api, second)
        made = json_of(answer, 200)
        assert (made["isDefault"], made["version"], answer.headers["etag"]) == (True, 2, '"2"')
        assert await default_of(api, customer) == second["id"]
        assert json_of(await set_default(api, second), 200) == made  # a second time changes nothing

        assert await events_of(service, first) == ["created", "default_taken"]
        assert await events_of(service, second) == ["created", "default_set"]

    async def test_is_an_active_one(self, api: Api) -> None:
        customer = unique("customer")
        await add(api, customer)
        inactive, removed = await add(api, customer), await add(api, customer)
        json_of(await change(api, inactive, status="INACTIVE"), 200)
        json_of(await remove(api, removed), 200)
        for method, status in ((inactive, "INACTIVE"), (removed, "REMOVED")):
            refused = problem_of(await set_default(api, method), 409, "payment_method_unusable")
            assert refused["methodStatus"] == status

    async def test_takes_no_body(self, api: Api) -> None:
        method = await add(api, unique("customer"))
        answer = await api.call("PUT", f"{METHODS}/{method['id']}/set-default", {"isDefault": True})
        assert fields_of(answer) == {"isDefault"}
        json_of(await api.call("PUT", f"{METHODS}/{method['id']}/set-default"), 200)


class TestHandOver:
    async def test_goes_to_the_newest_that_is_verified(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        first = await add(api, customer)
        older = await add(api, customer)
        newer = await add(api, customer)
        await add(api, customer, us_account())  # newer still, and not verified
        json_of(await change(api, await add(api, customer), status="INACTIVE"), 200)

        json_of(await remove(api, first), 200)
        assert await default_of(api, customer) == newer["id"]
        json_of(await change(api, newer, status="INACTIVE"), 200)
        assert await default_of(api, customer) == older["id"]
        assert await events_of(service, newer) == ["created", "default_set", "deactivated"]

    async def test_goes_to_an_unverified_one_rather_than_nobody(self, api: Api) -> None:
        customer = unique("customer")
        first, account = await add(api, customer), await add(api, customer, us_account())
        json_of(await remove(api, first), 200)
        assert await default_of(api, customer) == account["id"]

    async def test_finds_nobody_and_begins_anew(self, api: Api) -> None:
        customer = unique("customer")
        first = await add(api, customer)
        json_of(await change(api, first, status="INACTIVE"), 200)
        assert await default_of(api, customer) is None
        assert json_of(await change(api, first, status="ACTIVE"), 200)["isDefault"] is True
        json_of(await remove(api, first), 200)
        assert await default_of(api, customer) is None
        assert (await add(api, customer))["isDefault"] is True

    async def test_of_who_is_no_default_changes_nothing(self, api: Api) -> None:
        customer = unique("customer")
        first, second = await add(api, customer), await add(api, customer)
        json_of(await remove(api, second), 200)
        assert (await shown(api, first))["version"] == 1

    async def test_follows_an_expiry(self, private: Service) -> None:
        api, customer, now = private.api.as_("service"), unique("customer"), private.clock.now()
        first = await add(api, customer, card(expMonth=now.month, expYear=now.year))
        second = await add(api, customer)
        inactive = await add(api, customer, card(expMonth=now.month, expYear=now.year))
        json_of(await change(api, inactive, status="INACTIVE"), 200)
        await private.run_schedule("payment_methods.expire")
        assert await default_of(api, customer) == first["id"]

        private.clock.advance(days=32)
        await private.run_schedule("payment_methods.expire")
        await private.run_schedule("payment_methods.expire")

        assert await default_of(api, customer) == second["id"]
        for method in (first, inactive):
            assert (await shown(api, method))["status"] == "EXPIRED"
        assert await events_of(private, first) == ["created", "expired"]
        assert not await default_faults(private)

    async def test_is_mended_where_a_process_died_before_it_had_done_so(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        await add(api, customer)
        second = await add(api, customer)
        await private.fetch("update payment_methods set is_default = false")
        assert await default_of(api, customer) is None
        await private.run_schedule("payment_methods.mend_defaults")
        assert await default_of(api, customer) == second["id"]
        await private.run_schedule("payment_methods.mend_defaults")
        assert await events_of(private, second) == ["created", "default_set"]


class TestPatch:
    async def test_changes_only_what_is_sent(self, api: Api) -> None:
        method = await add(api, unique("customer"), metadata={"a": "1", "b": "2"})
        merged = json_of(await change(api, method, metadata={"b": None, "c": "3"}), 200)
        assert merged["metadata"] == {"a": "1", "c": "3"} and merged["card"] == method["card"]
        later = json_of(await change(api, method, expMonth=1, expYear=EXP_YEAR + 1), 200)
        assert (later["card"]["expMonth"], later["card"]["expYear"]) == (1, EXP_YEAR + 1)
        assert (later["version"], later["card"]["last4"]) == (3, method["card"]["last4"])

    async def test_keeps_the_number_of_keys_within_its_limit(self, api: Api) -> None:
        method = await add(api, unique("customer"), metadata={f"key{number}": "x" for number in range(50)})
        assert fields_of(await change(api, method, metadata={"one": "more"})) == {"metadata"}
        json_of(await change(api, method, metadata={"one": "more", "key0": None}), 200)

    async def test_puts_an_address_beside_the_name(self, api: Api) -> None:
        method = await add(api, unique("customer"), card(holderName="Ann Onymous"))
        answer = await change(api, method, billingAddress={"line1": "Ring 1", "country": "AT"})
        assert "Ring 1" not in answer.text
        after = await shown(api, method)
        assert after["holderName"] == "Ann Onymous" and after["billingAddress"] == {"line1": "Ring 1", "country": "AT"}
        json_of(await change(api, method, billingAddress={"city": "Wien"}), 200)
        assert (await shown(api, method))["billingAddress"] == {"city": "Wien"}

    @pytest.mark.parametrize(
        "body, field",
        [
            ({"expMonth": 1}, "body"),
            ({"expYear": EXP_YEAR}, "body"),
            ({"expMonth": 12, "expYear": 2020}, "expYear"),
            ({"status": "REMOVED"}, "status"),
            ({"status": "EXPIRED"}, "status"),
            ({"isDefault": True}, "isDefault"),
            ({"card": {}}, "card"),
            ({"metadata": {"4242424242424242": "x"}}, "metadata.4242424242424242.[key]"),
        ],
    )
    async def test_refuses_what_does_not_change(self, api: Api, body: dict[str, Any], field: str) -> None:
        method = await add(api, unique("customer"))
        fields = fields_of(await change(api, method, **body))
        assert len(fields) == 1 and (field in fields or "metadata" in body)
        assert await shown(api, method) == method

    @pytest.mark.parametrize("other", [us_account(), iban_account(), wallet()])
    async def test_gives_only_cards_an_expiry(self, api: Api, other: dict[str, Any]) -> None:
        method = await add(api, unique("customer"), other)
        assert fields_of(await change(api, method, expMonth=1, expYear=EXP_YEAR)) == {"expYear"}

    async def test_takes_a_method_out_and_in(self, api: Api, service: Service) -> None:
        method = await add(api, unique("customer"))
        for status in ("INACTIVE", "INACTIVE", "ACTIVE", "ACTIVE"):
            assert json_of(await change(api, method, status=status), 200)["status"] == status
        assert await events_of(service, method) == ["created", "deactivated", "updated", "activated", "updated"]

    async def test_of_the_expiry_renews_an_expired_card(self, private: Service) -> None:
        api, customer, now = private.api.as_("service"), unique("customer"), private.clock.now()
        expiring = card(expMonth=now.month, expYear=now.year)
        first = await add(api, customer, expiring)
        second = await add(api, customer, card(expMonth=now.month, expYear=now.year))
        private.clock.advance(days=32)
        await private.run_schedule("payment_methods.expire")
        assert await default_of(api, customer) is None
        refused = problem_of(await change(api, first, status="ACTIVE"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("EXPIRED", ["remove", "renew"])

        renewed = json_of(await change(api, first, expMonth=12, expYear=EXP_YEAR), 200)
        assert (renewed["status"], renewed["isDefault"]) == ("ACTIVE", True)
        both = json_of(await change(api, second, status="ACTIVE", expMonth=12, expYear=EXP_YEAR), 200)
        assert (both["status"], both["isDefault"]) == ("ACTIVE", False)
        assert await events_of(private, first) == ["created", "expired", "renewed"]
        assert not await default_faults(private)


class TestRemoval:
    async def test_leaves_nothing_to_use(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        answer = await remove(api, await add(api, customer, card(holderName="Ann Onymous")))
        removed = json_of(answer, 200)
        assert (removed["status"], removed["isDefault"], removed["providers"]) == ("REMOVED", False, [])
        assert removed["removedAt"] == removed["updatedAt"] and answer.headers["etag"] == '"2"'
        assert (await shown(api, removed))["status"] == "REMOVED"
        rows = await service.fetch(
            "select vault_record_id, provider_tokens from payment_methods where id = $1", removed["id"]
        )
        assert tuple(rows[0]) == (None, {})

    async def test_happens_once_and_for_good(self, api: Api) -> None:
        method = await add(api, unique("customer"))
        json_of(await remove(api, method), 200)
        problem_of(await remove(api, method), 409, "invalid_state_transition")
        for answer in (
            await change(api, method, metadata={"a": "1"}),
            await change(api, method, status="ACTIVE"),
            await set_default(api, method),
            await api.call("POST", f"{METHODS}/{method['id']}/verify", {}),
            await rule(api, method, "FAILED"),
        ):
            assert answer.json()["code"] == "payment_method_unusable", answer.text
        assert answer.status_code == 409

    @pytest.mark.parametrize("kind", [card(), us_account(), iban_account(), wallet(), provider_token()])
    async def test_has_the_provider_forget_its_token(self, api: Api, service: Service, kind: dict[str, Any]) -> None:
        method = await add(api, unique("customer"), kind)
        json_of(await remove(api, method), 200)
        await service.run_jobs()
        asked = [key for key in service.sandbox.books.by_key if key.startswith(method["id"])]
        assert asked == [f"{method['id']}-{name}" for name in method["providers"]]

    async def test_of_a_failed_one_works_as_well(self, api: Api) -> None:
        method = await add(api, unique("customer"))
        json_of(await rule(api, method, "FAILED", reason="reported"), 200)
        json_of(await remove(api, method), 200)
