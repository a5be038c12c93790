"""Payouts by PayPal: on their way until they are looked at, and once only."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bursar.providers.port import (
    Approved,
    BankAccount,
    Declined,
    Instrument,
    MethodType,
    Outcome,
    Payout,
    Pending,
    Unavailable,
    Unknown,
    Wallet,
)
from simulators.kit.faults import Kind
from tests.providers.contract.harness_paypal import Shared, sharing
from tests.support.logs import logged

PAYOUTS = "POST /v1/payments/payouts"


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    async with sharing() as opened:
        yield opened


def payout(shared: Shared, receiver: str = "vendor@example.com", *, amount: int = 4200) -> Payout:
    destination = Instrument("dest", MethodType.DIGITAL_WALLET, token=receiver)
    return Payout(str(uuid4()), amount, "USD", destination, "Settlement 7", shared.now())


def code(outcome: Outcome) -> str:
    assert isinstance(outcome, Declined), outcome
    return outcome.decline_code


def paid_out(shared: Shared) -> int:
    books = shared.simulator.books
    return books.total("payout", "USD") - books.total("payout_return", "USD")


@pytest.mark.parametrize("receiver", ["vendor@example.com", "QYR5Z8XDVJNXQ"])
async def test_is_pending_until_it_has_come(shared: Shared, receiver: str) -> None:
    request = payout(shared, receiver)
    assert await shared.adapter.execute(request) == Pending()
    outcome = await shared.adapter.inquire(request)
    assert isinstance(outcome, Approved) and outcome.reference in shared.simulator.payouts.batches
    assert outcome.step_reference is not None and outcome.step_reference.startswith("T")
    assert paid_out(shared) == 4200


@pytest.mark.parametrize(
    "receiver,decline_code",
    [
        ("failed@example.com", "account_frozen"),
        ("returned@example.com", "account_not_found"),
        ("blocked@example.com", "payout_declined"),
        ("unclaimed@example.com", "account_not_found"),
    ],
)
async def test_that_does_not_come_is_ours_again(shared: Shared, receiver: str, decline_code: str) -> None:
    request = payout(shared, receiver)
    assert await shared.adapter.execute(request) == Pending()
    assert code(await shared.adapter.inquire(request)) == decline_code
    assert paid_out(shared) == 0


async def test_that_is_claimed_while_it_is_called_back_has_come(shared: Shared) -> None:
    request = payout(shared, "claimed@example.com")
    assert await shared.adapter.execute(request) == Pending()
    assert await shared.adapter.inquire(request) == Pending()
    assert isinstance(await shared.adapter.inquire(request), Approved)
    assert paid_out(shared) == 4200


@pytest.mark.parametrize("receiver", ["pending@example.com", "onhold@example.com"])
async def test_stays_pending_while_paypal_waits(shared: Shared, receiver: str) -> None:
    request = payout(shared, receiver)
    assert await shared.adapter.execute(request) == Pending()
    assert await shared.adapter.inquire(request) == Pending()


async def test_waits_for_money_at_paypal(shared: Shared) -> None:
    outcome = await shared.adapter.execute(payout(shared, "poor@example.com"))
    assert code(outcome) == "provider_balance_insufficient" and isinstance(outcome, Declined) and outcome.is_retryable


@pytest.mark.parametrize(
    "destination",
    [
        Instrument("dest", MethodType.DIGITAL_WALLET, token="neither"),
        Instrument("dest", MethodType.DIGITAL_WALLET),
        Instrument("dest", MethodType.BANK_ACCOUNT, bank_account=BankAccount("DE", "V", iban="DE89370400440532013000")),
    ],
)
async def test_goes_to_paypal_accounts_only(shared: Shared, destination: Instrument) -> None:
    request = Payout(str(uuid4()), 4200, "USD", destination, "Settlement 7", shared.now())
    assert code(await shared.adapter.execute(request)) == "account_not_found"
    assert code(await shared.adapter.inquire(request)) == "account_not_found"


async def test_takes_a_wallets_own_token(shared: Shared) -> None:
    destination = Instrument("dest", MethodType.DIGITAL_WALLET, wallet=Wallet("PAYPAL", "vendor@example.com"))
    request = Payout(str(uuid4()), 4200, "USD", destination, "Settlement 7", shared.now())
    assert await shared.adapter.execute(request) == Pending()


@pytest.mark.parametrize(
    "kind", ["TIMEOUT_AFTER_EFFECT", "TIMEOUT_BEFORE_EFFECT", "ERROR_AFTER_EFFECT", "GARBAGE", "RESET"]
)
async def test_whose_answer_was_lost_is_made_once(shared: Shared, kind: str) -> None:
    shared.simulator.faults.plan(kind, on=PAYOUTS)
    shared.simulator.faults.timeout_seconds = 0.05
    request = payout(shared)
    assert isinstance(await shared.adapter.execute(request), Unknown)
    assert await shared.adapter.execute(request) == Pending()
    assert isinstance(await shared.adapter.inquire(request), Approved)
    assert paid_out(shared) == 4200 and len(shared.simulator.payouts.batches) == 1


async def test_that_was_certainly_not_sent(shared: Shared) -> None:
    shared.simulator.faults.plan(Kind.TOO_MANY_REQUESTS, on=PAYOUTS)
    outcome = await shared.adapter.execute(payout(shared))
    assert isinstance(outcome, Unavailable) and outcome.retry_after == 1


async def test_of_another_amount_calls_somebody(shared: Shared) -> None:
    request = payout(shared)
    await shared.adapter.execute(request)
    shared.simulator.faults.plan(Kind.WRONG_AMOUNT, on="GET /v1/payments/payouts/.*")
    with capture_logs() as logs:
        assert isinstance(await shared.adapter.inquire(request), Unknown)
    assert logged(logs, "paypal") == [("paypal.answer_differs", "critical")]


async def test_of_a_month_ago_is_for_people_and_is_not_made_again(shared: Shared) -> None:
    request = payout(shared)
    await shared.adapter.execute(request)
    shared.advance(timedelta(days=31))
    with capture_logs() as logs:
        assert isinstance(await shared.adapter.inquire(request), Unknown)
    assert [level for _, level in logged(logs, "paypal")] == ["critical"]
    assert paid_out(shared) == 4200
