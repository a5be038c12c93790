"""Transactions over HTTP: made by captures, made by hand, completed and failed."""

from typing import Any

import pytest

from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.commissions import Desk, new_vendor
from tests.support.service import Service
from tests.support.transactions import TRANSACTIONS, Shop

pytestmark = pytest.mark.usefixtures("verified")


@pytest.fixture
def shop(api: Api) -> Shop:
    return Shop(api)


@pytest.fixture
def desk(service: Service) -> Desk:
    """What it activates is for one vendor each, so nothing is left that others would meet."""
    return Desk(service)


def money(transaction: dict[str, Any]) -> list[tuple[str, int, int, int]]:
    """Vendor, gross, commission and net of each allocation."""
    return [
        (part["vendorId"], part["grossAmount"], part["commissionAmount"], part["netAmount"])
        for part in transaction["allocations"]
    ]


async def balances(service: Service, about: str) -> dict[str, int]:
    """What the ledger has about something, by account, credit positive."""
    rows = await service.fetch(
        "select account, -sum(amount)::bigint as balance from postings where about = $1 group by 1", about
    )
    return {row["account"]: row["balance"] for row in rows if row["balance"]}


class TestCaptures:
    async def test_with_splits_make_a_completed_charge(self, service: Service, shop: Shop, desk: Desk) -> None:
        vendor, other = new_vendor(), new_vendor()
        rule = await desk.active(vendorId=vendor, rate="0.125")

        charge = await shop.sold({vendor: 801, other: 199})

        assert money(charge) == [(vendor, 801, 100, 701), (other, 199, 0, 199)]
        assert (charge["type"], charge["status"], charge["amount"]) == ("CHARGE", "COMPLETED", 1_000)
        assert (charge["commissionTotal"], charge["amountRefunded"], charge["version"]) == (100, 0, 1)
        first = charge["allocations"][0]
        assert (first["commissionRuleId"], first["commissionRuleVersion"]) == (rule["id"], rule["version"])
        assert charge["completedAt"] == charge["createdAt"]
        assert await balances(service, charge["id"]) == {
            f"vendor:{vendor}:pending": 701,
            f"vendor:{other}:pending": 199,
            "commission_revenue": 100,
        }
        assert "unallocated" not in await balances(service, charge["paymentId"])
        payment = await shop.api.show(charge["paymentId"])
        assert (payment["amountCaptured"], payment["amountUnallocated"]) == (1_000, 0)
        assert charge["transactionId"] == payment["transactionId"] is not None

    async def test_tell_of_it_in_the_timeline_of_the_payment(self, shop: Shop) -> None:
        charge = await shop.sold({"a": 60, "b": 40})
        timeline = json_of(await shop.api.get(f"/api/v1/payments/core/{charge['paymentId']}/timeline"), 200)["data"]
        about = [event for event in timeline if event["subject"] == charge["id"]]
        assert [event["type"] for event in about] == ["transaction.completed"]
        assert about[0]["data"]["amount"] == 100 and len(about[0]["data"]["allocations"]) == 2

    async def test_without_splits_leave_the_money_unallocated(self, service: Service, shop: Shop) -> None:
        payment = await shop.captured()
        assert payment["amountUnallocated"] == 100
        assert await shop.of_order(payment["orderId"]) == []
        assert (await balances(service, payment["id"]))["unallocated"] == 100

    async def test_in_parts_add_up_to_the_splits(self, shop: Shop) -> None:
        splits = [
            {"vendorId": "a", "amount": 34, "categoryId": "shoes"},
            {"vendorId": "b", "amount": 33},
            {"vendorId": "a", "amount": 33, "categoryId": "hats"},
        ]
        payment = await shop.api.authorized(splits=splits)
        for amount in (1, 10, 50):
            json_of(await shop.api.capture(payment["id"], amount, finalCapture=False), 200)
        json_of(await shop.api.capture(payment["id"]), 200)

        charges = await shop.of_order(payment["orderId"])

        assert [charge["amount"] for charge in charges] == [39, 50, 10, 1]
        assert charges[3]["allocations"][0]["vendorId"] == "a" and len(charges[3]["allocations"]) == 1
        got = dict.fromkeys(("shoes", None, "hats"), 0)
        for part in (part for charge in charges for part in charge["allocations"]):
            got[part["categoryId"]] += part["grossAmount"]
        assert got == {"shoes": 34, None: 33, "hats": 33}
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 0

    async def test_at_once_with_the_authorization_are_allocated_too(self, shop: Shop) -> None:
        splits = [{"vendorId": "a", "amount": 70}, {"vendorId": "b", "amount": 30}]
        payment = await shop.api.authorized(captureMethod="AUTOMATIC", splits=splits)
        assert payment["status"] == "CAPTURED" and payment["amountUnallocated"] == 0
        (charge,) = await shop.of_order(payment["orderId"])
        assert [part["grossAmount"] for part in charge["allocations"]] == [70, 30]
        assert charge["transactionId"] == payment["transactionId"] is not None

    async def test_whose_outcome_comes_later_are_allocated_then(self, service: Service, shop: Shop) -> None:
        splits = [{"vendorId": "a", "amount": 100}]
        method = "pm_sandbox_capture_timeout_after_effect"
        payment = await shop.api.authorized(splits=splits, paymentMethodId=method)
        json_of(await shop.api.capture(payment["id"]), 202)
        assert await shop.of_order(payment["orderId"]) == []
        service.clock.advance(seconds=2)
        await service.run_jobs()
        assert [charge["amount"] for charge in await shop.of_order(payment["orderId"])] == [100]

    @pytest.mark.parametrize("currency, amount", [("JPY", 1_001), ("KWD", 12_345), ("USD", 1)])
    async def test_in_any_currency(self, shop: Shop, desk: Desk, currency: str, amount: int) -> None:
        vendor = new_vendor()
        await desk.active(vendorId=vendor, rate="0.1")
        charge = await shop.sold({vendor: amount}, currency=currency)
        commission = (amount + 5) // 10
        assert charge["currency"] == currency and money(charge) == [(vendor, amount, commission, amount - commission)]

    async def test_go_by_what_the_vendor_sold_before(self, service: Service, shop: Shop, desk: Desk) -> None:
        vendor = new_vendor()
        tiers = [{"rate": "0.2", "upTo": 1_000}, {"rate": "0.1", "upTo": None}]
        terms = {"commissionType": "TIERED", "rate": None, "tiers": tiers, "currency": "EUR", "volumeWindowDays": 30}
        await desk.active(vendorId=vendor, **terms)

        first = await shop.sold({vendor: 600})
        second = await shop.sold({vendor: 600})
        await shop.sold({vendor: 600}, currency="USD")
        service.clock.advance(days=31)
        third = await shop.sold({vendor: 600})

        assert [charge["commissionTotal"] for charge in (first, second, third)] == [120, 100, 120]

    async def test_count_what_is_sold_in_the_same_charge(self, shop: Shop, desk: Desk) -> None:
        vendor = new_vendor()
        tiers = [{"rate": "0.2", "upTo": 100}, {"rate": "0.1", "upTo": None}]
        terms = {"commissionType": "TIERED", "rate": None, "tiers": tiers, "currency": "EUR", "volumeWindowDays": 30}
        await desk.active(vendorId=vendor, **terms)
        splits = [{"vendorId": vendor, "amount": 100, "categoryId": category} for category in ("x", "y")]
        payment = await shop.captured(200, splits=splits)
        (charge,) = await shop.of_order(payment["orderId"])
        assert [part["commissionAmount"] for part in charge["allocations"]] == [20, 10]

    async def test_of_which_the_platform_keeps_all(self, service: Service, shop: Shop, desk: Desk) -> None:
        vendor = new_vendor()
        await desk.active(vendorId=vendor, rate="1")
        charge = await shop.sold({vendor: 50})
        assert await balances(service, charge["id"]) == {"commission_revenue": 50}


class TestByHand:
    async def test_allocate_what_is_unallocated(self, service: Service, shop: Shop, desk: Desk) -> None:
        vendor = new_vendor()
        await desk.active(vendorId=vendor, rate="0.1")
        payment = await shop.captured()

        made = await shop.post(payment["id"], {vendor: 60}, transactionId="till-7", metadata={"till": "7"})

        charge = json_of(made, 201)
        assert made.headers["location"] == f"{TRANSACTIONS}/{charge['id']}" and made.headers["etag"] == '"1"'
        assert (charge["status"], charge["transactionId"], charge["metadata"]) == ("PENDING", "till-7", {"till": "7"})
        assert money(charge) == [(vendor, 60, 6, 54)] and charge["completedAt"] is None
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 40
        assert (await balances(service, payment["id"]))["unallocated"] == 100
        assert await balances(service, charge["id"]) == {}

        done = json_of(await shop.end(charge, "complete", body={"gatewayReference": "gw-1"}), 200)

        assert (done["status"], done["gatewayReference"], done["version"]) == ("COMPLETED", "gw-1", 2)
        assert done["completedAt"] is not None and await shop.show(charge["id"]) == done
        assert await balances(service, charge["id"]) == {f"vendor:{vendor}:pending": 54, "commission_revenue": 6}
        assert (await balances(service, payment["id"]))["unallocated"] == 40

    async def test_give_their_money_back_when_they_fail(self, shop: Shop) -> None:
        payment = await shop.captured()
        charge = await shop.allocated(payment["id"], {"a": 100})
        failed = json_of(await shop.end(charge, "fail"), 200)
        assert (failed["status"], failed["failureReason"]) == ("FAILED", "not shipped")
        assert failed["failedAt"] is not None
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 100
        again = await shop.allocated(payment["id"], {"b": 100})
        assert json_of(await shop.end(again, "complete"), 200)["status"] == "COMPLETED"

    async def test_never_allocate_more_than_is_there(self, shop: Shop) -> None:
        payment = await shop.captured()
        await shop.allocated(payment["id"], {"a": 60})
        refused = problem_of(await shop.post(payment["id"], {"b": 41}), 409, "amount_exceeds_unallocated")
        assert refused["amountUnallocated"] == 40
        of_splits = await shop.sold({"a": 100})
        problem_of(await shop.post(of_splits["paymentId"], {"b": 1}), 409, "amount_exceeds_unallocated")

    async def test_need_a_capture(self, shop: Shop) -> None:
        for payment in (await shop.api.create_payment(), await shop.api.authorized()):
            problem_of(await shop.post(payment["id"], {"a": 1}), 409, "payment_not_captured")
        problem_of(await shop.post("01890000-0000-7000-8000-000000000000", {"a": 1}), 404, "not_found")

    async def test_refuse_what_does_not_sum(self, shop: Shop) -> None:
        payment = await shop.captured()
        refused = await shop.post(payment["id"], {"a": 60, "b": 30}, amount=100)
        faults = problem_of(refused, 422, "validation_failed")["errors"]
        assert [(fault["field"], fault["code"]) for fault in faults] == [("allocations", "allocations_do_not_sum")]
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 100

    @pytest.mark.parametrize(
        "body, fields",
        [
            ({}, {"paymentId", "amount", "allocations"}),
            ({"paymentId": "x", "amount": 0, "allocations": []}, {"paymentId", "amount", "allocations"}),
            ({"amount": 1, "allocations": [{"vendorId": "a", "amount": 1.0}]}, {"paymentId", "allocations.0.amount"}),
            ({"amount": 1, "allocations": [{"vendorId": "a", "amount": 1, "x": 1}]}, {"paymentId", "allocations.0.x"}),
        ],
    )
    async def test_refuse_bad_input(self, api: Api, body: dict[str, Any], fields: set[str]) -> None:
        assert fields_of(await api.call("POST", TRANSACTIONS, body)) == fields

    async def test_end_once(self, shop: Shop) -> None:
        payment = await shop.captured()
        charge = await shop.allocated(payment["id"], {"a": 10})
        json_of(await shop.end(charge, "complete"), 200)
        for action in ("complete", "fail"):
            refused = problem_of(await shop.end(charge, action), 409, "invalid_state_transition")
            assert (refused["state"], refused["allowed"]) == ("COMPLETED", [])
        other = await shop.allocated(payment["id"], {"a": 10})
        json_of(await shop.end(other, "fail"), 200)
        problem_of(await shop.end(other, "complete"), 409, "invalid_state_transition")

    async def test_keep_their_answers_by_key(self, service: Service, shop: Shop) -> None:
        payment = await shop.captured()
        key = unique("key")
        first = await shop.post(payment["id"], {"a": 30}, key=key)
        again = await shop.post(payment["id"], {"a": 30}, key=key)
        assert again.content == first.content and again.headers["idempotency-replayed"] == "true"
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 70
        charge = json_of(first, 201)
        done = [await shop.end(charge, "complete", key=key + "-c") for _ in range(2)]
        assert done[0].content == done[1].content and done[1].status_code == 200
        journals = await service.fetch("select 1 from journals where reference = $1", f"transaction:{charge['id']}")
        assert len(journals) == 1

    async def test_match_the_version_that_was_seen(self, shop: Shop) -> None:
        charge = await shop.allocated((await shop.captured())["id"], {"a": 10})
        for action in ("complete", "fail"):
            stale = await shop.end(charge, action, headers={"if-match": '"7"'})
            problem_of(stale, 412, "stale_version")
        assert json_of(await shop.end(charge, "complete", headers={"if-match": '"1"'}), 200)["version"] == 2
