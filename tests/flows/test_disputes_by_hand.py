"""Disputes that people write down and close, who may do what, lists, and debits that banks bring back. Over HTTP."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from bursar.domains.disputes import service as disputes
from bursar.domains.payments.model import ProviderDisagrees
from bursar.infra.db import SYSTEM
from bursar.kit.errors import RowBusy
from bursar.providers import port
from bursar.providers.port import BankNews, DisputeStatus
from tests.conftest import Serve
from tests.support.api import fields_of, json_of, problem_of, unique
from tests.support.disputes import DISPUTES, NOW, Quarrel, hold

DUE = "2099-01-01T00:00:00Z"


@pytest.fixture
async def quarrel(serve: Serve) -> AsyncIterator[Quarrel]:
    """A shop of the test's own; every invariant is checked at its end."""
    async with serve() as service:
        yield Quarrel(service)
        await hold(service)


@pytest.fixture
def silent(quarrel: Quarrel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that nothing can be asked about disputes."""
    adapter = quarrel.service.sandbox
    of_disputes = {port.DisputeInspection, port.DisputeEvidence, port.DisputeAcceptance}
    monkeypatch.setattr(adapter, "requests", adapter.requests - of_disputes, raising=False)


class TestWritingDown:
    async def test_takes_the_money(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 1_000))
        made = await quarrel.by_hand(payment, amount=300, fee=20, evidenceDueAt=DUE, metadata={"case": "7"})
        dispute = json_of(made, 201)
        assert made.headers["location"] == f"{DISPUTES}/{dispute['id']}" and made.headers["etag"] == '"2"'
        assert (dispute["status"], dispute["isByHand"], dispute["metadata"]) == ("NEEDS_RESPONSE", True, {"case": "7"})
        assert dispute == await quarrel.show(dispute["id"])
        assert (await quarrel.posted(dispute)).keys() == {"opened", "fee"}

    async def test_comes_once(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        dispute = json_of(await quarrel.by_hand(payment, providerDisputeId="d"), 201)
        refused = problem_of(await quarrel.by_hand(payment, providerDisputeId="d"), 409, "dispute_known")
        assert refused["disputeId"] == dispute["id"]

    async def test_an_alert_that_comes_again_has_become_a_dispute(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        alert = json_of(await quarrel.by_hand(payment, providerDisputeId="d", status="ALERT"), 201)
        assert alert["status"] == "ALERT" and await quarrel.posted(alert) == {}
        dispute = json_of(await quarrel.by_hand(payment, providerDisputeId="d", amount=700, fee=15), 200)
        assert (dispute["id"], dispute["status"], dispute["amount"]) == (alert["id"], "NEEDS_RESPONSE", 700)
        assert (await quarrel.posted(dispute)).keys() == {"opened", "fee"}

    async def test_of_another_payment_than_the_providers_takes_nothing(self, quarrel: Quarrel) -> None:
        payment, meant = await quarrel.captured(), await quarrel.captured()
        reference = quarrel.disputed_there(meant, amount=300)
        json_of(await quarrel.by_hand(payment, providerDisputeId=reference, amount=300, status="ALERT"), 201)
        with pytest.raises(ProviderDisagrees):
            await quarrel.told(reference)
        assert (await quarrel.api.show(payment["id"]))["amountDisputed"] == 0

    async def test_of_what_was_never_captured_is_refused(self, quarrel: Quarrel) -> None:
        payment = await quarrel.api.authorized()
        problem_of(await quarrel.by_hand(payment, amount=100), 409, "amount_exceeds_captured")
        alert = json_of(await quarrel.by_hand(payment, amount=100, status="ALERT"), 201)
        assert alert["status"] == "ALERT"
        problem_of(await quarrel.act(alert, "close", outcome="LOST"), 409, "invalid_state_transition")
        assert json_of(await quarrel.act(alert, "close", outcome="CLOSED"), 200)["status"] == "CLOSED"

    async def test_bad_input_is_refused(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        for name, value in (
            ("amount", 0),
            ("reason", "BECAUSE"),
            ("status", "WON"),
            ("fee", -1),
            ("providerDisputeId", "a b"),
            ("paymentId", "x"),
            ("evidenceDueAt", "tomorrow"),
        ):
            assert fields_of(await quarrel.by_hand(payment, **{name: value})) == {name}
        other = {**payment, "id": "00000000-0000-7000-8000-000000000000"}
        problem_of(await quarrel.by_hand(other), 404, "not_found")


class TestClosing:
    async def test_is_the_providers_where_it_can_be_asked(self, quarrel: Quarrel) -> None:
        dispute = await quarrel.opened(await quarrel.captured())
        problem_of(await quarrel.act(dispute, "close", outcome="WON"), 409, "dispute_is_providers")

    async def test_asks_first_and_takes_the_providers_word(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        reference = quarrel.disputed_there(payment, fee=0)
        dispute = json_of(await quarrel.by_hand(payment, providerDisputeId=reference), 201)
        quarrel.service.sandbox.move_dispute(reference, DisputeStatus.LOST, fee=0)
        problem_of(await quarrel.act(dispute, "close", outcome="WON"), 409, "dispute_is_providers")
        shown = await quarrel.show(dispute["id"])
        assert (shown["status"], shown["isByHand"]) == ("LOST", False)

    async def test_waits_for_a_provider_that_falls_silent(
        self, quarrel: Quarrel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        payment, adapter = await quarrel.captured(), quarrel.service.sandbox
        reference = quarrel.disputed_there(payment, fee=0)
        dispute = json_of(await quarrel.by_hand(payment, providerDisputeId=reference), 201)
        answers = iter([await adapter.execute(port.DisputeInspection(unique("key"), reference, NOW))])

        async def execute(request: port.Request) -> port.Outcome:
            return next(answers, port.Unknown("no word"))

        monkeypatch.setattr(adapter, "execute", execute)
        problem_of(await quarrel.act(dispute, "close", outcome="WON"), 503, "provider_unavailable")

    @pytest.mark.parametrize("is_returned, fee", [(True, 0), (False, 15)])
    async def test_as_won_gives_back(self, quarrel: Quarrel, is_returned: bool, fee: int) -> None:
        payment = await quarrel.sold((unique("vendor"), 1_000))
        dispute = json_of(await quarrel.by_hand(payment, fee=15), 201)
        won = json_of(await quarrel.act(dispute, "close", outcome="WON", feeReturned=is_returned), 200)
        assert (won["status"], won["feeAmount"]) == ("WON", fee)
        assert (await quarrel.api.show(payment["id"]))["amountDisputed"] == 0
        problem_of(await quarrel.act(dispute, "close", outcome="LOST"), 409, "invalid_state_transition")

    @pytest.mark.usefixtures("silent")
    async def test_where_nobody_can_be_asked_people_say_everything(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        dispute = json_of(await quarrel.by_hand(payment, amount=400), 201)
        await quarrel.stage(dispute, receipt="r")
        assert json_of(await quarrel.act(dispute, "submit"), 200)["status"] == "UNDER_REVIEW"
        assert json_of(await quarrel.act(dispute, "close", outcome="LOST"), 200)["status"] == "LOST"
        other = json_of(await quarrel.by_hand(payment, amount=400), 201)
        assert json_of(await quarrel.act(other, "accept"), 200)["status"] == "ACCEPTED"

    @pytest.mark.usefixtures("silent")
    async def test_nothing_is_handed_in_by_itself_that_a_person_has_to(self, quarrel: Quarrel) -> None:
        due_at = (quarrel.service.clock.now() + timedelta(hours=20)).isoformat()
        dispute = json_of(await quarrel.by_hand(await quarrel.captured(), evidenceDueAt=due_at), 201)
        await quarrel.stage(dispute, receipt="r")
        quarrel.service.clock.advance(days=1)
        await quarrel.service.run_schedule("disputes.deadlines")
        assert await quarrel.service.run_jobs() == 0
        assert (await quarrel.events(dispute))[-1] == "deadline_missed"


class TestWho:
    async def test_roles(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        dispute = await quarrel.opened(payment)
        at = f"{DISPUTES}/{dispute['id']}"
        calls: dict[tuple[str, str], tuple[Any, set[str]]] = {
            ("GET", DISPUTES): (None, {"service", "risk", "finance", "support", "admin"}),
            ("GET", at): (None, {"service", "risk", "finance", "support", "admin"}),
            ("GET", f"{DISPUTES}/payment/{payment['id']}"): (None, {"service", "risk", "finance", "support", "admin"}),
            ("POST", DISPUTES): ({}, {"service", "risk", "finance", "admin"}),
            ("PUT", f"{at}/evidence"): ({}, {"risk", "finance", "support", "admin"}),
            ("POST", f"{at}/submit"): ({}, {"risk", "finance", "support", "admin"}),
            ("POST", f"{at}/accept"): ({"x": 1}, {"finance", "admin"}),
            ("POST", f"{at}/close"): ({}, {"finance", "admin"}),
        }
        for role in ("service", "risk", "finance", "support", "admin", "customer", "vendor"):
            api = quarrel.service.api.as_(role, customer_id=payment["customerId"], vendorId="v")
            for (method, path), (body, allowed) in calls.items():
                sent = body
                if body == {} and path == DISPUTES:
                    sent = {"paymentId": payment["id"], "providerDisputeId": "d", "amount": 1, "reason": "OTHER"}
                elif path.endswith("/close"):
                    sent = {"outcome": "WON"}
                elif path.endswith("/evidence"):
                    sent = {"evidence": {"receipt": None}}
                elif path.endswith("/accept"):
                    sent = {}
                if role in allowed and path.endswith("/accept"):
                    continue  # it would end the dispute
                status = (await api.call(method, path, sent)).status_code
                assert (status == 403) == (role not in allowed), (role, method, path, status)

    async def test_a_stale_version_is_refused(self, quarrel: Quarrel) -> None:
        dispute = await quarrel.opened(await quarrel.captured())
        await quarrel.stage(dispute, receipt="r")
        stale = {"if-match": f'"{dispute["version"]}"'}
        at = f"{DISPUTES}/{dispute['id']}"
        for method, path, body in (
            ("PUT", "evidence", {"evidence": {"receipt": "s"}}),
            ("POST", "submit", {}),
            ("POST", "accept", {}),
        ):
            refused = await quarrel.finance.call(method, f"{at}/{path}", body, headers=stale)
            problem_of(refused, 412, "stale_version")


class TestLists:
    async def test_by_status_and_vendor_page_by_page(self, quarrel: Quarrel) -> None:
        ann, ben = unique("vendor"), unique("vendor")
        of_ann = [await quarrel.opened(await quarrel.sold((ann, 500))) for _ in range(3)]
        of_both = await quarrel.opened(await quarrel.sold((ann, 500), (ben, 500)))
        lost = await quarrel.moved(of_both, DisputeStatus.LOST)

        async def listed(**params: Any) -> list[str]:
            found, cursor = [], None
            while True:
                page = json_of(
                    await quarrel.risk.get(DISPUTES, limit=2, **params, **({"cursor": cursor} if cursor else {})), 200
                )
                found += [each["id"] for each in page["data"]]
                cursor = page["nextCursor"]
                if cursor is None:
                    return found

        newest_first = [of_both["id"], *(each["id"] for each in reversed(of_ann))]
        assert await listed() == newest_first
        assert await listed(vendorId=ann) == newest_first
        assert await listed(vendorId=ben) == [lost["id"]]
        assert await listed(status="LOST") == [lost["id"]]
        assert await listed(status="NEEDS_RESPONSE", vendorId=ann) == newest_first[1:]
        assert await listed(status="LOST", vendorId="nobody") == []
        problem_of(await quarrel.risk.get(DISPUTES, status="OPEN"), 422, "validation_failed")

    async def test_the_payments_timeline_shows_them(self, quarrel: Quarrel) -> None:
        dispute = await quarrel.opened(await quarrel.captured())
        shown = json_of(await quarrel.api.get(f"/api/v1/payments/core/{dispute['paymentId']}/timeline"), 200)
        types = [event["type"] for event in shown["data"]]
        assert {"dispute.received", "dispute.opened", "payment.disputed"} <= set(types)


class TestGuards:
    @pytest.mark.parametrize(
        "change, constraint",
        [
            ("amount_lost = amount_lost + 1", "disputes_amount_is_parts"),
            ("amount_unallocated = 0", "disputes_amount_is_parts"),
            ("amount_booked = amount + 1", "disputes_check"),
            ("status = 'ALERT'", "disputes_alerts_take_nothing"),
            ("status = 'LOST'", "disputes_closed_at"),
            ("closed_at = now()", "disputes_closed_at"),
            ("fee_amount = -1", "disputes_fee_amount_check"),
            ("asked_by = '{}'", "disputes_asked_by_attempt"),
            ("attempt = '{\"kind\": \"REFUND\"}', asked_by = '{}'", "disputes_alerts_are_refunded"),
            ("attempt = '{\"kind\": \"PRAYER\"}', asked_by = '{}'", "disputes_attempt_check"),
            ("provider_dispute_id = 'other'", "disputes_of_provider"),
        ],
    )
    async def test_postgresql_refuses_what_cannot_be(self, quarrel: Quarrel, change: str, constraint: str) -> None:
        payment = await quarrel.captured()
        await quarrel.by_hand(payment, amount=1, providerDisputeId="other")
        dispute = json_of(await quarrel.by_hand(payment, amount=300), 201)
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await quarrel.service.fetch(f"update disputes set {change} where id = $1", dispute["id"])
        assert refused.value.constraint_name == constraint


class TestBankReturns:
    async def capture_key(self, quarrel: Quarrel, payment: dict[str, Any]) -> str:
        """The key of the payment's debit."""
        rows = await quarrel.service.fetch(
            """select reference from journals j join postings p on p.journal_id = j.id
               where p.about = $1 and j.type = 'payment.captured'""",
            payment["id"],
        )
        return str(rows[0]["reference"].partition(":")[2])

    async def test_are_disputes_that_are_lost(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 1_000))
        news = BankNews("news-1", "", await self.capture_key(quarrel, payment), "R10", "debit_disputed", is_late=True)
        for _ in range(2):
            assert await disputes.on_bank_return(quarrel.service.app, SYSTEM, news) is not None
        listed = json_of(await quarrel.risk.get(f"{DISPUTES}/payment/{payment['id']}"), 200)["data"]
        assert [(each["status"], each["amount"], each["reason"]) for each in listed] == [
            ("LOST", 1_000, "UNRECOGNIZED")
        ]
        assert await quarrel.events(listed[0]) == ["received", "opened", "lost"]
        shown = await quarrel.api.show(payment["id"])
        assert (shown["disputeStatus"], shown["amountDisputed"]) == ("LOST", 1_000)

    async def test_wait_while_their_debit_is_being_booked(self, quarrel: Quarrel) -> None:
        payment = await quarrel.api.authorized(paymentMethodId="pm_sandbox_capture_timeout_after_effect")
        json_of(await quarrel.api.capture(payment["id"]), 202)
        rows = await quarrel.service.fetch("select attempts -> 0 ->> 'id' from payments where id = $1", payment["id"])
        news = BankNews("news-1", "", rows[0][0], "R10", "debit_disputed", is_late=True)
        with pytest.raises(RowBusy):
            await disputes.on_bank_return(quarrel.service.app, SYSTEM, news)
        quarrel.service.clock.advance(seconds=2)
        await quarrel.service.run_jobs()
        dispute = await disputes.on_bank_return(quarrel.service.app, SYSTEM, news)
        assert dispute is not None and dispute.amount == payment["amount"]

    async def test_of_what_is_no_debit_of_ours_are_nothing(self, quarrel: Quarrel) -> None:
        news = BankNews("news-1", "", "unheard_of", "R10", is_late=True)
        assert await disputes.on_bank_return(quarrel.service.app, SYSTEM, news) is None
