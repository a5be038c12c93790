"""Payment methods and customers."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.cards import (
    ACCOUNT_BY_NUMBER,
    ACCOUNT_BY_TOKEN,
    BY_NUMBER,
    BY_TOKEN,
    DECLINED,
    LIVE,
    ROUTING_NUMBER,
    Account,
    Card,
    Refused,
    is_luhn,
)
from simulators.stripe.world import Object, World

USED = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a "
    "connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use "
    "a PaymentMethod multiple times, you must attach it to a Customer first."
)


class Methods:
    """hidden of a payment method: card or account (of cards.py), is_used, is_set_up, is_verified."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.routes = [
            Route("POST", "/v1/payment_methods", self._create),
            Route("GET", "/v1/payment_methods", self._list),
            Route("GET", "/v1/payment_methods/{payment_method}", self._retrieve),
            Route("POST", "/v1/payment_methods/{payment_method}", self._update),
            Route("POST", "/v1/payment_methods/{payment_method}/attach", self._attach),
            Route("POST", "/v1/payment_methods/{payment_method}/detach", self._detach),
            Route("POST", "/v1/customers", self._create_customer),
            Route("GET", "/v1/customers", self._list_customers),
            Route("GET", "/v1/customers/{customer}", self._retrieve_customer),
            Route("GET", "/v1/customers/{customer}/payment_methods", self._list_of_customer),
        ]

    def make(self, params: dict[str, Any]) -> Object:
        """A payment method from its parameters. Raises card errors for what is wrong with the number itself."""
        kind, details = params.get("type"), params.get(params.get("type", ""), {})
        billing = {"address": {}, "email": None, "name": None, "phone": None} | params.get("billing_details", {})
        lines = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
        billing["address"] = lines | (billing["address"] or {})
        if kind == "card":
            hidden, shown = self._card(details)
        elif kind == "us_bank_account":
            hidden, shown = self._account(details)
            if not billing["name"]:
                raise words.unchecked(
                    "Missing required param: billing_details[name].",
                    code="parameter_missing",
                    param="billing_details[name]",
                )
        else:
            raise words.unchecked(f"Payment methods of the type {kind} are not simulated.", param="type")
        made = self._world.create("payment_method", "pm_", type=kind, billing_details=billing, customer=None)
        made.pop("card", None)
        made[str(kind)] = shown
        made["metadata"] = params.get("metadata") or {}
        self._world.hidden[made["id"]] |= hidden
        return made

    def use(self, token: str, customer: str | None = None, param: str = "payment_method") -> Object:
        """The payment method of an id; a documented token makes a new one. Refuses one that is used up or another's."""
        if token in BY_TOKEN:
            number = BY_TOKEN[token].number
            return self.make(
                {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": self._year() + 4}}
            )
        if token in ACCOUNT_BY_TOKEN:
            details = {"account_number": ACCOUNT_BY_TOKEN[token].number, "routing_number": ROUTING_NUMBER}
            details |= {"account_holder_type": "individual"}
            made = self.make(
                {"type": "us_bank_account", "us_bank_account": details, "billing_details": {"name": "Jenny"}}
            )
            self._world.hidden[made["id"]]["is_verified"] = True
            return made
        held = self._world.find("payment_method", token)
        if held is None:
            raise words.missing("PaymentMethod", token, param)
        if held["customer"] is None and self._world.hidden[token].get("is_used"):
            raise words.invalid(USED, param=param)
        if held["customer"] is not None and held["customer"] != customer:
            raise words.invalid(
                "The payment method supplied belongs to a Customer, which has to be supplied, too.", param=param
            )
        return held

    def card(self, method: Object) -> Card | None:
        """What the test card does; None for a bank account."""
        found: Card | None = self._world.hidden[method["id"]].get("card")
        return found

    def account(self, method: Object) -> Account:
        found: Account = self._world.hidden[method["id"]]["account"]
        return found

    def attach(self, method: Object, customer: str, request: Request) -> None:
        method["customer"] = customer
        self._world.event("payment_method.attached", method, request)

    def _year(self) -> int:
        return datetime.fromtimestamp(self._world.clock.now(), UTC).year

    def _card(self, details: dict[str, Any]) -> tuple[Object, Object]:
        if "token" in details:
            named = BY_TOKEN.get(str(details["token"]).replace("tok_", "pm_card_", 1))
            if named is None:
                raise words.missing("token", str(details["token"]), "card[token]")
            details = {"number": named.number, "exp_month": 12, "exp_year": self._year() + 4}
        number = str(details.get("number", ""))
        if not is_luhn(number):
            raise words.card_error(Refused("incorrect_number", None, "Your card number is incorrect."), param="number")
        month, year, cvc = details.get("exp_month", 0), details.get("exp_year", 0), details.get("cvc")
        now = datetime.fromtimestamp(self._world.clock.now(), UTC)
        year += 2000 if year < 100 else 0
        if not 1 <= month <= 12 or (year == now.year and month < now.month):
            refused = Refused("invalid_expiry_month", None, "Your card's expiration month is invalid.")
            raise words.card_error(refused, param="exp_month")
        if not now.year <= year <= now.year + 50:
            refused = Refused("invalid_expiry_year", None, "Your card's expiration year is invalid.")
            raise words.card_error(refused, param="exp_year")
        if cvc is not None and not (cvc.isdecimal() and len(cvc) in (3, 4)):
            raise words.card_error(Refused("invalid_cvc", None, "Your card's security code is invalid."), param="cvc")
        card = BY_NUMBER.get(number) or Card(number, "", refused=LIVE)
        return {"card": card}, {
            "brand": card.brand,
            "checks": {
                "address_line1_check": None,
                "address_postal_code_check": None,
                "cvc_check": None if cvc is None else "unchecked",
            },
            "country": "US",
            "exp_month": month,
            "exp_year": year,
            "fingerprint": _fingerprint(number),
            "funding": card.funding,
            "generated_from": None,
            "last4": number[-4:],
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }

    def _account(self, details: dict[str, Any]) -> tuple[Object, Object]:
        number, routing = str(details.get("account_number", "")), str(details.get("routing_number", ""))
        if not number.isdecimal():
            raise words.invalid(
                "The account number is invalid.", code="account_number_invalid", param="us_bank_account"
            )
        if routing != ROUTING_NUMBER:
            raise words.invalid("Invalid routing number.", code="routing_number_invalid", param="us_bank_account")
        account = ACCOUNT_BY_NUMBER.get(number) or Account(number, "")
        return {"account": account}, {
            "account_holder_type": details.get("account_holder_type", "individual"),
            "account_type": details.get("account_type", "checking"),
            "bank_name": "STRIPE TEST BANK",
            "fingerprint": _fingerprint(number),
            "last4": number[-4:],
            "routing_number": routing,
        }

    def _create(self, request: Request) -> Answer:
        return self._world.answer(self.make(request.params), request)

    def _named(self, request: Request) -> Object:
        token = request.path_values["payment_method"]
        held = self._world.find("payment_method", token)
        if held is None:
            raise words.missing("PaymentMethod", token, "payment_method")
        return held

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._named(request), request)

    def _update(self, request: Request) -> Answer:
        held = self._named(request)
        if held["customer"] is None:
            raise words.invalid("You must attach this PaymentMethod to a customer before you can update it.")
        held["metadata"] |= request.params.get("metadata") or {}
        held["card"] |= request.params.get("card", {}) if held["type"] == "card" else {}
        return self._world.answer(held, request)

    def _attach(self, request: Request) -> Answer:
        customer = self._world.get("customer", request.params["customer"], "customer")
        held = self.use(request.path_values["payment_method"], customer["id"])
        card = self.card(held)
        if request.is_declined or (card is not None and card.refused and not card.is_late):
            raise words.card_error((card and card.refused) or DECLINED, payment_method=held)
        self.attach(held, customer["id"], request)
        return self._world.answer(held, request)

    def _detach(self, request: Request) -> Answer:
        held = self._named(request)
        if held["customer"] is None:
            raise words.invalid(
                "The payment method you provided is not attached to a customer so detachment is impossible."
            )
        customer, held["customer"] = held["customer"], None
        self._world.hidden[held["id"]]["is_used"] = True
        self._world.event("payment_method.detached", held, request, previous={"customer": customer})
        return self._world.answer(held, request)

    def _list(self, request: Request) -> Answer:
        return self._page(request, request.query.get("customer"))

    def _list_of_customer(self, request: Request) -> Answer:
        return self._page(request, request.path_values["customer"])

    def _page(self, request: Request, customer: str | None) -> Answer:
        return self._world.page("payment_method", request, customer=customer, type=request.query.get("type"))

    def _create_customer(self, request: Request) -> Answer:
        told = {name: request.params.get(name) for name in ("description", "email", "name", "phone")}
        made = self._world.create("customer", "cus_", **told, metadata=request.params.get("metadata") or {})
        self._world.event("customer.created", made, request)
        return self._world.answer(made, request)

    def _list_customers(self, request: Request) -> Answer:
        return self._world.page("customer", request, email=request.query.get("email"))

    def _retrieve_customer(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("customer", request.path_values["customer"]), request)


def _fingerprint(number: str) -> str:
    return hashlib.sha256(number.encode()).hexdigest()[:16]
