"""What stays of commission rules: every version, the same from its events, and nothing that makes no sense."""

import asyncpg
import pytest

from bursar.cli.replay import replay
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.commissions import RULES, Desk, new_vendor
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")
AS_TIERED = "commission_type = 'TIERED', rate = null, currency = 'EUR', tier_mode = 'MARGINAL'"
TIERS = [{"upTo": 100_000, "rate": "0.1"}, {"rate": "0.05"}]


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestHistory:
    async def test_keeps_every_version_with_author_reason_and_time(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor(), reason="first")
        body = {"name": "y", "commissionType": "PERCENTAGE", "rate": "0.2", "reason": "second"}
        json_of(await desk.ann.call("PUT", f"{RULES}/{made['id']}", body), 200)
        json_of(await desk.act(made, "activate", reason="third"), 200)
        json_of(await desk.act(made, "deactivate"), 200)

        versions = json_of(await desk.ann.get(f"{RULES}/{made['id']}/history"), 200)["data"]
        told = [(one["version"], one["status"], one["changedBy"], one["changeReason"], one["rate"]) for one in versions]
        assert told == [
            (4, "INACTIVE", "ben", "deactivated", "0.2"),
            (3, "ACTIVE", "ben", "third", "0.2"),
            (2, "DRAFT", "ann", "second", "0.2"),
            (1, "DRAFT", "ann", "first", "0.1"),
        ]
        assert versions[-1] == made and versions[0] == json_of(await desk.ann.get(f"{RULES}/{made['id']}"), 200)
        assert [one["updatedAt"] for one in versions] == sorted((one["updatedAt"] for one in versions), reverse=True)
        rows = await desk.service.fetch("select type from events where stream = $1 order by version", made["id"])
        assert [row[0].partition(".")[2] for row in rows] == ["created", "changed", "activated", "deactivated"]

    async def test_is_the_same_when_it_is_made_again_from_its_events(
        self, serve: Serve, database_url: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        async with serve() as service:
            desk = Desk(service)
            made = await desk.active(currency="EUR", minAmount=5, experiment={"name": "e", "variant": "a", "weight": 1})
            json_of(await desk.act(made, "deactivate"), 200)
            body = {"name": "y", "commissionType": "TIERED", "currency": "EUR", "tiers": TIERS, "reason": "tiers"}
            json_of(await desk.ann.call("PUT", f"{RULES}/{made['id']}", body), 200)
            await desk.active(commissionType="HYBRID", fixedAmount=5, currency="USD")
        assert await replay(database_url) == 0
        assert "commission_rules: 2 rebuilt from their events, 0 differ" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "statement",
        [
            "update commission_rule_versions set rate = 1 where id = $1",
            "delete from commission_rule_versions where id = $1",
        ],
    )
    async def test_cannot_be_changed(self, desk: Desk, statement: str) -> None:
        made = await desk.draft(vendorId=new_vendor())
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await desk.service.fetch(statement, made["id"])
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await desk.service.app.database.execute(statement, made["id"])

    @pytest.mark.parametrize(
        "change",
        [
            "rate = 1.1",
            "rate = 0.0000001",
            "rate = null",
            "fixed_amount = 5, currency = 'EUR'",
            "min_amount = 5",
            "currency = 'EUR', min_amount = 6, max_amount = 5",
            "currency = 'EUR', min_commission = 6, max_commission = 5",
            "currency = 'EUR', max_commission = -1",
            "effective_to = effective_from",
            "volume_window_days = 5",
            "priority = -1",
            "authors = '[]'",
            "status = 'ACTIVE', changed_by = 'ann'",
            "experiment = '{}'",
            """experiment = '{"name": "e", "variant": "a", "weight": 0, "unit": "VENDOR"}'""",
            AS_TIERED,
            *(
                f"{AS_TIERED}, tiers = '{tiers}'"
                for tiers in (
                    "[]",
                    '[{"rate": "1.1"}]',
                    '[{"rate": "0.1", "upTo": 5}]',
                    '[{"rate": "0.1", "upTo": 5}, {"rate": "0.1", "upTo": 5}, {"rate": "0.1"}]',
                    '[{"rate": "0.1"}, {"rate": "0.1"}]',
                    '[{"upTo": null}]',
                )
            ),
        ],
    )
    async def test_takes_no_row_that_makes_no_sense(self, desk: Desk, change: str) -> None:
        made = await desk.draft(vendorId=new_vendor())
        with pytest.raises(asyncpg.CheckViolationError):
            await desk.service.fetch(
                f"update commission_rules set version = version + 1, {change} where id = $1", made["id"]
            )

    async def test_skips_no_version(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor())
        for version in (1, 3):
            with pytest.raises(asyncpg.RestrictViolationError, match="no version"):
                await desk.service.fetch("update commission_rules set version = $2 where id = $1", made["id"], version)
