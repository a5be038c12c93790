"""Who sees and does what with commission rules; lists; and conflicts over HTTP."""

import asyncio
from typing import Any

import pytest

from bursar.domains.commissions import service as commissions
from bursar.domains.commissions.schemas import CheckConflicts
from bursar.infra.auth import ROLES
from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.commissions import RULES, Desk, new_vendor
from tests.support.service import Service

NOBODY = "00000000-0000-7000-8000-000000000000"
TERMS: dict[str, Any] = {"name": "x", "commissionType": "PERCENTAGE", "rate": "0.1", "vendorId": "role-test"}
ASKED = "vendorId=vendor-1&amount=5&currency=EUR"
READERS = {"service", "finance", "admin", "support", "vendor"}

ENDPOINTS: list[tuple[str, str, object, set[str]]] = [
    ("POST", RULES, TERMS, {"finance", "admin"}),
    ("GET", f"{RULES}/vendor/vendor-1", None, READERS),
    ("GET", f"{RULES}/category/c", None, READERS),
    ("GET", f"{RULES}/best-applicable?{ASKED}", None, READERS),
    ("GET", f"{RULES}/calculate?{ASKED}", None, READERS),
    ("POST", f"{RULES}/check-conflicts", TERMS, READERS - {"vendor"}),
    ("GET", f"{RULES}/{NOBODY}", None, READERS),
    ("GET", f"{RULES}/{NOBODY}/history", None, READERS),
    ("PUT", f"{RULES}/{NOBODY}", {**TERMS, "reason": "x"}, {"finance", "admin"}),
    ("PUT", f"{RULES}/{NOBODY}/activate", {}, {"finance", "admin"}),
    ("PUT", f"{RULES}/{NOBODY}/deactivate", {}, {"finance", "admin"}),
]


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


def vendor(desk: Desk, vendor_id: str) -> Api:
    return desk.service.api.as_("vendor", subject=vendor_id, vendorId=vendor_id)


async def ids(caller: Api, path: str, **params: Any) -> list[str]:
    return [row["id"] for row in json_of(await caller.get(f"{RULES}/{path}", **params), 200)["data"]]


class TestRoles:
    @pytest.mark.parametrize("role", sorted(ROLES))
    @pytest.mark.parametrize("method, path, body, allowed", ENDPOINTS)
    async def test_each_endpoint_by_each_role(
        self, service: Service, method: str, path: str, body: object, allowed: set[str], role: str
    ) -> None:
        own = {"vendorId": "vendor-1"} if role == "vendor" else {}
        answer = await service.api.as_(role, subject=f"{role}-1", **own).call(method, path, body)
        if role in allowed:
            assert answer.status_code in (200, 201, 404), answer.text
        else:
            problem_of(answer, 403, "forbidden")

    @pytest.mark.parametrize("method, path, body, allowed", ENDPOINTS)
    async def test_each_endpoint_without_a_token(
        self, service: Service, method: str, path: str, body: object, allowed: set[str]
    ) -> None:
        problem_of(await service.api.call(method, path, body), 401, "unauthenticated")


class TestVendor:
    async def test_sees_what_applies_to_it(self, desk: Desk) -> None:
        mine, other, category = new_vendor(), new_vendor(), unique("category")
        own = await desk.active(vendorId=mine, categoryId=category, metadata={"deal": "7"})
        foreign = await desk.active(vendorId=other, categoryId=category)
        common = await desk.active(categoryId=category)
        draft = await desk.draft(vendorId=mine, categoryId=category)
        caller = vendor(desk, mine)

        assert await ids(caller, f"category/{category}") == [common["id"], own["id"]]
        assert await ids(caller, f"category/{category}", status="DRAFT") == [common["id"], own["id"]]
        listed = await ids(caller, f"vendor/{mine}", limit=100)
        assert own["id"] in listed and not {foreign["id"], draft["id"]} & set(listed)
        shown = json_of(await caller.get(f"{RULES}/{own['id']}"), 200)
        hidden = {"authors": None, "changedBy": None, "changeReason": None, "experiment": None, "metadata": {}}
        assert shown == {**own, **hidden}
        json_of(await caller.get(f"{RULES}/{common['id']}"), 200)
        for rule in (foreign, draft):
            problem_of(await caller.get(f"{RULES}/{rule['id']}"), 404, "not_found")
            problem_of(await caller.get(f"{RULES}/{rule['id']}/history"), 404, "not_found")

    async def test_asks_for_itself_alone(self, desk: Desk) -> None:
        mine, other = new_vendor(), new_vendor()
        own = await desk.active(vendorId=mine, priority=3)
        caller = vendor(desk, mine)
        asked = {"amount": 1_000, "currency": "EUR"}
        assert json_of(await caller.get(f"{RULES}/calculate", vendorId=mine, **asked), 200)["ruleId"] == own["id"]
        best = json_of(await caller.get(f"{RULES}/best-applicable", vendorId=mine, **asked), 200)
        assert (best["rule"]["id"], best["rule"]["authors"]) == (own["id"], None)
        for path in ("calculate", "best-applicable"):
            problem_of(await caller.get(f"{RULES}/{path}", vendorId=other, **asked), 404, "not_found")
        problem_of(await caller.get(f"{RULES}/vendor/{other}"), 404, "not_found")
        nameless = desk.service.api.as_("vendor", subject="x")
        problem_of(await nameless.get(f"{RULES}/vendor/{mine}"), 404, "not_found")
        problem_of(await nameless.get(f"{RULES}/{own['id']}"), 404, "not_found")

    async def test_sees_the_versions_that_were_in_force(self, desk: Desk) -> None:
        mine = new_vendor()
        own = await desk.active(vendorId=mine)
        json_of(await desk.ben.call("PUT", f"{RULES}/{own['id']}/deactivate", {}), 200)
        caller = vendor(desk, mine)
        versions = json_of(await caller.get(f"{RULES}/{own['id']}/history"), 200)["data"]
        assert [(one["version"], one["status"], one["changedBy"]) for one in versions] == [(2, "ACTIVE", None)]
        assert json_of(await caller.get(f"{RULES}/{own['id']}"), 200)["status"] == "INACTIVE"


class TestLists:
    async def test_of_a_vendor_have_its_own_and_those_for_all(self, serve: Serve) -> None:
        async with serve() as service:
            desk = Desk(service)
            made = [await desk.draft(vendorId=vendor_id) for vendor_id in ("v-1", None, "v-2", "v-1", None)]
            expected = [made[number]["id"] for number in (4, 3, 1, 0)]
            assert await ids(desk.ann, "vendor/v-1") == expected
            assert await ids(desk.ann, "vendor/v-1", status="ACTIVE") == []
            first = json_of(await desk.ann.get(f"{RULES}/vendor/v-1", limit=3), 200)
            assert [row["id"] for row in first["data"]] == expected[:3] and first["hasMore"]
            rest = json_of(await desk.ann.get(f"{RULES}/vendor/v-1", limit=3, cursor=first["nextCursor"]), 200)
            assert [row["id"] for row in rest["data"]] == expected[3:] and not rest["hasMore"]
            assert await ids(desk.ann, "vendor/v-1", createdFrom=made[3]["createdAt"]) == expected[:2]
            assert await ids(desk.ann, "vendor/v-1", createdTo=made[3]["createdAt"]) == expected[2:]

    async def test_of_a_category_have_its_rules(self, desk: Desk) -> None:
        category = unique("category")
        made = [await desk.draft(categoryId=category, vendorId=vendor_id) for vendor_id in (None, "v-1", None)]
        await desk.draft(vendorId="v-1")
        assert await ids(desk.ann, f"category/{category}") == [one["id"] for one in made[::-1]]
        page = json_of(await desk.ann.get(f"{RULES}/category/{category}", limit=2), 200)
        rest = await ids(desk.ann, f"category/{category}", cursor=page["nextCursor"])
        assert rest == [made[0]["id"]]


class TestConflicts:
    async def check(self, desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
        return dict(json_of(await desk.ann.call("POST", f"{RULES}/check-conflicts", body), 200))

    async def test_of_a_new_rule(self, serve: Serve) -> None:
        async with serve() as service:
            desk = Desk(service)
            usual = await desk.active(vendorId="v-1", effectiveFrom="2026-01-01T00:00:00Z")
            await desk.active(vendorId="v-2")
            await desk.draft(vendorId="v-1")
            promotion = {
                **TERMS,
                "vendorId": "v-1",
                "priority": 1,
                "effectiveFrom": "2030-01-01T00:00:00Z",
                "effectiveTo": "2030-02-01T00:00:00Z",
            }
            told = await self.check(desk, promotion)
            window = {"effectiveFrom": promotion["effectiveFrom"], "effectiveTo": promotion["effectiveTo"]}
            (found,) = told["conflicts"]
            example = found.pop("example")
            assert found == {
                "winnerId": None,
                "loserId": usual["id"],
                "kind": "PARTLY_SHADOWED",
                "whyNot": "LOWER_PRIORITY",
                "window": window,
            }
            assert (example["vendorId"], example["at"]) == ("v-1", window["effectiveFrom"])
            assert (told["isComplete"], told["rulesChecked"]) == (True, 2)
            assert not await service.fetch("select 1 from commission_rules where name <> 'x'")

            forever = await self.check(desk, {**promotion, "effectiveTo": None, "vendorId": None})
            assert sorted(one["kind"] for one in forever["conflicts"]) == ["SHADOWED", "SHADOWED"]
            apart = {**promotion, "vendorId": "v-3"}
            assert (await self.check(desk, apart)) == {"conflicts": [], "isComplete": True, "rulesChecked": 2}
            assert (await self.check(desk, {"vendorId": "v-1"}))["conflicts"][0]["kind"] == "SAME_PRIORITY"

    async def test_of_a_kept_rule_and_of_all(self, serve: Serve) -> None:
        async with serve() as service:
            desk = Desk(service)
            everybody = await desk.active()
            own = [await desk.active(vendorId=vendor_id, priority=1) for vendor_id in ("v-1", "v-2")]
            draft = await desk.draft(vendorId="v-1", priority=2)
            told = await self.check(desk, {"ruleId": draft["id"]})
            assert {(one["winnerId"], one["loserId"], one["kind"]) for one in told["conflicts"]} == {
                (draft["id"], own[0]["id"], "SHADOWED"),
                (draft["id"], everybody["id"], "PARTLY_SHADOWED"),
            }
            told = await self.check(desk, {})
            pairs = {(one["winnerId"], one["loserId"]) for one in told["conflicts"]}
            assert pairs == {(one["id"], everybody["id"]) for one in own} and told["isComplete"]
            for one in told["conflicts"]:
                asked = {name: value for name, value in one["example"].items() if value is not None}
                shown = json_of(await desk.reader.get(f"{RULES}/calculate", **asked), 200)
                lost = {entry["ruleId"]: entry["whyNot"] for entry in shown["considered"]}
                assert shown["ruleId"] == one["winnerId"] and lost[one["loserId"]] == one["whyNot"]
            problem_of(await desk.ann.call("POST", f"{RULES}/check-conflicts", {"ruleId": NOBODY}), 404, "not_found")

    async def test_says_so_where_there_are_more_than_it_tells(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursar.domains.commissions.service.CONFLICTS_MAX", 2)
        async with serve() as service:
            desk = Desk(service)
            for _ in range(3):
                await desk.active()
            told = await self.check(desk, {})
            assert (len(told["conflicts"]), told["isComplete"]) == (2, False)
            assert (await self.check(desk, TERMS))["isComplete"] is False
            monkeypatch.setattr("bursar.domains.commissions.service.CONFLICTS_MAX", 3)
            told = await self.check(desk, {})
            assert (len(told["conflicts"]), told["isComplete"]) == (3, True)
            monkeypatch.setattr("bursar.domains.commissions.service.COMPARED_MAX", 1)
            assert (await self.check(desk, {}))["isComplete"] is False

    async def test_leaves_others_their_turn_at_every_conflict(self, serve: Serve) -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with serve() as service:
            desk = Desk(service)
            for _ in range(4):
                await desk.active()
            beside = asyncio.create_task(other())
            await commissions.check_conflicts(service.app, CheckConflicts())
            beside.cancel()
            assert turns >= 6

    async def test_refuses_what_makes_no_sense(self, desk: Desk) -> None:
        body = {"ruleId": NOBODY, "vendorId": "v"}
        assert fields_of(await desk.ann.call("POST", f"{RULES}/check-conflicts", body)) == {"ruleId"}
        bad = {"commissionType": "PERCENTAGE", "rate": "2", "currency": "EUR", "minAmount": 5, "maxAmount": 4}
        assert fields_of(await desk.ann.call("POST", f"{RULES}/check-conflicts", bad)) == {"rate", "maxAmount"}
