"""What happens when a payment intent is confirmed: authentication, the attempt itself, and its end."""

from typing import Any

from simulators.kit.message import Request
from simulators.stripe import words
from simulators.stripe.cards import DECLINED, Refused
from simulators.stripe.charges import Charges
from simulators.stripe.methods import Methods
from simulators.stripe.world import Object, World

NOT_AUTHENTICATED = Refused(
    "payment_intent_authentication_failure",
    None,
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod "
    "to attempt to fulfill this PaymentIntent again.",
)
AUTHENTICATION_REQUIRED = Refused(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


class Confirmation:
    """The attempts of payment intents. on_dispute: told of a charge that is to be disputed."""

    def __init__(self, world: World, methods: Methods, charges: Charges) -> None:
        self._world, self._methods, self._charges = world, methods, charges
        self.on_taken: Any = lambda charge, request: None

    def run(self, intent: Object, params: dict[str, Any], request: Request) -> None:
        """Attempt to pay. Raises card errors; the intent's status says the rest."""
        self._need_return_url(intent, params)
        method = self.choose(intent, params)
        intent["payment_method"] = method["id"]
        if intent["customer"] and (params.get("setup_future_usage") or intent["setup_future_usage"]):
            intent["setup_future_usage"] = params.get("setup_future_usage") or intent["setup_future_usage"]
        if method["type"] == "us_bank_account":
            self._debit(intent, method, params, request)
            return
        if not request.is_declined and self._needs_authentication(method, params):
            self._authenticate(intent, method, params, request)
            return
        self.attempt(intent, method, request)

    def attempt(self, intent: Object, method: Object, request: Request, *, is_authenticated: bool = False) -> None:
        """Ask the issuer. Raises a card error where it refuses."""
        card = self._methods.card(method)
        refused = DECLINED if request.is_declined else card and card.refused
        if refused:
            raise self.refused(intent, method, refused, request)
        charge = self._charges.authorize(intent, method, request, is_authenticated=is_authenticated)
        intent |= {"next_action": None, "last_payment_error": None}
        self._after_success(intent, method, request)
        if intent["capture_method"] == "manual":
            intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
            self._world.event("payment_intent.amount_capturable_updated", intent, request)
        else:
            self.succeed(intent, charge, intent["amount"], request)

    def succeed(self, intent: Object, charge: Object, amount: int, request: Request | None) -> None:
        """The money is taken."""
        self._charges.take(charge, amount, request)
        intent |= {"status": "succeeded", "amount_received": charge["amount_captured"], "amount_capturable": 0}
        self._world.event("payment_intent.succeeded", intent, request)
        self.on_taken(charge, request)

    def refused(self, intent: Object, method: Object, refused: Refused, request: Request) -> Exception:
        """Leave a failed charge, and the intent asking for another payment method. Returns the card error."""
        charge = self._charges.refuse(intent, method, refused, request)
        self.fail(intent, method, refused, charge, request)
        return words.card_error(refused, charge=charge["id"], payment_intent=dict(intent), payment_method=dict(method))

    def fail(
        self, intent: Object, method: Object, refused: Refused, charge: Object | None, request: Request | None
    ) -> None:
        """The intent asks for another payment method."""
        told: Object = {"type": "card_error", "code": refused.code, "message": refused.message}
        told |= {"payment_method": dict(method), "doc_url": words.DOCS + refused.code.replace("_", "-")}
        told |= {"decline_code": refused.decline_code} if refused.decline_code else {}
        told |= {"charge": charge["id"]} if charge else {}
        intent |= {"status": "requires_payment_method", "last_payment_error": told}
        intent |= {"payment_method": None, "next_action": None}
        self._world.event("payment_intent.payment_failed", intent, request)

    def choose(self, intent: Object, params: dict[str, Any]) -> Object:
        """The payment method of a request, or the one that the intent has."""
        if "payment_method_data" in params:
            return self._methods.make(params["payment_method_data"])
        token = params.get("payment_method") or intent["payment_method"]
        if token is None:
            raise words.invalid(
                "You cannot confirm this PaymentIntent because it's missing a payment method.",
                code="payment_intent_unexpected_state",
                payment_intent=dict(intent),
            )
        method = self._methods.use(token, intent["customer"])
        if method["type"] not in intent["payment_method_types"]:
            raise words.invalid(
                f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent.",
                param="payment_method",
            )
        return method

    def _need_return_url(self, intent: Object, params: dict[str, Any]) -> None:
        redirects = self._world.hidden[intent["id"]].get("may_redirect")
        if redirects and not params.get("return_url") and not params.get("off_session"):
            raise words.invalid(
                "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of "
                "these payment methods might redirect your customer off of your page, you must provide a `return_url`.",
                param="return_url",
            )

    def _needs_authentication(self, method: Object, params: dict[str, Any]) -> bool:
        card = self._methods.card(method)
        if card is None or not card.authentication:
            return False
        is_set_up = self._world.hidden[method["id"]].get("is_set_up")
        return not (card.authentication == "UNLESS_SET_UP" and is_set_up and params.get("off_session"))

    def _authenticate(self, intent: Object, method: Object, params: dict[str, Any], request: Request) -> None:
        if params.get("off_session") or params.get("error_on_requires_action"):
            raise self.refused(intent, method, AUTHENTICATION_REQUIRED, request)
        self._world.hidden[intent["id"]]["return_url"] = params.get("return_url")
        intent |= {"status": "requires_action", "next_action": next_action(intent, params, request)}
        self._world.event("payment_intent.requires_action", intent, request)

    def _after_success(self, intent: Object, method: Object, request: Request) -> None:
        hidden = self._world.hidden[method["id"]]
        hidden["is_used"] = True
        if intent["setup_future_usage"]:
            hidden["is_set_up"] = True
            if intent["customer"] and method["customer"] is None:
                self._methods.attach(method, intent["customer"], request)

    def _debit(self, intent: Object, method: Object, params: dict[str, Any], request: Request) -> None:
        """A bank account: its owner's mandate, then days of waiting (`POST /_sim/settle` ends them)."""
        if intent["capture_method"] == "manual":
            raise words.invalid("us_bank_account cannot be captured by hand.", param="capture_method")
        if intent["currency"] != "usd":
            raise words.invalid("us_bank_account takes usd only.", code="payment_method_currency_mismatch")
        if not params.get("mandate_data") and not self._world.hidden[method["id"]].get("is_set_up"):
            raise words.invalid(
                "You must provide mandate_data[customer_acceptance] to confirm with us_bank_account.",
                param="mandate_data",
            )
        if not self._world.hidden[method["id"]].get("is_verified"):
            intent |= {"status": "requires_action", "next_action": microdeposits(self._world, intent, request)}
            self._world.event("payment_intent.requires_action", intent, request)
            return
        self.debit(intent, method, request)

    def debit(self, intent: Object, method: Object, request: Request) -> None:
        """Start the debit of an account that is verified."""
        if request.is_declined:
            raise self.refused(intent, method, DECLINED, request)
        self._charges.begin(intent, method, request)
        self._after_success(intent, method, request)
        intent |= {"status": "processing", "next_action": None, "last_payment_error": None}
        self._world.event("payment_intent.processing", intent, request)


def next_action(intent: Object, params: dict[str, Any], request: Request) -> Object:
    """Where the customer authenticates: our page; a redirect with return_url, else as Stripe's own scripts get it."""
    page = f"{request.base_url}/_sim/authenticate/{intent['id']}"
    if params.get("return_url"):
        return {"type": "redirect_to_url", "redirect_to_url": {"url": page, "return_url": params["return_url"]}}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect", "stripe_js": page}}


def microdeposits(world: World, intent: Object, request: Request) -> Object:
    """Two amounts are on their way; `verify_microdeposits` takes them."""
    told = {
        "arrival_date": world.clock.unix() + 2 * 86_400,
        "hosted_verification_url": f"{request.base_url}/_sim/microdeposits/{intent['id']}",
        "microdeposit_type": "amounts",
    }
    return {"type": "verify_with_microdeposits", "verify_with_microdeposits": told}
