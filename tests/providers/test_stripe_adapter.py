"""The Stripe adapter beyond the contract: payments, payouts, disputes, its reports, and what it never does."""

import logging
import re
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from bursar.providers.port import (
    ActionRequired,
    Approved,
    Authorization,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeInspection,
    DisputeState,
    DisputeStatus,
    Pending,
    ReportUnavailable,
    Unavailable,
    Unknown,
)
from simulators.kit.faults import Kind
from tests.providers.contract.asking import authorization, capture, key, now, refund, void
from tests.providers.stripe_setting import (
    CVC,
    NUMBER,
    Setting,
    by_number,
    by_token,
    code_of,
    opened,
    payout,
    settle,
    verification,
    visit,
)


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    async with opened() as setting:
        yield setting


class TestAuthorization:
    async def test_pays_with_a_number(self, setting: Setting) -> None:
        request = authorization(by_number())
        first, second = await setting.provider.execute(request), await setting.provider.execute(request)
        assert isinstance(first, Approved) and first == second

    async def test_is_still_waiting_while_the_customer_is(self, setting: Setting) -> None:
        asked = await setting.provider.execute(authorization(by_token("pm_card_authenticationRequired")))
        assert isinstance(asked, ActionRequired)
        again = authorization(by_token("pm_card_authenticationRequired"), reference=asked.reference)
        assert await setting.provider.execute(again) == asked
        await visit(asked, "fail")
        assert code_of(await setting.provider.execute(again)) == "authentication_failed"

    async def test_a_repeat_sees_what_the_customer_did(self, setting: Setting) -> None:
        request = authorization(by_token("pm_card_authenticationRequired"))
        asked = await setting.provider.execute(request)
        assert isinstance(asked, ActionRequired)
        await visit(asked, "succeed")
        assert isinstance(await setting.provider.execute(request), Approved)

    async def test_of_a_customer_who_came_back_is_never_called_not_done(self, setting: Setting) -> None:
        asked = await setting.provider.execute(authorization(by_token("pm_card_authenticationRequired")))
        assert isinstance(asked, ActionRequired)
        setting.simulator.provider.faults.plan(Kind.TOO_MANY_REQUESTS, on="GET .*")
        again = authorization(by_token("pm_card_authenticationRequired"), reference=asked.reference)
        assert isinstance(await setting.provider.execute(again), Unknown)

    async def test_leaves_actions_to_stripes_script_where_there_is_no_way_back(self, setting: Setting) -> None:
        other = Setting(setting.address, setting.simulator, return_url=None)
        asked = await other.provider.execute(authorization(by_token("pm_card_authenticationRequired")))
        await other.provider.close()
        assert isinstance(asked, ActionRequired) and asked.next_action["type"] == "USE_STRIPE_SDK"
        assert asked.next_action["clientSecret"].startswith(asked.reference)

    async def test_counts_as_stripe_does(self, setting: Setting) -> None:
        request = Authorization(key(), key(), 500, "ISK", by_token("pm_card_visa"), True, now())
        assert isinstance(await setting.provider.execute(request), Approved)
        assert [entry.amount for entry in setting.simulator.provider.books.of("captured")] == [50_000]
        uncountable = Authorization(key(), key(), 5124, "KWD", by_token("pm_card_visa"), True, now())
        assert code_of(await setting.provider.execute(uncountable)) == "currency_not_supported"
        assert setting.provider.accepts("ISK") and not setting.provider.accepts("KPW")


class TestVoidAndCapture:
    async def test_a_void_of_what_was_taken_in_part_finds_the_rest_given_back(self, setting: Setting) -> None:
        reference = await setting.paid()
        await setting.provider.execute(capture(reference, 2000))
        assert await setting.provider.execute(void(reference)) == Approved(reference)

    async def test_a_void_of_what_was_taken_is_refused(self, setting: Setting) -> None:
        reference = await setting.paid(capture=True)
        assert code_of(await setting.provider.execute(void(reference))) == "already_captured"

    async def test_a_capture_that_comes_too_late_is_refused(self, setting: Setting) -> None:
        reference = await setting.paid()
        setting.simulator.provider.clock.advance(8 * 86_400)
        assert code_of(await setting.provider.execute(capture(reference))) == "authorization_expired"

    async def test_several_captures_have_to_be_enabled(self, setting: Setting) -> None:
        reference = await setting.paid()
        partial = capture(reference, 2000, is_final=False)
        assert code_of(await setting.provider.execute(partial)) == "amount_not_capturable"

    async def test_a_refund_under_way_is_pending_until_it_is_done(self, setting: Setting) -> None:
        request = refund(await setting.paid("pm_card_pendingRefund", capture=True))
        assert await setting.provider.execute(request) == Pending()
        await settle(setting)
        assert isinstance(await setting.provider.inquire(request), Approved)


class TestPayouts:
    async def test_go_to_connected_accounts_at_once(self, setting: Setting) -> None:
        request = payout("acct_vendor")
        outcome = await setting.provider.execute(request)
        assert isinstance(outcome, Approved) and outcome.reference.startswith("tr_")
        assert await setting.provider.inquire(request) == outcome

    async def test_go_to_banks_in_days(self, setting: Setting) -> None:
        request = payout("default")
        assert await setting.provider.execute(request) == Pending()
        assert await setting.provider.inquire(request) == Pending()
        await settle(setting)
        assert isinstance(await setting.provider.inquire(request), Approved)

    async def test_wait_for_money(self, setting: Setting) -> None:
        outcome = await setting.provider.execute(payout("acct_vendor", 10**11))
        assert code_of(outcome) == "provider_balance_insufficient"

    @pytest.mark.parametrize("destination", ["iban", "pm_card_visa"])
    async def test_go_nowhere_else(self, setting: Setting, destination: str) -> None:
        assert code_of(await setting.provider.execute(payout(destination))) == "payout_declined"
        assert code_of(await setting.provider.execute(payout("default", 1045, "HUF"))) == "payout_declined"

    @pytest.mark.parametrize("token,step", [("acct_vendor", "transfers"), ("default", "payouts")])
    @pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER_EFFECT, Kind.ERROR_AFTER_EFFECT, Kind.RESET])
    async def test_are_sent_once(self, setting: Setting, token: str, step: str, kind: Kind) -> None:
        request = payout(token)
        setting.fail(kind, step)
        assert isinstance(await setting.provider.execute(request), Unknown)
        assert isinstance(await setting.provider.inquire(request), Approved | Pending)
        books = setting.simulator.provider.books
        assert len(books.of("transferred") + books.of("paid_out")) == 1


class TestDisputes:
    @pytest.fixture
    async def dispute(self, setting: Setting) -> str:
        await setting.paid("pm_card_createDispute", capture=True)
        return str(setting.simulator.provider.world.all("dispute")[0]["id"])

    async def test_are_contested(self, setting: Setting, dispute: str) -> None:
        request = DisputeEvidence(key(), dispute, {"uncategorized_text": "winning_evidence"}, now())
        assert await setting.provider.execute(request) == Approved(dispute)
        assert setting.simulator.provider.world.all("dispute")[0]["status"] == "won"

    async def test_are_given_up_once(self, setting: Setting, dispute: str) -> None:
        for _ in range(2):
            assert await setting.provider.execute(DisputeAcceptance(key(), dispute, now())) == Approved(dispute)
        late = DisputeEvidence(key(), dispute, {"uncategorized_text": "too late"}, now())
        assert code_of(await setting.provider.execute(late)) == "processing_error"

    @pytest.mark.parametrize("kind", [Kind.TIMEOUT_AFTER_EFFECT, Kind.TIMEOUT_BEFORE_EFFECT])
    async def test_evidence_whose_answer_was_lost_is_found_days_later(
        self, setting: Setting, dispute: str, kind: Kind
    ) -> None:
        setting.fail(kind, "disputes/.*")
        texts = {"receipt": "No. 7", "refund_policy": "30 days"}
        request = DisputeEvidence(key(), dispute, texts, now())
        assert isinstance(await setting.provider.execute(request), Unknown)
        setting.simulator.provider.clock.advance(25 * 3_600)
        setting.clock.advance(timedelta(hours=25))
        assert await setting.provider.inquire(request) == Approved(dispute)
        assert await setting.provider.inquire(request) == Approved(dispute)
        held = setting.simulator.provider.world.all("dispute")[0]
        assert (held["status"], held["evidence_details"]["submission_count"]) == ("under_review", 1)
        assert held["evidence"]["uncategorized_text"] == "Receipt: No. 7"
        assert held["evidence"]["refund_policy_disclosure"] == "30 days"


class TestFraudWarnings:
    @pytest.fixture
    async def warning(self, setting: Setting) -> str:
        await setting.paid("pm_card_createIssuerFraudRecord", capture=True)
        return str(setting.simulator.provider.world.all("radar.early_fraud_warning")[0]["id"])

    async def state_of(self, setting: Setting, warning: str) -> DisputeState:
        outcome = await setting.provider.execute(DisputeInspection(key(), warning, now()))
        assert isinstance(outcome, Approved) and outcome.dispute is not None, outcome
        return outcome.dispute

    async def test_are_alerts_until_all_was_given_back(self, setting: Setting, warning: str) -> None:
        found = await self.state_of(setting, warning)
        assert (found.status, found.amount, found.currency, found.fee) == (DisputeStatus.ALERT, 5000, "USD", 0)
        assert not found.takes_money and found.evidence_due_at is None
        assert isinstance(await setting.provider.execute(refund(found.payment_reference, 5000)), Approved)
        assert (await self.state_of(setting, warning)).status is DisputeStatus.CLOSED

    async def test_are_neither_contested_nor_given_up(self, setting: Setting, warning: str) -> None:
        evidence = DisputeEvidence(key(), warning, {"receipt": "No. 7"}, now())
        for request in (evidence, DisputeAcceptance(key(), warning, now())):
            assert code_of(await setting.provider.execute(request)) == "processing_error"


class TestReports:
    async def test_show_every_movement_of_a_period(self, setting: Setting) -> None:
        begin = now() - timedelta(seconds=1)
        reference = await setting.paid(capture=True)
        refunded = await setting.provider.execute(refund(reference, 1000))
        sent = await setting.provider.execute(payout("acct_vendor", 2000))
        await setting.paid("pm_card_createDispute", capture=True)
        assert isinstance(refunded, Approved) and isinstance(sent, Approved)
        found = await setting.provider.movements(since=begin, until=now() + timedelta(seconds=2))
        told = [(each.kind, each.amount, each.fee, each.currency) for each in found]
        assert told == [
            ("CHARGE", 5000, 175, "USD"),
            ("REFUND", -1000, 0, "USD"),
            ("PAYOUT", -2000, 0, "USD"),
            ("CHARGE", 5000, 175, "USD"),
            ("DISPUTE", -5000, 1500, "USD"),
        ]
        assert [each.reference for each in found[:3]] == [reference, refunded.step_reference, sent.reference]
        assert await setting.provider.movements(since=now() + timedelta(hours=1), until=now()) == []

    async def test_go_on_over_pages(self, setting: Setting) -> None:
        begin = now() - timedelta(seconds=1)
        for _ in range(130):
            await setting.provider.execute(payout("acct_vendor", 1))
        found = await setting.provider.movements(since=begin, until=now() + timedelta(seconds=2))
        assert len({each.id for each in found}) == 130

    async def test_say_so_when_they_cannot_be_had(self, setting: Setting) -> None:
        setting.simulator.provider.faults.plan(Kind.GARBAGE, on="GET .*")
        with pytest.raises(ReportUnavailable):
            await setting.provider.movements(since=now(), until=now())


class TestMemory:
    """Stripe forgets keys after a day."""

    @pytest.mark.parametrize("hours", [24, 48])
    async def test_an_old_key_is_not_sent_but_looked_for(self, setting: Setting, hours: int) -> None:
        request = authorization(by_token("pm_card_visa"))
        outcome = await setting.provider.execute(request)
        setting.clock.advance(timedelta(hours=hours))
        setting.simulator.provider.clock.advance(hours * 3600)
        assert await setting.provider.execute(request) == outcome
        assert await setting.provider.inquire(request) == outcome
        assert setting.asked("payment_intents") == 1

    async def test_an_absence_is_believed_only_much_later(self, setting: Setting) -> None:
        reference = await setting.paid()
        requests = [authorization(by_token("pm_card_visa")), capture(reference), void(reference), refund(reference)]
        requests += [payout("acct_vendor"), payout("default"), verification(by_number())]
        setting.clock.advance(timedelta(hours=24))
        assert {type(await setting.provider.inquire(request)) for request in requests} == {Unknown}
        setting.clock.advance(timedelta(hours=2))
        assert {type(await setting.provider.inquire(request)) for request in requests} == {Unavailable}
        assert len(setting.simulator.provider.books.entries) == 1

    async def test_a_repeat_that_breaks_down_leaves_it_open(self, setting: Setting) -> None:
        request = authorization(by_token("pm_card_visa"))
        setting.fail(Kind.TOO_MANY_REQUESTS, "payment_intents")
        assert isinstance(await setting.provider.inquire(request), Unknown)
        assert isinstance(await setting.provider.inquire(request), Approved)


async def test_nothing_is_tried_twice(setting: Setting) -> None:
    setting.fail(Kind.ERROR_AFTER_EFFECT, "payment_intents")
    await setting.provider.execute(authorization(by_token("pm_card_visa")))
    assert setting.asked("payment_intents") == 1


async def test_every_post_carries_a_key_of_ours(setting: Setting) -> None:
    request = verification(by_number())
    await setting.provider.execute(request)
    keys = [call.key for call in setting.simulator.calls]
    assert keys == [f"{request.key}:pm:cvc", f"{request.key}:customer", request.key]


@pytest.mark.parametrize("kind", [None, Kind.GARBAGE, Kind.ERROR_AFTER_EFFECT])
async def test_no_card_is_logged(
    setting: Setting,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind | None,
) -> None:
    """Not even where somebody has told the SDK to."""
    monkeypatch.setattr("stripe._util.STRIPE_LOG", "debug")
    other = Setting(setting.address, setting.simulator)
    if kind is not None:
        setting.fail(kind, "payment_methods")
    with caplog.at_level(logging.DEBUG), capture_logs() as logs:
        outcome = await other.provider.execute(verification(by_number()))
    await other.provider.close()
    assert "stripe" not in {record.name for record in caplog.records if record.levelno < logging.WARNING}
    written = f"{caplog.text} {capfd.readouterr()} {logs} {outcome}"
    assert NUMBER not in written
    assert not re.search(rf"(?<![\w.-]){CVC}(?![\w-])", written)  # within a longer number or an id it is another one
