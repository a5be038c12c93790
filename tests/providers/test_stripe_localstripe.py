"""The adapter against localstripe, somebody else's idea of Stripe, as a process of its own: the plain paths, and where
it is wrong (DEVIATIONS), so that nobody takes it for the truth.
"""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import pytest

from bursar.kit.clock import SystemClock
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Card,
    Declined,
    Description,
    Forgetting,
    Instrument,
    MethodType,
    Outcome,
    Payout,
    Pending,
    ReportUnavailable,
    Unknown,
    Verification,
)
from bursar.providers.stripe.adapter import Stripe
from tests.infra.processes import wait_until
from tests.providers.contract import asking
from tests.support.ports import free_port

pytest.importorskip("localstripe", reason="localstripe is not installed")

API_KEY: Final = "sk_test_localstripe"
HEADERS: Final = {"Authorization": f"Bearer {API_KEY}"}

START: Final = """
import localstripe.resources as resources
resources.Store.dump_to_disk = lambda self: None
from localstripe.server import start
start()
"""
"""It keeps its state in one fixed file under /tmp, which every run on this machine would share: here it keeps none."""

Test = TypeVar("Test", bound=Callable[..., Any])

DEVIATIONS: Final[dict[str, str]] = {
    "idempotency": "keys are ignored: the same key twice is two payments",
    "captured_amounts": "a PaymentIntent does not say amount_received: what a capture took cannot be checked",
    "capture_of_canceled": "a canceled PaymentIntent can still be captured",
    "over_refund": "more can be refunded than was taken",
    "decline_on_charge": "4000000000000002 pays; it is refused only when it is attached to a Customer",
    "decline_code": "a declined card has no decline_code, and its error is no card_error",
    "setup_confirm": "a SetupIntent cannot be confirmed as it is created",
    "missing_cvc": "a card without its security code is refused",
    "return_url": "a PaymentIntent takes no return_url, and an action never redirects",
    "search": "PaymentIntents cannot be searched",
    "transfers": "there are no transfers",
    "payout_currency": "payouts are in EUR only",
    "balance_transactions": "balance transactions cannot be listed by when they were made",
    "over_release": "what a partial capture leaves is a refund, not a release",
}
"""What localstripe 1.15 gets wrong, each shown by a test below; the adapter is not bent to any of it."""


def deviates(name: str) -> Callable[[Test], Test]:
    """Say which deviation a test shows: should localstripe mend it, the test fails and the entry goes."""

    def mark(test: Test) -> Test:
        test.deviation = name  # type: ignore[attr-defined]
        return test

    return mark


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-c", START, "--port", str(port), "--from-scratch"]
    environment = {"PATH": os.environ["PATH"], "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=Path(__file__).parent
    )
    try:
        wait_until(lambda: process.poll() is not None or answers(port), 90)
        assert process.poll() is None, "localstripe has ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def answers(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=30, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@pytest.fixture
async def provider(address: str) -> AsyncIterator[Stripe]:
    adapter = Stripe(api_key=API_KEY, api_base=address, clock=SystemClock(), timeout_seconds=30, authorization_days=7)
    yield adapter
    await adapter.close()


def shown(address: str, path: str) -> Any:
    """What localstripe itself says."""
    response = httpx.get(address + path, headers=HEADERS, timeout=30, trust_env=False)
    response.raise_for_status()
    return response.json()


def posted(address: str, path: str, **form: str) -> httpx.Response:
    """What localstripe answers to a form that the adapter does not send."""
    return httpx.post(address + path, data=form, headers=HEADERS, timeout=30, trust_env=False)


def card(number: str = "4242424242424242", *, cvc: str | None = "123") -> Instrument:
    return Instrument("ours", MethodType.CARD, card=Card(number, 12, 2034, cvc=cvc))


def token(name: str) -> Instrument:
    return Instrument("ours", MethodType.CARD, token=name)


async def pay(provider: Stripe, instrument: Instrument, *, capture: bool = False) -> Outcome:
    return await provider.execute(asking.authorization(instrument, capture=capture))


async def paid(provider: Stripe, *, capture: bool = False) -> str:
    outcome = await pay(provider, card(), capture=capture)
    assert isinstance(outcome, Approved), outcome
    return outcome.reference


class TestPlainPaths:
    @pytest.mark.parametrize("capture,status", [(False, "requires_capture"), (True, "succeeded")])
    @pytest.mark.parametrize("instrument", [card(), token("pm_card_visa")], ids=["number", "token"])
    async def test_authorizes(
        self, provider: Stripe, address: str, instrument: Instrument, capture: bool, status: str
    ) -> None:
        request = asking.authorization(instrument, capture=capture)
        outcome = await provider.execute(request)
        assert isinstance(outcome, Approved) and (outcome.expires_at is None) is capture
        intent = shown(address, f"/v1/payment_intents/{outcome.reference}")
        assert (intent["status"], intent["amount"], intent["currency"]) == (status, 5000, "usd")
        assert intent["metadata"] == {"bursar_key": request.key, "bursar_payment": request.payment_id}

    async def test_tells_a_decline(self, provider: Stripe) -> None:
        outcome = await pay(provider, token("pm_card_chargeCustomerFail"))
        assert isinstance(outcome, Declined) and outcome.decline_code == "generic_decline"

    async def test_goes_on_after_authentication(self, provider: Stripe, address: str) -> None:
        instrument = card("4000002500003155")
        asked = await pay(provider, instrument)
        assert isinstance(asked, ActionRequired)
        secret = asked.next_action["clientSecret"]
        path = f"/v1/payment_intents/{asked.reference}/_authenticate"
        posted(address, path, client_secret=secret, success="true").raise_for_status()
        outcome = await provider.execute(asking.authorization(instrument, reference=asked.reference))
        assert isinstance(outcome, Approved) and outcome.reference == asked.reference

    async def test_gives_a_reservation_back(self, provider: Stripe, address: str) -> None:
        reference = await paid(provider)
        assert isinstance(await provider.execute(asking.void(reference)), Approved)
        assert shown(address, f"/v1/payment_intents/{reference}")["status"] == "canceled"

    async def test_captures_no_more_than_was_authorized(self, provider: Stripe) -> None:
        outcome = await provider.execute(asking.capture(await paid(provider), 5001))
        assert isinstance(outcome, Declined) and outcome.decline_code == "amount_not_capturable"

    async def test_refunds_in_parts_and_finds_each_by_its_key(self, provider: Stripe) -> None:
        reference = await paid(provider, capture=True)
        requests = [asking.refund(reference, amount) for amount in (2000, 3000)]
        outcomes = [await provider.execute(request) for request in requests]
        assert all(isinstance(outcome, Approved) for outcome in outcomes)
        assert [await provider.inquire(request) for request in requests] == outcomes

    async def test_describes_and_forgets_a_payment_method(self, provider: Stripe) -> None:
        described = await provider.execute(Description(asking.key(), "pm_card_visa", asking.now()))
        assert isinstance(described, Approved) and described.details is not None
        assert (described.details.brand, described.details.last4) == ("VISA", "4242")
        gone = await provider.execute(Description(asking.key(), "pm_none", asking.now()))
        assert isinstance(gone, Declined) and gone.decline_code == "method_revoked"
        assert await provider.execute(Forgetting(asking.key(), "pm_none", asking.now())) == Approved("pm_none")

    async def test_pays_out(self, provider: Stripe) -> None:
        destination = Instrument("ours", MethodType.BANK_ACCOUNT, token="default")
        request = Payout(asking.key(), 5000, "EUR", destination, "Vendor 1", asking.now())
        assert await provider.execute(request) == Pending()


class TestDeviations:
    @deviates("idempotency")
    async def test_one_key_is_two_payments(self, provider: Stripe) -> None:
        request = asking.authorization(card())
        first, second = await provider.execute(request), await provider.execute(request)
        assert isinstance(first, Approved) and isinstance(second, Approved)
        assert first.reference != second.reference

    @deviates("captured_amounts")
    async def test_a_capture_cannot_be_checked(self, provider: Stripe, address: str) -> None:
        reference = await paid(provider)
        assert isinstance(await provider.execute(asking.capture(reference)), Unknown)
        intent = shown(address, f"/v1/payment_intents/{reference}")
        assert intent["status"] == "succeeded" and "amount_received" not in intent

    @deviates("capture_of_canceled")
    async def test_what_was_given_back_is_taken(self, provider: Stripe, address: str) -> None:
        reference = await paid(provider)
        await provider.execute(asking.void(reference))
        assert isinstance(await provider.execute(asking.capture(reference)), Unknown)
        intent = shown(address, f"/v1/payment_intents/{reference}")
        assert intent["status"] == "canceled" and intent["latest_charge"]["captured"]

    @deviates("over_release")
    async def test_the_rest_of_a_partial_capture_is_refunded(self, provider: Stripe, address: str) -> None:
        reference = await paid(provider)
        await provider.execute(asking.capture(reference, 2000))
        refunds = shown(address, f"/v1/refunds?payment_intent={reference}")["data"]
        assert [refund["amount"] for refund in refunds] == [3000]

    @deviates("over_refund")
    async def test_more_is_refunded_than_was_taken(self, provider: Stripe) -> None:
        outcome = await provider.execute(asking.refund(await paid(provider, capture=True), 5001))
        assert isinstance(outcome, Approved)

    @deviates("decline_on_charge")
    async def test_a_declined_card_pays(self, provider: Stripe) -> None:
        assert isinstance(await pay(provider, card("4000000000000002")), Approved)

    @deviates("decline_code")
    async def test_a_decline_does_not_say_why(self, address: str) -> None:
        params = {"amount": "5000", "currency": "usd", "confirm": "true"}
        response = posted(address, "/v1/payment_intents", payment_method="pm_card_chargeCustomerFail", **params)
        error = response.json()["error"]
        assert response.status_code == 402
        assert error["type"] == "invalid_request_error" and "decline_code" not in error

    @deviates("setup_confirm")
    async def test_a_method_is_not_verified_in_one_step(self, provider: Stripe) -> None:
        outcome = await provider.execute(Verification(asking.key(), card(), "USD", asking.now()))
        assert isinstance(outcome, Declined) and "confirm" in outcome.message

    @deviates("missing_cvc")
    async def test_a_card_needs_its_security_code(self, provider: Stripe) -> None:
        assert isinstance(await pay(provider, card(cvc=None)), Declined)

    @deviates("return_url")
    async def test_no_address_to_come_back_to(self, address: str) -> None:
        adapter = Stripe(
            api_key=API_KEY,
            api_base=address,
            clock=SystemClock(),
            timeout_seconds=30,
            authorization_days=7,
            return_url="https://shop.example/return",
        )
        outcome = await pay(adapter, card())
        await adapter.close()
        assert isinstance(outcome, Declined) and "return_url" in outcome.message

    @deviates("search")
    async def test_nothing_is_searched(self, address: str) -> None:
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            shown(address, "/v1/payment_intents/search?query=x")

    @deviates("transfers")
    async def test_no_vendor_is_paid_by_transfer(self, provider: Stripe) -> None:
        destination = Instrument("ours", MethodType.BANK_ACCOUNT, token="acct_1")
        request = Payout(asking.key(), 5000, "EUR", destination, "Vendor 1", asking.now())
        assert not isinstance(await provider.execute(request), Approved)

    @deviates("payout_currency")
    async def test_no_dollars_are_paid_out(self, provider: Stripe) -> None:
        destination = Instrument("ours", MethodType.BANK_ACCOUNT, token="default")
        request = Payout(asking.key(), 5000, "USD", destination, "Vendor 1", asking.now())
        assert isinstance(await provider.execute(request), Declined)

    @deviates("balance_transactions")
    async def test_no_account_of_our_money(self, provider: Stripe) -> None:
        with pytest.raises(ReportUnavailable):
            await provider.movements(since=asking.now(), until=asking.now())


def test_every_deviation_is_shown() -> None:
    assert {test.deviation for test in vars(TestDeviations).values() if hasattr(test, "deviation")} == set(DEVIATIONS)
