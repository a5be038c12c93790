"""Payment methods among customers and callers: whose they are, keys and versions, lists, what is kept of them where."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec
import pytest

from bursar.cli.replay import replay
from tests.flows.test_personal_data import tables_that_hold
from tests.support.api import CORE, Api, fields_of, json_of, problem_of, unique
from tests.support.methods import (
    EXP_YEAR,
    METHODS,
    add,
    card,
    change,
    iban_account,
    listed,
    new_number,
    post_method,
    provider_token,
    remove,
    rule,
    set_default,
    shown,
    us_account,
    verify,
    wallet,
)
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")

Act = Callable[[Api, dict[str, Any]], Awaitable[httpx.Response]]


class TestOwner:
    async def test_sees_and_changes_its_own_only(self, service: Service, api: Api) -> None:
        mine_id, other_id = unique("customer"), unique("customer")
        customer = service.api.as_("customer", customer_id=mine_id)
        mine, other = await add(customer, mine_id), await add(api, other_id, card(holderName="Bob"))
        before = await shown(api, other)

        assert await shown(customer, mine) == mine
        path = f"{METHODS}/{other['id']}"
        for answer in (
            await customer.get(path),
            await set_default(customer, other),
            await change(customer, other, status="INACTIVE"),
            await remove(customer, other),
            await remove(customer, other, headers={"if-match": '"99"'}),
            await verify(customer, other),
            await customer.call("POST", f"{path}/refresh", {}),
            *[
                await customer.get(f"{METHODS}/customer/{other_id}{rest}")
                for rest in ("", "/active", "/default", "/type/CARD")
            ],
        ):
            problem_of(answer, 404, "not_found")
        assert await shown(api, other) == before
        problem_of(await rule(customer, mine, "VERIFIED"), 403, "forbidden")
        json_of(await change(customer, mine, metadata={"a": "1"}), 200)
        json_of(await remove(customer, mine), 200)

    async def test_adds_for_itself_only(self, service: Service) -> None:
        customer = service.api.as_("customer", customer_id=unique("customer"))
        problem_of(await post_method(customer, "somebody-else"), 403, "forbidden")
        nobody = service.api.as_("customer", subject="nobody")
        problem_of(await post_method(nobody, "somebody-else"), 403, "forbidden")
        problem_of(await nobody.get(f"{METHODS}/customer/somebody-else"), 404, "not_found")

    async def test_alone_pays_with_it(self, service: Service, api: Api) -> None:
        mine_id = unique("customer")
        customer, other = service.api.as_("customer", customer_id=mine_id), await add(api, unique("customer"))
        payment = await customer.create_payment(customerId=mine_id, paymentMethodId=None)
        for caller in (customer, api):
            refused = await caller.post_payment(customerId=mine_id, paymentMethodId=other["id"])
            problem_of(refused, 422, "payment_method_unknown")
        refused = await api.authorize(payment["id"], paymentMethodId=other["id"])
        problem_of(refused, 422, "payment_method_unknown")
        assert (await api.show(payment["id"]))["status"] == "PENDING"


class TestKeys:
    async def test_of_an_addition_are_answered_again(self, api: Api, service: Service) -> None:
        customer, key, method = unique("customer"), unique("key"), card()
        first = await post_method(api, customer, method, key=key)
        asked = len(service.sandbox.books.by_key)
        json_of(await remove(api, json_of(first, 201)), 200)

        again = await post_method(api, customer, method, key=key)
        assert (again.status_code, again.content) == (201, first.content)
        assert (
            again.headers["idempotency-replayed"] == "true" and again.headers["location"] == first.headers["location"]
        )
        assert len(service.sandbox.books.by_key) == asked and await listed(api, customer) == []
        problem_of(await post_method(api, customer, card(), key=key), 422, "idempotency_key_reused")

    async def test_of_a_removal_are_answered_again(self, api: Api) -> None:
        method, key = await add(api, unique("customer")), unique("key")
        first = await remove(api, method, key=key)
        again = await remove(api, method, key=key)
        assert json_of(again, 200)["status"] == "REMOVED" and again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"

    async def test_of_a_refusal_are_answered_again(self, api: Api) -> None:
        customer, key, method = unique("customer"), unique("key"), card()
        first = await add(api, customer, method)
        refused = await post_method(api, customer, method, key=key)
        json_of(await remove(api, first), 200)
        again = await post_method(api, customer, method, key=key)
        assert problem_of(again, 409, "payment_method_exists") and again.content == refused.content

    async def test_belong_to_their_caller(self, api: Api, service: Service) -> None:
        customer, key, method = unique("customer"), unique("key"), card()
        await add(api, customer, method, key=key)
        other = service.api.as_("admin", subject="another-caller")
        problem_of(await post_method(other, customer, method, key=key), 409, "payment_method_exists")


async def _activate(api: Api, method: dict[str, Any], **options: Any) -> httpx.Response:
    return await api.call("PATCH", f"{METHODS}/{method['id']}", {"metadata": {"n": "1"}}, **options)


async def _verify(api: Api, method: dict[str, Any], **options: Any) -> httpx.Response:
    return await api.call("POST", f"{METHODS}/{method['id']}/verify", {}, **options)


async def _fail(api: Api, method: dict[str, Any], **options: Any) -> httpx.Response:
    path = f"{METHODS}/{method['id']}/verification-status"
    return await api.call("PUT", path, {"verificationStatus": "FAILED"}, **options)


class TestIfMatch:
    @pytest.mark.parametrize("act", [_activate, _verify, _fail, set_default, remove])
    async def test_lets_only_the_present_version_be_changed(self, api: Api, act: Any) -> None:
        customer, key = unique("customer"), unique("key")
        await add(api, customer)
        method = await add(api, customer)
        json_of(await change(api, method, metadata={"a": "1"}), 200)

        for stale in ('"1"', '"3"', 'W/"2"', "2", '"2", "3"'):
            refused = await act(api, method, headers={"if-match": stale})
            problem_of(refused, 412, "stale_version")
        assert (await shown(api, method))["version"] == 2
        done = await act(api, method, key=key, headers={"if-match": '"2"'})
        assert json_of(done, 200)["version"] == 3
        again = await act(api, method, key=key, headers={"if-match": '"2"'})
        assert again.content == done.content

    async def test_star_takes_any_version(self, api: Api) -> None:
        json_of(await remove(api, await add(api, unique("customer")), headers={"if-match": "*"}), 200)


class TestLists:
    async def test_show_what_is_asked_for(self, api: Api) -> None:
        customer = unique("customer")
        kinds = [card(), us_account(), wallet(), provider_token(), iban_account()]
        made = [(await add(api, customer, kind))["id"] for kind in kinds]
        inactive = await add(api, customer)
        json_of(await change(api, inactive, status="INACTIVE"), 200)
        failed = await add(api, customer)
        json_of(await rule(api, failed, "FAILED"), 200)
        removed = await add(api, customer)
        json_of(await remove(api, removed), 200)
        await add(api, unique("customer"))

        assert await listed(api, customer) == [failed["id"], inactive["id"], *made[::-1]]
        assert await listed(api, customer, "/active") == [made[3], made[2], made[0]]
        assert await listed(api, customer, "/type/CARD") == [failed["id"], inactive["id"], made[3], made[0]]
        assert await listed(api, customer, "/type/BANK_ACCOUNT") == [made[4], made[1]]
        assert await listed(api, customer, "/type/DIGITAL_WALLET") == [made[2]]
        assert await listed(api, unique("nobody")) == []

    @pytest.mark.parametrize("path", ["", "/active", "/type/CARD"])
    async def test_come_in_pages_newest_first(self, api: Api, path: str) -> None:
        customer = unique("customer")
        made = [(await add(api, customer))["id"] for _ in range(5)]
        seen, cursor, sizes = [], None, []
        while not sizes or cursor:
            given = {} if cursor is None else {"cursor": cursor}
            page = json_of(await api.get(f"{METHODS}/customer/{customer}{path}", limit=2, **given), 200)
            seen += [row["id"] for row in page["data"]]
            sizes.append(len(page["data"]))
            cursor = page["nextCursor"]
            assert page["hasMore"] is (cursor is not None)
        assert (seen, sizes) == (made[::-1], [2, 2, 1])

    async def test_by_time_are_half_open(self, api: Api, service: Service) -> None:
        customer, made = unique("customer"), []
        for _ in range(3):
            made.append(await add(api, customer))
            service.clock.advance(minutes=1)
        times = [method["createdAt"] for method in made]
        assert await listed(api, customer, createdFrom=times[1]) == [made[2]["id"], made[1]["id"]]
        assert await listed(api, customer, createdFrom=times[0], createdTo=times[1]) == [made[0]["id"]]

    @pytest.mark.parametrize(
        "path, params, field",
        [
            ("/type/CASH", {}, "methodType"),
            ("", {"limit": "0"}, "limit"),
            ("/active", {"cursor": "x"}, "cursor"),
            ("", {"status": "ACTIVE"}, "status"),
        ],
    )
    async def test_refuse_what_they_cannot_read(self, api: Api, path: str, params: dict[str, str], field: str) -> None:
        assert fields_of(await api.get(f"{METHODS}/customer/c-1{path}", **params)) == {field}

    async def test_of_what_is_not_there(self, api: Api) -> None:
        for path in ("00000000-0000-7000-8000-000000000000", "not-an-id", "pm_sandbox_visa"):
            problem_of(await api.get(f"{METHODS}/{path}"), 404, "not_found")
        problem_of(await api.get(f"{METHODS}/customer/{unique('nobody')}/default"), 404, "not_found")


class TestSecrets:
    async def test_of_a_person_are_shown_by_id_and_encrypted_at_rest(self, api: Api, service: Service) -> None:
        customer, marker = unique("customer"), f"{unique('secret')}-of-a-person"
        address = {"name": f"name-{marker}", "line1": f"line-{marker}", "email": f"{marker}@example.org"}
        methods = []
        for kind in (card(holderName=f"holder-{marker}"), us_account(holderName=f"holder-{marker}")):
            answer = await post_method(api, customer, kind, key=unique("key"), billingAddress=address)
            methods.append(json_of(answer, 201))
            assert marker not in answer.text
        for method in methods:
            seen = await shown(api, method)
            assert (seen["holderName"], seen["billingAddress"]) == (f"holder-{marker}", address)
            assert marker not in (await change(api, method, metadata={"a": "1"}, billingAddress=address)).text
        assert marker not in (await api.get(f"{METHODS}/customer/{customer}")).text
        assert marker in (await api.get(f"{METHODS}/customer/{customer}/default")).text
        assert await tables_that_hold(service, marker) == []
        assert "payment_methods" in await tables_that_hold(service, customer)

    async def test_of_a_person_are_gone_when_the_key_is(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        method = await add(api, customer, card(holderName="Ann Onymous"))
        await service.fetch(
            "update subject_keys set wrapped_key = null, destroyed_at = now() where subject = $1", customer
        )
        asked = len(service.sandbox.books.by_key)
        assert await shown(api, method) == method
        refused = await change(api, method, billingAddress={"city": "Wien"})
        problem_of(refused, 410, "subject_erased")
        problem_of(await post_method(api, customer, card(holderName="Ann")), 410, "subject_erased")
        nameless = {"card": {"number": "4242424242424242", "expMonth": 12, "expYear": 2031, "cvc": "123"}}
        problem_of(await post_method(api, customer, {"type": "CARD", **nameless}), 410, "subject_erased")
        assert len(service.sandbox.books.by_key) == asked  # no provider was told of the number either
        json_of(await remove(api, method), 200)

    async def test_are_in_no_event(self, api: Api, service: Service) -> None:
        customer, number, account, token = unique("customer"), new_number(), "8800440022", unique("wallet-secret")
        methods = [
            await add(api, customer, kind)
            for kind in (card(number), us_account(account), wallet(token), provider_token("pm_sandbox_mastercard"))
        ]
        json_of(await verify(api, methods[1]), 202)
        for method in methods:
            json_of(await change(api, method, metadata={"a": "1"}), 200)
            json_of(await remove(api, method), 200)
        rows = await service.fetch(
            "select data from events where stream = any ($1::text[]::uuid[])", [method["id"] for method in methods]
        )
        told = msgspec.json.encode([row["data"] for row in rows]).decode()
        for made in (method[name] for method in methods for name in ("token", "fingerprint")):
            told = told.replace(made, "")  # it may look like anything
        assert len(rows) >= 13 and customer in told
        for secret in (number, account, token, "pm_sandbox", "providerTokens", "amounts", "cvc"):
            assert secret not in told


class TestHistory:
    async def test_makes_every_method_again(self, private: Service, capsys: pytest.CaptureFixture[str]) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        kinds = [card(), us_account(), iban_account(), wallet(), provider_token(), card("4000002500003155")]
        made = [await add(api, customer, kind, billingAddress={"city": "Wien"}) for kind in kinds]
        for method in made:
            json_of(await change(api, method, metadata={"a": "1"}), 200)
            json_of(await set_default(api, method), 200)
        json_of(await change(api, made[0], expMonth=1, expYear=EXP_YEAR + 1), 200)
        json_of(await verify(api, made[1]), 202)
        await verify(api, made[1], amounts=[1, 1])
        json_of(await rule(api, made[3], "FAILED", reason="seen"), 200)
        json_of(await change(api, made[4], status="INACTIVE"), 200)
        json_of(await verify(api, made[5]), 200)
        for method in made[:2]:
            json_of(await remove(api, method), 200)
        await private.run_jobs()

        assert await replay(private.url) == 0, capsys.readouterr().out
        assert "payment_methods: 6 rebuilt from their events, 0 differ" in capsys.readouterr().out
        await private.fetch("update payment_methods set is_default = false where id = $1", made[5]["id"])
        assert await replay(private.url) == 1


class TestAudit:
    async def test_names_the_method_and_who_acted(self, api: Api, service: Service) -> None:
        method = await add(api, unique("customer"))
        json_of(await remove(api, method), 200)
        rows = await service.fetch("select * from audit where action like 'payment_method.%' order by position")
        told = [dict(row) for row in rows if method["id"] in map(str, row.values())]
        assert told and all("caller-service" in map(str, row.values()) for row in told)


async def test_a_payment_keeps_its_own_method(api: Api) -> None:
    customer = unique("customer")
    first, second = await add(api, customer), await add(api, customer)
    payment = await api.create_payment(customerId=customer, paymentMethodId=first["id"])
    done = json_of(await api.authorize(payment["id"], paymentMethodId=second["id"]), 200)
    assert done["paymentMethodId"] == second["id"] and done["provider"] == "sandbox"
    assert json_of(await api.get(f"{CORE}/{payment['id']}"), 200)["status"] == "AUTHORIZED"
