"""Evidence staged and handed in, disputes accepted, deadlines kept, outcomes that are not known. Over HTTP."""

from typing import Any

import pytest

from bursar.infra import personal
from bursar.providers import port
from bursar.providers.port import DisputeStatus
from tests.support.api import json_of, problem_of, unique
from tests.support.disputes import DISPUTES, Quarrel
from tests.support.service import Service


@pytest.fixture
async def quarrel(private: Service) -> Quarrel:
    """A shop of the test's own; every invariant is checked at its end."""
    return Quarrel(private)


@pytest.fixture
async def dispute(quarrel: Quarrel) -> dict[str, Any]:
    """A dispute that needs a response."""
    return await quarrel.opened(await quarrel.captured())


class Answers:
    """Has the sandbox's next step of a kind answered otherwise than it was done."""

    def __init__(self, quarrel: Quarrel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.adapter = quarrel.service.sandbox
        self.monkeypatch = monkeypatch

    def lost(self, *, is_done: bool) -> None:
        """The answer is lost, after the step or before it."""
        execute = self.adapter.execute

        async def broken(request: port.Request) -> port.Outcome:
            if not isinstance(request, port.DisputeEvidence | port.DisputeAcceptance):
                return await execute(request)
            if is_done:
                await execute(request)
            return port.Unknown("the answer was lost")

        self.monkeypatch.setattr(self.adapter, "execute", broken)

    def says(self, outcome: port.Outcome) -> None:
        """The step is not done, and answered so."""
        execute = self.adapter.execute

        async def other(request: port.Request) -> port.Outcome:
            is_step = isinstance(request, port.DisputeEvidence | port.DisputeAcceptance)
            return outcome if is_step else await execute(request)

        self.monkeypatch.setattr(self.adapter, "execute", other)


@pytest.fixture
def answers(quarrel: Quarrel, monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(quarrel, monkeypatch)


class TestEvidence:
    async def test_is_merged_piece_by_piece(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        await quarrel.stage(dispute, receipt="r-1", refund_policy="none")
        staged = await quarrel.stage(dispute, receipt="r-2", refund_policy=None, shipping_carrier="DHL")
        assert staged["evidenceNames"] == ["receipt", "shipping_carrier"]
        shown = json_of(await quarrel.risk.get(f"{DISPUTES}/{dispute['id']}"), 200)
        assert shown["evidence"] == {"receipt": "r-2", "shipping_carrier": "DHL"}
        assert (staged["status"], staged["evidenceStagedAt"] is None) == ("NEEDS_RESPONSE", False)

    async def test_its_text_stands_in_no_event(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        await quarrel.stage(dispute, customer_communication="dear Ada")
        rows = await quarrel.service.fetch("select data::text from events where stream = $1", dispute["id"])
        text = " ".join(row["data"] for row in rows)
        assert "dear Ada" not in text and "customer_communication" in text

    async def test_is_erased_with_the_customer(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        await quarrel.stage(dispute, customer_communication="dear Ada")
        app = quarrel.service.app
        async with app.database.transaction(now=app.clock.now()) as tx:
            await personal.erase(tx, dispute["customerId"])
        path = f"{DISPUTES}/{dispute['id']}"
        shown = json_of(await quarrel.risk.get(path), 200)
        assert (shown["evidence"], shown["evidenceNames"]) == ({}, ["customer_communication"])
        more = await quarrel.risk.call("PUT", f"{path}/evidence", {"evidence": {"receipt": "r-2"}})
        problem_of(more, 410, "subject_erased")
        problem_of(await quarrel.risk.call("POST", f"{path}/submit", {}), 409, "evidence_missing")

    async def test_bad_evidence_is_refused(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        path = f"{DISPUTES}/{dispute['id']}/evidence"
        for evidence in (
            {},
            {"poem": "x"},
            {"receipt": ""},
            {"receipt": "x" * 20_001},
            {"receipt": "4242424242424242"},
        ):
            problem_of(await quarrel.risk.call("PUT", path, {"evidence": evidence}), 422, "validation_failed")
        assert await quarrel.show(dispute["id"]) == dispute

    async def test_is_handed_in_once(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        problem_of(await quarrel.act(dispute, "submit"), 409, "evidence_missing")
        await quarrel.stage(dispute, receipt="r-1")
        key = unique("key")
        submitted = await quarrel.act(dispute, "submit", key=key)
        body = json_of(submitted, 200)
        assert (body["status"], body["evidenceSubmittedAt"] is None) == ("UNDER_REVIEW", False)
        again = await quarrel.act(dispute, "submit", key=key)
        assert again.content == submitted.content and again.headers["idempotency-replayed"] == "true"
        problem_of(await quarrel.act(dispute, "submit"), 409, "invalid_state_transition")
        shown = await quarrel.api.show(dispute["paymentId"])
        assert shown["disputeStatus"] == "UNDER_REVIEW"
        path = f"{DISPUTES}/{dispute['id']}/evidence"
        refused = await quarrel.risk.call("PUT", path, {"evidence": {"receipt": "r-2"}})
        problem_of(refused, 409, "invalid_state_transition")

    @pytest.mark.parametrize("text, status", [("winning_evidence", "WON"), ("losing_evidence", "LOST")])
    async def test_what_it_led_to_is_asked_for(
        self, quarrel: Quarrel, dispute: dict[str, Any], text: str, status: str
    ) -> None:
        await quarrel.stage(dispute, uncategorized_text=text)
        assert json_of(await quarrel.act(dispute, "submit"), 200)["status"] == "UNDER_REVIEW"
        await quarrel.service.run_jobs()
        assert (await quarrel.show(dispute["id"]))["status"] == status

    async def test_of_an_alert_leaves_it_one(self, quarrel: Quarrel) -> None:
        alert = await quarrel.opened(await quarrel.captured(), status=DisputeStatus.ALERT)
        await quarrel.stage(alert, receipt="r-1")
        body = json_of(await quarrel.act(alert, "submit"), 200)
        assert (body["status"], body["evidenceSubmittedAt"] is None) == ("ALERT", False)

    async def test_declined_can_be_tried_again(
        self, quarrel: Quarrel, dispute: dict[str, Any], answers: Answers
    ) -> None:
        await quarrel.stage(dispute, receipt="r-1")
        with answers.monkeypatch.context() as within:
            Answers(quarrel, within).says(port.Declined("processing_error", "too late"))
            declined = problem_of(await quarrel.act(dispute, "submit", key="k"), 402, "dispute_step_declined")
            assert (declined["declineCode"], declined["disputeStatus"]) == ("processing_error", "NEEDS_RESPONSE")
        problem_of(await quarrel.act(dispute, "submit", key="k"), 402, "dispute_step_declined")
        assert json_of(await quarrel.act(dispute, "submit"), 200)["declineCode"] is None

    async def test_unavailable_frees_the_key(self, quarrel: Quarrel, dispute: dict[str, Any], answers: Answers) -> None:
        await quarrel.stage(dispute, receipt="r-1")
        with answers.monkeypatch.context() as within:
            Answers(quarrel, within).says(port.Unavailable("down"))
            refused = await quarrel.act(dispute, "submit", key="k")
            problem_of(refused, 503, "provider_unavailable")
            assert refused.headers["retry-after"]
        assert json_of(await quarrel.act(dispute, "submit", key="k"), 200)["status"] == "UNDER_REVIEW"


class TestUnknown:
    @pytest.mark.parametrize("is_done, status", [(True, "UNDER_REVIEW"), (False, "NEEDS_RESPONSE")])
    async def test_is_asked_for_until_it_is_known(
        self, quarrel: Quarrel, dispute: dict[str, Any], answers: Answers, is_done: bool, status: str
    ) -> None:
        await quarrel.stage(dispute, receipt="r-1")
        answers.lost(is_done=is_done)
        waiting = json_of(await quarrel.act(dispute, "submit", key="k"), 202)
        assert waiting["stepUnderWay"] == "EVIDENCE"
        problem_of(await quarrel.act(dispute, "submit", key="k"), 409, "idempotency_key_in_use")
        problem_of(await quarrel.act(dispute, "accept"), 409, "dispute_step_under_way")
        path = f"{DISPUTES}/{dispute['id']}/evidence"
        refused = await quarrel.risk.call("PUT", path, {"evidence": {"receipt": "r-2"}})
        problem_of(refused, 409, "dispute_step_under_way")
        quarrel.service.clock.advance(seconds=2)
        await quarrel.service.run_jobs()
        shown = await quarrel.show(dispute["id"])
        assert (shown["status"], shown["stepUnderWay"]) == (status, None)

    async def test_what_a_crash_left_is_swept_up(
        self, quarrel: Quarrel, dispute: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def killed(_: port.Request) -> port.Outcome:
            raise RuntimeError("killed")

        await quarrel.stage(dispute, receipt="r-1")
        with monkeypatch.context() as within:
            within.setattr(quarrel.service.app.providers["sandbox"], "execute", killed)
            with pytest.raises(AssertionError):  # a 500, which the contract of the answers never allows
                await quarrel.act(dispute, "submit")
        quarrel.service.clock.advance(seconds=31)
        await quarrel.service.run_schedule("disputes.sweep")
        quarrel.service.clock.advance(seconds=2)
        await quarrel.service.run_jobs()
        shown = await quarrel.show(dispute["id"])
        assert (shown["status"], shown["stepUnderWay"]) == ("NEEDS_RESPONSE", None)
        assert json_of(await quarrel.act(dispute, "submit"), 200)["status"] == "UNDER_REVIEW"

    async def test_an_end_that_the_provider_tells_answers_who_waits(
        self, quarrel: Quarrel, dispute: dict[str, Any], answers: Answers
    ) -> None:
        answers.lost(is_done=True)
        json_of(await quarrel.act(dispute, "accept", key="k"), 202)
        await quarrel.told(dispute["providerDisputeId"])
        answered = json_of(await quarrel.act(dispute, "accept", key="k"), 200)
        assert (answered["status"], answered["stepUnderWay"]) == ("ACCEPTED", None)
        quarrel.service.clock.advance(seconds=2)
        await quarrel.service.run_jobs()
        assert (await quarrel.show(dispute["id"]))["version"] == answered["version"]


class TestAcceptance:
    async def test_ends_the_dispute(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        posted = await quarrel.posted(dispute)
        accepted = json_of(await quarrel.act(dispute, "accept"), 200)
        assert (accepted["status"], accepted["closedAt"] is None) == ("ACCEPTED", False)
        await quarrel.service.run_jobs()
        shown = await quarrel.show(dispute["id"])
        assert (shown, await quarrel.posted(dispute)) == (accepted, posted)
        assert (await quarrel.api.show(dispute["paymentId"]))["disputeStatus"] == "ACCEPTED"


class TestDeadlines:
    async def test_are_told_of_once_in_time(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        async def told() -> int:
            await quarrel.service.run_schedule("disputes.deadlines")
            return (await quarrel.events(dispute)).count("evidence_due_soon")

        assert await told() == 0
        quarrel.service.clock.advance(days=7, hours=1)
        assert [await told(), await told()] == [1, 1]

    async def test_staged_evidence_is_handed_in_shortly_before(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        await quarrel.stage(dispute, receipt="r-1")
        quarrel.service.clock.advance(days=9, hours=22)
        await quarrel.service.run_schedule("disputes.deadlines")
        await quarrel.service.run_jobs()
        assert (await quarrel.show(dispute["id"]))["status"] == "NEEDS_RESPONSE"
        quarrel.service.clock.advance(minutes=90)
        await quarrel.service.run_schedule("disputes.deadlines")
        await quarrel.service.run_jobs()
        assert (await quarrel.show(dispute["id"]))["status"] == "UNDER_REVIEW"
        quarrel.service.clock.advance(days=1)
        await quarrel.service.run_schedule("disputes.deadlines")
        assert "deadline_missed" not in await quarrel.events(dispute)

    async def test_what_is_declined_is_not_handed_in_again_and_again(
        self, quarrel: Quarrel, dispute: dict[str, Any], answers: Answers
    ) -> None:
        await quarrel.stage(dispute, receipt="r-1")
        answers.says(port.Declined("processing_error", "no"))
        quarrel.service.clock.advance(days=9, hours=23, minutes=30)
        for _ in range(4):
            await quarrel.service.run_schedule("disputes.deadlines")
            await quarrel.service.run_jobs()
            quarrel.service.clock.advance(minutes=6)
        assert (await quarrel.events(dispute)).count("step_declined") == 1

    async def test_that_were_missed_are_told_of_once(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        quarrel.service.clock.advance(days=10, minutes=1)
        for _ in range(2):
            await quarrel.service.run_schedule("disputes.deadlines")
        assert (await quarrel.events(dispute)).count("deadline_missed") == 1
        shown = await quarrel.show(dispute["id"])
        assert (shown["status"], shown["deadlineMissedAt"] is None) == ("NEEDS_RESPONSE", False)

    async def test_lost_notices_are_made_up_for_within_a_day(self, quarrel: Quarrel, dispute: dict[str, Any]) -> None:
        quarrel.service.sandbox.move_dispute(dispute["providerDisputeId"], DisputeStatus.LOST)
        for _ in range(25):
            quarrel.service.clock.advance(hours=1)
            await quarrel.service.run_schedule("disputes.look")
        quarrel.service.clock.advance(hours=24)
        for _ in range(24):
            quarrel.service.clock.advance(hours=1)
            await quarrel.service.run_schedule("disputes.look")
        assert (await quarrel.show(dispute["id"]))["status"] == "LOST"
