"""Stripe's errors as outcomes: nothing that may have been done is called a decline or not done."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import stripe
from structlog.testing import capture_logs

from bursar.providers.declines import DECLINES
from bursar.providers.port import (
    Authorization,
    Capture,
    Declined,
    Instrument,
    MethodType,
    Payout,
    Refund,
    Request,
    Unavailable,
    Unknown,
)
from bursar.providers.stripe.answers import Garbage
from bursar.providers.stripe.errors import CODES, IN_CONTEXT, OTHERWISE, UNCOUNTABLE, Mismatch, outcome_of
from bursar.providers.stripe.money import NotCountable
from tests.support.logs import logged

NOW = datetime(2026, 1, 1, tzinfo=UTC)
INSTRUMENT = Instrument("ours", MethodType.CARD, token="pm_card_visa")
AUTHORIZATION = Authorization("key", "payment", 5000, "USD", INSTRUMENT, False, NOW)
CAPTURE = Capture("key", "pi_1", 5000, "USD", True, NOW)
REFUND = Refund("key", "pi_1", 5000, "USD", NOW)
PAYOUT = Payout("key", 5000, "USD", Instrument("ours", MethodType.BANK_ACCOUNT, token="acct_1"), "", NOW)


def unconnected(cause: Exception) -> stripe.APIConnectionError:
    """As the SDK raises it from what httpx raised."""
    error = stripe.APIConnectionError("no connection")
    error.__cause__ = cause
    return error


def refusal(status: int = 402, **detail: Any) -> stripe.StripeError:
    kind = stripe.CardError if status == 402 else stripe.InvalidRequestError
    body = {"error": {"type": "card_error", "message": "no", **detail}}
    return kind("no", detail.get("param"), detail.get("code"), None, status, body, {})


def test_every_code_is_one_of_ours() -> None:
    ours = {*CODES.values(), *IN_CONTEXT.values(), *OTHERWISE.values(), *UNCOUNTABLE.values()}
    assert ours <= set(DECLINES)


@pytest.mark.parametrize(
    "cause", [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")]
)
def test_what_was_never_sent_is_unavailable(cause: Exception) -> None:
    assert isinstance(outcome_of(unconnected(cause), AUTHORIZATION), Unavailable)


@pytest.mark.parametrize(
    "error",
    [
        unconnected(httpx.ReadTimeout("slow")),
        unconnected(httpx.WriteTimeout("slow")),
        unconnected(httpx.ReadError("reset")),
        unconnected(httpx.WriteError("reset")),
        unconnected(httpx.RemoteProtocolError("torn")),
        unconnected(ValueError("whatever")),
        stripe.APIError("down", None, 500, None, {}),
        stripe.APIError("in use", None, 409, None, {}),
        stripe.APIError("Invalid response body from API", None, 200, None, {}),
        stripe.IdempotencyError("reused", None, 400, None, {}),
        stripe.InvalidRequestError("no words", None, None, None, 400, None, {}),
        Garbage("Expected `str`, got `null`"),
        Mismatch("pi_1.amount is 1 usd"),
        KeyError("id"),
        UserWarning("a notice"),
    ],
    ids=lambda error: f"{type(error).__name__}-{type(error.__cause__).__name__}",
)
def test_what_may_have_been_done_is_unknown(error: Exception) -> None:
    assert isinstance(outcome_of(error, AUTHORIZATION), Unknown)


@pytest.mark.parametrize(
    "header,seconds", [("7", 7), ("9" * 5_000, 999_999_999), ("soon", None), ("", None), ("²", None)]
)
def test_too_many_requests_says_for_how_long(header: str, seconds: int | None) -> None:
    error = stripe.RateLimitError("slow down", None, 429, None, {"retry-after": header})
    outcome = outcome_of(error, AUTHORIZATION)
    assert isinstance(outcome, Unavailable) and outcome.retry_after == seconds


@pytest.mark.parametrize("kind", [stripe.AuthenticationError, stripe.PermissionError])
def test_a_refused_key_calls_somebody(kind: type[stripe.StripeError]) -> None:
    with capture_logs() as logs:
        outcome = outcome_of(kind("Invalid API Key provided: sk_test_****", None, 401, None, {}), AUTHORIZATION)
    assert isinstance(outcome, Unavailable) and "sk_" not in outcome.reason
    assert logged(logs, "stripe") == [("stripe.key_refused", "critical")]


@pytest.mark.parametrize("error", [Mismatch("pi_1.amount is 1 usd"), stripe.IdempotencyError("reused")])
def test_a_contradiction_calls_somebody(error: Exception) -> None:
    with capture_logs() as logs:
        outcome_of(error, AUTHORIZATION)
    assert [level for _, level in logged(logs, "stripe")] == ["critical"]


@pytest.mark.parametrize(
    "request_,detail,code",
    [
        (AUTHORIZATION, {"code": "card_declined", "decline_code": "insufficient_funds"}, "insufficient_funds"),
        (AUTHORIZATION, {"code": "card_declined", "decline_code": "never_heard_of"}, "generic_decline"),
        (AUTHORIZATION, {"code": "expired_card"}, "expired_card"),
        (AUTHORIZATION, {"code": "resource_missing", "param": "payment_method", "status": 404}, "method_revoked"),
        (AUTHORIZATION, {"code": "never_heard_of", "status": 400}, "processing_error"),
        (AUTHORIZATION, {"code": "amount_too_large", "status": 400}, "amount_too_large"),
        (CAPTURE, {"code": "amount_too_large", "status": 400}, "amount_not_capturable"),
        (CAPTURE, {"status": 400}, "amount_not_capturable"),
        (REFUND, {"code": "charge_already_refunded", "status": 400}, "already_refunded"),
        (REFUND, {"param": "amount", "status": 400}, "amount_not_refundable"),
        (REFUND, {"code": "charge_disputed", "status": 400}, "refund_declined"),
        (PAYOUT, {"code": "balance_insufficient", "status": 400}, "provider_balance_insufficient"),
        (PAYOUT, {"code": "insufficient_funds", "status": 400}, "provider_balance_insufficient"),
        (PAYOUT, {"code": "never_heard_of", "status": 400}, "payout_declined"),
    ],
)
def test_refusals_by_the_table(request_: Request, detail: dict[str, Any], code: str) -> None:
    outcome = outcome_of(refusal(**detail), request_)
    assert isinstance(outcome, Declined)
    assert (outcome.decline_code, outcome.is_retryable) == (code, DECLINES[code].is_retryable)


@pytest.mark.parametrize("request_", [AUTHORIZATION, CAPTURE, REFUND, PAYOUT])
def test_an_amount_that_cannot_be_asked_for_is_declined(request_: Request) -> None:
    outcome = outcome_of(NotCountable("Stripe takes KWD in steps of 10 minor units"), request_)
    assert isinstance(outcome, Declined) and "steps of 10" in outcome.message
