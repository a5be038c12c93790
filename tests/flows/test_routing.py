"""Routing rules over HTTP, and what they do to the next authorization; another provider where the first one certainly
did nothing, and never where nobody knows.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bursar.providers.guard import Guarded, Limits
from bursar.providers.port import Authorization, Capture, MethodType, Outcome, Request, Unavailable, Unknown
from bursar.providers.sandbox.adapter import Sandbox
from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.methods import add, iban_account, provider_token, rule, us_account
from tests.support.service import MovableClock, Service, eventually

RULES = "/api/v1/routing-rules"


class Named(Sandbox):
    """A sandbox of another name with books of its own, which fails authorizations as a test says."""

    def __init__(self, name: str, clock: Any, *, method_types: frozenset[MethodType] = frozenset(MethodType)) -> None:
        super().__init__(books=None, clock=clock, slow_seconds=0.0, authorization_days=7)
        self.name = name
        self.method_types = method_types
        self.fails: dict[type[Request], Outcome] = {}
        self.does_first = False

    async def execute(self, request: Request) -> Outcome:
        outcome = self.fails.get(type(request))
        if outcome is None or self.does_first:
            done = await super().execute(request)
            return done if outcome is None else outcome
        return outcome

    def took(self, kind: str) -> list[str]:
        """The keys under which something of that kind was done."""
        return [key for key, entry in self.books.by_key.items() if entry.kind == kind]


class Two:
    """A service with two providers, the first of which counts where no rule says otherwise."""

    def __init__(self, service: Service, first: Named, second: Named) -> None:
        self.service = service
        self.first = first
        self.second = second
        self.api = service.api.as_("service")
        self.admin = service.api.as_("admin")

    async def rule(self, **body: Any) -> dict[str, Any]:
        """A rule that counts from now on."""
        made: dict[str, Any] = json_of(await self.admin.call("POST", RULES, {"name": "x", **body}), 201)
        await self.counts(made)
        return made

    async def counts(self, made: dict[str, Any]) -> None:
        def is_known() -> bool:
            rows = {row.id: row.version for row in self.service.app.routing_rules.rows}
            return rows.get(made["id"]) == (made["version"] if made["status"] == "ACTIVE" else None)

        await eventually(is_known)

    async def account(self) -> dict[str, Any]:
        """A method that any provider can take."""
        account = await add(self.api, unique("customer"), iban_account())
        return dict(json_of(await rule(self.api, account, "VERIFIED"), 200))

    async def authorize(self, method: dict[str, Any], **changes: Any) -> httpx.Response:
        payment = await self.api.create_payment(
            customerId=method["customerId"], paymentMethodId=method["id"], **changes
        )
        return await self.api.authorize(payment["id"])

    async def provider_of(self, method: dict[str, Any], **changes: Any) -> str:
        return str(json_of(await self.authorize(method, **changes), 200)["provider"])


@pytest.fixture
async def two(serve: Serve) -> AsyncIterator[Two]:
    clock = MovableClock()
    first, second = Named("sandbox", clock), Named("backup", clock)
    limits = Limits(breaker_failures=0, retries_max=0)
    providers = {"sandbox": Guarded(first, limits), "backup": Guarded(second, limits)}
    async with serve(clock=clock, adapters=providers) as service:
        yield Two(service, first, second)


class TestRules:
    async def test_are_made_shown_and_replaced(self, two: Two) -> None:
        body = {"name": "Austria", "provider": "backup", "currency": "EUR", "country": "AT", "minAmount": 5}
        answer = await two.admin.call("POST", RULES, body, key="k")
        made = json_of(answer, 201)
        assert answer.headers["location"] == f"{RULES}/{made['id']}" and answer.headers["etag"] == '"1"'
        assert {**made, **body} == made and (made["priority"], made["weight"], made["status"]) == (100, 1, "ACTIVE")
        assert (await two.admin.call("POST", RULES, body, key="k")).content == answer.content
        assert json_of(await two.admin.get(f"{RULES}/{made['id']}"), 200) == made

        path, whole = f"{RULES}/{made['id']}", {"name": "all", "provider": "sandbox", "status": "INACTIVE"}
        problem_of(await two.admin.call("PUT", path, whole, headers={"if-match": '"2"'}), 412, "stale_version")
        after = json_of(await two.admin.call("PUT", path, whole, headers={"if-match": '"1"'}), 200)
        assert (after["country"], after["minAmount"], after["version"], after["status"]) == (None, None, 2, "INACTIVE")
        rows = await two.service.fetch("select type from events where stream = $1 order by version", made["id"])
        assert [row[0] for row in rows] == ["routing_rule.created", "routing_rule.updated"]

    async def test_are_listed_newest_first_page_by_page(self, two: Two) -> None:
        made = [await two.rule(provider="sandbox", priority=priority) for priority in (5, 1, 5, 0)]
        first = json_of(await two.admin.get(RULES, limit=3), 200)
        rest = json_of(await two.admin.get(RULES, limit=3, cursor=first["nextCursor"]), 200)
        assert [row["id"] for row in first["data"] + rest["data"]] == [row["id"] for row in reversed(made)]
        assert (first["hasMore"], rest["hasMore"], rest["nextCursor"]) == (True, False, None)
        later = json_of(await two.admin.get(RULES, createdFrom=made[2]["createdAt"]), 200)
        assert [row["id"] for row in later["data"]] == [made[3]["id"], made[2]["id"]]
        assert fields_of(await two.admin.get(RULES, limit=101)) == {"limit"}

    @pytest.mark.parametrize(
        "body, field",
        [
            ({"provider": "Sandbox"}, "provider"),
            ({"weight": 0}, "weight"),
            ({"weight": 1_001}, "weight"),
            ({"priority": -1}, "priority"),
            ({"currency": "EURO"}, "currency"),
            ({"country": "Austria"}, "country"),
            ({"minAmount": 5}, "body"),
            ({"currency": "EUR", "minAmount": 6, "maxAmount": 5}, "body"),
            ({"methodType": "CASH"}, "methodType"),
            ({"name": "4242 4242 4242 4242"}, "name"),
            ({"share": 1}, "share"),
        ],
    )
    async def test_that_make_no_sense_are_refused(self, two: Two, body: dict[str, Any], field: str) -> None:
        refused = await two.admin.call("POST", RULES, {"name": "x", "provider": "sandbox", **body})
        assert fields_of(refused) == {field}

    async def test_name_a_provider_that_is_configured(self, two: Two) -> None:
        refused = await two.admin.call("POST", RULES, {"name": "x", "provider": "nobody"})
        assert "backup" in problem_of(refused, 422, "provider_not_configured")["detail"]
        made = await two.rule(provider="backup")
        changed = await two.admin.call("PUT", f"{RULES}/{made['id']}", {"name": "x", "provider": "nobody"})
        problem_of(changed, 422, "provider_not_configured")
        problem_of(await two.admin.get(f"{RULES}/00000000-0000-7000-8000-000000000000"), 404, "not_found")

    async def test_are_of_admins(self, two: Two) -> None:
        made = await two.rule(provider="backup")
        for role in ("finance", "support"):
            caller = two.service.api.as_(role)
            assert json_of(await caller.get(RULES), 200)["data"]
            problem_of(
                await caller.call("PUT", f"{RULES}/{made['id']}", {"name": "x", "provider": "backup"}), 403, "forbidden"
            )
        for role in ("customer", "vendor", "risk", "service"):
            problem_of(await two.service.api.as_(role, subject="x").get(RULES), 403, "forbidden")


class TestEffect:
    async def test_is_on_the_next_authorization(self, two: Two) -> None:
        account = await two.account()
        assert await two.provider_of(account) == "sandbox"
        made = await two.rule(provider="backup", currency="EUR", minAmount=500)
        assert await two.provider_of(account, amount=499) == "sandbox"
        assert await two.provider_of(account, amount=500) == "backup"
        assert await two.provider_of(account, amount=500, currency="USD") == "sandbox"
        assert len(two.second.took("AUTHORIZED")) == 1

        body = {"name": "x", "provider": "backup", "status": "INACTIVE"}
        await two.counts(json_of(await two.admin.call("PUT", f"{RULES}/{made['id']}", body), 200))
        assert await two.provider_of(account, amount=500) == "sandbox"

    async def test_stays_with_the_payment(self, two: Two) -> None:
        account = await two.account()
        made = await two.rule(provider="backup")
        authorized = json_of(await two.authorize(account), 200)
        body = {"name": "x", "provider": "sandbox"}
        await two.counts(json_of(await two.admin.call("PUT", f"{RULES}/{made['id']}", body), 200))
        captured = json_of(await two.api.capture(authorized["id"]), 200)
        assert captured["provider"] == "backup" and len(two.second.took("CAPTURED")) == 1
        assert not two.first.books.accounts

    async def test_is_by_type_and_country(self, two: Two) -> None:
        german = await two.account()
        american = await add(two.api, unique("customer"), us_account())
        json_of(await rule(two.api, american, "VERIFIED"), 200)
        await two.rule(provider="backup", methodType="BANK_ACCOUNT", country="US")
        assert (await two.provider_of(american), await two.provider_of(german)) == ("backup", "sandbox")

    async def test_is_never_on_a_token_that_another_keeps(self, two: Two) -> None:
        await two.rule(provider="backup")
        method = await add(two.api, unique("customer"), provider_token("pm_sandbox_visa"))
        assert await two.provider_of(method) == "sandbox" and not two.second.books.accounts

    async def test_is_no_provider_where_none_can(self, two: Two) -> None:
        method = await add(two.api, unique("customer"), provider_token("pm_sandbox_visa"))
        two.first.method_types = frozenset({MethodType.BANK_ACCOUNT})
        payment = await two.api.create_payment(customerId=method["customerId"], paymentMethodId=method["id"])
        problem_of(await two.api.authorize(payment["id"]), 422, "no_provider")
        assert (await two.api.show(payment["id"]))["status"] == "PENDING"

    async def test_of_weights_shares_payments_out(self, two: Two) -> None:
        account = await two.account()
        for provider in ("sandbox", "backup"):
            await two.rule(provider=provider, weight=1)
        chosen = [await two.provider_of(account) for _ in range(40)]
        assert 5 < chosen.count("backup") < 35


class TestFallback:
    async def events(self, two: Two, payment_id: str) -> list[str]:
        rows = await two.service.fetch("select type from events where stream = $1 order by version", payment_id)
        return [row[0] for row in rows]

    async def test_serves_where_the_first_certainly_did_nothing(self, two: Two) -> None:
        account = await two.account()
        two.first.fails[Authorization] = Unavailable("down")
        done = json_of(await two.authorize(account), 200)

        assert (done["status"], done["provider"]) == ("AUTHORIZED", "backup")
        assert "payment.rerouted" in await self.events(two, done["id"])
        assert not two.first.books.accounts and len(two.second.took("AUTHORIZED")) == 1
        captured = json_of(await two.api.capture(done["id"]), 200)
        assert captured["status"] == "CAPTURED" and len(two.second.took("CAPTURED")) == 1
        balances = await two.service.fetch(
            "select name, balance from accounts where name like 'provider:%' and balance <> 0"
        )
        assert [tuple(row) for row in balances] == [("provider:backup:clearing", 100)]

    async def test_is_under_a_key_of_its_own_and_answers_the_callers_once(self, two: Two) -> None:
        account = await two.account()
        two.first.fails[Authorization] = Unavailable("down")
        payment = await two.api.create_payment(customerId=account["customerId"], paymentMethodId=account["id"])
        first = await two.api.authorize(payment["id"], key="once")
        again = await two.api.authorize(payment["id"], key="once")
        assert json_of(first, 200)["provider"] == "backup" and again.content == first.content
        assert again.headers["idempotency-replayed"] == "true" and len(two.second.took("AUTHORIZED")) == 1

    @pytest.mark.parametrize("is_done", [True, False])
    async def test_never_serves_where_nobody_knows(self, two: Two, is_done: bool) -> None:
        account = await two.account()
        two.first.fails[Authorization], two.first.does_first = Unknown("lost"), is_done
        waiting = json_of(await two.authorize(account), 202)
        assert (waiting["status"], waiting["provider"]) == ("PROCESSING", "sandbox")
        two.service.clock.advance(seconds=40)
        await two.service.run_schedule("payments.sweep")
        two.service.clock.advance(seconds=5)
        await two.service.run_jobs()

        after = await two.api.show(waiting["id"])
        assert not two.second.books.accounts and after["provider"] == "sandbox"
        assert after["status"] == ("AUTHORIZED" if is_done else "PENDING")
        assert "payment.rerouted" not in await self.events(two, waiting["id"])

    async def test_gives_up_where_nobody_can(self, two: Two) -> None:
        account = await two.account()
        for provider in (two.first, two.second):
            provider.fails[Authorization] = Unavailable("down")
        refused = await two.authorize(account)
        problem_of(refused, 503, "provider_unavailable")
        assert refused.headers["retry-after"]
        (payment_id,) = [row[0] for row in await two.service.fetch("select id from payments")]
        assert (await two.api.show(payment_id))["status"] == "PENDING"
        two.first.fails.clear()
        assert json_of(await two.api.authorize(payment_id), 200)["provider"] == "sandbox"

    async def test_is_of_rules_where_there_are_some(self, two: Two) -> None:
        account = await two.account()
        await two.rule(provider="sandbox")
        two.first.fails[Authorization] = Unavailable("down")
        problem_of(await two.authorize(account), 503, "provider_unavailable")
        await two.rule(provider="backup", priority=200)
        assert await two.provider_of(account) == "backup"

    async def test_is_of_authorizations_alone(self, two: Two) -> None:
        account = await two.account()
        done = json_of(await two.authorize(account), 200)
        two.first.fails[Capture] = Unavailable("down")
        problem_of(await two.api.capture(done["id"]), 503, "provider_unavailable")
        assert not two.second.books.accounts
        two.first.fails.clear()
        assert json_of(await two.api.capture(done["id"]), 200)["status"] == "CAPTURED"

    async def test_serves_who_does_not_wait(self, two: Two) -> None:
        account = await two.account()
        two.first.fails[Authorization] = Unavailable("down")
        payment = await two.api.create_payment(customerId=account["customerId"], paymentMethodId=account["id"])
        headers = {"prefer": "respond-async"}
        json_of(await two.api.authorize(payment["id"], headers=headers), 202)
        await two.service.run_jobs()
        after = await two.api.show(payment["id"])
        assert (after["status"], after["provider"]) == ("AUTHORIZED", "backup")


async def test_an_open_circuit_falls_back_at_once(serve: Serve) -> None:
    clock = MovableClock()
    first, second = Named("sandbox", clock), Named("backup", clock)
    limits = Limits(breaker_failures=2, breaker_open_seconds=60.0, retries_max=0)
    providers = {"sandbox": Guarded(first, limits), "backup": Guarded(second, limits)}
    async with serve(clock=clock, adapters=providers) as service:
        two, asked = Two(service, first, second), 0
        account = await two.account()
        first.fails[Authorization] = Unavailable("down")
        for _ in range(4):
            assert await two.provider_of(account) == "backup"
        first.fails.clear()
        assert await two.provider_of(account) == "backup"  # nobody asked the first one
        asked = len(first.books.accounts)
        assert asked == 0 and len(second.took("AUTHORIZED")) == 5


async def test_rules_of_one_process_reach_another(serve: Serve) -> None:
    async with serve() as one, serve() as other:
        admin: Api = one.api.as_("admin")
        made = json_of(await admin.call("POST", RULES, {"name": "x", "provider": "sandbox"}), 201)
        await eventually(lambda: [row.id for row in other.app.routing_rules.rows] == [made["id"]])
