"""Stripe's errors, as its API words them."""

from typing import Any

from simulators.kit.message import Answer, Refusal
from simulators.stripe.cards import Refused

DOCS = "https://stripe.com/docs/error-codes/"

STEPS = dict.fromkeys(("isk", "ugx"), 100) | dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10)
"""Of currencies that are charged in such steps only (docs.stripe.com/currencies)."""
PAYOUT_STEPS = STEPS | dict.fromkeys(("huf", "twd"), 100)


def error(status: int, kind: str, message: str, **more: Any) -> Answer:
    """`{"error": {…}}`; what is None is left out."""
    told = {"type": kind, "message": message, **{name: value for name, value in more.items() if value is not None}}
    if "code" in told:
        told["doc_url"] = DOCS + str(told["code"]).replace("_", "-")
    should_retry = "true" if status in (409, 500, 503) else "false"
    return Answer(status, {"error": told}, {"Stripe-Should-Retry": should_retry})


def invalid(message: str, *, code: str | None = None, param: str | None = None, **more: Any) -> Refusal:
    """An invalid_request_error that an operation ran into; kept for the key."""
    return Refusal(error(400, "invalid_request_error", message, code=code, param=param, **more))


def unchecked(message: str, *, code: str | None = None, param: str | None = None) -> Refusal:
    """An invalid_request_error from validation: nothing began, so it is not kept for the key."""
    return Refusal(error(400, "invalid_request_error", message, code=code, param=param), is_kept=False)


def uneven(step: int, param: str) -> Refusal:
    """An amount that its currency does not have."""
    return unchecked(f"Invalid amount: it must be evenly divisible by {step}.", param=param)


def missing(kind: str, object_id: str, param: str) -> Refusal:
    """404 for an object that is not there."""
    message = f"No such {kind}: '{object_id}'"
    return Refusal(error(404, "invalid_request_error", message, code="resource_missing", param=param))


def unexpected_state(verb: str, kind: str, held: dict[str, Any]) -> Refusal:
    """400 for an intent whose status does not allow the verb (`captured`, `canceled`, `confirmed`)."""
    words = kind.replace("_", " ").title().replace(" ", "")
    message = f"This {words} could not be {verb} because it has a status of {held['status']}."
    told: dict[str, Any] = {kind: held}
    return invalid(message, code=f"{kind}_unexpected_state", **told)


def card_error(refused: Refused, **more: Any) -> Refusal:
    """402 for a card that is refused. more: the charge's id, the intent, the payment method."""
    return Refusal(
        error(402, "card_error", refused.message, code=refused.code, decline_code=refused.decline_code, **more)
    )
