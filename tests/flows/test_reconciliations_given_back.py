"""Refunds and disputes in a settlement file, as they were booked by their own domains."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest

from bursar.providers.port import DisputeStatus
from tests.conftest import Serve
from tests.support.disputes import Quarrel
from tests.support.reconciliations import FEES, Bookkeeper, Row, counts, fee_of, net_of, stripe_csv, verify_books
from tests.support.refunds import Desk


@pytest.fixture
async def ann(serve: Serve) -> AsyncIterator[Bookkeeper]:
    async with serve(provider_fees=FEES) as service:
        yield Bookkeeper(service)
        await verify_books(service)


def charge(payment: dict[str, Any], at: datetime) -> Row:
    amount, fee = payment["amountCaptured"], fee_of(payment["amountCaptured"])
    name = payment["transactionId"]
    return Row(f"txn_{name}", at, "EUR", amount, fee, amount - fee, "charge", f"ch_{name}", name)


def undone(payment: dict[str, Any], at: datetime, category: str, source: str, gross: int, fee: int = 0) -> Row:
    name = f"txn_{source}_{category}"
    return Row(name, at, "EUR", gross, fee, gross - fee, category, source, payment["transactionId"])


class TestGivenBack:
    async def test_refunds_are_matched_each_with_its_own(self, ann: Bookkeeper) -> None:
        desk, now = Desk(ann.service), ann.service.clock.now()
        payment = await desk.paid(1_000)
        refunds = [await desk.refunded(payment["id"], 300) for _ in range(2)]
        sources = [str(refund["providerReference"]) for refund in refunds]
        rows = [
            charge(await desk.api.show(payment["id"]), now),
            *(undone(payment, now, "refund", source, -300) for source in sources[::-1]),
        ]
        done = await ann.reconcile(stripe_csv(rows))
        assert counts(done) == {"MATCHED": 3}
        items = {item["theirs"]["references"][0]: item for item in await ann.items(done["id"])}
        assert {items[source]["ours"]["amount"] for source in sources} == {-300}
        assert (await ann.balances())["provider:sandbox:clearing", "EUR"] == net_of(rows)["EUR"]

    async def test_a_refund_that_the_provider_does_not_tell_of(self, ann: Bookkeeper) -> None:
        desk, now = Desk(ann.service), ann.service.clock.now()
        payment = await desk.paid(1_000)
        await desk.refunded(payment["id"], 300)
        done = await ann.reconcile(stripe_csv([charge(await desk.api.show(payment["id"]), now)]))
        assert counts(done) == {"MATCHED": 1, "MISSING_WITH_THEM": 1}
        (missing,) = (await ann.differences(done["id"]))["MISSING_WITH_THEM"]
        assert (missing["movement"], missing["paymentId"], missing["suspense"]) == (
            "REFUND",
            payment["id"],
            {"EUR": -300},
        )

    async def test_a_refund_that_we_do_not_know_of(self, ann: Bookkeeper) -> None:
        desk, now = Desk(ann.service), ann.service.clock.now()
        payment = await desk.paid(1_000)
        rows = [charge(await desk.api.show(payment["id"]), now), undone(payment, now, "refund", "re_strange", -300)]
        done = await ann.reconcile(stripe_csv(rows))
        assert counts(done) == {"MATCHED": 1, "STATUS": 1}
        (strange,) = (await ann.differences(done["id"]))["STATUS"]
        assert strange["paymentId"] == payment["id"]

    async def test_a_dispute_with_its_fee_lost_and_won(self, ann: Bookkeeper) -> None:
        quarrel, now = Quarrel(ann.service), ann.service.clock.now()
        payment = await quarrel.captured(1_000)
        dispute = await quarrel.opened(payment, fee=1_500)
        source = dispute["providerDisputeId"]
        rows = [charge(payment, now), undone(payment, now, "dispute", source, -1_000, 1_500)]
        done = await ann.reconcile(stripe_csv(rows))
        assert counts(done) == {"MATCHED": 2}
        ann.service.clock.advance(days=2)
        assert (await quarrel.moved(dispute, DisputeStatus.WON))["status"] == "WON"
        back = undone(payment, ann.service.clock.now(), "dispute_reversal", source, 1_000, -1_500)
        later = await ann.reconcile(stripe_csv([back]))
        assert counts(later) == {"MATCHED": 1}, await ann.items(later["id"])
        balances = await ann.balances()
        assert balances["provider:sandbox:clearing", "EUR"] == net_of([*rows, back])["EUR"]
        assert ("suspense", "EUR") not in balances

    async def test_a_disputes_fee_that_is_another(self, ann: Bookkeeper) -> None:
        quarrel, now = Quarrel(ann.service), ann.service.clock.now()
        payment = await quarrel.captured(1_000)
        dispute = await quarrel.opened(payment, fee=1_500)
        row = undone(payment, now, "dispute", dispute["providerDisputeId"], -1_000, 2_000)
        done = await ann.reconcile(stripe_csv([charge(payment, now), row]))
        assert counts(done) == {"MATCHED": 1, "FEE": 1}
        (fee,) = (await ann.differences(done["id"]))["FEE"]
        assert (fee["suspense"], fee["ours"]["fee"]) == ({"EUR": 500}, 1_500)
