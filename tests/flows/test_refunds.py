"""Refunds over HTTP: asked for, approved, sent, done; what they take from whom, and what is refused."""

from typing import Any

import pytest

from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.refunds import REFUNDS, Desk, customer_of, vendor
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")

NOBODY = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestWholeWay:
    async def test_of_money_that_is_no_vendors(self, desk: Desk) -> None:
        payment = await desk.paid(100)

        refund = await desk.asked(payment["id"], 40, reasonDetail="too small")
        assert (refund["status"], refund["amount"], refund["currency"]) == ("APPROVED", 40, "EUR")
        assert (refund["shares"], refund["amountUnallocated"]) == ([], 40)
        assert (refund["approvalsNeeded"], refund["approvalRule"]) == (0, "up to 100 units of the currency")
        reserved = await desk.api.show(payment["id"])
        assert (reserved["amountRefunding"], reserved["amountRefundable"], reserved["amountRefunded"]) == (40, 60, 0)

        done = await desk.done(refund["id"], "process")
        assert done["status"] == "COMPLETED" and done["providerReference"]
        shown = await desk.api.show(payment["id"])
        assert (shown["amountRefunding"], shown["amountRefundable"], shown["amountRefunded"]) == (0, 60, 40)
        assert shown["refundStatus"] == "PARTIAL"
        assert await desk.events(refund["id"]) == [
            "refund.created",
            "refund.approved",
            "refund.processing",
            "refund.completed",
        ]
        assert (await desk.balances(payment["id"])) == {"provider:sandbox:clearing": 60, "unallocated": -60}

    async def test_of_all_that_is_left(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        await desk.refunded(payment["id"], 30)

        rest = await desk.refunded(payment["id"])

        assert rest["amount"] == 70
        shown = await desk.api.show(payment["id"])
        assert (shown["amountRefunded"], shown["refundStatus"]) == (100, "FULL")
        assert await desk.balances(payment["id"]) == {}
        problem_of(await desk.post(payment["id"]), 409, "amount_exceeds_refundable")

    async def test_from_every_vendor_in_proportion(self, desk: Desk) -> None:
        first, second = vendor(), vendor()
        charge = await desk.shop.sold({first: 60, second: 30})

        refund = await desk.asked(charge["paymentId"], 45)

        shares = {share["vendorId"]: share["grossAmount"] for share in refund["shares"]}
        assert shares == {first: 30, second: 15}
        assert all(share["transactionId"] == charge["id"] for share in refund["shares"])
        held = await desk.shop.show(charge["id"])
        assert [line["amountRefunding"] for line in held["allocations"]] == [30, 15]
        await desk.done(refund["id"], "process")
        settled = await desk.shop.show(charge["id"])
        assert [line["amountRefunded"] for line in settled["allocations"]] == [30, 15]
        assert settled["amountRefunded"] == 45
        counter = await desk.shop.show(refund["refundTransactionId"])
        assert (counter["type"], counter["status"], counter["amount"]) == ("REFUND", "COMPLETED", 45)
        assert counter["refundId"] == refund["id"]
        assert await desk.balances(refund["id"]) == {f"vendor:{first}:pending": 30, f"vendor:{second}:pending": 15}

    async def test_from_the_vendors_that_are_named(self, desk: Desk) -> None:
        first, second = vendor(), vendor()
        charge = await desk.shop.sold({first: 60, second: 40})
        shares = [{"vendorId": second, "amount": 25}]

        refund = await desk.asked(charge["paymentId"], 25, allocations=shares)

        assert [(share["vendorId"], share["grossAmount"]) for share in refund["shares"]] == [(second, 25)]
        more = [{"vendorId": second, "amount": 16}]
        problem_of(await desk.post(charge["paymentId"], allocations=more), 409, "allocation_exceeded")

    async def test_from_one_charge_alone(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        seller = vendor()
        charge = await desk.shop.allocated(payment["id"], {seller: 30})
        json_of(await desk.shop.end(charge, "complete"), 200)

        refund = await desk.asked(payment["id"], transactionId=charge["id"])

        assert (refund["amount"], refund["amountUnallocated"], refund["transactionId"]) == (30, 0, charge["id"])
        counter = await desk.shop.show(refund["refundTransactionId"])
        assert counter["parentTransactionId"] == charge["id"]
        whole = await desk.asked(payment["id"])
        assert (whole["amount"], whole["amountUnallocated"], whole["shares"]) == (70, 70, [])

    async def test_is_on_the_payments_timeline(self, desk: Desk) -> None:
        payment = await desk.paid()
        await desk.refunded(payment["id"], 10)
        timeline = json_of(await desk.api.get(f"/api/v1/payments/core/{payment['id']}/timeline"), 200)
        told = [event["type"] for event in timeline["data"]]
        assert {"refund.created", "payment.refund_reserved", "transaction.completed", "refund.completed"} <= set(told)


class TestRefused:
    async def test_a_payment_that_was_never_captured(self, desk: Desk) -> None:
        payment = await desk.api.authorized()
        problem_of(await desk.post(payment["id"], amount=10), 409, "payment_not_captured")
        problem_of(await desk.post(payment["id"]), 409, "payment_not_captured")

    async def test_more_than_is_left(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        await desk.asked(payment["id"], 60)
        refused = problem_of(await desk.post(payment["id"], amount=41), 409, "amount_exceeds_refundable")
        assert refused["amountRefundable"] == 40

    async def test_allocations_that_do_not_sum(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        shares = [{"vendorId": "v-1", "amount": 10}]
        assert fields_of(await desk.post(payment["id"], amount=11, allocations=shares)) == {"allocations"}

    async def test_what_is_not_there(self, desk: Desk) -> None:
        problem_of(await desk.post(NOBODY, amount=10), 404, "not_found")
        payment = await desk.paid()
        refused = await desk.post(payment["id"], amount=10, transactionId=NOBODY)
        problem_of(refused, 409, "transaction_not_refundable")
        problem_of(await desk.api.get(f"{REFUNDS}/{NOBODY}"), 404, "not_found")
        problem_of(await desk.act(NOBODY, "process"), 404, "not_found")

    async def test_a_stale_version(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid())["id"], 10)
        stale = {"if-match": f'"{refund["version"] - 1}"'}
        for action in ("process", "cancel"):
            problem_of(await desk.act(refund["id"], action, headers=stale), 412, "stale_version")
        fresh = {"if-match": f'"{refund["version"]}"'}
        assert (await desk.done(refund["id"], "process", headers=fresh))["status"] == "COMPLETED"

    async def test_nothing_is_left_reserved_by_a_refusal(self, desk: Desk, service: Service) -> None:
        seller = vendor()
        charge = await desk.shop.sold({seller: 100})
        before = await desk.api.show(charge["paymentId"])
        shares = [{"vendorId": vendor(), "amount": 10}]
        problem_of(await desk.post(charge["paymentId"], allocations=shares), 409, "allocation_exceeded")
        assert await desk.api.show(charge["paymentId"]) == before
        assert await service.fetch("select from refunds where payment_id = $1", charge["paymentId"]) == []


class TestKeys:
    async def test_the_same_key_asks_once(self, desk: Desk) -> None:
        payment, key = await desk.paid(100), unique("key")
        first = await desk.post(payment["id"], amount=60, key=key)
        again = await desk.post(payment["id"], amount=60, key=key)
        assert first.status_code == 201 and again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == f"{REFUNDS}/{first.json()['id']}"

    async def test_the_same_key_sends_once(self, desk: Desk, service: Service) -> None:
        refund, key = await desk.asked((await desk.paid())["id"], 60), unique("key")
        asked = len(service.sandbox.books.by_key)
        first = await desk.act(refund["id"], "process", key=key)
        again = await desk.act(refund["id"], "process", key=key)
        assert json_of(first, 200)["status"] == "COMPLETED" and again.content == first.content
        assert len(service.sandbox.books.by_key) == asked + 1


class TestBeforeItIsSent:
    async def test_cancelled_money_is_free_again(self, desk: Desk) -> None:
        seller = vendor()
        charge = await desk.shop.sold({seller: 100})
        refund = await desk.asked(charge["paymentId"])
        ended = await desk.done(refund["id"], "cancel", body={"reason": "kept it"})
        assert (ended["status"], ended["failureReason"]) == ("CANCELLED", "kept it")
        shown = await desk.api.show(charge["paymentId"])
        assert (shown["amountRefunding"], shown["amountRefundable"]) == (0, 100)
        assert (await desk.shop.show(charge["id"]))["allocations"][0]["amountRefunding"] == 0
        assert (await desk.shop.show(refund["refundTransactionId"]))["status"] == "FAILED"
        assert (await desk.refunded(charge["paymentId"]))["amount"] == 100

    async def test_failed_by_hand(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid())["id"], 60)
        ended = await desk.done(refund["id"], "fail", body={"reason": "the account is closed"})
        assert (ended["status"], ended["failureCode"]) == ("FAILED", "failed_by_hand")

    @pytest.mark.parametrize("action", ["approve", "reject", "cancel", "process", "complete", "fail"])
    async def test_what_has_ended_stays_so(self, desk: Desk, action: str) -> None:
        refund = await desk.asked((await desk.paid())["id"], 60)
        ended = await desk.done(refund["id"], "cancel")
        refused = problem_of(await desk.act(refund["id"], action, by=desk.ann), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("CANCELLED", [])
        assert await desk.show(refund["id"]) == ended

    async def test_metadata_changes_key_by_key(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid())["id"], 10, metadata={"a": "1", "b": "2"})
        path = f"{REFUNDS}/{refund['id']}"
        changed = json_of(await desk.api.call("PATCH", path, {"metadata": {"a": None, "c": "3"}}), 200)
        assert (changed["metadata"], changed["version"]) == ({"b": "2", "c": "3"}, refund["version"] + 1)
        assert changed["contentDigest"] == refund["contentDigest"]
        many = {f"k{number}": "x" for number in range(50)}
        assert fields_of(await desk.api.call("PATCH", path, {"metadata": many})) == {"metadata"}


class TestFound:
    async def test_by_number_payment_order_and_status(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        refunds = [await desk.asked(payment["id"], amount) for amount in (10, 20, 30)]
        newest_first = [refund["id"] for refund in reversed(refunds)]

        number = refunds[0]["refundNumber"]
        assert json_of(await desk.api.get(f"{REFUNDS}/refund-number/{number}"), 200) == refunds[0]
        for path in (f"payment/{payment['id']}", f"order/{payment['orderId']}"):
            first = json_of(await desk.api.get(f"{REFUNDS}/{path}", limit=2), 200)
            rest = json_of(await desk.api.get(f"{REFUNDS}/{path}", limit=2, cursor=first["nextCursor"]), 200)
            assert [row["id"] for row in first["data"] + rest["data"]] == newest_first
            assert (first["hasMore"], rest["hasMore"]) == (True, False)
        approved = json_of(await desk.api.get(f"{REFUNDS}/status/APPROVED", limit=3), 200)
        assert [row["id"] for row in approved["data"]] == newest_first
        problem_of(await desk.api.get(f"{REFUNDS}/refund-number/RFD-22222222222222"), 404, "not_found")
        assert fields_of(await desk.api.get(f"{REFUNDS}/status/GONE")) == {"status"}

    @pytest.mark.parametrize("query", [{"limit": 0}, {"cursor": "x"}, {"page": 2}])
    async def test_pages_that_are_none(self, desk: Desk, query: dict[str, Any]) -> None:
        fields_of(await desk.api.get(f"{REFUNDS}/status/APPROVED", **query))


WAYS: dict[str, frozenset[str]] = {
    "create": frozenset({"service", "support", "finance", "admin", "customer"}),
    "approve": frozenset({"finance", "admin"}),
    "reject": frozenset({"finance", "admin"}),
    "cancel": frozenset({"service", "support", "finance", "admin", "customer"}),
    "process": frozenset({"service", "finance", "admin"}),
    "complete": frozenset({"service", "finance", "admin"}),
    "fail": frozenset({"service", "finance", "admin"}),
    "read": frozenset({"service", "support", "finance", "risk", "admin", "customer"}),
    "batch": frozenset({"service", "finance", "admin"}),
}


class TestRoles:
    @pytest.mark.parametrize("role", ["customer", "vendor", "support", "finance", "risk", "admin", "service"])
    @pytest.mark.parametrize("way", WAYS)
    async def test_who_may_do_what(self, desk: Desk, service: Service, role: str, way: str) -> None:
        who = service.api.as_(role, customer_id=unique("customer"))
        if way == "create":
            answer = await desk.post(NOBODY, by=who)
        elif way == "read":
            answer = await who.get(f"{REFUNDS}/{NOBODY}")
        elif way == "batch":
            items = [{"orderId": unique("order")}]
            answer = await who.call("POST", f"{REFUNDS}/batch", {"reason": "OTHER", "items": items})
        else:
            answer = await desk.act(NOBODY, way, by=who)
        allowed = 202 if way == "batch" else 404
        assert answer.status_code == (allowed if role in WAYS[way] else 403)

    async def test_a_customer_asks_for_its_own_and_sees_its_own(self, desk: Desk, service: Service) -> None:
        seller = vendor()
        charge = await desk.shop.sold({seller: 100})
        payment = await desk.api.show(charge["paymentId"])
        owner, other = customer_of(service, payment["customerId"]), customer_of(service, unique("customer"))

        problem_of(await desk.post(payment["id"], by=other, amount=10), 404, "not_found")
        refund = await desk.asked(payment["id"], 10, by=owner)

        assert (refund["status"], refund["shares"], refund["approvals"]) == ("PENDING_APPROVAL", None, None)
        assert seller not in str(refund)
        assert await desk.show(refund["id"], by=owner) == refund
        number = f"{REFUNDS}/refund-number/{refund['refundNumber']}"
        assert json_of(await owner.get(number), 200) == refund
        for path in (f"{REFUNDS}/{refund['id']}", number):
            problem_of(await other.get(path), 404, "not_found")
        for path in (f"payment/{payment['id']}", f"order/{payment['orderId']}", "status/PENDING_APPROVAL"):
            mine = json_of(await owner.get(f"{REFUNDS}/{path}"), 200)["data"]
            assert mine == [refund]
            assert json_of(await other.get(f"{REFUNDS}/{path}"), 200)["data"] == []
        problem_of(await desk.act(refund["id"], "cancel", by=other), 404, "not_found")
        ended = await desk.done(refund["id"], "cancel", by=owner)
        assert (ended["status"], ended["shares"]) == ("CANCELLED", None)

    async def test_a_customer_without_a_name_is_refused(self, desk: Desk, service: Service) -> None:
        nobody: Api = service.api.as_("customer")
        problem_of(await desk.post(NOBODY, by=nobody), 403, "forbidden")
