"""Payment methods as callers send them, and what tests ask of them."""

from itertools import count
from typing import Any

import httpx

from tests.support.api import Api, json_of, unique
from tests.support.service import Service

METHODS = "/api/v1/payment-methods"
VISA_NUMBER = "4242424242424242"
DECLINED_NUMBER = "4000000000000002"
ACTION_NUMBER = "4000002500003155"
EXP_YEAR = 2090
US_ROUTING = "021000021"
GERMAN_IBAN = "DE89 3704 0044 0532 0130 00"
_numbers = count(1)


def with_check_digit(digits: str) -> str:
    """`digits` and the one that makes the Luhn sum whole."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return digits + str(-total % 10)


def new_number(prefix: str = "40123") -> str:
    """A card number of 16 digits that no other test has."""
    return with_check_digit(prefix + f"{next(_numbers):0{15 - len(prefix)}d}")


def card(number: Any = "", **changes: Any) -> dict[str, Any]:
    """A card, with a new number where none is given; None takes a field away."""
    number = new_number() if number == "" else number
    fields = {"number": number, "expMonth": 12, "expYear": EXP_YEAR, "cvc": "123", **changes}
    return {"type": "CARD", "card": {name: value for name, value in fields.items() if value is not None}}


def us_account(number: str | None = None, **changes: Any) -> dict[str, Any]:
    """A bank account in the US, with a new number where none is given: one whose ending means nothing to the banks that
    stand in for others.
    """
    account = {
        "country": "US",
        "routingNumber": US_ROUTING,
        "accountNumber": number or f"77{next(_numbers):06d}000",
        "holderName": "Ann Onymous",
        **changes,
    }
    return {"type": "BANK_ACCOUNT", "bankAccount": account}


def iban_account(iban: str = GERMAN_IBAN, country: str = "DE", **changes: Any) -> dict[str, Any]:
    """A bank account by its IBAN."""
    account = {"country": country, "iban": iban, "holderName": "Ann Onymous", **changes}
    return {"type": "BANK_ACCOUNT", "bankAccount": account}


def wallet(token: str | None = None, provider: str = "PAYPAL", **changes: Any) -> dict[str, Any]:
    """A wallet, with a new token where none is given."""
    fields = {"walletProvider": provider, "token": unique("wallet-token") if token is None else token, **changes}
    return {"type": "DIGITAL_WALLET", "wallet": fields}


def provider_token(token: str | None = None, provider: str = "sandbox", kind: str = "CARD") -> dict[str, Any]:
    """A method that a provider keeps."""
    return {"type": kind, "providerToken": {"provider": provider, "token": token or unique("token")}}


async def post_method(
    api: Api, customer: str, method: dict[str, Any] | None = None, *, key: str | None = None, **rest: Any
) -> httpx.Response:
    return await api.call("POST", METHODS, {"customerId": customer, **(method or card()), **rest}, key=key)


async def add(api: Api, customer: str, method: dict[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    """A new method of the customer; a new card where none is given."""
    added: dict[str, Any] = json_of(await post_method(api, customer, method, **rest), 201)
    return added


async def change(api: Api, method: dict[str, Any], **body: Any) -> httpx.Response:
    return await api.call("PATCH", f"{METHODS}/{method['id']}", body)


async def remove(api: Api, method: dict[str, Any], **options: Any) -> httpx.Response:
    return await api.call("DELETE", f"{METHODS}/{method['id']}", **options)


async def set_default(api: Api, method: dict[str, Any], **options: Any) -> httpx.Response:
    return await api.call("PUT", f"{METHODS}/{method['id']}/set-default", {}, **options)


async def verify(api: Api, method: dict[str, Any], *, key: str | None = None, **body: Any) -> httpx.Response:
    return await api.call("POST", f"{METHODS}/{method['id']}/verify", body, key=key)


async def rule(api: Api, method: dict[str, Any], status: str, **rest: Any) -> httpx.Response:
    """What a check outside found out, told by `api`."""
    body = {"verificationStatus": status, **rest}
    return await api.call("PUT", f"{METHODS}/{method['id']}/verification-status", body)


async def shown(api: Api, method: dict[str, Any]) -> dict[str, Any]:
    """The method as a GET shows it."""
    document: dict[str, Any] = json_of(await api.get(f"{METHODS}/{method['id']}"), 200)
    return document


async def listed(api: Api, customer: str, path: str = "", **params: Any) -> list[str]:
    """The ids of a list's first page, newest first."""
    answer = json_of(await api.get(f"{METHODS}/customer/{customer}{path}", **params), 200)
    return [row["id"] for row in answer["data"]]


async def default_of(api: Api, customer: str) -> str | None:
    """The id of the customer's default method."""
    answer = await api.get(f"{METHODS}/customer/{customer}/default")
    return None if answer.status_code == 404 else str(json_of(answer, 200)["id"])


async def events_of(service: Service, method: dict[str, Any]) -> list[str]:
    """The events of a method without their common beginning, oldest first."""
    rows = await service.fetch("select type from events where stream = $1 order by version", method["id"])
    return [row[0].removeprefix("payment_method.") for row in rows]


async def default_faults(service: Service) -> list[str]:
    """Customers who have active methods and not just one default."""
    rows = await service.fetch(
        """select customer_id, count(*) filter (where is_default) as defaults from payment_methods
           where status = 'ACTIVE' group by 1 having count(*) filter (where is_default) <> 1"""
    )
    return [f"{row['customer_id']} has {row['defaults']} defaults" for row in rows]
