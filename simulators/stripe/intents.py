"""Payment intents: their life from creation to capture or cancellation."""

import re
from typing import Any, Final

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.cards import DECLINED, MICRODEPOSIT_AMOUNTS, MICRODEPOSIT_CODE
from simulators.stripe.charges import AUTHORIZATION_DAYS, Charges
from simulators.stripe.confirm import Confirmation
from simulators.stripe.world import Object, World

AMOUNT_MAX: Final = 99_999_999
AMOUNTS_MIN: Final = {"usd": 50, "eur": 50, "gbp": 30, "jpy": 50}
CAPTURES_MAX: Final = 50
SEARCH_DELAY_SECONDS: Final = 60
"""What is newer than this the search does not find yet (docs.stripe.com/search: "in under a minute")."""


class Intents:
    """hidden of an intent: may_redirect, return_url, is_multicapture, captures."""

    def __init__(self, world: World, charges: Charges, confirmation: Confirmation) -> None:
        self._world, self._charges, self._confirmation = world, charges, confirmation
        base = "/v1/payment_intents"
        self.routes = [
            Route("POST", base, self._create),
            Route("GET", base, self._list),
            Route("GET", f"{base}/search", self._search),
            Route("GET", base + "/{intent}", self._retrieve),
            Route("POST", base + "/{intent}", self._update),
            Route("POST", base + "/{intent}/confirm", self._confirm),
            Route("POST", base + "/{intent}/capture", self._capture),
            Route("POST", base + "/{intent}/cancel", self._cancel),
            Route("POST", base + "/{intent}/verify_microdeposits", self._verify),
        ]

    def get(self, intent_id: str) -> Object:
        """The intent as it is now: an authorization that nobody captured in time is canceled."""
        intent = self._world.get("payment_intent", intent_id, "intent")
        if intent["status"] == "requires_capture":
            charge = self._world.get("charge", intent["latest_charge"])
            if self._world.clock.now() - charge["created"] >= AUTHORIZATION_DAYS * 86_400:
                self._end(intent, "automatic", None)
        return intent

    def _create(self, request: Request) -> Answer:
        params = request.params
        amount, currency = params["amount"], params["currency"].lower()
        self._check_amount(amount, currency)
        customer = params.get("customer")
        if customer is not None:
            self._world.get("customer", customer, "customer")
        automatic = params.get("automatic_payment_methods")
        is_automatic = automatic["enabled"] if automatic else "payment_method_types" not in params
        types = params.get("payment_method_types") or ["card", "us_bank_account"]
        intent = self._world.create(
            "payment_intent",
            "pi_",
            amount=amount,
            amount_capturable=0,
            amount_received=0,
            automatic_payment_methods={"enabled": True} if is_automatic else None,
            capture_method=params.get("capture_method", "automatic_async"),
            confirmation_method=params.get("confirmation_method", "automatic"),
            currency=currency,
            customer=customer,
            description=params.get("description"),
            latest_charge=None,
            last_payment_error=None,
            next_action=None,
            metadata=params.get("metadata") or {},
            payment_method=None,
            payment_method_options={},
            payment_method_types=types,
            receipt_email=params.get("receipt_email"),
            setup_future_usage=params.get("setup_future_usage"),
            statement_descriptor=params.get("statement_descriptor"),
            statement_descriptor_suffix=params.get("statement_descriptor_suffix"),
            status="requires_payment_method",
            transfer_group=params.get("transfer_group"),
        )
        intent["client_secret"] = f"{intent['id']}_secret_{self._world.id('')}"
        options = params.get("payment_method_options", {}).get("card") or {}
        hidden = self._world.hidden[intent["id"]]
        hidden["may_redirect"] = is_automatic and (automatic or {}).get("allow_redirects") != "never"
        hidden["is_multicapture"] = options.get("request_multicapture") == "if_available"
        self._world.event("payment_intent.created", intent, request)
        if params.get("confirm"):
            self._confirmation.run(intent, params, request)
        elif params.get("payment_method"):
            method = self._confirmation.choose(intent, params)
            intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
        return self._world.answer(intent, request)

    def _check_amount(self, amount: int, currency: str) -> None:
        if not re.fullmatch("[a-z]{3}", currency):
            raise words.unchecked(f"Invalid currency: {currency}.", param="currency")
        if amount % (step := words.STEPS.get(currency, 1)):
            raise words.uneven(step, "amount")
        if amount < AMOUNTS_MIN.get(currency, 1):
            raise words.unchecked("Amount is too small.", code="amount_too_small", param="amount")
        if amount > AMOUNT_MAX:
            raise words.unchecked("Amount must be no more than 99999999.", code="amount_too_large", param="amount")

    def _named(self, request: Request) -> Object:
        return self.get(request.path_values["intent"])

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._named(request), request)

    def _list(self, request: Request) -> Answer:
        return self._world.page("payment_intent", request, customer=request.query.get("customer"))

    def _search(self, request: Request) -> Answer:
        """Only `metadata["name"]:"value"`, joined by AND; and only what is a minute old."""
        terms = re.findall(r"metadata\[[\"'](.+?)[\"']\]\s*:\s*[\"'](.*?)[\"']", request.query["query"])
        if not terms:
            raise words.unchecked("Only searches of metadata are simulated.", param="query")
        ripe = self._world.clock.now() - SEARCH_DELAY_SECONDS
        found = [
            intent
            for intent in self._world.all("payment_intent")
            if intent["created"] <= ripe and all(intent["metadata"].get(name) == value for name, value in terms)
        ]
        body = {"object": "search_result", "url": request.path, "has_more": False, "data": found, "next_page": None}
        return self._world.answer(body, request)

    def _update(self, request: Request) -> Answer:
        intent = self._named(request)
        if intent["status"] in ("canceled", "succeeded") and set(request.params) - {"metadata", "description"}:
            raise words.unexpected_state("updated", "payment_intent", dict(intent))
        intent["metadata"] |= request.params.get("metadata") or {}
        intent |= {
            name: request.params[name] for name in ("description", "customer", "amount") if name in request.params
        }
        if "payment_method" in request.params:
            method = self._confirmation.choose(intent, request.params)
            intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
        return self._world.answer(intent, request)

    def _confirm(self, request: Request) -> Answer:
        intent = self._named(request)
        allowed = ("requires_payment_method", "requires_confirmation", "requires_action")
        if intent["status"] not in allowed:
            raise words.unexpected_state("confirmed", "payment_intent", dict(intent))
        self._confirmation.run(intent, request.params, request)
        return self._world.answer(intent, request)

    def _capture(self, request: Request) -> Answer:
        intent, params = self._named(request), request.params
        if intent["status"] != "requires_capture":
            raise words.unexpected_state("captured", "payment_intent", dict(intent))
        charge = self._world.get("charge", intent["latest_charge"])
        is_final, hidden = params.get("final_capture", True), self._world.hidden[intent["id"]]
        if not is_final and not hidden["is_multicapture"]:
            raise words.invalid("This PaymentIntent does not support multicapture.", param="final_capture")
        left: int = intent["amount_capturable"]
        amount: int = params.get("amount_to_capture", left)
        if amount > left:
            message = f"The specified capture amount is greater than the remaining capturable amount {left}."
            raise words.invalid(message, code="amount_too_large", param="amount_to_capture")
        if amount < 1 and not (amount == 0 and is_final and charge["amount_captured"]):
            raise words.invalid("Invalid positive integer", code="parameter_invalid_integer", param="amount_to_capture")
        if request.is_declined:
            raise words.card_error(DECLINED, charge=charge["id"], payment_intent=dict(intent))
        hidden["captures"] = hidden.get("captures", 0) + 1
        if amount == left or is_final or hidden["captures"] >= CAPTURES_MAX:
            self._finish(intent, charge, amount, request)
        else:
            self._charges.take(charge, amount, request)
            intent |= {"amount_capturable": left - amount, "amount_received": charge["amount_captured"]}
            self._world.event("charge.captured", charge, request)
            self._world.event("payment_intent.amount_capturable_updated", intent, request)
        return self._world.answer(intent, request)

    def _finish(self, intent: Object, charge: Object, amount: int, request: Request) -> None:
        """Take `amount`, and give the rest back."""
        if amount == 0:
            intent |= {"status": "succeeded", "amount_capturable": 0}
            self._world.event("payment_intent.succeeded", intent, request)
        else:
            self._confirmation.succeed(intent, charge, amount, request)
        self._charges.release(charge, request)
        self._world.event("charge.captured", charge, request)

    def _cancel(self, request: Request) -> Answer:
        intent = self._named(request)
        if intent["status"] in ("succeeded", "canceled", "processing"):
            raise words.unexpected_state("canceled", "payment_intent", dict(intent))
        self._end(intent, request.params.get("cancellation_reason"), request)
        return self._world.answer(intent, request)

    def _end(self, intent: Object, reason: str | None, request: Request | None) -> None:
        if intent["status"] == "requires_capture":
            charge = self._world.get("charge", intent["latest_charge"])
            if self._charges.release(charge, request):
                self._world.event("charge.refunded", charge, request)
        intent |= {"status": "canceled", "canceled_at": self._world.clock.unix(), "cancellation_reason": reason}
        intent |= {"amount_capturable": 0, "next_action": None}
        self._world.event("payment_intent.canceled", intent, request)

    def _verify(self, request: Request) -> Answer:
        intent = self._named(request)
        action = intent["next_action"] or {}
        if action.get("type") != "verify_with_microdeposits":
            raise words.unexpected_state("verified", "payment_intent", dict(intent))
        need_microdeposits(request.params)
        method = self._world.get("payment_method", intent["payment_method"])
        self._world.hidden[method["id"]]["is_verified"] = True
        self._confirmation.debit(intent, method, request)
        return self._world.answer(intent, request)


def need_microdeposits(params: dict[str, Any]) -> None:
    """Refuse all but the documented amounts and code."""
    if sorted(params.get("amounts", [])) == MICRODEPOSIT_AMOUNTS or params.get("descriptor_code") == MICRODEPOSIT_CODE:
        return
    code = "payment_method_microdeposit_verification_amounts_mismatch"
    raise words.invalid("The amounts provided do not match the amounts that were sent.", code=code, param="amounts")
