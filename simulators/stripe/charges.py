"""Charges: what an attempt to take money leaves behind, and every movement of it."""

from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.balance import DISPUTE_FEE, Balance, fee_of
from simulators.stripe.cards import Account, Card, Refused
from simulators.stripe.world import Object, World

AUTHORIZATION_DAYS: Final = 7


class Charges:
    """hidden of a charge: card or account (of cards.py), refunded (minor units given back of what was taken)."""

    def __init__(self, world: World, balance: Balance) -> None:
        self._world, self._balance = world, balance
        self.routes = [
            Route("GET", "/v1/charges", self._list),
            Route("GET", "/v1/charges/{charge}", self._retrieve),
        ]

    def authorize(self, intent: Object, method: Object, request: Request, *, is_authenticated: bool = False) -> Object:
        """Reserve the intent's amount."""
        charge = self._make(intent, method, is_authenticated=is_authenticated, status="succeeded", paid=True)
        self._book("authorized", charge, charge["amount"], request)
        self._world.event("charge.succeeded", charge, request)
        return charge

    def begin(self, intent: Object, method: Object, request: Request) -> Object:
        """Start a debit of a bank account, which takes days."""
        charge = self._make(intent, method, status="pending", paid=False)
        self._book("pending", charge, charge["amount"], request)
        self._world.event("charge.pending", charge, request)
        return charge

    def refuse(self, intent: Object, method: Object, refused: Refused, request: Request) -> Object:
        """Leave a failed charge."""
        charge = self._make(intent, method, status="failed", paid=False)
        self.fail(charge, refused, request)
        return charge

    def fail(self, charge: Object, refused: Refused, request: Request | None) -> None:
        charge |= {"status": "failed", "paid": False, "failure_code": refused.code, "failure_message": refused.message}
        charge["outcome"] |= {
            "network_status": "declined_by_network",
            "reason": refused.decline_code or refused.code,
            "seller_message": "The bank did not return any further details with this decline.",
            "type": "issuer_declined",
        }
        self._book("declined", charge, charge["amount"], request)
        self._world.event("charge.failed", charge, request)

    def take(self, charge: Object, amount: int, request: Request | None) -> None:
        """Capture `amount`; what was not taken before stays reserved."""
        charge["amount_captured"] += amount
        charge |= {"captured": True, "paid": True, "status": "succeeded"}
        kind = "charge" if "card" in self._world.hidden[charge["id"]] else "payment"
        fee = fee_of(amount)
        charge["balance_transaction"] = self._balance.enter(
            kind, charge, amount, fee=fee, description=charge["description"]
        )["id"]
        self._book("captured", charge, amount, request)
        self._book("fee", charge, fee, request)

    def release(self, charge: Object, request: Request | None) -> int:
        """Give back what is reserved and not taken. Returns how much, in minor units."""
        rest: int = charge["amount"] - charge["amount_captured"] - self._world.hidden[charge["id"]].get("released", 0)
        if rest:
            self._world.hidden[charge["id"]]["released"] = rest
            charge["amount_refunded"] += rest
            charge["refunded"] = charge["amount_refunded"] == charge["amount"]
            self._book("released", charge, rest, request)
        return rest

    def refundable(self, charge: Object) -> int:
        """What was taken and not given back, in minor units."""
        left: int = charge["amount_captured"] - self._world.hidden[charge["id"]].get("refunded", 0)
        return left

    def give_back(self, charge: Object, amount: int, request: Request | None) -> str:
        """Refund `amount`, which may be negative where a refund failed. Returns the balance transaction's id."""
        hidden = self._world.hidden[charge["id"]]
        hidden["refunded"] = hidden.get("refunded", 0) + amount
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        kind = "refund" if "card" in hidden else "payment_refund"
        self._book("refunded", charge, amount, request)
        entered = self._balance.enter(kind, charge, -amount)
        return str(entered["id"])

    def dispute(self, charge: Object, amount: int, request: Request | None, *, is_back: bool = False) -> Object:
        """Take a disputed amount and the fee away, or bring them back. Returns the balance transaction."""
        sign, fee = (1, -DISPUTE_FEE) if is_back else (-1, DISPUTE_FEE)
        self._book("disputed", charge, -sign * amount, request)
        self._book("fee", charge, fee, request)
        return self._balance.enter("adjustment", charge, sign * amount, fee=fee)

    def _make(self, intent: Object, method: Object, *, is_authenticated: bool = False, **fields: Any) -> Object:
        hidden = self._world.hidden[method["id"]]
        card, account = hidden.get("card"), hidden.get("account")
        charge = self._world.create(
            "charge",
            "ch_" if card else "py_",
            amount=intent["amount"],
            amount_captured=0,
            amount_refunded=0,
            currency=intent["currency"],
            customer=intent["customer"],
            description=intent["description"],
            billing_details=dict(method["billing_details"]),
            captured=False,
            disputed=False,
            refunded=False,
            metadata=dict(intent["metadata"]),
            payment_intent=intent["id"],
            payment_method=method["id"],
            payment_method_details=_details(method, intent, self._world, is_authenticated),
            receipt_url=None,
            statement_descriptor_suffix=intent.get("statement_descriptor_suffix"),
            transfer_group=intent.get("transfer_group"),
            outcome={
                "network_status": "approved_by_network",
                "reason": None,
                "risk_level": "normal",
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
            **fields,
        )
        self._world.hidden[charge["id"]] |= {"card": card} if card else {"account": account}
        intent["latest_charge"] = charge["id"]
        return charge

    def card(self, charge: Object) -> Card | None:
        found: Card | None = self._world.hidden[charge["id"]].get("card")
        return found

    def account(self, charge: Object) -> Account:
        found: Account = self._world.hidden[charge["id"]]["account"]
        return found

    def _book(self, kind: str, charge: Object, amount: int, request: Request | None) -> None:
        """Into the books, under the payment intent, with its metadata."""
        self._world.books.record(
            kind,
            charge["payment_intent"],
            amount,
            charge["currency"].upper(),
            at=self._world.clock.unix(),
            key=request.key if request else None,
            charge=charge["id"],
            metadata=dict(charge["metadata"]),
        )

    def _list(self, request: Request) -> Answer:
        query = request.query
        equal = {name: query.get(name) for name in ("payment_intent", "customer", "transfer_group")}
        return self._world.page("charge", request, **equal)

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("charge", request.path_values["charge"], "id"), request)


def refused_debit(account: Account) -> Refused:
    """What a bank says of a debit that it gives back."""
    return Refused(account.failure, None, "The customer's bank account could not be debited: " + account.failure + ".")


def not_refundable(charge: Object) -> Exception:
    """The refusal of a refund of what was given back whole."""
    return words.invalid(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")


def _details(method: Object, intent: Object, world: World, is_authenticated: bool) -> Object:
    kind = method["type"]
    shown = dict(method[kind])
    if kind == "us_bank_account":
        names = ("account_holder_type", "account_type", "bank_name", "fingerprint", "last4", "routing_number")
        return {"type": kind, kind: {name: shown[name] for name in names}}
    of_card = ("brand", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    card = {name: shown[name] for name in of_card}
    checks = dict(shown["checks"])
    if checks["cvc_check"] == "unchecked":
        checks["cvc_check"] = "pass"
    is_multicapture = bool(world.hidden[intent["id"]].get("is_multicapture"))
    secure = {"authentication_flow": "challenge", "result": "authenticated", "result_reason": None, "version": "2.2.0"}
    card |= {
        "checks": checks,
        "installments": None,
        "mandate": None,
        "network": shown["brand"],
        "multicapture": {"status": "available" if is_multicapture else "unavailable"},
        "three_d_secure": secure if is_authenticated else None,
    }
    return {"type": kind, kind: card}
