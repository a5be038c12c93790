"""Disputes that a provider opens, decides and ends: the money, the vendors, the payment. Over HTTP."""

import pytest

from bursar.cli.replay import replay
from bursar.domains.disputes import service as disputes
from bursar.infra.jobs import NotYet
from bursar.providers.port import DisputeStatus
from tests.support.api import json_of, problem_of, unique
from tests.support.commissions import Desk
from tests.support.disputes import DISPUTES, Quarrel
from tests.support.service import Service

CLEARING = "provider:sandbox:clearing"


@pytest.fixture
async def quarrel(private: Service) -> Quarrel:
    """A shop of the test's own; every invariant is checked at its end."""
    return Quarrel(private)


class TestOpening:
    async def test_takes_from_vendors_commission_and_the_payment(self, quarrel: Quarrel) -> None:
        ann, ben = unique("vendor"), unique("vendor")
        payment = await quarrel.sold((ann, 700), (ben, 300))

        dispute = await quarrel.opened(payment, amount=500)

        assert (dispute["status"], dispute["amount"], dispute["feeAmount"]) == ("NEEDS_RESPONSE", 500, 1_500)
        assert [(share["vendorId"], share["grossAmount"]) for share in dispute["shares"]] == [(ann, 350), (ben, 150)]
        assert (dispute["amountUnallocated"], dispute["amountLost"], dispute["isByHand"]) == (0, 0, False)
        posted = await quarrel.posted(dispute)
        assert posted == {
            "opened": [
                (f"vendor:{ann}:pending", 350, False),
                (f"vendor:{ben}:pending", 150, False),
                (CLEARING, -500, True),
            ],
            "fee": [("dispute_fees", 1_500, False), (CLEARING, -1_500, False)],
        }
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["disputeStatus"]) == (500, "NEEDS_RESPONSE")
        assert shown["amountRefundable"] == 500
        assert await quarrel.events(dispute) == ["received", "opened"]

    async def test_the_platform_bears_the_commission(self, quarrel: Quarrel) -> None:
        vendor = unique("vendor")
        await Desk(quarrel.service).active(vendorId=vendor)
        payment = await quarrel.sold((vendor, 1_000))
        dispute = await quarrel.opened(payment, amount=1_000)
        (opened, _) = (await quarrel.posted(dispute)).values()
        assert opened == [
            (f"vendor:{vendor}:pending", 900, False),
            ("dispute_losses", 100, False),
            (CLEARING, -1_000, True),
        ]

    async def test_takes_money_that_is_in_no_transaction(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured(1_000)
        dispute = await quarrel.opened(payment)
        assert (dispute["shares"], dispute["amountUnallocated"]) == ([], 1_000)
        assert (await quarrel.posted(dispute))["opened"] == [("unallocated", 1_000, True), (CLEARING, -1_000, True)]
        assert (await quarrel.api.show(payment["id"]))["amountUnallocated"] == 0

    async def test_makes_a_chargeback(self, quarrel: Quarrel) -> None:
        vendor = unique("vendor")
        dispute = await quarrel.opened(await quarrel.sold((vendor, 1_000)), amount=400)
        chargeback = json_of(await quarrel.api.get(f"/api/v1/payments/{dispute['transactionId']}"), 200)
        assert (chargeback["type"], chargeback["status"], chargeback["amount"]) == ("CHARGEBACK", "COMPLETED", 400)
        assert chargeback["gatewayReference"] == dispute["providerDisputeId"]

    async def test_is_told_of_again_without_effect(self, quarrel: Quarrel) -> None:
        dispute = await quarrel.opened(await quarrel.captured())
        before = await quarrel.service.row_counts()
        for _ in range(3):
            told = await quarrel.told(dispute["providerDisputeId"])
            assert told is not None and told.did == "nothing: it is known already"
        assert await quarrel.service.row_counts() == before

    async def test_of_what_is_not_known_here_waits(self, quarrel: Quarrel) -> None:
        with pytest.raises(NotYet):
            await quarrel.told("sbx_unheard_of_dispute_1")

    async def test_several_of_one_payment_never_count_for_more_than_was_captured(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 600), (unique("vendor"), 400))
        first = await quarrel.opened(payment, amount=700)
        second = await quarrel.opened(payment, amount=700)
        assert sum(share["grossAmount"] for share in first["shares"]) == 700
        assert (sum(share["grossAmount"] for share in second["shares"]), second["amountLost"]) == (300, 400)
        lines = (await quarrel.posted(second))["opened"]
        assert lines[-2:] == [(CLEARING, -300, True), (CLEARING, -400, False)]
        assert (await quarrel.api.show(payment["id"]))["amountDisputed"] == 1_000
        listed = json_of(await quarrel.risk.get(f"{DISPUTES}/payment/{payment['id']}"), 200)
        assert [each["id"] for each in listed["data"]] == [second["id"], first["id"]]
        first = await quarrel.moved(first, DisputeStatus.WON)
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["disputeStatus"]) == (300, "NEEDS_RESPONSE")


class TestEnding:
    async def test_won_gives_everything_back(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 700), (unique("vendor"), 300))
        before = await quarrel.api.show(payment["id"])
        dispute = await quarrel.opened(payment)

        won = await quarrel.moved(dispute, DisputeStatus.WON)

        assert (won["status"], won["feeAmount"], won["closedAt"] is None) == ("WON", 0, False)
        posted = await quarrel.posted(won)
        assert posted["won"] == [(account, -amount, about) for account, amount, about in posted["opened"]]
        assert (
            sum(amount for name, lines in posted.items() if name.startswith("fee") for _, amount, _ in lines[:1]) == 0
        )
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["disputeStatus"]) == (0, "WON")
        assert shown["amountRefundable"] == before["amountRefundable"]
        chargeback = json_of(await quarrel.api.get(f"/api/v1/payments/{won['transactionId']}"), 200)
        assert chargeback["status"] == "FAILED"
        assert (await quarrel.events(won))[-1] == "won"

    async def test_won_keeps_a_fee_that_is_not_given_back(self, quarrel: Quarrel) -> None:
        dispute = await quarrel.opened(await quarrel.captured())
        won = await quarrel.moved(dispute, DisputeStatus.WON, fee=1_500)
        assert won["feeAmount"] == 1_500 and sorted(await quarrel.posted(won)) == ["fee", "opened", "won"]

    async def test_lost_posts_nothing_more(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        dispute = await quarrel.opened(payment)
        posted = await quarrel.posted(dispute)
        lost = await quarrel.moved(dispute, DisputeStatus.LOST)
        assert (lost["status"], await quarrel.posted(lost)) == ("LOST", posted)
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["disputeStatus"]) == (1_000, "LOST")
        for action, body in (("submit", {}), ("accept", {}), ("close", {"outcome": "WON"})):
            refused = await quarrel.act(lost, action, **body)
            assert refused.status_code == 409, refused.text

    async def test_what_was_missed_on_the_way_is_caught_up_with(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        reference = quarrel.disputed_there(payment)
        for status in (DisputeStatus.UNDER_REVIEW, DisputeStatus.WON):
            quarrel.service.sandbox.move_dispute(reference, status)
        await quarrel.told(reference)
        dispute = await quarrel.by_reference(reference)
        assert (dispute["status"], await quarrel.events(dispute)) == ("WON", ["received", "opened", "won"])
        assert (await quarrel.posted(dispute)).keys() == {"opened", "won"}

    async def test_takes_what_a_refund_has_left(self, quarrel: Quarrel) -> None:
        vendor = unique("vendor")
        payment = await quarrel.sold((vendor, 1_000))
        refund = {"paymentId": payment["id"], "amount": 400, "reason": "ITEM_RETURNED"}
        made = json_of(await quarrel.finance.call("POST", "/api/v1/refunds", refund), 201)
        made = json_of(await quarrel.finance.call("POST", f"/api/v1/refunds/{made['id']}/process", {}), 200)
        assert made["status"] == "COMPLETED"
        dispute = await quarrel.opened(payment, amount=1_000)
        assert [share["grossAmount"] for share in dispute["shares"]] == [600]
        assert dispute["amountLost"] == 400
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["amountRefundable"]) == (1_000, 0)
        problem_of(
            await quarrel.finance.call("POST", "/api/v1/refunds", {**refund, "amount": 1}),
            409,
            "amount_exceeds_refundable",
        )


class TestHistory:
    async def test_the_events_tell_all_of_it(self, quarrel: Quarrel, database_url: str) -> None:
        for status in (DisputeStatus.WON, DisputeStatus.LOST, DisputeStatus.UNDER_REVIEW):
            payment = await quarrel.sold((unique("vendor"), 600), (unique("vendor"), 400))
            await quarrel.moved(await quarrel.opened(payment, status=DisputeStatus.ALERT), status)
        contested = await quarrel.opened(await quarrel.captured())
        await quarrel.stage(contested, uncategorized_text="winning_evidence")
        json_of(await quarrel.act(contested, "submit"), 200)
        await quarrel.service.run_jobs()
        assert await replay(database_url) == 0

    async def test_others_find_payment_and_reference(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        dispute = await quarrel.opened(payment)
        found = await disputes.references(quarrel.service.app, [dispute["id"], payment["id"]])
        assert found == {dispute["id"]: (payment["id"], dispute["providerDisputeId"])}

    async def test_a_notice_can_be_tried_out(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        reference = quarrel.disputed_there(payment)

        async def would() -> str:
            before = await quarrel.service.row_counts()
            told = await disputes.preview_notice(quarrel.service.app, provider="sandbox", reference=reference)
            assert told is not None and told.payment_id == payment["id"]
            assert await quarrel.service.row_counts() == before
            return told.did

        assert await would() == "a dispute of 1000 would be written down: NEEDS_RESPONSE"
        await quarrel.told(reference)
        assert await would() == "nothing: it is known already"
        quarrel.service.sandbox.move_dispute(reference, DisputeStatus.WON)
        assert await would() == "win, since it is WON there"


class TestAlerts:
    async def test_moves_no_money(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured()
        alert = await quarrel.opened(payment, status=DisputeStatus.ALERT)
        assert (alert["status"], alert["feeAmount"], alert["transactionId"]) == ("ALERT", 0, None)
        assert await quarrel.posted(alert) == {} and await quarrel.events(alert) == ["received", "alerted"]
        shown = await quarrel.api.show(payment["id"])
        assert (shown["amountDisputed"], shown["disputeStatus"]) == (0, "ALERT")

    async def test_ends_without_money(self, quarrel: Quarrel) -> None:
        alert = await quarrel.opened(await quarrel.captured(), status=DisputeStatus.ALERT)
        closed = await quarrel.moved(alert, DisputeStatus.CLOSED)
        assert closed["status"] == "CLOSED" and await quarrel.posted(closed) == {}

    async def test_becomes_a_dispute(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 1_000))
        alert = await quarrel.opened(payment, status=DisputeStatus.ALERT)
        dispute = await quarrel.moved(alert, DisputeStatus.NEEDS_RESPONSE)
        assert dispute["status"] == "NEEDS_RESPONSE" and len(dispute["shares"]) == 1
        assert (await quarrel.posted(dispute)).keys() == {"opened", "fee"}

    async def test_is_accepted_by_a_refund(self, quarrel: Quarrel) -> None:
        payment = await quarrel.sold((unique("vendor"), 1_000))
        alert = await quarrel.opened(payment, status=DisputeStatus.ALERT)
        key = unique("key")

        accepted = await quarrel.act(alert, "accept", key=key)

        body = json_of(accepted, 200)
        assert (body["status"], body["stepUnderWay"]) == ("CLOSED", None)
        assert (await quarrel.act(alert, "accept", key=key)).content == accepted.content
        refund = json_of(await quarrel.finance.get(f"/api/v1/refunds/{body['refundId']}"), 200)
        assert (refund["amount"], refund["reason"]) == (1_000, "DISPUTE")
        await quarrel.service.run_jobs()
        assert await quarrel.events(body) == ["received", "alerted", "acceptance_requested", "accepted"]

    async def test_that_was_accepted_may_come_back_all_the_same(self, quarrel: Quarrel) -> None:
        payment = await quarrel.captured(100_000)
        alert = await quarrel.opened(payment, status=DisputeStatus.ALERT)
        json_of(await quarrel.act(alert, "accept"), 200)
        dispute = await quarrel.moved(alert, DisputeStatus.NEEDS_RESPONSE)
        assert dispute["status"] == "NEEDS_RESPONSE" and dispute["closedAt"] is None
        assert dispute["amountUnallocated"] + dispute["amountLost"] == 100_000
