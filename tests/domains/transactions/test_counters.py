"""What refunds and disputes do to transactions: rows, events, history, ledger; and what no one can write."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from bursar.cli.replay import replay
from bursar.domains.ledger import verify as ledger_verify
from bursar.domains.payments import verify as payment_verify
from bursar.domains.transactions import verify
from bursar.domains.transactions.model import EndedElsewhere, ShareUnavailable
from tests.conftest import Serve
from tests.support.api import json_of, problem_of
from tests.support.commissions import Desk
from tests.support.counters import Taker
from tests.support.database import cloned
from tests.support.service import Service, serving
from tests.support.transactions import TRANSACTIONS, Shop


class Till(Taker):
    """A shop of one vendor at a tenth and one at a fifth, whose money is taken back."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.service = service
        self.shop = Shop(service.api.as_("service"))

    async def shown(self, transaction_id: str) -> list[tuple[int, ...]]:
        """Of each allocation: refunding, refunded, disputed."""
        shown = await self.shop.show(transaction_id)
        names = ("amountRefunding", "amountRefunded", "amountDisputed")
        return [tuple(part[name] for name in names) for part in shown["allocations"]]

    async def events(self, transaction_id: str) -> list[str]:
        rows = await self.service.fetch("select type from events where stream = $1 order by version", transaction_id)
        return [row["type"] for row in rows]

    async def faults(self) -> dict[str, list[str]]:
        """What is wrong up to here; those above are not asked, since neither refunds nor disputes know of this."""
        found: dict[str, list[str]] = {}
        async with self.service.connection() as connection:
            for check in (ledger_verify.faults, payment_verify.faults, verify.faults):
                found.update(await check(connection))
        return {name: faults for name, faults in found.items() if faults}

    async def execute(self, sql: str, *args: Any) -> None:
        async with self.service.connection() as connection:
            await connection.execute(sql, *args)


@pytest.fixture
async def till(serve: Serve) -> AsyncIterator[Till]:
    async with serve() as service:
        desk = Desk(service)
        await desk.active(vendorId="a", rate="0.1")
        await desk.active(vendorId="b", rate="0.2")
        made = Till(service)
        yield made
        assert await made.faults() == {}
        assert await replay(service.url) == 0


class TestRefunds:
    async def test_are_set_aside_then_settled(self, till: Till) -> None:
        charge = await till.shop.sold({"a": 600, "b": 400})
        taken = await till.ask(charge["paymentId"], 500)
        assert [(share.gross, share.commission, share.net) for share in taken.shares] == [
            (300, 30, 270),
            (200, 40, 160),
        ]
        assert await till.shown(charge["id"]) == [(300, 0, 0), (200, 0, 0)]
        assert await till.faults() == {}

        await till.settle(taken)

        assert await till.shown(charge["id"]) == [(0, 300, 0), (0, 200, 0)]
        assert (await till.shop.show(charge["id"]))["amountRefunded"] == 500
        refund = await till.shop.show(taken.counter)
        assert (refund["type"], refund["status"], refund["refundId"]) == ("REFUND", "COMPLETED", taken.refund_id)
        assert (refund["amount"], refund["commissionTotal"], refund["gatewayReference"]) == (500, 70, "gw")
        assert [(part["chargeId"], part["chargeLine"]) for part in refund["allocations"]] == [
            (charge["id"], 0),
            (charge["id"], 1),
        ]
        assert await till.events(charge["id"]) == [
            "transaction.completed",
            "transaction.refund_reserved",
            "transaction.refunded",
        ]
        assert await till.events(taken.counter) == ["transaction.created", "transaction.completed"]

    async def test_are_released_and_reversed(self, till: Till) -> None:
        charge = await till.shop.sold({"a": 600, "b": 400})
        failed = await till.ask(charge["paymentId"], 700)
        with pytest.raises(ShareUnavailable):
            await till.ask(charge["paymentId"], 301)
        await till.release(failed)
        assert await till.shown(charge["id"]) == [(0, 0, 0), (0, 0, 0)]
        assert (await till.shop.show(failed.counter))["failureReason"] == "declined"
        done = await till.ask(charge["paymentId"], 1_000, keeps_commission=True)
        assert sum(share.net for share in done.shares) == 1_000
        await till.settle(done)
        assert await till.faults() == {}
        await till.reverse(done)
        assert (await till.shop.show(done.counter))["status"] == "FAILED"
        assert (await till.shop.show(charge["id"]))["amountRefunded"] == 0
        assert await till.events(charge["id"]) == [
            "transaction.completed",
            "transaction.refund_reserved",
            "transaction.refund_released",
            "transaction.refund_reserved",
            "transaction.refunded",
            "transaction.refund_reversed",
        ]

    async def test_take_from_every_charge_and_from_unallocated_money(self, till: Till) -> None:
        payment = await till.shop.captured(1_000)
        for vendor, amount in (("a", 300), ("b", 200)):
            json_of(await till.shop.end(await till.shop.allocated(payment["id"], {vendor: amount}), "complete"), 200)
        pending = await till.shop.allocated(payment["id"], {"a": 100})
        taken = await till.ask(payment["id"], 450)
        assert [share.gross for share in taken.shares] == [150, 100] and taken.unallocated == 200
        assert await till.faults() == {}
        await till.settle(taken)
        rest = await till.ask(payment["id"], 450)
        await till.settle(rest)
        assert (await till.shop.api.show(payment["id"]))["amountUnallocated"] == 0
        json_of(await till.shop.end(pending, "complete"), 200)
        last = await till.ask(payment["id"], 100)
        assert [(share.transaction_id, share.gross) for share in last.shares] == [(pending["id"], 100)]
        await till.settle(last)
        back = await till.service.fetch("select sum(amount) from postings where account = 'commission_revenue'")
        assert back[0][0] == 0

    async def test_are_ended_by_nobody_else(self, till: Till) -> None:
        charge = await till.shop.sold({"a": 600})
        taken = await till.ask(charge["paymentId"], 100)
        for action in ("complete", "fail"):
            problem_of(await till.shop.end({"id": taken.counter}, action), 409, EndedElsewhere.code)
        vendor = till.service.api.as_("vendor", subject="a", vendorId="a")
        seen = json_of(await vendor.get(f"{TRANSACTIONS}/vendor/a"), 200)["data"]
        assert [one["type"] for one in seen] == ["REFUND", "CHARGE"]
        await till.settle(taken)


class TestDisputes:
    async def test_take_at_once_and_give_back_when_won(self, till: Till) -> None:
        charge = await till.shop.sold({"a": 600, "b": 400})
        refund = await till.ask(charge["paymentId"], 100)
        counter, shares = await till.dispute(charge["paymentId"], 900)
        assert await till.shown(charge["id"]) == [(60, 0, 540), (40, 0, 360)]
        assert (await till.shop.show(counter))["type"] == "CHARGEBACK"
        assert await till.events(counter) == ["transaction.completed"]
        assert await till.faults() == {}
        await till.win(charge["paymentId"], 900, counter, shares)
        await till.settle(refund)
        assert await till.shown(charge["id"]) == [(0, 60, 0), (0, 40, 0)]
        assert (await till.events(charge["id"]))[-2:] == ["transaction.dispute_ended", "transaction.refunded"]


@pytest.fixture(scope="module")
async def sold(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Till, str]]:
    """A charge of which half is refunded, and a PENDING one; no test leaves anything behind."""
    async with cloned(server_url, template) as url, serving(url, tmp_path_factory.mktemp("sold")) as service:
        till = Till(service)
        charge = await till.shop.sold({"a": 600, "b": 400})
        await till.settle(await till.ask(charge["paymentId"], 500))
        await till.shop.allocated((await till.shop.captured())["id"], {"a": 10})
        yield till, charge["id"]
        assert await till.faults() == {}


class TestTampering:
    @pytest.mark.parametrize(
        "change",
        [
            "allocations = jsonb_set(allocations, '{0,grossAmount}', '601')",
            "allocations = jsonb_set(allocations, '{0,netAmount}', '1')",
            "allocations = jsonb_set(allocations, '{0,refunded}', '601')",
            "allocations = jsonb_set(allocations, '{0,refunded}', '301')",
            "allocations = jsonb_set(allocations, '{0,disputed}', '-1')",
            "allocations = jsonb_set(allocations, '{0,disputed}', '301')",
            "allocations = jsonb_set(allocations, '{0,commissionKept}', '1')",
            "allocations = allocations - 1",
            "allocations = '[]', amount_refunded = 0",
            "amount = 1001",
            "amount_refunded = 0",
            "commission_total = 1",
            "refund_id = payment_id",
            "status = 'PENDING', completed_at = null",
            "status = 'FAILED', failed_at = now(), failure_reason = 'x', completed_at = null",
            "completed_at = null",
            "failed_at = now()",
        ],
    )
    async def test_is_refused_by_the_database(self, sold: tuple[Till, str], change: str) -> None:
        till, charge = sold
        with pytest.raises(asyncpg.CheckViolationError):
            await till.execute(f"update transactions set {change} where id = $1", charge)

    @pytest.mark.parametrize(
        "sql, check",
        [
            (
                """update transactions set amount_refunded = 499,
                   allocations = jsonb_set(allocations, '{0,refunded}', '299') where id = $1""",
                "transactions: what charges say was taken back is in refunds and chargebacks",
            ),
            (
                """update transactions set commission_total = 1, allocations = jsonb_set(jsonb_set(allocations,
                   '{0,commissionAmount}', '1'), '{0,netAmount}', '599') where id = $1""",
                "transactions: the ledger has what completed charges allocate",
            ),
            (
                """update payments set amount_unallocated = 91
                   where id <> (select payment_id from transactions where id = $1)""",
                "transactions: unallocated money is the payments' and the pending charges'",
            ),
            (
                "update transaction_vendors set gross = gross + 1 where transaction_id = $1 and vendor_id = 'a'",
                "transactions: lists by vendor have what the allocations say",
            ),
            (
                "delete from transaction_vendors where transaction_id = $1",
                "transactions: lists by vendor have what the allocations say",
            ),
            (
                """alter table transactions drop constraint transactions_allocations;
                   update transactions set amount = amount + 1 where id = $1""",
                "transactions: allocations are commission and net, and sum to the amount",
            ),
        ],
    )
    async def test_is_found(self, sold: tuple[Till, str], sql: str, check: str) -> None:
        till, charge = sold
        async with till.service.connection() as connection:
            tampering = connection.transaction()
            await tampering.start()
            await connection.execute(sql.replace("$1", f"'{charge}'"))
            found = await verify.faults(connection)
            await tampering.rollback()
        assert found[check]
