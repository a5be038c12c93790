"""Stripe's errors as outcomes: one table of its codes, and what each kind of failure says about what was done.

Source: docs.stripe.com/declines/codes, docs.stripe.com/error-codes, docs.stripe.com/error-low-level.
"""

import traceback
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar

import httpx
import stripe
import structlog

from bursar.providers.declines import declined
from bursar.providers.port import (
    Authorization,
    Capture,
    Declined,
    Outcome,
    Payout,
    Refund,
    Request,
    Unavailable,
    Unknown,
)
from bursar.providers.stripe.answers import Garbage, LastError
from bursar.providers.stripe.money import NotCountable

log = structlog.get_logger()
Shape = TypeVar("Shape")

CODES: Final[dict[str, str]] = {
    # of the card's issuer (decline_code)
    "approve_with_id": "generic_decline",
    "authentication_not_handled": "authentication_failed",
    "authentication_required": "authentication_required",
    "call_issuer": "do_not_honor",
    "card_not_supported": "card_not_supported",
    "card_velocity_exceeded": "card_velocity_exceeded",
    "currency_not_supported": "currency_not_supported",
    "do_not_honor": "do_not_honor",
    "do_not_try_again": "do_not_honor",
    "duplicate_transaction": "duplicate_transaction",
    "expired_card": "expired_card",
    "fraudulent": "fraudulent",
    "generic_decline": "generic_decline",
    "incorrect_address": "incorrect_postal_code",
    "incorrect_cvc": "incorrect_cvc",
    "incorrect_number": "incorrect_number",
    "incorrect_zip": "incorrect_postal_code",
    "insufficient_funds": "insufficient_funds",
    "invalid_account": "card_not_supported",
    "invalid_amount": "amount_too_large",
    "invalid_cvc": "incorrect_cvc",
    "invalid_expiry_month": "invalid_expiry",
    "invalid_expiry_year": "invalid_expiry",
    "invalid_number": "incorrect_number",
    "issuer_not_available": "processing_error",
    "lost_card": "lost_card",
    "merchant_blacklist": "fraudulent",
    "mobile_device_authentication_required": "authentication_required",
    "new_account_information_available": "method_revoked",
    "no_action_taken": "do_not_honor",
    "not_permitted": "card_not_supported",
    "pickup_card": "pickup_card",
    "processing_error": "processing_error",
    "reenter_transaction": "processing_error",
    "restricted_card": "do_not_honor",
    "revocation_of_all_authorizations": "authorization_revoked",
    "revocation_of_authorization": "authorization_revoked",
    "security_violation": "do_not_honor",
    "service_not_allowed": "card_not_supported",
    "stolen_card": "stolen_card",
    "stop_payment_order": "payment_stopped",
    "testmode_decline": "test_mode",
    "transaction_not_allowed": "card_not_supported",
    "try_again_later": "processing_error",
    "withdrawal_count_limit_exceeded": "card_velocity_exceeded",
    # of Stripe itself (code)
    "amount_too_large": "amount_too_large",
    "amount_too_small": "amount_too_small",
    "balance_insufficient": "provider_balance_insufficient",
    "card_decline_rate_limit_exceeded": "card_velocity_exceeded",
    "card_declined": "generic_decline",
    "charge_already_captured": "already_captured",
    "charge_already_refunded": "already_refunded",
    "charge_disputed": "refund_declined",
    "charge_exceeds_source_limit": "amount_too_large",
    "charge_exceeds_transaction_limit": "amount_too_large",
    "charge_expired_for_capture": "authorization_expired",
    "charge_not_refundable": "refund_declined",
    "dispute_not_open": "processing_error",
    "invalid_card_type": "card_not_supported",
    "invalid_charge_amount": "amount_too_small",
    "payment_intent_authentication_failure": "authentication_failed",
    "payment_intent_mandate_invalid": "authorization_revoked",
    "payment_intent_payment_attempt_expired": "authentication_failed",
    "payment_intent_payment_attempt_failed": "generic_decline",
    "payment_method_currency_mismatch": "currency_not_supported",
    "payment_method_customer_decline": "generic_decline",
    "payment_method_provider_decline": "generic_decline",
    "payment_method_unactivated": "card_not_supported",
    "payment_method_unexpected_state": "method_revoked",
    "payouts_not_allowed": "payout_declined",
    "postal_code_invalid": "incorrect_postal_code",
    "refund_disputed_payment": "refund_declined",
    "setup_attempt_failed": "generic_decline",
    "setup_intent_authentication_failure": "authentication_failed",
    "testmode_charges_only": "test_mode",
    "transfers_not_allowed": "payout_declined",
    # of a bank account that is paid to (failure_code)
    "account_closed": "account_closed",
    "account_frozen": "account_frozen",
    "bank_account_restricted": "account_frozen",
    "bank_account_unusable": "payout_declined",
    "incorrect_account_holder_name": "account_not_found",
    "invalid_account_number": "invalid_account_number",
    "no_account": "account_not_found",
}
"""Stripe's code by ours. A decline_code says more than the code beside it, so it is looked up first."""

IN_CONTEXT: Final[dict[tuple[type[Request], str], str]] = {
    (Capture, "amount_too_large"): "amount_not_capturable",
    (Capture, "amount_too_small"): "amount_not_capturable",
    (Refund, "amount_too_large"): "amount_not_refundable",
    (Refund, "insufficient_funds"): "provider_balance_insufficient",
    (Payout, "insufficient_funds"): "provider_balance_insufficient",
}
"""Codes that mean another thing for another step."""

OTHERWISE: Final[dict[type[Request], str]] = {
    Capture: "amount_not_capturable",
    Refund: "refund_declined",
    Payout: "payout_declined",
}
"""What a refusal without a code of the table means, by step; else a processing error."""

UNCOUNTABLE: Final[dict[type[Request], str]] = {
    Authorization: "currency_not_supported",
    Capture: "amount_not_capturable",
    Refund: "amount_not_refundable",
    Payout: "payout_declined",
}
"""What is said of an amount that Stripe cannot be asked for."""

NOTHING_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Failures before the first byte of a request has left."""


class Mismatch(Exception):  # noqa: N818  Stripe's state, not a fault of ours
    """An answer that is about another amount or currency than was asked for."""


class Settled(Exception):  # noqa: N818  a way out, not a fault
    """The step has ended before what was asked for could begin: its outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(str(outcome))
        self.outcome = outcome


class NotBegun(Settled):
    """What the step needs first was refused; an earlier try of the step may have had it."""


def our_code(request: Request, *raw: str | None) -> str:
    """Our decline code for the first of Stripe's that the table knows."""
    for code in raw:
        if code is not None:
            known = IN_CONTEXT.get((type(request), code)) or CODES.get(code)
            if known is not None:
                return known
    return OTHERWISE.get(type(request), "processing_error")


def decline_of(request: Request, error: LastError, otherwise: str) -> Declined:
    """Why the last attempt at an intent failed."""
    return declined(our_code(request, error.decline_code, error.code), error.message or otherwise)


def outcome_of(error: Exception, request: Request) -> Outcome:
    """What a failed call says about `request`. Only what is certainly refused is a decline, and only what certainly
    was not done is Unavailable; the rest is Unknown.
    """
    if isinstance(error, Settled):
        return error.outcome
    if isinstance(error, NotCountable):
        return declined(UNCOUNTABLE.get(type(request), "processing_error"), str(error))
    if isinstance(error, stripe.APIConnectionError):
        cause = error.__cause__
        if isinstance(cause, NOTHING_SENT):
            return Unavailable(f"Stripe could not be reached: {type(cause).__name__}")
        return Unknown(f"the answer was lost: {type(cause).__name__}")
    if isinstance(error, stripe.RateLimitError):
        return Unavailable("Stripe wants fewer requests", retry_after=_retry_after(error.headers or {}))
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        log.critical("stripe.key_refused", status=error.http_status, request_id=error.request_id)
        return Unavailable("Stripe refuses our key")
    if isinstance(error, stripe.CardError | stripe.InvalidRequestError):
        return _refused(error, request)
    if isinstance(error, stripe.IdempotencyError):
        log.critical("stripe.key_reused", key=request.key, request_id=error.request_id)
        return Unknown("Stripe has seen this key with another request")
    if isinstance(error, Mismatch):
        log.critical("stripe.answer_mismatch", key=request.key, error=str(error))
        return Unknown(f"Stripe answered something else: {error}")
    if isinstance(error, stripe.StripeError):
        return Unknown(f"Stripe failed: {type(error).__name__}, status {error.http_status}")
    if isinstance(error, Garbage):
        return Unknown("Stripe's answer could not be read")
    log.critical("stripe.failed", key=request.key, error=type(error).__name__, where=_where(error))
    return Unknown(f"the answer could not be understood: {type(error).__name__}")


async def surely(look: Awaitable[Shape]) -> Shape:
    """A look at what a call has begun: whatever keeps us from it leaves open what becomes of that. Raises Settled,
    Garbage.
    """
    try:
        return await look
    except stripe.StripeError as error:
        raise Settled(Unknown(f"what was begun cannot be looked at: {type(error).__name__}")) from error


def is_gone(error: Exception) -> bool:
    """Whether Stripe says that what was named does not exist."""
    return isinstance(error, stripe.InvalidRequestError) and error.http_status == httpx.codes.NOT_FOUND


def _refused(error: stripe.CardError | stripe.InvalidRequestError, request: Request) -> Outcome:
    detail = _detail(error)
    if detail is None:
        return Unknown(f"Stripe refused without saying what: status {error.http_status}")
    raw = (detail.get("decline_code"), detail.get("code"))
    code = our_code(request, *raw)
    if detail.get("code") == "resource_missing" and detail.get("param") == "payment_method":
        code = "method_revoked"
    elif isinstance(request, Refund) and detail.get("param") == "amount" and not any(raw):
        code = "amount_not_refundable"
    elif isinstance(error, stripe.InvalidRequestError) and not any(each in CODES for each in raw):
        log.critical("stripe.request_refused", key=request.key, code=raw[1], param=detail.get("param"))
    return declined(code, str(detail.get("message") or "Stripe refused"))


def _detail(error: stripe.StripeError) -> Mapping[str, Any] | None:
    body = error.json_body
    detail = body.get("error") if isinstance(body, dict) else None
    return detail if isinstance(detail, dict) else None


def _retry_after(headers: Mapping[str, str]) -> int | None:
    """Whole seconds. Stripe gives no dates here; anything else is as if nothing were said."""
    value = headers.get("retry-after", "")
    return int(value[:9]) if value.isascii() and value.isdigit() else None


def _where(error: Exception) -> str:
    """The place that raised. No traceback is logged: one that shows local variables would show cards."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
