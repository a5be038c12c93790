"""Who has to approve a refund, and who cannot; what an approval is for."""

from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.refunds import REFUNDS, Desk, customer_of, vendor
from tests.support.service import Service, eventually
from tests.support.truth import verify

pytestmark = pytest.mark.usefixtures("verified")

LARGE, LARGER = 20_000, 200_000


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestOne:
    async def test_person_is_enough(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid(LARGE))["id"])
        assert (refund["status"], refund["approvalsNeeded"]) == ("PENDING_APPROVAL", 1)
        problem_of(await desk.act(refund["id"], "process"), 409, "invalid_state_transition")

        approved = await desk.done(refund["id"], "approve", by=desk.ann)

        assert approved["status"] == "APPROVED" and approved["approvedAt"]
        assert [each["approvedBy"] for each in approved["approvals"]] == ["ann"]
        assert (await desk.done(refund["id"], "process"))["status"] == "COMPLETED"

    async def test_person_sends_it_back(self, desk: Desk) -> None:
        payment = await desk.paid(LARGE)
        refund = await desk.asked(payment["id"])
        ended = await desk.done(refund["id"], "reject", by=desk.ann, body={"reason": "worn"})
        assert (ended["status"], ended["failureReason"]) == ("REJECTED", "worn")
        assert (await desk.api.show(payment["id"]))["amountRefundable"] == LARGE
        problem_of(await desk.act(refund["id"], "approve", by=desk.ben), 409, "invalid_state_transition")

    async def test_person_for_whatever_a_customer_asks(self, desk: Desk, service: Service) -> None:
        payment = await desk.paid(100)
        refund = await desk.asked(payment["id"], 1, by=customer_of(service, payment["customerId"]))
        shown = await desk.show(refund["id"])
        assert (shown["approvalsNeeded"], shown["approvalRule"]) == (1, "asked for by a customer")


class TestTwo:
    async def test_people_and_not_the_same_twice(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid(LARGER))["id"])
        first = await desk.done(refund["id"], "approve", by=desk.ann)
        assert (first["status"], first["approvalsNeeded"], len(first["approvals"])) == ("PENDING_APPROVAL", 2, 1)
        problem_of(await desk.act(refund["id"], "approve", by=desk.ann), 409, "already_approved")

        second = await desk.done(refund["id"], "approve", by=desk.ben)

        assert second["status"] == "APPROVED"
        assert [each["approvedBy"] for each in second["approvals"]] == ["ann", "ben"]
        assert await desk.events(refund["id"]) == ["refund.created", "refund.approval_given", "refund.approved"]


class TestRequester:
    @pytest.mark.parametrize("roles", [("finance",), ("admin",), ("admin", "finance", "service")])
    async def test_may_not_approve_whatever_the_role(
        self, desk: Desk, service: Service, roles: tuple[str, ...]
    ) -> None:
        who = service.api.as_(*roles, subject=unique("boss"))
        refund = await desk.asked((await desk.paid(LARGE))["id"], by=who)
        problem_of(await desk.act(refund["id"], "approve", by=who), 403, "requester_may_not_approve")
        assert (await desk.done(refund["id"], "approve", by=desk.ann))["status"] == "APPROVED"

    @pytest.mark.parametrize(
        "change",
        [
            """approvals = '[{"approvedBy": "shop", "approvedAt": "2026-01-01", "contentDigest": "%s"}]'""",
            """approvals = '[{"approvedBy": "ann", "approvedAt": "2026-01-01", "contentDigest": "other"}]'""",
            """approvals = '[{"approvedBy": "x", "contentDigest": "%s"}, {"approvedBy": "x", "contentDigest": "%s"}]'
            """,
            "status = 'APPROVED'",
            "amount = amount + 1",
            "amount_unallocated = amount_unallocated - 1",
        ],
    )
    async def test_the_database_refuses_what_no_code_should_do(self, desk: Desk, service: Service, change: str) -> None:
        refund = await desk.asked((await desk.paid(LARGE))["id"])
        change = change.replace("%s", refund["contentDigest"])
        with pytest.raises(asyncpg.CheckViolationError):
            await service.fetch(f"update refunds set {change} where id = $1", refund["id"])


class TestContent:
    async def test_an_approval_is_for_what_was_seen(self, desk: Desk) -> None:
        refund = await desk.asked((await desk.paid(LARGE))["id"])
        other = {"contentDigest": "0" * 64}
        refused = problem_of(await desk.act(refund["id"], "approve", by=desk.ann, body=other), 409, "refund_changed")
        assert refused["contentDigest"] == refund["contentDigest"]

        seen = {"contentDigest": refund["contentDigest"]}
        approved = await desk.done(refund["id"], "approve", by=desk.ann, body=seen)

        assert [each["contentDigest"] for each in approved["approvals"]] == [refund["contentDigest"]]

    async def test_two_refunds_of_one_content_are_two(self, desk: Desk) -> None:
        payment = await desk.paid(100)
        one, two = [await desk.asked(payment["id"], 10) for _ in range(2)]
        assert one["id"] != two["id"] and one["refundNumber"] != two["refundNumber"]


POLICY = b"""[
    {"name": "watched", "vendors": ["watched"], "approvals": 2},
    {"name": "returns", "reasons": ["ITEM_RETURNED"], "maxAmount": 50, "approvals": 0},
    {"approvals": 1}
]"""


class TestConfigured:
    async def test_a_file_says_who_approves_and_who_keeps_the_commission(self, serve: Serve, tmp_path: Path) -> None:
        path = tmp_path / "policy.json"
        path.write_bytes(POLICY)
        async with serve(refund_policy=str(path), refund_keeps_commission="CUSTOMER_REQUEST") as service:
            desk = Desk(service)
            await tenth(service)
            returned = await desk.asked((await desk.paid(100))["id"], 50, reason="ITEM_RETURNED")
            assert (returned["status"], returned["approvalRule"]) == ("APPROVED", "returns")
            more = await desk.asked((await desk.paid(100))["id"], 51, reason="ITEM_RETURNED")
            assert (more["approvalsNeeded"], more["approvalRule"]) == (1, "rule 3")
            charge = await desk.shop.sold({"watched": 60, "other": 40})
            watched = await desk.asked(charge["paymentId"], 50, reason="ITEM_RETURNED")
            assert (watched["approvalsNeeded"], watched["approvalRule"]) == (2, "watched")

            kept = await desk.asked((await desk.shop.sold({vendor(): 100}))["paymentId"], reason="CUSTOMER_REQUEST")
            assert (kept["isCommissionKept"], kept["commissionReturned"], kept["commissionKept"]) == (True, 0, 10)
            assert kept["shares"][0]["netAmount"] == 100
            given = await desk.asked((await desk.shop.sold({vendor(): 100}))["paymentId"], reason="DUPLICATE")
            assert (given["isCommissionKept"], given["commissionReturned"], given["commissionKept"]) == (False, 10, 0)
            for refund in (kept, given):
                await desk.done(refund["id"], "approve", by=desk.ann)
                done = await desk.done(refund["id"], "process")
                booked = await desk.balances(done["id"])
                assert booked.pop("commission_revenue", 0) == refund["commissionReturned"]
                assert list(booked.values()) == [100 - refund["commissionReturned"]]
            await verify(service)


async def tenth(service: Service) -> None:
    """A rule that takes a tenth of everything, from now on."""
    author, second = (service.api.as_("finance", subject=name) for name in ("author", "second"))
    rules = "/api/v1/commission-rules"
    body = {"name": "a tenth", "commissionType": "PERCENTAGE", "rate": "0.1", "priority": 1}
    rule = json_of(await author.call("POST", rules, body), 201)
    json_of(await second.call("PUT", f"{rules}/{rule['id']}/activate", {}), 200)
    await eventually(lambda: [row.id for row in service.app.commission_rules.rows] == [rule["id"]], 30)


async def test_a_list_of_what_waits_for_approval(desk: Desk) -> None:
    refund = await desk.asked((await desk.paid(LARGE))["id"])
    waiting = json_of(await desk.ann.get(f"{REFUNDS}/status/PENDING_APPROVAL", limit=1), 200)["data"]
    assert waiting == [refund]
