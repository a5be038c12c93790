"""Who may see what of transactions: lists, other ids, other people's."""

from typing import Any

import pytest

from bursar.infra.auth import ROLES
from tests.support.api import Api, json_of, problem_of, unique
from tests.support.service import Service
from tests.support.transactions import TRANSACTIONS, Shop

pytestmark = pytest.mark.usefixtures("verified")

STAFF = ("service", "finance", "admin", "support", "risk")


@pytest.fixture
def shop(api: Api) -> Shop:
    return Shop(api)


def vendor_api(service: Service, vendor_id: str) -> Api:
    return service.api.as_("vendor", subject=vendor_id, vendorId=vendor_id)


async def listed(api: Api, path: str, **params: Any) -> list[dict[str, Any]]:
    return list(json_of(await api.get(f"{TRANSACTIONS}/{path}", **params), 200)["data"])


class TestVendors:
    async def test_see_their_own_share_and_nothing_of_others(self, service: Service, shop: Shop) -> None:
        mine, other = unique("vendor"), unique("vendor")
        charge = await shop.sold({mine: 70, other: 30}, metadata={"note": "wholesale"})
        api = vendor_api(service, mine)
        answers = [
            await api.get(f"{TRANSACTIONS}/{path}")
            for path in (
                charge["id"],
                f"transaction/{charge['transactionId']}",
                f"vendor/{mine}",
                f"order/{charge['orderId']}",
            )
        ]
        shown = [answer.json().get("data", [answer.json()]) for answer in answers]
        for (seen,), answer in zip(shown, answers, strict=True):
            assert seen["id"] == charge["id"] and other not in answer.text
            assert [part["vendorId"] for part in seen["allocations"]] == [mine]
            assert (seen["amount"], seen["commissionTotal"]) == (70, charge["allocations"][0]["commissionAmount"])
            assert seen["customerId"] is None and seen["metadata"] == {} and charge["customerId"] not in answer.text

    async def test_see_nothing_of_what_is_not_theirs(self, service: Service, shop: Shop) -> None:
        charge = await shop.sold({unique("vendor"): 100})
        stranger = unique("vendor")
        api = vendor_api(service, stranger)
        for path in (charge["id"], f"transaction/{charge['transactionId']}"):
            problem_of(await api.get(f"{TRANSACTIONS}/{path}"), 404, "not_found")
        problem_of(await api.get(f"{TRANSACTIONS}/vendor/{charge['allocations'][0]['vendorId']}"), 404, "not_found")
        assert await listed(api, f"order/{charge['orderId']}") == []
        assert await listed(api, f"vendor/{stranger}") == []
        problem_of(await api.get(f"{TRANSACTIONS}/customer/{charge['customerId']}"), 403, "forbidden")


class TestCustomers:
    async def test_see_their_own_without_commissions(self, service: Service, shop: Shop) -> None:
        customer = unique("customer")
        charge = await shop.sold({"a": 70, "b": 30}, customerId=customer)
        api = service.api.as_("customer", customer_id=customer)
        for path in (f"customer/{customer}", f"order/{charge['orderId']}"):
            (seen,) = await listed(api, path)
            assert seen["id"] == charge["id"] and seen["commissionTotal"] is None
            assert [part["grossAmount"] for part in seen["allocations"]] == [70, 30]
            hidden = ("commissionAmount", "netAmount", "commissionRuleId", "commissionRuleVersion")
            assert {part[name] for part in seen["allocations"] for name in hidden} == {None}
        assert json_of(await api.get(f"{TRANSACTIONS}/{charge['id']}"), 200)["commissionTotal"] is None

    async def test_see_nothing_of_others(self, service: Service, shop: Shop) -> None:
        charge = await shop.sold({"a": 100})
        api = service.api.as_("customer", customer_id=unique("customer"))
        for path in (charge["id"], f"transaction/{charge['transactionId']}", f"customer/{charge['customerId']}"):
            problem_of(await api.get(f"{TRANSACTIONS}/{path}"), 404, "not_found")
        assert await listed(api, f"order/{charge['orderId']}") == []
        problem_of(await api.get(f"{TRANSACTIONS}/vendor/a"), 403, "forbidden")


class TestBoth:
    async def test_a_vendor_who_buys_sees_what_it_sold_and_what_it_bought(self, service: Service, shop: Shop) -> None:
        vendor_id, customer_id, order_id = unique("vendor"), unique("customer"), unique("order")
        sold = await shop.sold({vendor_id: 100}, orderId=order_id)
        bought = await shop.sold({unique("vendor"): 100}, orderId=order_id, customerId=customer_id)
        await shop.sold({unique("vendor"): 100}, orderId=order_id)
        api = service.api.as_("vendor", "customer", customer_id=customer_id, vendorId=vendor_id)
        assert [one["id"] for one in await listed(api, f"vendor/{vendor_id}")] == [sold["id"]]
        assert [one["id"] for one in await listed(api, f"customer/{customer_id}")] == [bought["id"]]
        seen = await listed(api, f"order/{order_id}")
        assert [one["id"] for one in seen] == [bought["id"], sold["id"]]
        assert [one["commissionTotal"] for one in seen] == [None, sold["commissionTotal"]]
        for one in (sold, bought):
            json_of(await api.get(f"{TRANSACTIONS}/{one['id']}"), 200)


class TestStaff:
    @pytest.mark.parametrize("role", STAFF)
    async def test_see_all(self, service: Service, shop: Shop, role: str) -> None:
        vendor = unique("vendor")
        charge = await shop.sold({vendor: 60, "b": 40})
        api = service.api.as_(role)
        assert json_of(await api.get(f"{TRANSACTIONS}/{charge['id']}"), 200) == charge
        for path in (f"vendor/{vendor}", f"order/{charge['orderId']}", f"customer/{charge['customerId']}"):
            assert await listed(api, path) == [charge]

    @pytest.mark.parametrize("role", sorted(ROLES))
    async def test_only_some_move_money(self, service: Service, shop: Shop, role: str) -> None:
        customer, vendor = unique("customer"), unique("vendor")
        payment = await shop.captured(customerId=customer)
        charge = await shop.allocated(payment["id"], {vendor: 10})
        other = Shop(service.api.as_(role, customer_id=customer, vendorId=vendor))
        answers = [
            await other.post(payment["id"], {vendor: 10}),
            await other.end(charge, "complete"),
            await other.end(await shop.allocated(payment["id"], {vendor: 10}), "fail"),
        ]
        is_mover = role in ("service", "finance", "admin")
        assert [answer.status_code for answer in answers] == ([201, 200, 200] if is_mover else [403] * 3)

    async def test_the_token_has_to_say_who_it_is(self, service: Service, shop: Shop) -> None:
        charge = await shop.sold({"a": 100})
        for role in ("customer", "vendor"):
            nobody = service.api.as_(role)
            problem_of(await nobody.get(f"{TRANSACTIONS}/order/{charge['orderId']}"), 403, "forbidden")
            problem_of(await nobody.get(f"{TRANSACTIONS}/{charge['id']}"), 403, "forbidden")


class TestLists:
    async def test_are_paged_newest_first(self, shop: Shop) -> None:
        order, vendor, customer = unique("order"), unique("vendor"), unique("customer")
        payment = await shop.captured(orderId=order, customerId=customer)
        ids = [(await shop.allocated(payment["id"], {vendor: 1}))["id"] for _ in range(5)][::-1]
        for path in (f"order/{order}", f"vendor/{vendor}", f"customer/{customer}"):
            seen: list[str] = []
            cursor: dict[str, str] = {}
            while True:
                page = json_of(await shop.api.get(f"{TRANSACTIONS}/{path}", limit=2, **cursor), 200)
                assert len(page["data"]) <= 2 and page["hasMore"] == (page["nextCursor"] is not None)
                seen += [one["id"] for one in page["data"]]
                if not page["hasMore"]:
                    break
                cursor = {"cursor": page["nextCursor"]}
            assert seen == ids

    async def test_are_narrowed_by_time(self, service: Service, shop: Shop) -> None:
        vendor = unique("vendor")
        early = await shop.sold({vendor: 10})
        service.clock.advance(seconds=5)
        late = await shop.sold({vendor: 10})
        for bound, found in (({"createdFrom": late["createdAt"]}, late), ({"createdTo": late["createdAt"]}, early)):
            assert await listed(shop.api, f"vendor/{vendor}", **bound) == [found]

    async def test_by_external_id(self, shop: Shop) -> None:
        payment = await shop.captured()
        name, reference = unique("till"), unique("gateway")
        first = await shop.allocated(payment["id"], {"a": 10}, transactionId=name)
        second = await shop.allocated(payment["id"], {"a": 10}, transactionId=name)
        assert json_of(await shop.api.get(f"{TRANSACTIONS}/transaction/{name}"), 200) == second
        done = json_of(await shop.end(first, "complete", body={"gatewayReference": reference}), 200)
        assert json_of(await shop.api.get(f"{TRANSACTIONS}/transaction/{reference}"), 200) == done
        problem_of(await shop.api.get(f"{TRANSACTIONS}/transaction/{unique('till')}"), 404, "not_found")

    async def test_by_external_id_whoever_else_has_it(self, service: Service, shop: Shop) -> None:
        mine, other, name = unique("vendor"), unique("vendor"), unique("external")
        payment = await shop.captured(100)
        charge = await shop.allocated(payment["id"], {mine: 30}, transactionId=name)
        await shop.allocated(payment["id"], {other: 30}, transactionId=name)
        found = json_of(await vendor_api(service, mine).get(f"{TRANSACTIONS}/transaction/{name}"), 200)
        assert found["id"] == charge["id"]
