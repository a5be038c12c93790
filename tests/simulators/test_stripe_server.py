"""The Stripe simulator's surface: keys, faults, webhooks, lists, money out; and what its document refuses."""

import asyncio
import json
from typing import Any

import pytest
import stripe

from simulators.kit.faults import Kind
from simulators.kit.message import Answer, Request, Route
from simulators.kit.provider import Provider
from simulators.kit.server import build, running
from simulators.stripe import Stripe, fixtures
from tests.simulators.conftest import Story
from tests.support.service import eventually

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # the SDK's own way with httpx


class TestKeys:
    async def test_the_same_request_is_done_once(self, story: Story) -> None:
        first, second = await story.pay(key="a"), await story.pay(key="a")
        assert first.id == second.id and story.total("captured") == 2000
        assert second.last_response.headers["Idempotent-Replayed"] == "true"

    async def test_another_request_is_refused(self, story: Story) -> None:
        await story.pay(key="a")
        with pytest.raises(stripe.IdempotencyError) as refusal:
            await story.pay(key="a", amount=3000)
        assert refusal.value.http_status == 400 and story.total("captured") == 2000

    async def test_a_decline_is_remembered(self, story: Story) -> None:
        for _ in range(2):
            with pytest.raises(stripe.CardError) as refusal:
                await story.pay("pm_card_visa_chargeDeclined", key="a")
        assert refusal.value.headers["idempotent-replayed"] == "true"
        assert story.total("declined") == 2000

    async def test_what_did_not_begin_is_not_remembered(self, story: Story) -> None:
        with pytest.raises(stripe.InvalidRequestError):
            await story.pay(key="a", amount=1)
        assert (await story.pay(key="a")).status == "succeeded"

    async def test_one_in_flight_is_a_conflict(self, story: Story) -> None:
        story.provider.faults.slow_seconds = 3
        story.provider.faults.plan(Kind.SLOW)
        first = asyncio.create_task(story.pay(key="a"))
        await eventually(lambda: story.provider.faults.given[Kind.SLOW] == 1)
        with pytest.raises(stripe.APIError) as refusal:
            await story.pay(key="a")
        assert refusal.value.http_status == 409 and refusal.value.error is not None
        assert refusal.value.error.code == "idempotency_key_in_use"
        assert (await first).status == "succeeded" and story.total("captured") == 2000

    async def test_a_day_later_it_is_a_new_request(self, story: Story) -> None:
        await story.pay(key="a")
        await story.control("clock", advance=24 * 3600)
        await story.pay(key="a")
        assert story.total("captured") == 4000


class TestFaults:
    @pytest.mark.parametrize(
        "kind, error, taken",
        [
            (Kind.DECLINE, stripe.CardError, 0),
            (Kind.TIMEOUT_BEFORE_EFFECT, stripe.APIConnectionError, 0),
            (Kind.TIMEOUT_AFTER_EFFECT, stripe.APIConnectionError, 2000),
            (Kind.ERROR_AFTER_EFFECT, stripe.APIError, 2000),
            (Kind.GARBAGE, stripe.APIError, 2000),
            (Kind.RESET, stripe.APIConnectionError, 2000),
            (Kind.TOO_MANY_REQUESTS, stripe.RateLimitError, 0),
            (Kind.HANG, stripe.APIConnectionError, 0),
        ],
    )
    async def test_what_the_caller_sees_and_what_was_done(
        self, story: Story, kind: Kind, error: type[Exception], taken: int
    ) -> None:
        is_silent = kind in (Kind.TIMEOUT_BEFORE_EFFECT, Kind.TIMEOUT_AFTER_EFFECT, Kind.HANG)
        await story.connect(timeout=1.5 if is_silent else 60)
        story.provider.faults.plan(kind, on="POST /v1/payment_intents")
        with pytest.raises(error):
            await story.pay(key="a")
        assert story.total("captured") == taken

    async def test_a_lost_answer_is_found_under_its_key(self, story: Story) -> None:
        story.provider.faults.plan(Kind.RESET)
        with pytest.raises(stripe.APIConnectionError):
            await story.pay(key="a")
        assert (await story.pay(key="a")).status == "succeeded"
        assert story.total("captured") == 2000

    async def test_a_server_error_is_kept_under_its_key(self, story: Story) -> None:
        """As Stripe says: the same result for the same key, including 500 errors. Only a look tells what was done."""
        story.provider.faults.plan(Kind.ERROR_AFTER_EFFECT)
        for _ in range(2):
            with pytest.raises(stripe.APIError):
                await story.pay(key="a", metadata={"order": "7"})
        (found,) = (await story.v1.payment_intents.list_async()).data
        assert (found.status, found.metadata["order"]) == ("succeeded", "7")

    async def test_429_says_when_to_come_again(self, story: Story) -> None:
        story.provider.faults.retry_after_seconds = 3
        story.provider.faults.plan(Kind.TOO_MANY_REQUESTS)
        with pytest.raises(stripe.RateLimitError) as refusal:
            await story.pay()
        assert refusal.value.headers["retry-after"] == "3"

    async def test_a_wrong_amount_is_only_told(self, story: Story) -> None:
        story.provider.faults.plan(Kind.WRONG_AMOUNT)
        intent = await story.pay()
        assert (intent.amount, intent.amount_received, story.total("captured")) == (2001, 2001, 2000)

    async def test_rates_by_seed(self, story: Story) -> None:
        """Whatever is lost, one key is one charge."""
        rates = {"RESET": 0.3, "GARBAGE": 0.1, "TOO_MANY_REQUESTS": 0.2}
        await story.control("faults", seed=7, rates=rates, retry_after_seconds=0)

        async def pay(number: int) -> None:
            for _ in range(12):
                try:
                    await story.pay(key=f"key-{number}")
                    return
                except (stripe.APIConnectionError, stripe.APIError, stripe.RateLimitError):
                    continue
            pytest.fail(f"key-{number} was never answered")

        await asyncio.gather(*(pay(number) for number in range(40)))
        assert story.total("captured") == 40 * 2000
        assert story.provider.faults.given[Kind.RESET] > 5


class _Inbox(Provider):
    """Takes webhooks."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[tuple[bytes, str]] = []
        self.routes = [Route("POST", "/hook", self._take)]

    def _take(self, request: Request) -> Answer:
        self.taken.append((request.body, request.headers["stripe-signature"]))
        return Answer(200, {})


class TestWebhooks:
    async def test_are_signed_as_the_sdk_expects(self, story: Story) -> None:
        inbox = _Inbox()
        async with running(build(inbox)) as url:
            await story.control("webhooks", url=f"{url}/hook", secret="whsec_test")
            intent = await story.pay(key="a")
            await story.provider.webhooks.settled()
        events = [story.client.construct_event(body, told, "whsec_test") for body, told in inbox.taken]
        assert {event.type for event in events} == {
            "payment_intent.created", "charge.succeeded", "payment_intent.succeeded"
        }  # fmt: skip
        (succeeded,) = [event for event in events if event.type == "payment_intent.succeeded"]
        assert (succeeded.data.object["id"], succeeded.request["idempotency_key"]) == (intent.id, "a")
        body, told = inbox.taken[0]
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", told, "whsec_test")  # type: ignore[no-untyped-call]

    async def test_events_can_be_read_again(self, story: Story) -> None:
        intent = await story.pay(capture_method="manual")
        await story.v1.payment_intents.cancel_async(intent.id)
        events = (await story.v1.events.list_async({"types": ["payment_intent.canceled", "charge.refunded"]})).data
        assert [event.type for event in events] == ["payment_intent.canceled", "charge.refunded"]
        assert (await story.v1.events.retrieve_async(events[0].id)).data.object["status"] == "canceled"


class TestLists:
    async def test_pages_newest_first(self, story: Story) -> None:
        made = [(await story.pay()).id for _ in range(7)]
        page = await story.v1.payment_intents.list_async({"limit": 3})
        assert page.has_more and [each.id for each in page.data] == made[:3:-1]
        assert [each.id async for each in page.auto_paging_iter()] == made[::-1]
        before = await story.v1.payment_intents.list_async({"limit": 2, "ending_before": made[3]})
        assert [each.id for each in before.data] == [made[5], made[4]]

    async def test_balance_transactions_by_time_sum_to_the_balance(self, story: Story) -> None:
        since = story.provider.clock.unix()
        intent = await story.pay()
        await story.v1.refunds.create_async({"payment_intent": intent.id, "amount": 300})
        await story.v1.payouts.create_async({"amount": 200, "currency": "usd"})
        await story.v1.transfers.create_async({"amount": 100, "currency": "usd", "destination": "acct_1"})
        page = await story.v1.balance_transactions.list_async({"created": {"gte": since}, "expand": ["data.source"]})
        assert [(each.type, each.amount, each.fee) for each in page.data] == [
            ("transfer", -100, 0), ("payout", -200, 0), ("refund", -300, 0), ("charge", 2000, 88)
        ]  # fmt: skip
        assert (await story.v1.balance_transactions.list_async({"created": {"lt": since}})).data == []
        balance = await story.v1.balance.retrieve_async()
        assert balance.available[0].amount == 10**10 + sum(each.net for each in page.data)

    async def test_the_search_runs_behind(self, story: Story) -> None:
        intent = await story.pay(metadata={"order": "7"})
        await story.pay(metadata={"order": "8"})
        query: Any = {"query": "metadata['order']:'7'"}
        assert (await story.v1.payment_intents.search_async(query)).data == []
        await story.control("clock", advance=61)
        found = (await story.v1.payment_intents.search_async(query)).data
        assert [each.id for each in found] == [intent.id]


class TestMoneyOut:
    async def test_a_payout_arrives_or_comes_back(self, story: Story) -> None:
        account: Any = {"object": "bank_account", "country": "US", "currency": "usd", "routing_number": "110000000"}
        bad = await story.v1.accounts.external_accounts.create_async(
            "acct_1", {"external_account": {**account, "account_number": "000111111116"}}
        )
        good = await story.v1.payouts.create_async({"amount": 900, "currency": "usd", "statement_descriptor": "week 7"})
        failing = await story.v1.payouts.create_async({"amount": 500, "currency": "usd", "destination": bad.id})
        assert (good.status, failing.status) == ("pending", "pending")
        await story.control("settle")
        assert (await story.v1.payouts.retrieve_async(good.id)).status == "paid"
        failed = await story.v1.payouts.retrieve_async(failing.id)
        assert (failed.status, failed.failure_code) == ("failed", "no_account")
        assert story.total("paid_out") - story.total("payout_returned") == 900

    async def test_no_more_than_there_is(self, story: Story) -> None:
        await story.control("balance", currency="usd", available=100)
        for ask in (story.v1.payouts.create_async, story.v1.transfers.create_async):
            params: Any = {"amount": 101, "currency": "usd"}
            if ask == story.v1.transfers.create_async:
                params["destination"] = "acct_1"
            with pytest.raises(stripe.InvalidRequestError) as refusal:
                await ask(params)
            assert refusal.value.code == "balance_insufficient"

    async def test_a_transfer_is_reversed(self, story: Story) -> None:
        transfer = await story.v1.transfers.create_async({"amount": 100, "currency": "usd", "destination": "acct_1"})
        await story.v1.transfers.reversals.create_async(transfer.id, {"amount": 40})
        transfer = await story.v1.transfers.retrieve_async(transfer.id)
        assert (transfer.amount_reversed, transfer.reversed) == (40, False)


class TestDocument:
    @pytest.mark.parametrize(
        "change, code, param",
        [
            ({"amount": "much"}, None, "amount"),
            ({"amont": 5}, "parameter_unknown", "amont"),
            ({"currency": None}, "parameter_missing", "currency"),
            ({"capture_method": "later"}, None, "capture_method"),
        ],
    )
    async def test_refuses(self, story: Story, change: Any, code: str | None, param: str) -> None:
        fields = {"amount": "2000", "currency": "usd"} | change
        answer = await story.http.post(
            f"{story.url}/v1/payment_intents",
            data={name: value for name, value in fields.items() if value is not None},
            headers={"Authorization": "Bearer sk_test_1"},
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
        assert (error.get("code"), error["param"]) == (code, param)
        (violation,) = (await story.http.get(f"{story.url}/_sim/violations")).json()
        assert (violation["side"], violation["parameter"]) == ("REQUEST", param)
        story.simulator.violations.clear()

    async def test_catches_an_answer_of_ours_that_is_wrong(self, story: Story) -> None:
        intent = await story.pay()
        story.provider.world.objects[intent.id]["status"] = "done"
        story.provider.world.objects[intent.id]["invented"] = 1
        await story.v1.payment_intents.retrieve_async(intent.id)
        broken = {(each.side, each.parameter, each.rule) for each in story.simulator.violations}
        assert broken == {("ANSWER", "status", "enum"), ("ANSWER", "invented", "additionalProperties")}
        story.simulator.violations.clear()

    @pytest.mark.parametrize("key, status", [("sk_live_1", 401), ("wrong", 401), ("rk_test_1", 404)])
    async def test_keys_of_the_api(self, story: Story, key: str, status: int) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        answer = await story.http.get(f"{story.url}/v1/payment_intents/pi_1", headers=headers)
        assert answer.status_code == status and answer.headers["Request-Id"].startswith("req_")

    async def test_absent_it_goes_on_unchecked(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        document, templates = fixtures.load(tmp_path)
        assert (document, templates) == (None, {})
        assert capsys.readouterr().out.count("\n") == 1
        monkeypatch.setattr(fixtures, "load", lambda: (None, {}))
        provider = Stripe()
        async with running(build(provider)) as url:
            transport = stripe.HTTPXClient(timeout=60)
            client = stripe.StripeClient("sk_test_1", base_addresses={"api": url}, http_client=transport)
            intent = await client.v1.payment_intents.create_async(
                {
                    "amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa",
                    "payment_method_types": ["card"],
                }
            )  # fmt: skip
            await transport.close_async()  # type: ignore[no-untyped-call]
        assert json.loads(str(intent))["status"] == "succeeded" and provider.books.total("captured", "USD") == 2000
