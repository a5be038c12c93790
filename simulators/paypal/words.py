"""How PayPal words things: refusals, amounts, times and links."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from simulators.kit.message import Answer, Refusal

CURRENCIES: Final = frozenset(
    {
        "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS",
        "JPY", "MXN", "MYR", "NOK", "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
    }
)  # fmt: skip
WHOLE: Final = frozenset({"HUF", "JPY", "TWD"})
"""Currencies without decimals at PayPal."""

NAMES: Final[dict[int, tuple[str, str]]] = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
}
"""By status; the documents allow no other names and messages."""


def error(status: int, issue: str = "", *, name: str = "", message: str = "", **more: Any) -> Answer:
    """A refusal as an answer. more: further fields of the body."""
    usual_name, usual_message = NAMES[status]
    body: dict[str, Any] = {
        "name": name or usual_name,
        "message": message or usual_message,
        "debug_id": "90957fca61718",
        **more,
    }
    if issue:
        body["details"] = [{"issue": issue}]
    return Answer(status, body)


def refused(issue: str) -> Refusal:
    """422: PayPal judged the request, and did nothing."""
    return Refusal(error(422, issue))


def missing() -> Refusal:
    """404: there is no such thing."""
    return Refusal(error(404, "INVALID_RESOURCE_ID"))


def minor(money: dict[str, Any]) -> int:
    """PayPal's `money` in ISO 4217 minor units. Raises the refusals of amounts that PayPal does not take."""
    currency, value = money["currency_code"], money["value"]
    if currency not in CURRENCIES:
        raise refused("INVALID_CURRENCY_CODE")
    decimals = len(value.partition(".")[2])
    if currency in WHOLE and decimals:
        raise refused("DECIMALS_NOT_SUPPORTED")
    if decimals > 2:
        raise refused("DECIMAL_PRECISION")
    amount = int(Decimal(value).scaleb(_digits(currency)))
    if amount <= 0:
        raise refused("CANNOT_BE_ZERO_OR_NEGATIVE")
    return amount


def written(amount: int, currency: str) -> str:
    """ISO 4217 minor units as PayPal's decimal string."""
    value = Decimal(amount).scaleb(-_digits(currency))
    return f"{value:.0f}" if currency in WHOLE else f"{value:.2f}"


def money(amount: int, currency: str) -> dict[str, str]:
    """ISO 4217 minor units as PayPal's `money`."""
    return {"currency_code": currency, "value": written(amount, currency)}


def _digits(currency: str) -> int:
    return 0 if currency == "JPY" else 2


def moment(unix: int) -> str:
    """Unix seconds as PayPal writes them: 2026-01-02T03:04:05Z."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def report_moment(unix: float) -> str:
    """Unix seconds as the report writes them: 2026-01-02T03:04:05+0000."""
    return moment(int(unix)).replace("Z", "+0000")


def link(href: str, rel: str, method: str = "GET") -> dict[str, str]:
    """A link to what can be done next."""
    return {"href": href, "rel": rel, "method": method}


def distorted(value: Any) -> Any:
    """The same with one more unit in every amount; what was given is not changed."""
    if isinstance(value, list):
        return [distorted(each) for each in value]
    if not isinstance(value, dict):
        return value
    result = {name: distorted(each) for name, each in value.items()}
    if {"currency_code", "value"} <= value.keys() or {"currency", "value"} <= value.keys():
        whole, point, rest = value["value"].partition(".")
        result["value"] = f"{int(whole) + 1}{point}{rest}"
    return result


def is_date(text: str) -> bool:
    """Whether it is an RFC 3339 instant with seconds."""
    return bool(re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text))
