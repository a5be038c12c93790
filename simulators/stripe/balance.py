"""Stripe's account of our money: a balance transaction for each movement, and what is left to pay out."""

from typing import Final

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.world import Object, World

OPENING: Final = 10**10
"""What an account can pay out in each currency before it has taken anything, in minor units; it is not among the
balance transactions.
"""
FEE_PER_MILLE: Final = 29
FEE_FIXED: Final = 30
DISPUTE_FEE: Final = 1500
DAYS_UNTIL_AVAILABLE: Final = 2

_CATEGORIES: Final = {"payment": "charge", "payment_refund": "refund", "adjustment": "dispute"}


def fee_of(amount: int) -> int:
    """2.9 % and 30, rounded half up, in minor units."""
    return (amount * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED


class Balance:
    """Balance transactions, and the funds that they leave."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.opening: dict[str, int] = {}
        self.routes = [
            Route("GET", "/v1/balance_transactions", self._list),
            Route("GET", "/v1/balance_transactions/{id}", self._retrieve),
            Route("GET", "/v1/balance", self._show),
            Route("POST", "/_sim/balance", self._set, is_documented=False, has_faults=False),
        ]

    def enter(self, kind: str, source: Object, amount: int, *, fee: int = 0, description: str | None = None) -> Object:
        """A balance transaction. kind: charge, payment, refund, payment_refund, transfer, payout, payout_failure,
        adjustment. amount: signed, before the fee.
        """
        details = []
        if fee:
            details = [
                {"amount": fee, "currency": source["currency"], "type": "stripe_fee", "application": None}
                | {"description": "Stripe processing fees"}
            ]
        return self._world.create(
            "balance_transaction",
            "txn_",
            type=kind,
            reporting_category=_CATEGORIES.get(kind, kind),
            amount=amount,
            fee=fee,
            net=amount - fee,
            fee_details=details,
            currency=source["currency"],
            source=source["id"],
            status="pending" if kind in ("charge", "payment") else "available",
            available_on=self._world.clock.unix() + DAYS_UNTIL_AVAILABLE * 86_400,
            description=description,
        )

    def available(self, currency: str) -> int:
        """What can be paid out, in minor units."""
        moved: int = sum(each["net"] for each in self._world.all("balance_transaction") if each["currency"] == currency)
        return self.opening.get(currency, OPENING) + moved

    def need(self, amount: int, currency: str, *, is_refused: bool = False) -> None:
        """Refuse what the balance does not cover, or everything where a fault says so."""
        if is_refused or amount > self.available(currency):
            raise words.invalid(
                "You have insufficient available funds in your Stripe account.", code="balance_insufficient"
            )

    def _list(self, request: Request) -> Answer:
        query = request.query
        equal = {name: query.get(name) for name in ("currency", "source", "type")}
        return self._world.page("balance_transaction", request, **equal)

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("balance_transaction", request.path_values["id"]), request)

    def _show(self, request: Request) -> Answer:
        currencies = {each["currency"] for each in self._world.all("balance_transaction")} | {"usd"}
        funds = [{"amount": self.available(currency), "currency": currency} for currency in sorted(currencies)]
        none = [{"amount": 0, "currency": currency} for currency in sorted(currencies)]
        return Answer(200, {"object": "balance", "livemode": False, "available": funds, "pending": none})

    def _set(self, request: Request) -> Answer:
        """`{currency, available}`: what can be paid out from now on."""
        currency = str(request.params["currency"]).lower()
        wanted = int(request.params["available"])
        self.opening[currency] = self.opening.get(currency, OPENING) + wanted - self.available(currency)
        return Answer(200, {"available": self.available(currency)})
