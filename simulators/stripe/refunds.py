"""Refunds: whole or in parts, at once or after days, by card or bank account."""

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.charges import Charges, not_refundable
from simulators.stripe.warnings import Warnings
from simulators.stripe.world import Object, World


class Refunds:
    """Refunds of charges."""

    def __init__(self, world: World, charges: Charges, warnings: Warnings) -> None:
        self._world, self._charges, self._warnings = world, charges, warnings
        self.routes = [
            Route("POST", "/v1/refunds", self._create),
            Route("GET", "/v1/refunds", self._list),
            Route("GET", "/v1/refunds/{refund}", self._retrieve),
            Route("POST", "/v1/refunds/{refund}", self._update),
        ]

    def settle(self) -> int:
        """End what takes days: pending refunds succeed, those of the failing card fail. Returns how many ended."""
        ended = 0
        for refund in self._world.all("refund"):
            charge = self._world.get("charge", refund["charge"])
            card, hidden = self._charges.card(charge), self._world.hidden[refund["id"]]
            if hidden.get("is_settled") or card is None or not card.refund:
                continue
            hidden["is_settled"] = True
            ended += 1
            if card.refund == "FAILS":
                transaction = self._charges.give_back(charge, -refund["amount"], None)
                refund |= {"status": "failed", "failure_reason": "expired_or_canceled_card"}
                refund["failure_balance_transaction"] = transaction
                self._world.objects[transaction]["source"] = refund["id"]
                self._world.event("refund.failed", refund)
            else:
                refund["status"] = "succeeded"
                self._world.event("refund.updated", refund)
        return ended

    def _create(self, request: Request) -> Answer:
        params = request.params
        charge = self._charge(params)
        left = self._charges.refundable(charge)
        if charge["status"] != "succeeded" or not charge["captured"]:
            raise words.invalid(
                f"This PaymentIntent ({charge['payment_intent']}) does not have a successful charge to refund.",
                code="payment_intent_unexpected_state" if "payment_intent" in params else "charge_not_refundable",
            )
        if charge["disputed"] and not self._world.hidden[charge["id"]].get("is_refundable"):
            raise words.invalid(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
        if left == 0:
            raise not_refundable(charge)
        amount = params.get("amount", left)
        if amount < 1:
            raise words.unchecked("Invalid positive integer", code="parameter_invalid_integer", param="amount")
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise words.invalid(message, param="amount")
        if request.is_declined:
            raise words.invalid("Insufficient funds in your account to refund.", code="balance_insufficient")
        transaction = self._charges.give_back(charge, amount, request)
        card = self._charges.card(charge)
        refund = self._world.create(
            "refund",
            "re_" if card else "pyr_",
            amount=amount,
            balance_transaction=transaction,
            charge=charge["id"],
            currency=charge["currency"],
            metadata=params.get("metadata") or {},
            payment_intent=charge["payment_intent"],
            reason=params.get("reason"),
            status="pending" if card and card.refund == "PENDING" else "succeeded",
        )
        self._world.objects[transaction]["source"] = refund["id"]
        self._world.event("refund.created", refund, request)
        self._world.event("charge.refunded", charge, request)
        self._warnings.after(charge, request)
        return self._world.answer(refund, request)

    def _charge(self, params: Object) -> Object:
        if "payment_intent" in params:
            intent = self._world.get("payment_intent", params["payment_intent"], "payment_intent")
            if intent["latest_charge"] is None:
                message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
                raise words.invalid(message, code="payment_intent_unexpected_state")
            return self._world.get("charge", intent["latest_charge"])
        if "charge" not in params:
            raise words.unchecked("One of the following params should be provided: payment_intent or charge.")
        return self._world.get("charge", params["charge"], "charge")

    def _list(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("charge", "payment_intent")}
        return self._world.page("refund", request, **equal)

    def _named(self, request: Request) -> Object:
        return self._world.get("refund", request.path_values["refund"], "refund")

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._named(request), request)

    def _update(self, request: Request) -> Answer:
        refund = self._named(request)
        refund["metadata"] |= request.params.get("metadata") or {}
        return self._world.answer(refund, request)
