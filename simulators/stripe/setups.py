"""Setup intents: finding out that a payment method is good, without money."""

from typing import Any

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.cards import DECLINED, Refused
from simulators.stripe.confirm import microdeposits, next_action
from simulators.stripe.intents import need_microdeposits
from simulators.stripe.methods import Methods
from simulators.stripe.world import Object, World

NOT_AUTHENTICATED = Refused(
    "setup_intent_authentication_failure", None, "The provided PaymentMethod has failed authentication."
)


class Setups:
    """hidden of a setup intent: may_redirect, return_url."""

    def __init__(self, world: World, methods: Methods) -> None:
        self._world, self._methods = world, methods
        base = "/v1/setup_intents"
        self.routes = [
            Route("POST", base, self._create),
            Route("GET", base, self._list),
            Route("GET", base + "/{intent}", self._retrieve),
            Route("POST", base + "/{intent}/confirm", self._confirm),
            Route("POST", base + "/{intent}/cancel", self._cancel),
            Route("POST", base + "/{intent}/verify_microdeposits", self._verify),
        ]

    def _create(self, request: Request) -> Answer:
        params = request.params
        customer = params.get("customer")
        if customer is not None:
            self._world.get("customer", customer, "customer")
        automatic = params.get("automatic_payment_methods")
        is_automatic = automatic["enabled"] if automatic else "payment_method_types" not in params
        setup = self._world.create(
            "setup_intent",
            "seti_",
            customer=customer,
            description=params.get("description"),
            last_setup_error=None,
            metadata=params.get("metadata") or {},
            next_action=None,
            payment_method=None,
            payment_method_options={},
            payment_method_types=params.get("payment_method_types") or ["card", "us_bank_account"],
            status="requires_payment_method",
            usage=params.get("usage", "off_session"),
        )
        setup["client_secret"] = f"{setup['id']}_secret_{self._world.id('')}"
        redirects = (automatic or {}).get("allow_redirects") != "never"
        self._world.hidden[setup["id"]]["may_redirect"] = is_automatic and redirects
        self._world.event("setup_intent.created", setup, request)
        if params.get("confirm"):
            self._run(setup, params, request)
        elif params.get("payment_method"):
            method = self._methods.use(params["payment_method"], customer)
            setup |= {"payment_method": method["id"], "status": "requires_confirmation"}
        return self._world.answer(setup, request)

    def _run(self, setup: Object, params: dict[str, Any], request: Request) -> None:
        if self._world.hidden[setup["id"]]["may_redirect"] and not params.get("return_url"):
            raise words.invalid("You must provide a `return_url` to confirm this SetupIntent.", param="return_url")
        token = params.get("payment_method") or setup["payment_method"]
        if "payment_method_data" in params:
            method = self._methods.make(params["payment_method_data"])
        elif token is None:
            raise words.invalid("You cannot confirm this SetupIntent because it's missing a payment method.")
        else:
            method = self._methods.use(token, setup["customer"])
        setup["payment_method"] = method["id"]
        card = self._methods.card(method)
        if card is None:
            self._bank_account(setup, method, params, request)
            return
        if request.is_declined or (card.refused and not card.is_late):
            raise self._refused(setup, method, card.refused or DECLINED, request)
        if card.authentication:
            self._world.hidden[setup["id"]]["return_url"] = params.get("return_url")
            setup |= {"status": "requires_action", "next_action": next_action(setup, params, request)}
            self._world.event("setup_intent.requires_action", setup, request)
            return
        self.succeed(setup, request)

    def succeed(self, setup: Object, request: Request) -> None:
        """The payment method is good, and the customer's where there is one."""
        method = self._world.get("payment_method", setup["payment_method"])
        hidden = self._world.hidden[method["id"]]
        hidden |= {"is_set_up": True, "is_verified": True}
        if setup["customer"] and method["customer"] is None:
            self._methods.attach(method, setup["customer"], request)
        elif not setup["customer"]:
            hidden["is_used"] = True
        if method["type"] == "card" and method["card"]["checks"]["cvc_check"] == "unchecked":
            method["card"]["checks"]["cvc_check"] = "pass"
        setup |= {"status": "succeeded", "next_action": None, "last_setup_error": None}
        self._world.books.record(
            "verified", setup["id"], 0, "XXX", at=request.now, key=request.key, metadata=dict(setup["metadata"])
        )
        self._world.event("setup_intent.succeeded", setup, request)

    def fail(self, setup: Object, refused: Refused, request: Request) -> None:
        """The setup intent asks for another payment method."""
        method = self._world.get("payment_method", setup["payment_method"])
        told = {"type": "card_error", "code": refused.code, "message": refused.message, "payment_method": dict(method)}
        told |= {"decline_code": refused.decline_code} if refused.decline_code else {}
        setup |= {"status": "requires_payment_method", "payment_method": None, "next_action": None}
        setup["last_setup_error"] = told
        self._world.event("setup_intent.setup_failed", setup, request)

    def _refused(self, setup: Object, method: Object, refused: Refused, request: Request) -> Exception:
        self.fail(setup, refused, request)
        return words.card_error(refused, setup_intent=dict(setup), payment_method=dict(method))

    def _bank_account(self, setup: Object, method: Object, params: dict[str, Any], request: Request) -> None:
        if not params.get("mandate_data"):
            raise words.invalid("You must provide mandate_data[customer_acceptance].", param="mandate_data")
        if request.is_declined:
            raise self._refused(setup, method, DECLINED, request)
        if self._world.hidden[method["id"]].get("is_verified"):
            self.succeed(setup, request)
            return
        setup |= {"status": "requires_action", "next_action": microdeposits(self._world, setup, request)}
        self._world.event("setup_intent.requires_action", setup, request)

    def _named(self, request: Request) -> Object:
        return self._world.get("setup_intent", request.path_values["intent"], "intent")

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._named(request), request)

    def _list(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("customer", "payment_method")}
        return self._world.page("setup_intent", request, **equal)

    def _confirm(self, request: Request) -> Answer:
        setup = self._named(request)
        if setup["status"] in ("succeeded", "canceled", "processing"):
            raise words.unexpected_state("confirmed", "setup_intent", dict(setup))
        self._run(setup, request.params, request)
        return self._world.answer(setup, request)

    def _cancel(self, request: Request) -> Answer:
        setup = self._named(request)
        if setup["status"] in ("succeeded", "canceled"):
            raise words.unexpected_state("canceled", "setup_intent", dict(setup))
        setup |= {"status": "canceled", "cancellation_reason": request.params.get("cancellation_reason")}
        setup["next_action"] = None
        self._world.event("setup_intent.canceled", setup, request)
        return self._world.answer(setup, request)

    def _verify(self, request: Request) -> Answer:
        setup = self._named(request)
        if (setup["next_action"] or {}).get("type") != "verify_with_microdeposits":
            raise words.unexpected_state("verified", "setup_intent", dict(setup))
        need_microdeposits(request.params)
        self.succeed(setup, request)
        return self._world.answer(setup, request)
