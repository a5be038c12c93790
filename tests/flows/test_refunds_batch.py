"""Many refunds at once: of orders and payments, of one vendor's shares alone, by workers that may be killed."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from bursar.domains.refunds import batches
from tests.support.api import fields_of, json_of, problem_of, unique
from tests.support.refunds import REFUNDS, Desk, vendor
from tests.support.service import Service, eventually

pytestmark = pytest.mark.usefixtures("verified")

BATCH = f"{REFUNDS}/batch"
NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


async def asked(desk: Desk, *items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    body = {"reason": "ORDER_CANCELLED", "items": list(items), **changes}
    answer = await desk.api.call("POST", BATCH, body)
    batch = json_of(answer, 202)
    assert (batch["status"], batch["itemCount"], batch["askedCount"]) == ("RUNNING", len(items), 0)
    return dict(batch)


async def shown(desk: Desk, batch: dict[str, Any]) -> dict[str, Any]:
    return dict(json_of(await desk.api.get(f"{BATCH}/{batch['id']}"), 200))


async def items_of(desk: Desk, batch: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    return list(json_of(await desk.api.get(f"{BATCH}/{batch['id']}/items", limit=100, **query), 200)["data"])


class TestBatch:
    async def test_refunds_orders_and_payments(self, desk: Desk, service: Service) -> None:
        payment, part = await desk.paid(100), await desk.paid(100)
        order = unique("order")
        of_order = [await desk.paid(amount, orderId=order) for amount in (30, 40)]

        batch = await asked(
            desk, {"paymentId": payment["id"]}, {"paymentId": part["id"], "amount": 25}, {"orderId": order}
        )
        await service.run_jobs()

        done = await shown(desk, batch)
        assert (done["status"], done["askedCount"], done["refusedCount"]) == ("COMPLETED", 3, 0)
        assert done["refunds"] == [{"status": "COMPLETED", "currency": "EUR", "count": 4, "amount": 195}]
        items = await items_of(desk, batch)
        assert [item["position"] for item in items] == [1, 2, 3]
        assert [len(item["refundIds"]) for item in items] == [1, 1, 2]
        for paid, refunded in ((payment, 100), (part, 25), (of_order[0], 30), (of_order[1], 40)):
            assert (await desk.api.show(paid["id"]))["amountRefunded"] == refunded
        refund = await desk.show(items[0]["refundIds"][0])
        assert (refund["batchId"], refund["requestedBy"]) == (batch["id"], "shop")

    async def test_of_an_orders_amount_takes_the_oldest_payment_first(self, desk: Desk, service: Service) -> None:
        order = unique("order")
        payments = [await desk.paid(amount, orderId=order) for amount in (30, 40)]
        batch = await asked(desk, {"orderId": order, "amount": 45})
        await service.run_jobs()
        taken = [(await desk.api.show(payment["id"]))["amountRefunded"] for payment in payments]
        assert taken == [30, 15] and (await shown(desk, batch))["askedCount"] == 1

    async def test_an_amount_is_of_one_currency(self, desk: Desk, service: Service) -> None:
        order = unique("order")
        paid = [await desk.paid(100, orderId=order, currency=currency) for currency in ("EUR", "JPY")]
        batch = await asked(desk, {"orderId": order, "amount": 150}, {"orderId": order})
        await service.run_jobs()
        mixed, whole = await items_of(desk, batch)
        assert (mixed["status"], mixed["problemCode"], mixed["refundIds"]) == ("REFUSED", "mixed_currencies", [])
        assert len(whole["refundIds"]) == len(paid)

    async def test_of_a_vendor_takes_its_shares_alone(self, desk: Desk, service: Service) -> None:
        failed, other = vendor(), vendor()
        charges = [await desk.shop.sold({failed: 60, other: 40}) for _ in range(3)]
        without = await desk.shop.sold({other: 40})
        items = [{"orderId": charge["orderId"]} for charge in (*charges, without)]

        batch = await asked(desk, *items, vendorId=failed, reasonDetail="the warehouse burnt down")
        await service.run_jobs()

        done = await shown(desk, batch)
        assert (done["askedCount"], done["refusedCount"], done["vendorId"]) == (3, 1, failed)
        for charge in charges:
            lines = (await desk.shop.show(charge["id"]))["allocations"]
            assert {line["vendorId"]: line["amountRefunded"] for line in lines} == {failed: 60, other: 0}
        assert (await desk.api.show(without["paymentId"]))["amountRefunded"] == 0

    async def test_says_of_each_item_why_not(self, desk: Desk, service: Service) -> None:
        refunded, authorized = await desk.paid(), await desk.api.authorized()
        await desk.refunded(refunded["id"])
        order = unique("order")
        await desk.paid(30, orderId=order)
        items: list[dict[str, Any]] = [
            {"paymentId": refunded["id"]},
            {"paymentId": authorized["id"]},
            {"paymentId": NOBODY},
            {"orderId": unique("order")},
            {"orderId": order, "amount": 31},
            {"orderId": refunded["orderId"]},
        ]
        batch = await asked(desk, *items)
        await service.run_jobs()
        refused = await items_of(desk, batch, status="REFUSED")
        assert [item["problemCode"] for item in refused] == [
            "amount_exceeds_refundable",
            "payment_not_captured",
            "not_found",
            "not_found",
            "nothing_to_refund",
            "nothing_to_refund",
        ]
        assert all(item["problemDetail"] and item["refundIds"] == [] for item in refused)
        done = await shown(desk, batch)
        assert (done["status"], done["refusedCount"], done["refunds"]) == ("COMPLETED", 6, [])

    async def test_goes_by_the_same_policy(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(20_000)
        batch = await asked(desk, {"paymentId": payment["id"]})
        await service.run_jobs()
        assert (await shown(desk, batch))["refunds"][0]["status"] == "PENDING_APPROVAL"
        (item,) = await items_of(desk, batch)
        asker = service.api.as_("finance", subject="shop")
        problem_of(await desk.act(item["refundIds"][0], "approve", by=asker), 403, "requester_may_not_approve")
        await desk.done(item["refundIds"][0], "approve", by=desk.ann)
        await service.run_jobs()
        assert (await shown(desk, batch))["refunds"][0]["status"] == "COMPLETED"

    async def test_refunds_the_same_payment_twice_only_as_far_as_there_is_money(
        self, desk: Desk, service: Service
    ) -> None:
        payment = await desk.paid(100)
        batch = await asked(desk, *[{"paymentId": payment["id"], "amount": 60}] * 3)
        await service.run_jobs()
        done = await shown(desk, batch)
        assert (done["askedCount"], done["refusedCount"]) == (1, 2)
        assert (await desk.api.show(payment["id"]))["amountRefunded"] == 60

    async def test_has_pages_of_items(self, desk: Desk, service: Service) -> None:
        batch = await asked(desk, *({"orderId": unique("order")} for _ in range(25)))
        await service.run_jobs()
        path, cursor, seen = f"{BATCH}/{batch['id']}/items", None, []
        while True:
            query = {"limit": 10} if cursor is None else {"limit": 10, "cursor": cursor}
            page = json_of(await desk.api.get(path, **query), 200)
            seen += [item["position"] for item in page["data"]]
            cursor = page["nextCursor"]
            if cursor is None:
                break
        assert seen == list(range(1, 26))
        assert fields_of(await desk.api.get(path, status="GONE")) == {"status"}
        problem_of(await desk.api.get(f"{BATCH}/{NOBODY}"), 404, "not_found")

    async def test_the_same_key_asks_once(self, desk: Desk, service: Service) -> None:
        payment, key = await desk.paid(), unique("key")
        body = {"reason": "OTHER", "items": [{"paymentId": payment["id"], "amount": 10}]}
        first, again = [await desk.api.call("POST", BATCH, body, key=key) for _ in range(2)]
        assert json_of(first, 202) == again.json() and again.headers["idempotency-replayed"] == "true"
        await service.run_jobs()
        assert (await desk.api.show(payment["id"]))["amountRefunded"] == 10


class TestAgainAndAgain:
    async def test_several_workers_at_once_refund_each_item_once(self, desk: Desk, service: Service) -> None:
        payments = [await desk.paid(100) for _ in range(30)]
        batch = await asked(desk, *({"paymentId": payment["id"], "amount": 10} for payment in payments))

        await asyncio.gather(*(batches.run(service.app, batch["id"]) for _ in range(4)))
        await service.run_jobs()

        done = await shown(desk, batch)
        assert (done["status"], done["askedCount"]) == ("COMPLETED", 30)
        assert Counter(total["count"] for total in done["refunds"]) == {30: 1}
        assert [(await desk.api.show(payment["id"]))["amountRefunded"] for payment in payments] == [10] * 30

    async def test_a_worker_that_died_before_it_noted_what_it_did(self, desk: Desk, service: Service) -> None:
        payments = [await desk.paid(100) for _ in range(25)]
        batch = await asked(desk, *({"paymentId": payment["id"], "amount": 10} for payment in payments))
        async with service.connection() as stranger, stranger.transaction():
            await stranger.execute("select from refund_batches where id = $1 for update", batch["id"])
            killed = asyncio.create_task(batches.run(service.app, batch["id"]))

            async def are_begun() -> bool:
                rows = await service.fetch("select count(*) from refunds where batch_id = $1", batch["id"])
                return bool(rows[0][0] == batches.AT_ONCE)

            await eventually(are_begun)
            killed.cancel()
            await asyncio.gather(killed, return_exceptions=True)
        assert (await shown(desk, batch))["askedCount"] == 0

        await service.run_jobs()

        done = await shown(desk, batch)
        assert (done["status"], done["askedCount"]) == ("COMPLETED", 25)
        assert done["refunds"] == [{"status": "COMPLETED", "currency": "EUR", "count": 25, "amount": 250}]
