"""Payment methods are verified: by a provider, by two small amounts, by people; and providers tell of them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar.domains.payment_methods import jobs
from bursar.domains.payment_methods import service as methods
from bursar.domains.payment_methods.model import ACTION_TO, VERIFICATION, VerificationStatus
from bursar.providers.declines import declined
from bursar.providers.guard import Guarded, Limits
from bursar.providers.port import (
    Approved,
    Description,
    MethodDetails,
    Outcome,
    Request,
    Unavailable,
    Unknown,
    Verification,
)
from bursar.providers.sandbox.adapter import Sandbox
from bursar.providers.sandbox.methods import details_of
from tests.conftest import Serve
from tests.support.api import Api, fields_of, json_of, problem_of, unique
from tests.support.methods import (
    ACTION_NUMBER,
    EXP_YEAR,
    METHODS,
    add,
    card,
    change,
    default_faults,
    default_of,
    events_of,
    iban_account,
    provider_token,
    remove,
    rule,
    shown,
    us_account,
    verify,
)
from tests.support.races import at_once
from tests.support.service import MovableClock, Service
from tests.support.truth import verify as verify_truth

pytestmark = pytest.mark.usefixtures("verified")
V = VerificationStatus


class TestByPeople:
    @pytest.mark.parametrize("to", V)
    @pytest.mark.parametrize("status", V)
    async def test_follows_the_table(
        self, api: Api, service: Service, status: VerificationStatus, to: VerificationStatus
    ) -> None:
        method = await add(api, unique("customer"), us_account())
        if status is not V.PENDING:
            method = json_of(await rule(api, method, status), 200)
        assert method["verificationStatus"] == status

        answer = await rule(service.api.as_("risk"), method, to, reason="seen")

        if not VERIFICATION.allows(status, ACTION_TO[to]):
            refused = problem_of(answer, 409, "invalid_state_transition")
            assert refused["state"] == status and ACTION_TO[to] not in refused["allowed"]
            assert await shown(api, method) == {**method, "holderName": "Ann Onymous"}
            return
        after = json_of(answer, 200)
        assert (after["verificationStatus"], after["failureCode"]) == (to, "seen")
        assert after["version"] == method["version"] + 1
        assert (after["verifiedAt"] == after["updatedAt"]) is (to is V.VERIFIED)

    @pytest.mark.parametrize("body", [{}, {"verificationStatus": "GOOD"}, {"verificationStatus": None}])
    async def test_takes_one_of_four(self, api: Api, body: dict[str, Any]) -> None:
        method = await add(api, unique("customer"))
        answer = await api.call("PUT", f"{METHODS}/{method['id']}/verification-status", body)
        assert fields_of(answer) == {"verificationStatus"}

    async def test_outdoes_what_is_under_way(self, api: Api) -> None:
        """Who said FAILED is not overruled by a customer who knows the two amounts."""
        account = await add(api, unique("customer"), us_account())
        json_of(await verify(api, account), 202)
        json_of(await rule(api, account, "FAILED", reason="reported"), 200)
        problem_of(await verify(api, account, amounts=[32, 45]), 409, "micro_deposits_not_sent")


class TestByProvider:
    async def test_again_with_the_code(self, api: Api, service: Service) -> None:
        method = await add(api, unique("customer"))
        json_of(await rule(api, method, "PENDING"), 200)
        answer = await verify(api, method, cvc="123")
        assert json_of(answer, 200)["verificationStatus"] == "VERIFIED" and "cvc" not in answer.text
        assert json_of(await verify(api, method), 200)["verificationStatus"] == "VERIFIED"
        assert await events_of(service, method) == ["created", "verification_restarted", "verified", "updated"]

    @pytest.mark.parametrize("body", [{"cvc": "12"}, {"cvc": 123}, {"amounts": [0, 1]}, {"amounts": [1]}, {"cvv": "1"}])
    async def test_refuses_what_it_cannot_read(self, api: Api, body: dict[str, Any]) -> None:
        method = await add(api, unique("customer"))
        assert fields_of(await verify(api, method, **body))

    async def test_asks_for_an_action_again(self, api: Api, service: Service) -> None:
        method = await add(api, unique("customer"), card(ACTION_NUMBER))
        after = json_of(await verify(api, method), 200)
        assert after["verificationStatus"] in ("REQUIRES_ACTION", "VERIFIED")
        assert (after["nextAction"] is None) is (after["verificationStatus"] == "VERIFIED")

    async def test_is_asked_once_for_a_key(self, api: Api, service: Service) -> None:
        method, key = await add(api, unique("customer")), unique("key")
        first = await verify(api, method, key=key)
        asked = len(service.sandbox.books.by_key)

        again = await verify(api, method, key=key)
        assert again.content == first.content and again.headers["idempotency-replayed"] == "true"
        json_of(await remove(api, method), 200)
        after_all = await verify(api, method, key=key)
        assert after_all.content == first.content
        assert len(service.sandbox.books.by_key) == asked
        problem_of(await verify(api, method, key=key, cvc="123"), 422, "idempotency_key_reused")

    @pytest.mark.parametrize("kind", [iban_account()])
    async def test_is_not_offered_for_accounts_outside_the_us(self, api: Api, kind: dict[str, Any]) -> None:
        method = await add(api, unique("customer"), kind)
        problem_of(await verify(api, method), 409, "verification_not_offered")
        assert json_of(await rule(api, method, "VERIFIED"), 200)["verificationStatus"] == "VERIFIED"


class TestMicroDeposits:
    @pytest.fixture
    async def bank(self, serve: Serve) -> AsyncIterator[Service]:
        async with serve(micro_deposits="32,45") as served:
            yield served
            await verify_truth(served)

    async def test_verify_in_any_order(self, bank: Service) -> None:
        api = bank.api.as_("service")
        for amounts in ([32, 45], [45, 32]):
            account = await add(api, unique("customer"), us_account())
            problem_of(await verify(api, account, amounts=amounts), 409, "micro_deposits_not_sent")
            sent = json_of(await verify(api, account), 202)
            assert sent["verificationStatus"] == "PENDING"
            await bank.run_jobs()
            problem_of(await verify(api, account), 409, "micro_deposits_under_way")
            done = json_of(await verify(api, account, amounts=amounts), 200)
            assert done["verificationStatus"] == "VERIFIED" and done["verifiedAt"]
            assert await events_of(bank, account) == ["created", "micro_deposits_requested", "verified"]
            problem_of(await verify(api, account, amounts=amounts), 409, "micro_deposits_not_sent")

    async def test_may_be_told_wrong_three_times(self, bank: Service) -> None:
        api, key = bank.api.as_("service"), unique("key")
        account = await add(api, unique("customer"), us_account())
        json_of(await verify(api, account), 202)

        first = await verify(api, account, key=key, amounts=[32, 44])
        again = await verify(api, account, key=key, amounts=[32, 44])
        assert problem_of(first, 422, "amounts_wrong")["triesLeft"] == 2 and again.content == first.content
        assert problem_of(await verify(api, account, amounts=[32, 32]), 422, "amounts_wrong")["triesLeft"] == 1
        rows = await bank.fetch("select verification from payment_methods where id = $1", account["id"])
        assert rows[0][0]["tries"] == 2
        assert problem_of(await verify(api, account, amounts=[45, 45]), 422, "amounts_wrong")["triesLeft"] == 0

        failed = await shown(api, account)
        assert (failed["verificationStatus"], failed["failureCode"]) == ("FAILED", "micro_deposits_wrong")
        problem_of(await verify(api, account, amounts=[32, 45]), 409, "micro_deposits_not_sent")
        assert (await events_of(bank, account))[2:] == ["amounts_wrong", "amounts_wrong", "verification_failed"]

        problem_of(await verify(api, account), 409, "verification_not_offered")
        json_of(await rule(bank.api.as_("risk"), account, "PENDING"), 200)
        json_of(await verify(api, account), 202)  # two new amounts, three new tries
        assert json_of(await verify(api, account, amounts=[32, 45]), 200)["verificationStatus"] == "VERIFIED"

    async def test_that_do_not_arrive_fail_the_account(self, bank: Service) -> None:
        api = bank.api.as_("service")
        account = await add(api, unique("customer"), us_account("000111111116"))
        json_of(await verify(api, account), 202)
        await bank.run_jobs()
        failed = await shown(api, account)
        assert (failed["verificationStatus"], failed["failureCode"]) == ("FAILED", "generic_decline")

    async def test_that_do_not_arrive_change_nothing_that_was_decided_since(self, bank: Service) -> None:
        api = bank.api.as_("service")
        account = await add(api, unique("customer"), us_account("000111111116"))
        json_of(await verify(api, account), 202)
        json_of(await rule(api, account, "VERIFIED"), 200)
        await bank.run_jobs()
        assert (await shown(api, account))["verificationStatus"] == "VERIFIED"

    async def test_are_not_sent_to_an_account_that_was_removed(self, bank: Service) -> None:
        api = bank.api.as_("service")
        account = await add(api, unique("customer"), us_account())
        json_of(await verify(api, account), 202)
        json_of(await remove(api, account), 200)
        asked = len(bank.sandbox.books.by_key)
        await bank.run_jobs()
        assert len(bank.sandbox.books.by_key) == asked

    async def test_are_compared_once_for_a_version(self, bank: Service) -> None:
        api = bank.api.as_("service")
        account = await add(api, unique("customer"), us_account())
        sent = json_of(await verify(api, account), 202)
        path, headers = f"{METHODS}/{sent['id']}/verify", {"if-match": f'"{sent["version"]}"'}
        answers = await at_once(api, 4, lambda _: api.call("POST", path, {"amounts": [1, 1]}, headers=headers))
        assert sorted(answer.status_code for answer in answers) == [412, 412, 412, 422]

    async def test_are_secret(self, api: Api, service: Service) -> None:
        account = await add(api, unique("customer"), us_account())
        answer = await verify(api, account)
        rows = await service.fetch("select verification from payment_methods where id = $1", account["id"])
        told = await service.fetch("select data from events where stream = $1", account["id"])
        assert rows[0][0]["amounts"] and "amounts" not in answer.text and "amounts" not in str(told)


class Telling(Sandbox):
    """A sandbox that keeps any token, and tells what a test has it know of it."""

    told: dict[str, Outcome]

    async def execute(self, request: Request) -> Outcome:
        if isinstance(request, Description) and request.token in self.told:
            return self.told[request.token]
        if isinstance(request, Verification) and request.instrument.token is not None:
            return Approved(request.instrument.token, details=details_of(request.instrument))
        return await super().execute(request)


class Mute(Sandbox):
    """A sandbox that keeps tokens and tells nothing of them."""

    name = "mute"
    requests = Sandbox.requests - {Description}


class Told:
    """A service whose provider tells of tokens what a test says."""

    def __init__(self, service: Service, telling: Telling) -> None:
        self.service = service
        self.api = service.api.as_("service")
        self.telling = telling

    async def expiring(self) -> dict[str, Any]:
        """A card behind a token that expires this month."""
        token, now = unique("token"), self.service.clock.now()
        method = await add(self.api, unique("customer"), provider_token(token))
        body = {"expMonth": now.month, "expYear": now.year}
        return {**json_of(await change(self.api, method, **body), 200), "providerToken": token}

    async def refresh(self, method: dict[str, Any], **options: Any) -> Any:
        return await self.api.call("POST", f"{METHODS}/{method['id']}/refresh", {}, **options)


@pytest.fixture
async def told(serve: Serve) -> AsyncIterator[Told]:
    clock = MovableClock()
    kept = {"books": None, "clock": clock, "slow_seconds": 0.0, "authorization_days": 7}
    telling = Telling(**kept)
    telling.told = {}
    providers = {"mute": Guarded(Mute(**kept), Limits()), "sandbox": Guarded(telling, Limits(breaker_failures=0))}
    async with serve(clock=clock, adapters=providers) as served:
        yield Told(served, telling)


class TestRefresh:
    async def test_takes_over_what_the_provider_says(self, told: Told) -> None:
        method = await told.expiring()
        told.telling.told[method["providerToken"]] = Approved("t", details=MethodDetails(last4="1111", exp_year=2091))
        after = json_of(await told.refresh(method), 200)
        assert (after["card"]["last4"], after["card"]["expYear"]) == ("1111", 2091)
        assert json_of(await told.refresh(method), 200) == after
        assert await events_of(told.service, method) == ["created", "updated", "updated"]

    async def test_renews_a_card_that_has_expired(self, told: Told) -> None:
        method = await told.expiring()
        told.service.clock.advance(days=32)
        await told.service.run_schedule("payment_methods.expire")
        assert await default_of(told.api, method["customerId"]) is None

        details = MethodDetails(exp_month=12, exp_year=EXP_YEAR)
        told.telling.told[method["providerToken"]] = Approved("t", details=details)
        after = json_of(await told.refresh(method), 200)
        assert (after["status"], after["isDefault"], after["card"]["expYear"]) == ("ACTIVE", True, EXP_YEAR)
        assert await events_of(told.service, method) == ["created", "updated", "expired", "renewed"]
        assert not await default_faults(told.service)

    async def test_fails_a_token_that_is_good_no_more(self, told: Told) -> None:
        method = await told.expiring()
        told.telling.told[method["providerToken"]] = declined("method_revoked", "gone")
        after = json_of(await told.refresh(method), 200)
        assert (after["verificationStatus"], after["failureCode"]) == ("FAILED", "method_revoked")
        assert json_of(await told.refresh(method), 200) == after

    @pytest.mark.parametrize("outcome", [Unknown("late"), Unavailable("down")])
    async def test_changes_nothing_where_nobody_answers(self, told: Told, outcome: Outcome) -> None:
        method = await told.expiring()
        told.telling.told[method["providerToken"]] = outcome
        json_of(await told.refresh(method), 202)
        assert (await shown(told.api, method))["version"] == method["version"]

    async def test_is_not_offered_where_nobody_can_tell(self, told: Told) -> None:
        for kind in (us_account(), provider_token(provider="mute")):
            method = await add(told.api, unique("customer"), kind)
            problem_of(await told.refresh(method), 409, "verification_not_offered")

    async def test_of_a_removed_one_is_refused_and_its_key_remembered(self, told: Told) -> None:
        method, key = await told.expiring(), unique("key")
        first = await told.refresh(method, key=key)
        json_of(first, 200)
        json_of(await remove(told.api, method), 200)
        problem_of(await told.refresh(method), 409, "payment_method_unusable")
        assert (await told.refresh(method, key=key)).content == first.content

    async def test_happens_before_and_after_an_expiry_by_itself(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jobs, "SWEEP_SIZE", 1)  # so that there are several pages
        now = told.service.clock.now()
        mute = await add(told.api, unique("customer"), provider_token(provider="mute"))
        json_of(await change(told.api, mute, expMonth=now.month, expYear=now.year), 200)
        expired, renewed = await told.expiring(), await told.expiring()
        far = await add(told.api, unique("customer"), provider_token("far"))
        while told.service.clock.now().month == now.month:
            told.service.clock.advance(days=1)
        await told.service.run_schedule("payment_methods.expire")
        for method in (expired, renewed):
            assert (await shown(told.api, method))["status"] == "EXPIRED"

        details = MethodDetails(exp_month=12, exp_year=EXP_YEAR)
        told.telling.told[renewed["providerToken"]] = Approved("t", details=details)
        told.telling.told[expired["providerToken"]] = Approved("t", details=MethodDetails())
        told.telling.told["far"] = Approved("t", details=details)
        await told.service.run_schedule("payment_methods.refresh")

        assert (await shown(told.api, renewed))["status"] == "ACTIVE"
        assert (await shown(told.api, expired))["status"] == "EXPIRED"
        assert (await shown(told.api, far))["version"] == 1


class TestAsked:
    async def test_and_decided_meanwhile_it_is_as_was_decided(
        self, told: Told, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who said FAILED is not overruled by a provider that was asked before."""
        method = await add(told.api, unique("customer"), provider_token())
        json_of(await rule(told.api, method, "PENDING"), 200)
        execute, asked, go_on = told.telling.execute, asyncio.Event(), asyncio.Event()

        async def hold(request: Request) -> Outcome:
            asked.set()
            await go_on.wait()
            return await execute(request)

        monkeypatch.setattr(told.telling, "execute", hold)
        verifying = asyncio.create_task(verify(told.api, method))
        await asked.wait()
        json_of(await rule(told.api, method, "FAILED", reason="reported"), 200)
        go_on.set()
        problem_of(await verifying, 409, "row_busy")
        after = await shown(told.api, method)
        assert (after["verificationStatus"], after["failureCode"]) == ("FAILED", "reported")


class TestProviderChange:
    async def test_reaches_every_method_behind_the_token(self, told: Told) -> None:
        token = unique("token")
        both = [await add(told.api, unique("customer"), provider_token(token)) for _ in range(2)]
        other = await add(told.api, unique("customer"), provider_token())
        details = MethodDetails(last4="9999")
        app = told.service.app
        behind = await methods.of_token(app, "sandbox", token)
        await methods.on_provider_change(app, behind, details)
        assert [(await shown(told.api, method))["card"]["last4"] for method in both] == ["9999"] * 2
        assert await methods.of_token(app, "mute", token) == []
        await methods.on_provider_change(app, await methods.of_token(app, "sandbox", token), None)
        assert (await shown(told.api, both[0]))["verificationStatus"] == "FAILED"
        assert (await shown(told.api, other))["version"] == 1

    async def test_after_a_removal_reaches_nobody(self, told: Told) -> None:
        token = unique("token")
        method = await add(told.api, unique("customer"), provider_token(token))
        json_of(await remove(told.api, method), 200)
        assert await methods.of_token(told.service.app, "sandbox", token) == []
