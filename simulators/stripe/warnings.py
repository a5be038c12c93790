"""Early fraud warnings: the card's bank has heard of fraud. No money moves; the seller may refund before it does."""

from simulators.kit.message import Answer, Request, Route
from simulators.stripe.charges import Charges
from simulators.stripe.world import Object, World

KIND = "radar.early_fraud_warning"


class Warnings:
    """Early fraud warnings of charges. `POST /_sim/early_fraud_warnings` {payment_intent} brings one."""

    def __init__(self, world: World, charges: Charges) -> None:
        self._world, self._charges = world, charges
        self.routes = [
            Route("GET", "/v1/radar/early_fraud_warnings", self._list),
            Route("GET", "/v1/radar/early_fraud_warnings/{early_fraud_warning}", self._retrieve),
            Route("POST", "/_sim/early_fraud_warnings", self._warn_by_hand, is_documented=False, has_faults=False),
        ]

    def warn(self, charge: Object) -> Object:
        """Warn of a charge."""
        warning = self._world.create(
            KIND,
            "issfr_",
            actionable=True,
            charge=charge["id"],
            fraud_type="unauthorized_use_of_card",
            payment_intent=charge["payment_intent"],
        )
        self._world.event(f"{KIND}.created", warning)
        return warning

    def after(self, charge: Object, request: Request | None) -> None:
        """The charge was disputed or refunded: a warning of it may be over."""
        is_over = charge["disputed"] or not self._charges.refundable(charge)
        for warning in self._world.all(KIND):
            if warning["charge"] == charge["id"] and warning["actionable"] and is_over:
                warning["actionable"] = False
                self._world.event(f"{KIND}.updated", warning, request)

    def _retrieve(self, request: Request) -> Answer:
        named = request.path_values["early_fraud_warning"]
        return self._world.answer(self._world.get(KIND, named, "early_fraud_warning"), request)

    def _list(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("charge", "payment_intent")}
        return self._world.page(KIND, request, **equal)

    def _warn_by_hand(self, request: Request) -> Answer:
        intent = self._world.get("payment_intent", request.params.get("payment_intent"), "payment_intent")
        return self._world.answer(self.warn(self._world.get("charge", intent["latest_charge"])), request)
