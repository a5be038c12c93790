"""Commission rules and what was sold: volumes that are counted, rules that are tried on past charges."""

from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

from bursar.domains.transactions import backtest
from tests.support.api import Api, fields_of, json_of, problem_of
from tests.support.commissions import RULES, Desk, new_vendor
from tests.support.service import Service
from tests.support.transactions import Shop

pytestmark = pytest.mark.usefixtures("verified")

TIERS = [{"rate": "0.2", "upTo": 1_000}, {"rate": "0.1", "upTo": None}]
BY_VOLUME = {"commissionType": "TIERED", "rate": None, "tiers": TIERS, "currency": "EUR", "volumeWindowDays": 30}


class Bench(Desk):
    """People who make rules, and a shop that sells."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self.shop = Shop(service.api.as_("service"))
        self.start = service.clock.now() - timedelta(seconds=1)

    async def tried(self, rule: dict[str, Any], **window: Any) -> dict[str, Any]:
        """The rule over all that was sold since the test began."""
        until = self.service.clock.now() + timedelta(seconds=1)
        body = {"from": self.start.isoformat(), "to": until.isoformat(), **window}
        return dict(json_of(await self.ann.call("POST", f"{RULES}/{rule['id']}/backtest", body), 200))


@pytest.fixture
def bench(private: Service) -> Bench:
    """On a service of the test's own: nobody else's rules and charges count."""
    return Bench(private)


def sums(answer: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """By currency: allocations, gross, earned, without and with the rule, changed."""
    names = ("allocations", "gross", "earned", "withoutRule", "withRule", "changed")
    return {of["currency"]: tuple(of[name] for name in names) for of in answer["currencies"]}


class TestVolume:
    async def test_is_counted_where_none_is_said(self, service: Service, api: Api) -> None:
        desk, shop, vendor = Desk(service), Shop(api), new_vendor()
        await desk.active(vendorId=vendor, **BY_VOLUME)
        asked = {"vendorId": vendor, "amount": 100}
        assert (await desk.calculate(**asked))["commissionAmount"] == 20
        await shop.sold({vendor: 950})
        await shop.sold({vendor: 900}, currency="USD")
        pending = await shop.captured()
        await shop.allocated(pending["id"], {vendor: 100})
        shown = await desk.calculate(**asked)
        assert (shown["volume"], shown["commissionAmount"]) == (950, 15)
        assert (await desk.calculate(**asked, volume=0))["commissionAmount"] == 20
        later = (service.clock.now() + timedelta(days=31)).isoformat()
        assert (await desk.calculate(**asked, at=later))["volume"] == 0


class TestBacktest:
    async def test_of_a_draft_shows_what_it_would_have_earned(self, bench: Bench) -> None:
        await bench.active(rate="0.1")
        await bench.shop.sold({"a": 1_000, "b": 500})
        await bench.shop.sold({"a": 200}, currency="USD")
        draft = await bench.draft(vendorId="a", rate="0.15")

        answer = await bench.tried(draft)

        assert sums(answer) == {"EUR": (2, 1_500, 150, 150, 200, 1), "USD": (1, 200, 20, 20, 30, 1)}
        assert (answer["ruleId"], answer["ruleVersion"], answer["isComplete"]) == (draft["id"], 1, True)
        assert answer["charges"] == 2 and answer["through"] == answer["to"]
        first = answer["samples"][0]
        assert (first["vendorId"], first["amount"], first["line"]) == ("a", 1_000, 0)
        assert first["earned"]["commissionAmount"] == first["withoutRule"]["commissionAmount"] == 100
        assert first["withRule"] == {"ruleId": draft["id"], "commissionAmount": 150}

    async def test_ranks_it_among_the_others(self, bench: Bench) -> None:
        await bench.active(rate="0.1", priority=5)
        await bench.shop.sold({"a": 1_000})
        lower = await bench.draft(vendorId="a", rate="0.5", priority=4)
        higher = await bench.draft(rate="0.5", priority=6, effectiveFrom="2031-01-01T00:00:00Z")
        ended = await bench.draft(
            rate="0.3", priority=6, effectiveFrom="2020-01-01T00:00:00Z", effectiveTo="2020-02-01T00:00:00Z"
        )
        assert sums(await bench.tried(lower))["EUR"] == (1, 1_000, 100, 100, 100, 0)
        assert sums(await bench.tried(higher))["EUR"] == (1, 1_000, 100, 100, 500, 1)
        assert sums(await bench.tried(ended))["EUR"] == (1, 1_000, 100, 100, 300, 1)

    async def test_of_an_active_rule_shows_what_it_does(self, bench: Bench) -> None:
        rule = await bench.active(rate="0.1")
        await bench.shop.sold({"a": 1_000})
        assert sums(await bench.tried(rule))["EUR"] == (1, 1_000, 100, 0, 100, 1)

    async def test_tells_what_was_charged_from_what_would_be_now(self, bench: Bench) -> None:
        rule = await bench.active(rate="0.1")
        await bench.shop.sold({"a": 1_000})
        json_of(await bench.act(rule, "deactivate"), 200)
        await bench.active(rate="0.2", effectiveFrom="2026-01-01T00:00:00Z")
        draft = await bench.draft(rate="0.3", priority=1)
        assert sums(await bench.tried(draft))["EUR"] == (1, 1_000, 100, 200, 300, 1)

    @pytest.mark.parametrize("at_once", [1, 2, 200])
    async def test_counts_volumes_as_they_were(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, at_once: int
    ) -> None:
        monkeypatch.setattr(backtest, "CHARGES_AT_ONCE", at_once)
        rule = await bench.active(**BY_VOLUME)
        for amount in (600, 600, 600):
            await bench.shop.sold({"a": amount})
        bench.service.clock.advance(days=31)
        await bench.shop.sold({"a": 600})
        splits = [{"vendorId": "a", "amount": 500, "categoryId": category} for category in ("x", "y")]
        await bench.shop.captured(1_000, splits=splits)
        answer = sums(await bench.tried(rule))["EUR"]
        assert answer == (6, 3_400, 120 + 100 + 60 + 120 + 90 + 50, 0, 540, 6)
        a_day_ago = (bench.service.clock.now() - timedelta(days=1)).isoformat()
        assert sums(await bench.tried(rule, **{"from": a_day_ago}))["EUR"] == (3, 1_600, 260, 0, 260, 3)

    async def test_counts_volumes_where_charges_were_completed_in_another_order(self, bench: Bench) -> None:
        """The commission is that of the moment in which a transaction was made."""
        payment = await bench.shop.captured(2_000)
        late = await bench.shop.allocated(payment["id"], {"a": 500})
        bench.service.clock.advance(seconds=1)
        await bench.shop.sold({"a": 900})
        bench.service.clock.advance(seconds=1)
        json_of(await bench.shop.end(late, "complete"), 200)
        bench.service.clock.advance(seconds=1)
        await bench.shop.sold({"a": 200})
        rule = await bench.active(**BY_VOLUME)
        assert sums(await bench.tried(rule))["EUR"] == (3, 1_600, 0, 0, 180 + 100 + 20, 3)

    async def test_looks_at_completed_charges_of_the_window_alone(self, bench: Bench) -> None:
        await bench.shop.sold({"a": 100})
        payment = await bench.shop.captured()
        failed = await bench.shop.allocated(payment["id"], {"a": 50})
        json_of(await bench.shop.end(failed, "fail"), 200)
        await bench.shop.allocated(payment["id"], {"a": 50})
        bench.service.clock.advance(minutes=10)
        late = await bench.shop.sold({"a": 300})
        draft = await bench.draft()
        assert sums(await bench.tried(draft))["EUR"] == (2, 400, 0, 0, 40, 2)
        assert sums(await bench.tried(draft, **{"from": late["completedAt"]}))["EUR"][:2] == (1, 300)
        assert sums(await bench.tried(draft, to=late["completedAt"]))["EUR"][:2] == (1, 100)

    async def test_goes_page_by_page_and_stops_at_its_limit(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(backtest, "CHARGES_AT_ONCE", 2)
        monkeypatch.setattr(backtest, "SAMPLES_MAX", 3)
        made = [await bench.shop.sold({"a": amount}) for amount in (10, 20, 30, 40, 50)]
        draft = await bench.draft()
        whole = await bench.tried(draft)
        assert sums(whole)["EUR"] == (5, 150, 0, 0, 15, 5) and whole["charges"] == 5
        assert [sample["amount"] for sample in whole["samples"]] == [10, 20, 30]
        monkeypatch.setattr(backtest, "ALLOCATIONS_MAX", 4)
        part = await bench.tried(draft)
        assert sums(part)["EUR"][:2] == (4, 100) and not part["isComplete"]
        assert part["through"] == made[3]["completedAt"]

    async def test_agrees_with_plain_arithmetic(self, bench: Bench) -> None:
        rates = {"a": Decimal("0.07"), "b": Decimal("0.111")}
        for vendor, rate in rates.items():
            await bench.active(vendorId=vendor, rate=str(rate))
        amounts = [(vendor, 97 * number) for number in range(1, 12) for vendor in rates]
        for vendor, amount in amounts:
            await bench.shop.sold({vendor: amount})
        draft = await bench.draft(vendorId="b", rate="0.05", priority=1)

        def half_up(amount: int, rate: Decimal) -> int:
            return int((amount * rate).quantize(Decimal(1), ROUND_HALF_UP))

        earned = sum(half_up(amount, rates[vendor]) for vendor, amount in amounts)
        tried = sum(half_up(amount, Decimal("0.05") if vendor == "b" else rates[vendor]) for vendor, amount in amounts)
        gross = sum(amount for _, amount in amounts)
        assert sums(await bench.tried(draft))["EUR"] == (22, gross, earned, earned, tried, 11)

    async def test_is_for_those_who_make_rules(self, service: Service) -> None:
        desk = Desk(service)
        draft = await desk.draft()
        body = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}
        path = f"{RULES}/{draft['id']}/backtest"
        for role in ("vendor", "customer", "support", "service", "risk"):
            problem_of(await service.api.as_(role).call("POST", path, body), 403, "forbidden")
        nowhere = f"{RULES}/00000000-0000-7000-8000-000000000000/backtest"
        problem_of(await desk.ann.call("POST", nowhere, body), 404, "not_found")
        assert fields_of(await desk.ann.call("POST", path, {})) == {"from", "to"}
        backwards = {"from": body["to"], "to": body["from"]}
        assert fields_of(await desk.ann.call("POST", path, backwards)) == {"to"}
        assert fields_of(await desk.ann.call("POST", path, {**body, "to": body["from"]})) == {"to"}
