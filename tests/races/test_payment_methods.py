"""Payment methods of one customer under concurrent requests, to one process and to two that know nothing of another."""

import random
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.api import Api, json_of, problem_of, unique
from tests.support.methods import (
    METHODS,
    add,
    card,
    change,
    default_faults,
    default_of,
    listed,
    new_number,
    post_method,
    remove,
    set_default,
    shown,
    us_account,
    verify,
)
from tests.support.races import at_once
from tests.support.service import Service, serving

AT_ONCE = 20
ROUNDS = 12


@pytest.fixture
async def pair(private: Service) -> AsyncIterator[tuple[Api, Api]]:
    """Callers of two services that know nothing of one another but the database and the provider."""
    async with serving(private.url, private.app.settings.data_path, clock=private.clock) as second:
        yield private.api.as_("service"), second.api.as_("service")
        assert await default_faults(private) == []
        lost = await private.fetch(
            """select m.id from payment_methods m left join vault.records r on r.id = m.vault_record_id
               where m.vault_record_id is not null and r.wrapped_key is null"""
        )
        kept = await private.fetch(
            """select r.id from vault.records r left join payment_methods m on m.vault_record_id = r.id
               where m.id is null and r.wrapped_key is not null"""
        )
        assert (lost, kept) == ([], [])


def codes(answers: list[httpx.Response]) -> Counter[str]:
    """How often each outcome came: a status, or a problem's code."""
    return Counter(a.json()["code"] if a.status_code >= 400 else str(a.status_code) for a in answers)


class TestOneProcess:
    async def test_twenty_cards_have_one_default(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        answers = await at_once(api, AT_ONCE, lambda _: post_method(api, customer))
        assert codes(answers) == {"201": AT_ONCE}
        assert [answer.json()["isDefault"] for answer in answers].count(True) == 1
        assert len(await listed(api, customer, limit=100)) == AT_ONCE and not await default_faults(private)

    async def test_twenty_defaults_leave_one(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        answers = await at_once(api, AT_ONCE, lambda _: post_method(api, customer, setDefault=True))
        assert codes(answers) == {"201": AT_ONCE} and not await default_faults(private)

    async def test_one_card_is_added_once(self, private: Service) -> None:
        api, customer, same = private.api.as_("service"), unique("customer"), card(new_number())
        answers = await at_once(api, AT_ONCE, lambda _: post_method(api, customer, same))
        assert codes(answers) == {"201": 1, "payment_method_exists": AT_ONCE - 1}
        (only,) = await listed(api, customer)
        assert {answer.json().get("paymentMethodId", only) for answer in answers} == {only}
        assert len(await private.fetch("select from vault.records")) == 1

    async def test_one_key_adds_once(self, private: Service) -> None:
        api, customer, same = private.api.as_("service"), unique("customer"), card(new_number())
        answers = await at_once(api, AT_ONCE, lambda _: post_method(api, customer, same, key="once"))
        assert codes(answers) == {"201": AT_ONCE} and len({answer.content for answer in answers}) == 1

    async def test_the_limit_holds(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        answers = await at_once(api, 60, lambda _: post_method(api, customer))
        assert codes(answers) == {"201": 50, "too_many_payment_methods": 10}

    async def test_a_method_is_removed_once(self, private: Service) -> None:
        api, customer = private.api.as_("service"), unique("customer")
        method, other = await add(api, customer), await add(api, customer)
        answers = await at_once(api, AT_ONCE, lambda _: remove(api, method))
        assert codes(answers) == {"200": 1, "invalid_state_transition": AT_ONCE - 1}
        assert await default_of(api, customer) == other["id"]

    async def test_tries_at_amounts_are_all_counted(self, private: Service) -> None:
        api = private.api.as_("service")
        account = await add(api, unique("customer"), us_account())
        json_of(await verify(api, account), 202)
        amounts = (await private.fetch("select verification -> 'amounts' from payment_methods"))[0][0]
        wrong = [99 if 99 not in amounts else 98, 97]
        answers = await at_once(api, AT_ONCE, lambda _: verify(api, account, amounts=wrong))
        assert codes(answers) == {"amounts_wrong": 3, "micro_deposits_not_sent": AT_ONCE - 3}
        assert (await shown(api, account))["verificationStatus"] == "FAILED"


class TestTwoProcesses:
    async def test_twenty_cards_have_one_default(self, pair: tuple[Api, Api]) -> None:
        customer = unique("customer")
        answers = await at_once(pair[0], AT_ONCE, lambda n: post_method(pair[n % 2], customer))
        assert codes(answers) == {"201": AT_ONCE}

    async def test_one_card_is_added_once(self, pair: tuple[Api, Api]) -> None:
        for _ in range(3):
            customer, same = unique("customer"), card(new_number())
            answers = await at_once(pair[0], AT_ONCE, lambda n, c=customer, s=same: post_method(pair[n % 2], c, s))
            assert codes(answers) == {"201": 1, "payment_method_exists": AT_ONCE - 1}

    async def test_a_removal_and_an_addition_leave_a_default(self, pair: tuple[Api, Api]) -> None:
        """Who goes finds no heir, who comes finds a default: each is right alone."""
        customers = [unique("customer") for _ in range(40)]
        methods = [await add(pair[0], customer) for customer in customers]

        async def act(number: int) -> httpx.Response:
            if number % 2:
                return await remove(pair[0], methods[number // 2])
            return await post_method(pair[1], customers[number // 2])

        answers = await at_once(pair[0], 80, act)
        assert codes(answers) == {"200": 40, "201": 40}

    async def test_two_that_are_activated_have_one_default(self, pair: tuple[Api, Api]) -> None:
        methods = []
        for _ in range(20):
            customer = unique("customer")
            methods.append([await add(pair[0], customer), await add(pair[0], customer)])
            for method in methods[-1]:
                json_of(await change(pair[0], method, status="INACTIVE"), 200)
        answers = await at_once(pair[0], 40, lambda n: change(pair[n % 2], methods[n // 2][n % 2], status="ACTIVE"))
        assert codes(answers) == {"200": 40}

    @pytest.mark.parametrize("seed", range(3))
    async def test_everything_at_once_leaves_one_default(self, pair: tuple[Api, Api], seed: int) -> None:
        rng = random.Random(seed)
        customers = [unique("customer") for _ in range(4)]
        for _ in range(ROUNDS):
            acts = []
            for number in range(AT_ONCE):
                api, customer = pair[number % 2], rng.choice(customers)
                ids = await listed(api, customer, limit=100)
                what = rng.choice(["add", "add", "remove", "remove", "default", "off", "on"])
                if what == "add" or not ids:
                    acts.append((api, "POST", METHODS, {"customerId": customer, **card()}))
                    continue
                path = f"{METHODS}/{rng.choice(ids)}"
                acts.append(
                    {
                        "remove": (api, "DELETE", path, None),
                        "default": (api, "PUT", f"{path}/set-default", {}),
                        "off": (api, "PATCH", path, {"status": "INACTIVE"}),
                        "on": (api, "PATCH", path, {"status": "ACTIVE"}),
                    }[what]
                )
            answers = await at_once(pair[0], AT_ONCE, lambda n, a=acts: a[n][0].call(*a[n][1:]))
            fine = {"200", "201", "payment_method_unusable", "invalid_state_transition", "row_busy"}
            assert set(codes(answers)) <= fine, codes(answers)

    async def test_set_default_against_remove_and_add(self, pair: tuple[Api, Api]) -> None:
        for _ in range(ROUNDS):
            customer = unique("customer")
            methods = [await add(pair[0], customer) for _ in range(4)]

            async def act(
                number: int, methods: list[dict[str, str]] = methods, customer: str = customer
            ) -> httpx.Response:
                api = pair[number % 2]
                if number < 4:
                    return await set_default(api, methods[number])
                if number < 7:
                    return await remove(api, methods[number - 4])
                return await post_method(api, customer, setDefault=number % 3 == 0)

            answers = await at_once(pair[0], 10, act)
            assert set(codes(answers)) <= {"200", "201", "payment_method_unusable", "row_busy"}, codes(answers)
            problem_of(await set_default(pair[0], methods[0]), 409, "payment_method_unusable")
