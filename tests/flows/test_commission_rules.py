"""Commission rules over HTTP: made, changed, activated by a second person, explained, charged by; and what stays."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from statistics import median
from typing import Any

import pytest

from bursar.infra import hot
from tests.conftest import Serve
from tests.support.api import fields_of, json_of, problem_of, unique
from tests.support.commissions import RULES, Desk, counts, new_vendor
from tests.support.service import Service, eventually, serving

pytestmark = pytest.mark.usefixtures("verified")
NOBODY = "00000000-0000-7000-8000-000000000000"
TIERS = [{"upTo": 100_000, "rate": "0.1"}, {"rate": "0.05"}]


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


class TestMaking:
    async def test_gives_a_draft_with_everything_that_was_said(self, desk: Desk) -> None:
        body = {
            "name": "Shoes",
            "vendorId": new_vendor(),
            "categoryId": "shoes",
            "transactionType": "CHARGE",
            "currency": "EUR",
            "commissionType": "TIERED",
            "tiers": TIERS,
            "tierMode": "WHOLE_VOLUME",
            "volumeWindowDays": 30,
            "minCommission": 1,
            "maxCommission": 9_000,
            "minAmount": 2,
            "maxAmount": 90_000,
            "priority": 7,
            "effectiveFrom": "2026-01-01T00:00:00.000001Z",
            "effectiveTo": "2999-01-01T00:00:00Z",
            "experiment": {"name": unique("e"), "variant": "a", "weight": 3, "unit": "CUSTOMER"},
            "metadata": {"ticket": "7"},
        }
        answer = await desk.ann.call("POST", RULES, {**body, "reason": "as agreed"}, key=unique("key"))
        made = json_of(answer, 201)
        assert answer.headers["location"] == f"{RULES}/{made['id']}" and answer.headers["etag"] == '"1"'
        assert {**made, **body, "tiers": made["tiers"]} == made
        assert made["tiers"] == [{"rate": "0.1", "upTo": 100_000}, {"rate": "0.05", "upTo": None}]
        assert (made["status"], made["version"], made["rate"]) == ("DRAFT", 1, None)
        assert (made["authors"], made["changedBy"], made["changeReason"]) == (["ann"], "ann", "as agreed")
        shown = await desk.ann.get(f"{RULES}/{made['id']}")
        assert json_of(shown, 200) == made and shown.headers["etag"] == '"1"'

    async def test_is_from_now_on_and_a_tenth_stays_a_tenth(self, desk: Desk) -> None:
        before = desk.service.clock.now()
        made = await desk.draft(rate="0.100000")
        assert made["rate"] == "0.1" and made["effectiveTo"] is None and made["currency"] is None
        assert before.isoformat()[:19] <= made["effectiveFrom"][:19] and made["effectiveFrom"] == made["createdAt"]

    async def test_happens_once_for_a_key(self, desk: Desk) -> None:
        vendor, key = new_vendor(), unique("key")
        body = {"name": "x", "vendorId": vendor, "commissionType": "PERCENTAGE", "rate": "0.1"}
        answers = [await desk.ann.call("POST", RULES, body, key=key) for _ in range(2)]
        assert answers[0].content == answers[1].content and answers[1].headers["idempotency-replayed"] == "true"
        problem_of(await desk.ann.call("POST", RULES, {**body, "rate": "0.2"}, key=key), 422, "idempotency_key_reused")
        rows = await desk.service.fetch("select 1 from commission_rules where vendor_id = $1", vendor)
        assert len(rows) == 1

    async def test_is_refused_with_every_fault(self, desk: Desk) -> None:
        refused = await desk.ann.call("POST", RULES, {
            "name": "x", "commissionType": "HYBRID", "rate": "1.1", "fixedAmount": 5, "minAmount": 6, "maxAmount": 5,
            "effectiveFrom": "2026-01-02T00:00:00Z", "effectiveTo": "2026-01-01T00:00:00Z", "tiers": TIERS[:1],
        })  # fmt: skip
        assert fields_of(refused) == {"rate", "fixedAmount", "tiers", "minAmount", "maxAmount", "effectiveTo"}

    async def test_of_what_has_ended_by_now_is_refused(self, desk: Desk) -> None:
        body = {"name": "x", "commissionType": "PERCENTAGE", "rate": "0.1", "effectiveTo": "2020-01-01T00:00:00Z"}
        assert fields_of(await desk.ann.call("POST", RULES, body)) == {"effectiveTo"}
        assert fields_of(await desk.ann.call("POST", f"{RULES}/check-conflicts", body)) == {"effectiveTo"}


class TestLife:
    async def test_wants_a_second_person(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor())
        problem_of(await desk.act(made, "activate", by=desk.ann), 403, "second_person_required")
        admin = desk.service.api.as_("admin", subject="ann")
        problem_of(await desk.act(made, "activate", by=admin), 403, "second_person_required")
        after = json_of(await desk.act(made, "activate", reason="seen"), 200)
        assert (after["status"], after["version"]) == ("ACTIVE", 2)
        assert (after["authors"], after["changedBy"], after["changeReason"]) == (["ann"], "ben", "seen")

    async def test_lets_nobody_activate_who_changed_it(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor())
        carl = desk.service.api.as_("admin", subject="carl")
        body = {"name": "y", "commissionType": "PERCENTAGE", "rate": "0.2", "reason": "too low"}
        changed = json_of(await desk.ben.call("PUT", f"{RULES}/{made['id']}", body), 200)
        assert (changed["authors"], changed["rate"], changed["vendorId"]) == (["ann", "ben"], "0.2", None)
        for author in (desk.ann, desk.ben):
            problem_of(await desk.act(made, "activate", by=author), 403, "second_person_required")
        json_of(await desk.act(made, "activate", by=carl), 200)

        json_of(await desk.act(made, "deactivate", by=carl), 200)
        again = {**body, "vendorId": new_vendor()}
        changed = json_of(await carl.call("PUT", f"{RULES}/{made['id']}", again), 200)
        assert (changed["status"], changed["authors"]) == ("DRAFT", ["carl"])
        problem_of(await desk.act(made, "activate", by=carl), 403, "second_person_required")
        json_of(await desk.act(made, "activate", by=desk.ann), 200)

    async def test_refuses_every_other_action_and_says_what_is_allowed(self, desk: Desk) -> None:
        body = {"name": "y", "commissionType": "PERCENTAGE", "rate": "0.2", "reason": "why not"}
        made = await desk.draft(vendorId=new_vendor())
        refused = problem_of(await desk.act(made, "deactivate"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("DRAFT", ["activate", "change"])
        json_of(await desk.act(made, "activate"), 200)
        for answer in (await desk.act(made, "activate"), await desk.act(made, "activate", by=desk.ann),
                       await desk.ann.call("PUT", f"{RULES}/{made['id']}", body)):  # fmt: skip
            refused = problem_of(answer, 409, "invalid_state_transition")
            assert (refused["state"], refused["allowed"]) == ("ACTIVE", ["deactivate"])
        json_of(await desk.act(made, "deactivate"), 200)
        refused = problem_of(await desk.act(made, "deactivate"), 409, "invalid_state_transition")
        assert (refused["state"], refused["allowed"]) == ("INACTIVE", ["activate", "change"])
        json_of(await desk.act(made, "activate"), 200)

    async def test_depends_on_the_version_that_was_read(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor())
        stale, present = {"if-match": '"9"'}, {"if-match": '"1"'}
        problem_of(await desk.act(made, "activate", headers=stale), 412, "stale_version")
        json_of(await desk.act(made, "activate", headers=present), 200)
        problem_of(await desk.act(made, "deactivate", headers=present), 412, "stale_version")

    async def test_of_nobody_is_not_found(self, desk: Desk) -> None:
        body = {"name": "y", "commissionType": "PERCENTAGE", "rate": "0.2", "reason": "why not"}
        for method, path, sent in (
            ("GET", f"{RULES}/{NOBODY}", None),
            ("GET", f"{RULES}/{NOBODY}/history", None),
            ("GET", f"{RULES}/nonsense", None),
            ("PUT", f"{RULES}/{NOBODY}", body),
            ("PUT", f"{RULES}/{NOBODY}/activate", {}),
            ("PUT", f"{RULES}/{NOBODY}/deactivate", {}),
        ):
            problem_of(await desk.ann.call(method, path, sent), 404, "not_found")

    async def test_refuses_another_weight_of_an_active_variant(self, desk: Desk) -> None:
        name, vendor = unique("e"), new_vendor()
        first = await desk.active(vendorId=vendor, experiment={"name": name, "variant": "a", "weight": 1})
        for experiment in ({"variant": "a", "weight": 2}, {"variant": "b", "weight": 1, "unit": "CUSTOMER"}):
            other = await desk.draft(vendorId=vendor, experiment={"name": name, **experiment})
            refused = problem_of(await desk.act(other, "activate"), 409, "experiment_mismatch")
            assert refused["ruleId"] == first["id"]
        fits = await desk.draft(vendorId=vendor, experiment={"name": name, "variant": "b", "weight": 2})
        json_of(await desk.act(fits, "activate"), 200)


class TestCalculating:
    async def test_is_by_the_rule_that_wins_and_says_why_others_lost(self, desk: Desk) -> None:
        vendor, category = new_vendor(), unique("category")
        own = await desk.active(vendorId=vendor, rate="0.125", priority=5)
        category_rule = await desk.active(categoryId=category, rate="0.2", priority=5)
        dollars = await desk.active(vendorId=vendor, currency="USD", priority=9)
        draft = await desk.draft(vendorId=vendor, priority=10)

        shown = await desk.calculate(vendorId=vendor, categoryId=category, amount=9_999)
        assert (shown["commissionAmount"], shown["netAmount"]) == (1_250, 8_749)
        assert (shown["ruleId"], shown["ruleVersion"], shown["commissionType"]) == (own["id"], 2, "PERCENTAGE")
        assert shown["parts"] == [{"amount": 9_999, "rate": "0.125", "commission": 1_250}]
        considered = {one["ruleId"]: one["whyNot"] for one in shown["considered"]}
        assert considered[category_rule["id"]] == "LESS_SPECIFIC" and considered[dollars["id"]] == "OTHER_CURRENCY"
        assert draft["id"] not in considered and shown["consideredCount"] >= 2

        params = {"vendorId": vendor, "categoryId": category, "amount": 9_999, "currency": "EUR"}
        best = json_of(await desk.reader.get(f"{RULES}/best-applicable", **params), 200)
        assert best["rule"] == own and best["considered"] == shown["considered"]
        fewer = json_of(await desk.reader.get(f"{RULES}/best-applicable", **params, limit=1), 200)
        assert fewer["considered"] == shown["considered"][:1]
        assert fewer["consideredCount"] == shown["consideredCount"]

    async def test_is_at_any_moment(self, desk: Desk) -> None:
        vendor = new_vendor()
        usual = await desk.active(vendorId=vendor, effectiveFrom="2026-01-01T00:00:00Z")
        promotion = await desk.active(
            vendorId=vendor,
            rate="0.01",
            priority=1,
            effectiveFrom="2030-06-01T00:00:00Z",
            effectiveTo="2030-07-01T00:00:00Z",
        )
        for at, counting in (
            ("2030-05-31T23:59:59.999999Z", usual),
            ("2030-06-01T00:00:00Z", promotion),
            ("2030-06-30T23:59:59.999999Z", promotion),
            ("2030-07-01T00:00:00Z", usual),
        ):
            assert (await desk.calculate(vendorId=vendor, at=at))["ruleId"] == counting["id"]
        early = await desk.calculate(vendorId=vendor, at="2025-12-31T23:59:59Z")
        assert early["ruleId"] not in (usual["id"], promotion["id"])
        reasons = {one["ruleId"]: one["whyNot"] for one in early["considered"]}
        assert reasons[usual["id"]] == reasons[promotion["id"]] == "NOT_YET_EFFECTIVE"

    async def test_goes_by_the_volume_in_the_winners_window(self, desk: Desk) -> None:
        vendor = new_vendor()
        tiers = {"commissionType": "TIERED", "rate": None, "tiers": TIERS, "currency": "EUR", "volumeWindowDays": 30}
        made = await desk.active(vendorId=vendor, priority=1, **tiers)
        for volume, commission in ((0, 1_000), (90_000, 1_000), (95_000, 750), (100_000, 500)):
            shown = await desk.calculate(vendorId=vendor, volume=volume)
            assert (shown["commissionAmount"], shown["volumeWindowDays"]) == (commission, 30)
            assert (shown["ruleId"], shown["ruleVersion"]) == (made["id"], 2)

    async def test_stays_with_a_variant(self, desk: Desk) -> None:
        name, category = unique("e"), unique("category")
        rates = {"a": "0.1", "b": "0.3"}
        for variant, rate in rates.items():
            await desk.active(
                categoryId=category,
                rate=rate,
                priority=50,
                experiment={"name": name, "variant": variant, "weight": 1},
            )
        drawn = {}
        for number in range(24):
            asked = {"vendorId": f"v-{number}", "categoryId": category}
            answers = [(await desk.calculate(**asked, customerId=customer))["ruleId"] for customer in ("x", "y")]
            assert answers[0] == answers[1]
            drawn[number] = answers[0]
        assert len(set(drawn.values())) == 2

    @pytest.mark.parametrize(
        "params, field",
        [
            ({"amount": 0}, "amount"),
            ({"amount": "1.5"}, "amount"),
            ({"amount": 10**12 + 1}, "amount"),
            ({"currency": "EURO"}, "currency"),
            ({"vendorId": "a b"}, "vendorId"),
            ({"at": "yesterday"}, "at"),
            ({"volume": -1}, "volume"),
            ({"limit": 101}, "limit"),
            ({"share": 1}, "share"),
        ],
    )
    async def test_refuses_what_makes_no_sense(self, desk: Desk, params: dict[str, Any], field: str) -> None:
        asked = {"vendorId": "v", "amount": 5, "currency": "EUR", **params}
        for path in ("calculate", "best-applicable"):
            assert fields_of(await desk.reader.get(f"{RULES}/{path}", **asked)) == {field}
        assert fields_of(await desk.reader.get(f"{RULES}/calculate")) == {"vendorId", "amount", "currency"}

    async def test_charges_nothing_where_no_rule_is(self, serve: Serve) -> None:
        async with serve() as service:
            shown = await Desk(service).calculate(vendorId="v-1")
            assert (shown["ruleId"], shown["commissionAmount"], shown["netAmount"]) == (None, 0, 10_000)
            assert (shown["considered"], shown["consideredCount"], shown["parts"]) == ([], 0, [])
            answer = await Desk(service).reader.get(f"{RULES}/best-applicable", vendorId="v", amount=1, currency="EUR")
            assert json_of(answer, 200)["rule"] is None


class TestCache:
    @pytest.fixture
    def without_polling(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What changed is learnt by a notice, or not at all."""
        monkeypatch.setattr(hot, "POLL_SECONDS", 600)

    @pytest.fixture
    async def pair(self, without_polling: None, private: Service) -> AsyncIterator[tuple[Service, Service]]:
        """Two processes on one database."""
        async with serving(private.url, private.app.settings.data_path, clock=private.clock) as second:
            yield private, second

    async def test_of_every_process_is_dropped_within_a_second(self, pair: tuple[Service, Service]) -> None:
        """The median says how long it takes; a single change may meet a moment in which this machine stood still."""
        here, there = pair
        seconds = []
        desk = Desk(here)
        made = await desk.draft(rate="0.1")
        await eventually(lambda: not there.app.commission_rules.rows)
        for action, charged in (("activate", 1_000), ("deactivate", 0)) * 3:
            after = json_of(await desk.act(made, action), 200)
            began = time.monotonic()
            await counts(there, after, seconds=20)
            seconds.append(time.monotonic() - began)
            assert (await Desk(there).calculate(vendorId="v-1"))["commissionAmount"] == charged
            await counts(here, after, seconds=20)
        assert median(seconds) < 1

    async def test_follows_without_notice(self, private: Service) -> None:
        desk = Desk(private)
        made = await desk.draft(rate="0.1")
        async with private.connection() as connection:
            await connection.execute(
                "update commission_rules set version = 2, status = 'ACTIVE', changed_by = 'ben' where id = $1",
                made["id"],
            )
        await eventually(lambda: [row.id for row in private.app.commission_rules.rows] == [made["id"]], seconds=30)

    async def test_is_not_asked_for_a_rule_by_its_id(self, desk: Desk) -> None:
        made = await desk.draft(vendorId=new_vendor())
        after = json_of(await desk.act(made, "activate"), 200)
        assert json_of(await desk.ann.get(f"{RULES}/{made['id']}"), 200) == after


class TestTime:
    async def test_moves_rules_in_and_out_by_itself(self, private: Service) -> None:
        desk = Desk(private)
        now = private.clock.now()
        later = (now + timedelta(days=1)).isoformat()
        end = (now + timedelta(days=2)).isoformat()
        made = await desk.active(effectiveFrom=later, effectiveTo=end)
        assert (await desk.calculate(vendorId="v"))["ruleId"] is None
        private.clock.advance(days=1, seconds=1)
        assert (await desk.calculate(vendorId="v"))["ruleId"] == made["id"]
        private.clock.advance(days=1)
        assert (await desk.calculate(vendorId="v"))["ruleId"] is None
