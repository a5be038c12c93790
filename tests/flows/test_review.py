"""Payments that the fraud score sends to a person, or refuses."""

import pytest

from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.service import Service, eventually

pytestmark = pytest.mark.usefixtures("verified")

CHECKS = "/api/v1/fraud-checks"
REVIEW, DECLINE = 5_000_000, 100_000_000
RELAYED_SECONDS_MAX = 60
"""Transactions of other tests, on the same server, hold events back."""


async def only_check(api: Api, payment_id: str) -> dict[str, object]:
    checks = json_of(await api.get(f"{CHECKS}/payment/{payment_id}"), 200)
    assert checks["hasMore"] is False and len(checks["data"]) == 1
    return dict(checks["data"][0])


async def relayed_to(service: Service, payment_id: str, status: str) -> None:
    async def has_arrived() -> bool:
        await service.relay()
        return await service.inner_status(payment_id) == status

    await eventually(has_arrived, RELAYED_SECONDS_MAX)


class TestReview:
    async def test_approved_lets_the_payment_go_on(self, api: Api, service: Service) -> None:
        risk = service.api.as_("risk", subject="ann")
        payment = await api.create_payment(amount=REVIEW)
        assert (payment["status"], payment["riskLevel"]) == ("IN_REVIEW", "MEDIUM")
        check = await only_check(risk, payment["id"])
        assert (check["decision"], check["status"], check["id"]) == (
            "REVIEW",
            "PENDING_REVIEW",
            payment["fraudCheckId"],
        )
        problem_of(await api.authorize(payment["id"]), 409, "invalid_state_transition")

        body = {"decision": "APPROVE", "notes": "known customer"}
        reviewed = await risk.call("PUT", f"{CHECKS}/{check['id']}/review", body)

        approved = json_of(reviewed, 200)
        assert (approved["status"], approved["reviewedBy"], approved["reviewNotes"]) == (
            "APPROVED",
            "ann",
            "known customer",
        )
        assert approved["reviewedAt"] and reviewed.headers["etag"] == '"2"'
        await relayed_to(service, payment["id"], "PENDING")
        assert json_of(await api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"

    async def test_rejected_fails_the_payment(self, api: Api, service: Service) -> None:
        risk = service.api.as_("risk")
        payment = await api.create_payment(amount=REVIEW)

        path = f"{CHECKS}/{payment['fraudCheckId']}/review"
        json_of(await risk.call("PUT", path, {"decision": "REJECT", "notes": "stolen"}), 200)

        await relayed_to(service, payment["id"], "FAILED")
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["failureCode"]) == ("FAILED", "fraud_rejected")
        again = await risk.call("PUT", path, {"decision": "APPROVE", "notes": "no, it was fine"})
        refused = problem_of(again, 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("REJECTED", [])

    async def test_changes_nothing_where_the_payment_was_cancelled(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(amount=REVIEW)
        path = f"{CHECKS}/{payment['fraudCheckId']}/review"
        json_of(await api.act(payment["id"], "cancel"), 200)
        json_of(await service.api.as_("admin").call("PUT", path, {"decision": "APPROVE", "notes": "late"}), 200)

        async def is_passed() -> bool:
            await service.relay()
            rows = await service.fetch(
                """select 1 from event_cursors c join events e on (e.tx, e.position) <= (c.tx, c.position)
                   where e.stream = $1 and e.type = 'fraud_check.approved'""",
                payment["fraudCheckId"],
            )
            return bool(rows)

        await eventually(is_passed, RELAYED_SECONDS_MAX)
        assert (await api.show(payment["id"]))["status"] == "CANCELLED"

    async def test_is_refused_where_it_cannot_be(self, service: Service, api: Api) -> None:
        risk = service.api.as_("risk")
        payment = await api.create_payment()
        path = f"{CHECKS}/{payment['fraudCheckId']}/review"
        body = {"decision": "APPROVE", "notes": "fine"}

        refused = problem_of(await risk.call("PUT", path, body), 409, "invalid_state_transition")
        assert refused["state"] == "COMPLETED"
        problem_of(await risk.call("PUT", path, body, headers={"if-match": '"7"'}), 412, "stale_version")
        problem_of(await risk.call("PUT", f"{CHECKS}/{payment['id']}/review", body), 404, "not_found")
        assert fields_of(await risk.call("PUT", path, {"decision": "MAYBE", "extra": 1})) == {
            "decision",
            "notes",
            "extra",
        }

    async def test_moves_on_by_a_running_worker(self, private: Service, worker: None) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment(amount=REVIEW)
        path = f"{CHECKS}/{payment['fraudCheckId']}/review"
        json_of(await private.api.as_("risk").call("PUT", path, {"decision": "APPROVE", "notes": "fine"}), 200)

        async def went_on() -> bool:
            return bool((await api.show(payment["id"]))["status"] == "PENDING")

        await eventually(went_on, RELAYED_SECONDS_MAX)


class TestScore:
    async def test_declines_a_huge_amount(self, api: Api) -> None:
        payment = await api.create_payment(amount=DECLINE)
        assert (payment["status"], payment["failureCode"]) == ("FAILED", "fraud_declined")
        assert (payment["riskLevel"], payment["failureReason"]) == ("HIGH", "AMOUNT")
        assert payment["failedAt"]
        check = await only_check(api, payment["id"])
        assert (check["decision"], check["status"]) == ("DECLINE", "COMPLETED")

    async def test_counts_a_customers_payments_of_the_hour(self, serve: Serve) -> None:
        async with serve(fraud_review_count=2, fraud_decline_count=4) as service:
            api, customer = service.api.as_("service"), unique("customer")

            statuses = [(await api.create_payment(customerId=customer))["status"] for _ in range(5)]
            other = await api.create_payment()
            service.clock.advance(hours=2)
            later = await api.create_payment(customerId=customer)

        assert statuses == ["PENDING", "PENDING", "IN_REVIEW", "IN_REVIEW", "FAILED"]
        assert (other["status"], later["status"]) == ("PENDING", "PENDING")

    async def test_that_breaks_sends_to_a_person(self, private: Service) -> None:
        api = private.api.as_("service")
        await private.fetch("revoke select on fraud_checks from bursar_app")

        payment = await api.create_payment()

        assert (payment["status"], payment["riskLevel"]) == ("IN_REVIEW", "MEDIUM")
        await private.fetch("grant select on fraud_checks to bursar_app")
        check = await only_check(api, payment["id"])
        assert [reason["code"] for reason in check["reasons"]] == ["SCORING_FAILED"]
