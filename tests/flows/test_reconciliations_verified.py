"""What a reconciliation leaves: events that make its row again, explanations that count once, and books in which a
change behind the service's back shows.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bursar.cli.replay import replay
from bursar.domains.reconciliations import verify
from tests.conftest import Serve
from tests.support.reconciliations import FEES, Bookkeeper, captured, row_of, stripe_csv, verify_books


@pytest.fixture
async def ann(serve: Serve) -> AsyncIterator[Bookkeeper]:
    async with serve(provider_fees=FEES) as service:
        yield Bookkeeper(service)


async def reconciled(ann: Bookkeeper) -> dict[str, Any]:
    """A reconciliation with one difference of 3,000."""
    at = (ann.service.clock.now() - timedelta(days=1)).replace(hour=12)
    rows = [row_of(capture) for capture in await captured(ann.service, [1000, 2000, 3000], at=at)]
    return await ann.reconcile(stripe_csv(rows[:2]))


class TestHistory:
    async def test_the_events_make_the_row_again(
        self, ann: Bookkeeper, database_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        await reconciled(ann)
        assert (await ann.reconcile(b"balance_transaction_id,reporting_category\n"))["status"] == "FAILED"
        assert await replay(database_url) == 0
        assert "reconciliations: 2 rebuilt from their events, 0 differ" in capsys.readouterr().out

    async def test_a_difference_tells_its_life(self, ann: Bookkeeper) -> None:
        done = await reconciled(ann)
        (item,) = (await ann.differences(done["id"]))["MISSING_WITH_THEM"]
        assert (await ann.colleague().explain(item)).status_code == 200
        events = await ann.service.fetch(
            "select type, version from events where stream = $1 order by version", item["id"]
        )
        assert [tuple(event) for event in events] == [
            ("reconciliation_item.found", 1),
            ("reconciliation_item.explained", 2),
        ]
        actors = await ann.service.fetch("select actor from audit where action = 'reconciliation_item.explain'")
        assert [row["actor"] for row in actors] == ["ben"]


class TestAtOnce:
    async def test_of_twenty_explanations_one_moves_the_money(self, ann: Bookkeeper) -> None:
        done = await reconciled(ann)
        (item,) = (await ann.differences(done["id"]))["MISSING_WITH_THEM"]
        colleagues = [ann.colleague(f"colleague-{number}") for number in range(20)]
        answers = await asyncio.gather(*(one.explain(item, account="dispute_losses") for one in colleagues))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
        assert (await ann.balances())["dispute_losses", "EUR"] == 3000
        await verify_books(ann.service)


TAMPERED = {
    "update reconciliation_items set suspense = '{\"EUR\": 1}' where kind = 'MISSING_WITH_THEM'": {
        "reconciliations: suspense is the sum of the open items",
        "reconciliations: what lies in suspense about an item is what it says",
    },
    "update reconciliation_items set status = 'RESOLVED' where kind = 'MISSING_WITH_THEM'": {
        "reconciliations: suspense is the sum of the open items",
        "reconciliations: what lies in suspense about an item is what it says",
    },
    "update reconciliations set counts = '{\"MATCHED\": 3}'": {"reconciliations: their counts are their items'"},
    "delete from reconciliation_items where line = 2": {
        "reconciliations: their counts are their items'",
        "reconciliations: each row of a completed one has its item",
    },
}


class TestVerify:
    @pytest.mark.parametrize("change", TAMPERED)
    async def test_names_what_was_changed_behind_the_services_back(self, ann: Bookkeeper, change: str) -> None:
        await reconciled(ann)
        async with ann.service.connection() as connection:
            assert not any((await verify.faults(connection)).values())
            await connection.execute(change)
            found = await verify.faults(connection)
        assert {name for name, faults in found.items() if faults} == TAMPERED[change]

    @pytest.mark.parametrize(
        "change",
        [
            "update reconciliation_items set status = 'CLOSED' where kind = 'MISSING_WITH_THEM'",
            "update reconciliation_items set suspense = '{\"EUR\": 1}' where kind = 'MATCHED'",
            "update reconciliation_items set status = 'EXPLAINED' where kind = 'MISSING_WITH_THEM'",
            "update reconciliation_items set net = null where kind = 'MATCHED'",
            "update reconciliations set status = 'FAILED', completed_at = null",
            "update reconciliations set until = since",
        ],
    )
    async def test_postgresql_refuses_what_cannot_be(self, ann: Bookkeeper, change: str) -> None:
        await reconciled(ann)
        async with ann.service.connection() as connection:
            with pytest.raises(Exception, match="violates check constraint"):
                await connection.execute(change)
