"""A dispute that is told of many times at once, by two processes, beside refunds: one effect."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

from bursar.infra.jobs import NotYet
from bursar.kit.errors import RowBusy
from bursar.providers.port import DisputeStatus
from tests.conftest import Serve
from tests.support.api import json_of, unique
from tests.support.disputes import DISPUTES, Quarrel, hold
from tests.support.races import at_once
from tests.support.truth import verify

TIMES = 50


async def tell(quarrels: list[Quarrel], reference: str, times: int) -> None:
    """The same notice so many times at once, each as often as a webhook's job would try it."""

    async def one(quarrel: Quarrel) -> None:
        for _ in range(20):
            with suppress(NotYet, RowBusy):
                await quarrel.told(reference)
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the notice never came through")

    await asyncio.gather(*(one(quarrels[number % len(quarrels)]) for number in range(times)))


class TestOneNotice:
    async def test_fifty_at_once_have_one_effect(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            quarrels = [Quarrel(one), Quarrel(other)]
            payment = await quarrels[0].sold((unique("vendor"), 700), (unique("vendor"), 300))
            reference = quarrels[0].disputed_there(payment)
            await tell(quarrels, reference, TIMES)
            dispute = await quarrels[0].by_reference(reference)
            assert await quarrels[0].events(dispute) == ["received", "opened"]
            one.sandbox.move_dispute(reference, DisputeStatus.WON)
            await tell(quarrels, reference, TIMES)
            dispute = await quarrels[1].show(dispute["id"])
            assert (dispute["status"], await quarrels[0].events(dispute)) == ("WON", ["received", "opened", "won"])
            counts = Counter(name for name in await quarrels[0].posted(dispute))
            assert counts == Counter(["opened", "fee", "won", f"fee:{dispute['version']}"])
            await verify(one)

    async def test_notices_and_decisions_in_any_order(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            quarrels = [Quarrel(one), Quarrel(other)]
            payment = await quarrels[0].captured()
            reference = quarrels[0].disputed_there(payment, status=DisputeStatus.ALERT)

            async def decide() -> None:
                for status in (DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW, DisputeStatus.LOST):
                    await asyncio.sleep(0.02)
                    one.sandbox.move_dispute(reference, status)

            await asyncio.gather(decide(), *(tell(quarrels, reference, 10) for _ in range(3)))
            await tell(quarrels, reference, 4)
            dispute = await quarrels[1].by_reference(reference)
            assert dispute["status"] == "LOST" and (await quarrels[0].posted(dispute)).keys() == {"opened", "fee"}
            await verify(one)


class TestOneHand:
    async def test_two_processes_write_one_dispute_down(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            quarrels = [Quarrel(one), Quarrel(other)]
            payment = await quarrels[0].captured()
            answers = await at_once(
                quarrels[0].risk, 20, lambda number: quarrels[number % 2].by_hand(payment, providerDisputeId="d")
            )
            assert Counter(answer.status_code for answer in answers) == Counter({409: 19, 201: 1})
            listed = json_of(await quarrels[0].risk.get(f"{DISPUTES}/payment/{payment['id']}"), 200)
            assert len(listed["data"]) == 1
            await hold(one)


class TestSteps:
    async def test_many_accept_and_submit_at_once(self, serve: Serve) -> None:
        async with serve() as service:
            quarrel = Quarrel(service)
            dispute = await quarrel.opened(await quarrel.captured())
            await quarrel.stage(dispute, receipt="r")
            paths = [f"{DISPUTES}/{dispute['id']}/{action}" for action in ("accept", "submit")]
            answers = await at_once(
                quarrel.finance, 20, lambda number: quarrel.finance.call("POST", paths[number % 2], {})
            )
            statuses = Counter(answer.status_code for answer in answers)
            assert statuses == Counter({409: 19, 200: 1})
            await service.run_jobs()
            assert (await quarrel.show(dispute["id"]))["status"] in ("ACCEPTED", "UNDER_REVIEW")
            await verify(service)

    async def test_refunds_and_disputes_share_what_is_left(self, serve: Serve) -> None:
        async with serve() as service:
            quarrel = Quarrel(service)
            payment = await quarrel.sold((unique("vendor"), 600), (unique("vendor"), 400))
            references = [quarrel.disputed_there(payment, amount=250) for _ in range(2)]
            request: dict[str, Any] = {"paymentId": payment["id"], "amount": 300, "reason": "CUSTOMER_REQUEST"}

            async def refund() -> None:
                answers = await at_once(
                    quarrel.finance, 10, lambda _: quarrel.finance.call("POST", "/api/v1/refunds", request)
                )
                assert {answer.status_code for answer in answers} <= {201, 409}

            await asyncio.gather(refund(), *(tell([quarrel], reference, 5) for reference in references))
            shown = json_of(await quarrel.finance.get(f"/api/v1/payments/core/{payment['id']}"), 200)
            assert shown["amountDisputed"] == 500
            await verify(service)
