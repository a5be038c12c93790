"""KYC without a service: people decide, each sees its own, others ask, and the database keeps watch."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from bursar.domains.kyc.model import KycRequired, Status, SubjectType
from bursar.domains.kyc.verify import faults
from simulators.kyc import provider
from tests.conftest import Serve
from tests.support.api import json_of, problem_of
from tests.support.kyc import KYC, Stage
from tests.support.races import at_once
from tests.support.service import Service
from tests.support.truth import verify


@pytest.fixture
async def people(private: Service) -> Stage:
    """A service of ours without any KYC service."""
    return Stage(private, provider())


class TestPeople:
    async def test_decide_where_there_is_no_service(self, people: Stage) -> None:
        pending = await people.request("v-1")
        assert pending["provider"] is None and await people.service.run_jobs() == 0
        decided = json_of(await people.decide("v-1", "VERIFIED", expiresAt="2999-01-01T00:00:00Z"), 200)
        assert (decided["status"], decided["decidedBy"], decided["decisionReason"], decided["expiresAt"]) == (
            "VERIFIED", "caller-risk", "papers seen", "2999-01-01T00:00:00Z",
        )  # fmt: skip

    async def test_reject_with_a_code_of_their_own(self, people: Stage) -> None:
        await people.request("v-1")
        assert json_of(await people.decide("v-1", "REJECTED"), 200)["rejectionCode"] == "rejected_by_staff"
        own = people.service.api.as_("vendor", subject="v-1", vendorId="v-1")
        shown = json_of(await own.get(f"{KYC}/VENDOR/v-1"), 200)
        assert (shown["status"], shown["decidedBy"], shown["decisionReason"]) == ("REJECTED", None, None)

    async def test_decide_what_is_pending_only(self, people: Stage) -> None:
        refused = problem_of(await people.decide("v-1", "VERIFIED"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("NOT_STARTED", ["request"])
        await people.request("v-1")
        json_of(await people.decide("v-1", "VERIFIED"), 200)
        refused = problem_of(await people.decide("v-1", "REJECTED"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("VERIFIED", [])
        again = await people.api.call("POST", f"{KYC}/VENDOR/v-1/checks", {})
        assert problem_of(again, 409, "invalid_state_transition")["state"] == "VERIFIED"

    async def test_a_verification_has_to_hold_for_a_while(self, people: Stage) -> None:
        await people.request("v-1")
        past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        problem_of(await people.decide("v-1", "VERIFIED", expiresAt=past), 422, "validation_failed")
        assert (await people.shown("v-1"))["status"] == "PENDING"

    async def test_find_who_waits_for_them(self, people: Stage) -> None:
        risk = people.service.api.as_("risk")
        for number in range(5):
            await people.request(f"v-{number}")
        await people.decide("v-0", "VERIFIED")
        first = json_of(await risk.get(f"{KYC}/status/PENDING", limit=3), 200)
        rest = json_of(await risk.get(f"{KYC}/status/PENDING", limit=3, cursor=first["nextCursor"]), 200)
        assert [row["subjectId"] for row in first["data"] + rest["data"]] == ["v-4", "v-3", "v-2", "v-1"]
        assert (first["hasMore"], rest["hasMore"]) == (True, False)
        since = first["data"][1]["createdAt"]
        later = json_of(await risk.get(f"{KYC}/status/PENDING", createdFrom=since), 200)
        assert [row["subjectId"] for row in later["data"]] == ["v-4", "v-3"]
        assert json_of(await risk.get(f"{KYC}/status/NOT_STARTED"), 200)["data"] == []


class TestAccess:
    async def test_one_sees_and_asks_for_oneself_only(self, people: Stage) -> None:
        await people.request("v-1")
        vendor = people.service.api.as_("vendor", subject="v-2", vendorId="v-2")
        customer = people.service.api.as_("customer", customer_id="v-1")
        assert json_of(await vendor.get(f"{KYC}/VENDOR/v-2"), 200)["status"] == "NOT_STARTED"
        assert json_of(await vendor.call("POST", f"{KYC}/VENDOR/v-2/checks", {}), 202)["status"] == "PENDING"
        assert json_of(await customer.call("POST", f"{KYC}/CUSTOMER/v-1/checks", {}), 202)["status"] == "PENDING"
        for caller, path in (
            (vendor, "VENDOR/v-1"), (vendor, "CUSTOMER/v-2"), (customer, "VENDOR/v-1"), (customer, "CUSTOMER/v-2"),
        ):  # fmt: skip
            problem_of(await caller.get(f"{KYC}/{path}"), 404, "not_found")
            problem_of(await caller.call("POST", f"{KYC}/{path}/checks", {}), 404, "not_found")

    @pytest.mark.parametrize(
        "method, path, allowed",
        [
            ("POST", "VENDOR/v/checks", {"service", "admin", "vendor"}),
            ("GET", "VENDOR/v", {"service", "finance", "admin", "support", "risk", "vendor"}),
            ("GET", "status/PENDING", {"risk", "admin", "support"}),
            ("PUT", "VENDOR/v/decision", {"risk", "admin"}),
        ],
    )
    async def test_each_endpoint_by_each_role(self, people: Stage, method: str, path: str, allowed: set[str]) -> None:
        body = {"decision": "VERIFIED", "reason": "x"} if method == "PUT" else {} if method == "POST" else None
        for role in ("service", "finance", "admin", "support", "risk", "vendor", "customer"):
            caller = people.service.api.as_(role, subject=role, vendorId="v" if role == "vendor" else None)
            answer = await caller.call(method, f"{KYC}/{path}", body)
            assert (answer.status_code not in (403, 404)) == (role in allowed), (role, answer.text)

    @pytest.mark.parametrize("path", ["SOMEBODY/v-1", "vendor/v-1", "VENDOR/" + "x" * 65])
    async def test_a_path_that_names_nobody_is_refused(self, people: Stage, path: str) -> None:
        problem_of(await people.api.get(f"{KYC}/{path}"), 422, "validation_failed")


class TestConcurrency:
    async def test_of_many_requests_at_once_one_wins(self, people: Stage) -> None:
        answers = await at_once(people.api, 20, lambda _: people.api.call("POST", f"{KYC}/VENDOR/v-1/checks", {}))
        assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
        assert (await people.shown("v-1"))["version"] == 1

    async def test_two_processes_make_one_row(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            for number in range(20):
                path = f"{KYC}/VENDOR/v-{number}/checks"
                answers = await asyncio.gather(
                    *(each.api.as_("service").call("POST", path, {}) for each in (one, other, one, other))
                )
                assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
            assert (await one.fetch("select count(*) from kyc_subjects"))[0][0] == 20
            await verify(one)

    async def test_a_stale_version_is_refused(self, people: Stage) -> None:
        path = f"{KYC}/VENDOR/v-1/checks"
        problem_of(await people.api.call("POST", path, {}, headers={"if-match": '"1"'}), 412, "stale_version")
        json_of(await people.api.call("POST", path, {}, headers={"if-match": '"0"'}), 202)


class TestOthers:
    async def test_ask_how_somebody_stands(self, people: Stage) -> None:
        assert await people.status_of("v-1") is Status.NOT_STARTED
        with pytest.raises(KycRequired) as refused:
            await people.require("v-1")
        assert refused.value.context == {"kycStatus": "NOT_STARTED", "subjectType": "VENDOR", "subjectId": "v-1"}
        await people.request("v-1")
        assert await people.status_of("v-1") is Status.PENDING
        await people.decide("v-1", "VERIFIED")
        assert await people.status_of("v-1") is Status.VERIFIED
        await people.require("v-1")
        assert await people.status_of("v-1", SubjectType.CUSTOMER) is Status.NOT_STARTED


class TestDatabase:
    @pytest.mark.parametrize(
        "change",
        [
            "status = 'VERIFIED'",
            "decided_at = now()",
            "status = 'REJECTED', decided_at = now(), decided_by = 'x'",
            "status = 'EXPIRED', decided_at = now(), decided_by = 'x'",
            "expires_at = now()",
            "rejection_code = 'underage'",
            "status = 'NOT_STARTED', decided_at = now(), decided_by = 'x'",
            "provider_reference = 'chk_1'",
            "evidence = '{}'",
            "requested_at = null",
            "attempt = 0",
        ],
    )
    async def test_refuses_what_no_check_can_be(self, people: Stage, change: str) -> None:
        await people.request("v-1")
        with pytest.raises(asyncpg.CheckViolationError):
            await people.service.fetch(f"update kyc_subjects set {change} where subject_id = 'v-1'")

    async def test_an_invariant_finds_a_status_without_its_event(self, people: Stage) -> None:
        await people.request("v-1")
        async with people.service.connection() as connection:
            (before,) = (await faults(connection)).values()
            await connection.execute(
                "update kyc_subjects set status = 'VERIFIED', decided_at = now(), decided_by = 'nobody'"
            )
            (after,) = (await faults(connection)).values()
            await connection.execute("update kyc_subjects set status = 'PENDING', decided_at = null, decided_by = null")
        assert before == [] and len(after) == 1 and "is VERIFIED, its last event is kyc.requested" in after[0]
