"""What Stripe shows to customers, tells later, or does after days: authentication, events, settlement."""

import html
from collections.abc import Callable, Sequence
from urllib.parse import urlencode

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.stripe import words
from simulators.stripe.charges import Charges, refused_debit
from simulators.stripe.confirm import NOT_AUTHENTICATED, Confirmation
from simulators.stripe.setups import NOT_AUTHENTICATED as NOT_SET_UP
from simulators.stripe.setups import Setups
from simulators.stripe.world import Object, World


class Hosted:
    """`GET /_sim/authenticate/{intent}` is the page of 3-D Secure with two links; `?outcome=succeed` and
    `?outcome=fail` follow them. `POST /_sim/settle` ends what takes days. settlers: of refunds and payouts.
    """

    def __init__(
        self,
        world: World,
        charges: Charges,
        confirmation: Confirmation,
        setups: Setups,
        settlers: Sequence[Callable[[], int]],
    ) -> None:
        self._world, self._charges, self._confirmation, self._setups = world, charges, confirmation, setups
        self._settlers = settlers
        hidden: dict[str, bool] = {"is_documented": False, "has_faults": False}
        self.routes = [
            Route("GET", "/v1/events", self._events),
            Route("GET", "/v1/events/{id}", self._event),
            Route("GET", "/_sim/authenticate/{intent}", self._authenticate, **hidden),
            Route("POST", "/_sim/settle", self._settle, **hidden),
        ]

    def _events(self, request: Request) -> Answer:
        types = request.query.get("types") or [request.query.get("type")]
        return self._world.page("event", request, type=set(types) - {None} or None)

    def _event(self, request: Request) -> Answer:
        return self._world.answer(self._world.get("event", request.path_values["id"]), request)

    def _authenticate(self, request: Request) -> Answer:
        intent_id = request.path_values["intent"]
        intent = self._world.find("payment_intent", intent_id) or self._world.get("setup_intent", intent_id)
        outcome = request.query.get("outcome")
        if outcome not in ("succeed", "fail"):
            page = html.escape(request.path)
            links = [f'<a href="{page}?outcome={each}">{each}</a>' for each in ("succeed", "fail")]
            return Answer(200, f"<h1>3-D Secure</h1><p>{' or '.join(links)}</p>")
        if intent["status"] != "requires_action":
            raise words.unexpected_state("authenticated", intent["object"], dict(intent))
        self._complete(intent, request, is_authentic=outcome == "succeed")
        url = self._world.hidden[intent_id].get("return_url")
        if not url:
            return Answer(200, {"status": intent["status"]})
        is_good = intent["status"] in ("succeeded", "requires_capture", "processing")
        told = {intent["object"]: intent_id, f"{intent['object']}_client_secret": intent["client_secret"]}
        told["redirect_status"] = "succeeded" if is_good else "failed"
        return Answer(302, None, {"Location": f"{url}{'&' if '?' in url else '?'}{urlencode(told)}"})

    def _complete(self, intent: Object, request: Request, *, is_authentic: bool) -> None:
        if intent["object"] == "setup_intent":
            if is_authentic:
                self._setups.succeed(intent, request)
            else:
                self._setups.fail(intent, NOT_SET_UP, request)
            return
        method = self._world.get("payment_method", intent["payment_method"])
        if not is_authentic:
            self._confirmation.fail(intent, method, NOT_AUTHENTICATED, None, request)
            return
        try:
            self._confirmation.attempt(intent, method, request, is_authenticated=True)
        except Refusal:
            return  # the intent says so itself

    def _settle(self, request: Request) -> Answer:
        ended = sum(settle() for settle in self._settlers)
        for intent in self._world.all("payment_intent"):
            if intent["status"] != "processing":
                continue
            charge = self._world.get("charge", intent["latest_charge"])
            account = self._charges.account(charge)
            if account.is_stuck:
                continue
            ended += 1
            if account.failure:
                refused = refused_debit(account)
                self._charges.fail(charge, refused, None)
                method = self._world.get("payment_method", intent["payment_method"])
                self._confirmation.fail(intent, method, refused, charge, None)
            else:
                self._confirmation.succeed(intent, charge, intent["amount"], None)
                self._world.event("charge.succeeded", charge)
        return Answer(200, {"ended": ended})
