"""A stand-in for Stripe: its API as the official SDK speaks it, with books, webhooks and the documented test cards.

`world` keeps the objects, `newer` lists where Stripe's present API is ahead of the document that everything is checked
against. What is not simulated (subscriptions, invoices, Connect beyond transfers) answers 404 as an unknown URL.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final

from simulators.kit.idempotency import Store
from simulators.kit.message import Answer, Request
from simulators.kit.openapi import Violation
from simulators.kit.provider import Provider, Trouble
from simulators.stripe import cards, fixtures, words
from simulators.stripe.balance import Balance
from simulators.stripe.charges import Charges
from simulators.stripe.confirm import Confirmation
from simulators.stripe.disputes import Disputes
from simulators.stripe.hosted import Hosted
from simulators.stripe.intents import Intents
from simulators.stripe.methods import Methods
from simulators.stripe.refunds import Refunds
from simulators.stripe.setups import Setups
from simulators.stripe.transfers import Transfers
from simulators.stripe.warnings import Warnings
from simulators.stripe.world import World, request_id

KEY_SECONDS: Final = 24 * 3600
KEY_PREFIXES: Final = ("sk_test_", "rk_test_")


def provider(*, seed: int = 0) -> Provider:
    """A new Stripe, with empty books."""
    return Stripe(seed=seed)


class Stripe(Provider):
    """The simulator."""

    name = "stripe"
    about = cards.about()
    guesses_types = True

    def __init__(self, *, seed: int = 0) -> None:
        document, templates = fixtures.load()
        store = Store(seconds=KEY_SECONDS, replay_headers={"Idempotent-Replayed": "true"})
        super().__init__(document=document, store=store, seed=seed)
        self.world = World(self.clock, self.books, self.webhooks, templates, seed)
        self.balance = Balance(self.world)
        methods, charges = Methods(self.world), Charges(self.world, self.balance)
        confirmation = Confirmation(self.world, methods, charges)
        warnings = Warnings(self.world, charges)
        disputes, refunds = Disputes(self.world, charges, warnings), Refunds(self.world, charges, warnings)
        confirmation.on_taken = disputes.after
        intents = Intents(self.world, charges, confirmation)
        setups, transfers = Setups(self.world, methods), Transfers(self.world, self.balance)
        hosted = Hosted(self.world, charges, confirmation, setups, [refunds.settle, transfers.settle])
        parts = (intents, setups, methods, charges, refunds, transfers, disputes, warnings, self.balance, hosted)
        self.routes = [route for part in parts for route in part.routes]

    def authenticate(self, request: Request) -> Answer | None:
        if request.path.startswith("/_sim/"):
            return None
        scheme, _, told = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            told = base64.b64decode(told.encode() + b"==").decode(errors="replace").partition(":")[0]
        if told.startswith(KEY_PREFIXES):
            return None
        return words.error(401, "invalid_request_error", "Invalid API Key provided.")

    def key_of(self, request: Request) -> str | None:
        """POST only: with any other method a key has no effect."""
        return request.headers.get("idempotency-key") if request.method == "POST" else None

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        if trouble is Trouble.NOT_FOUND:
            message = f"Unrecognized request URL ({request.method}: {request.path})."
            return words.error(404, "invalid_request_error", message)
        if trouble is Trouble.KEY_IN_FLIGHT:
            message = "There is currently another in-progress request using this Idempotent Key."
            return words.error(409, "idempotency_error", message, code="idempotency_key_in_use")
        if trouble is Trouble.KEY_REUSED:
            message = f"Keys for idempotent requests can only be used with the same parameters ({request.key})."
            return words.error(400, "idempotency_error", message)
        if trouble is Trouble.TOO_MANY_REQUESTS:
            message = "Request rate limit exceeded."
            return words.error(429, "invalid_request_error", message, code="rate_limit")
        return words.error(500, "api_error", "Something went wrong on Stripe's end.")

    def refuse(self, request: Request, violations: Sequence[Violation]) -> Answer:
        first = violations[0]
        code = {"required": "parameter_missing", "additionalProperties": "parameter_unknown"}.get(first.rule)
        words_of = {"parameter_missing": "Missing required param", "parameter_unknown": "Received unknown parameter"}
        message = f"{words_of.get(code or '', 'Invalid value')}: {first.parameter}. {first.message}"
        return words.error(400, "invalid_request_error", message, code=code, param=first.parameter or None)

    def distort(self, answer: Answer) -> Answer:
        """Every amount is one more."""
        body = answer.body
        if isinstance(body, dict) and "error" not in body:
            names = [name for name in body if name == "amount" or name.startswith("amount_")]
            changed = {name: body[name] + 1 for name in names if isinstance(body[name], int)}
            return Answer(answer.status, body | changed, answer.headers)
        return answer

    def headers(self, request: Request) -> dict[str, str]:
        told = {
            "Request-Id": request_id(request),
            "Stripe-Version": request.headers.get("stripe-version", "2020-08-27"),
        }
        return told | ({"Idempotency-Key": request.key} if request.key else {})

    def sign(self, body: bytes, event: dict[str, Any], at: int) -> dict[str, str]:
        """`Stripe-Signature: t=…,v1=…`: HMAC-SHA256 of `t.body` (docs.stripe.com/webhooks/signature)."""
        signed = hmac.new(self.webhooks.secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        return {"Stripe-Signature": f"t={at},v1={signed}"}
