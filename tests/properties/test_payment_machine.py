"""One payment under any sequence of actions: what the service says and does is what a model of thirty lines says.

The model knows no database, no batches, no provider: amounts and the public status only. Everything else is the real
thing: the batcher, the three steps, the sandbox, PostgreSQL. After each step all invariants hold.
"""

import os
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.support.api import Api
from tests.support.machines import ServiceMachine, run_machine
from tests.support.truth import verify

METHODS = {
    "pm_sandbox_visa": "sound",
    "pm_sandbox_declined": "declined",
    "pm_sandbox_requires_action": "action",
    "pm_sandbox_timeout_after_effect": "lost",
    "pm_sandbox_capture_declined": "capture_declined",
    "pm_sandbox_capture_unavailable": "capture_unavailable",
    "pm_sandbox_capture_timeout_after_effect": "capture_lost",
}


class Model:
    """What a payment of 100 has to look like. under_way: what happens once the provider is asked again."""

    def __init__(self, behaviour: str, *, is_automatic: bool) -> None:
        self.behaviour = behaviour
        self.is_automatic = is_automatic
        self.status = "PENDING"
        self.captured = 0
        self.authorized = 0
        self.has_acted = False
        self.under_way: list[tuple[str, int]] = []
        self.is_final = False

    def authorize(self) -> int:
        if self.status not in ("PENDING", "REQUIRES_ACTION"):
            return 409
        if self.behaviour == "declined":
            self.status = "FAILED"
            return 402
        if self.behaviour == "action" and not self.has_acted:
            self.has_acted, self.status = True, "REQUIRES_ACTION"
            return 200
        if self.behaviour == "lost":
            self.under_way, self.status = [("authorize", 100)], "PROCESSING"
            return 202
        self._authorized()
        return 200

    def _authorized(self) -> None:
        self.authorized = 100
        self.captured = 100 if self.is_automatic else 0
        self.status = "CAPTURED" if self.is_automatic else "AUTHORIZED"

    def capture(self, amount: int | None, *, is_final: bool) -> int:
        asked = sum(size for _, size in self.under_way)
        is_capturing = bool(self.under_way) and self.under_way[0][0] == "capture"
        if self.status not in ("AUTHORIZED", "PARTIALLY_CAPTURED") and not is_capturing:
            return 409
        left = 100 - self.captured - asked
        amount = left if amount is None else amount
        if self.is_final or amount > left or left == 0:
            return 409
        if self.behaviour == "capture_declined":
            return 402
        if self.behaviour == "capture_unavailable":
            return 503
        self.is_final = is_final
        if self.behaviour == "capture_lost":
            self.under_way.append(("capture", amount))
            self.status = "PROCESSING"
            return 202
        self._captured(amount)
        return 200

    def _captured(self, amount: int) -> None:
        self.captured += amount
        self.status = "CAPTURED" if self.is_final or self.captured == 100 else "PARTIALLY_CAPTURED"

    def end(self, action: str) -> int:
        target = {"cancel": "CANCELLED", "fail": "FAILED", "complete": "COMPLETED"}[action]
        allowed = {
            "cancel": ("PENDING", "REQUIRES_ACTION", "AUTHORIZED"),
            "fail": ("PENDING", "REQUIRES_ACTION", "AUTHORIZED"),
            "complete": ("PARTIALLY_CAPTURED", "CAPTURED"),
        }[action]
        if self.status not in allowed:
            return 409
        needs_void = self.status in ("REQUIRES_ACTION", "AUTHORIZED", "PARTIALLY_CAPTURED")
        if needs_void and self.behaviour == "capture_unavailable":
            return 503
        if needs_void and self.behaviour == "capture_lost":
            self.under_way, self.status = [(target, 0)], "PROCESSING"
            return 202
        self.status = target
        return 200

    def inquire(self) -> None:
        for what, amount in self.under_way:
            if what == "authorize":
                self._authorized()
            elif what == "capture":
                self._captured(amount)
            else:
                self.status = what
        self.under_way = []


class PaymentMachine(ServiceMachine):
    """Does the same to the service and to the model, and compares."""

    api: Api
    model: Model
    payment_id: str

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    @initialize(method=st.sampled_from(sorted(METHODS)), is_automatic=st.booleans())
    def create(self, method: str, is_automatic: bool) -> None:
        self.api = self.service.api.as_("service")
        self.model = Model(METHODS[method], is_automatic=is_automatic)
        capture_method = "AUTOMATIC" if is_automatic else "MANUAL"
        self.payment_id = self.run(self.api.create_payment(paymentMethodId=method, captureMethod=capture_method))["id"]

    @rule()
    def authorize(self) -> None:
        answer = self.run(self.api.authorize(self.payment_id))
        assert answer.status_code == self.model.authorize(), answer.text

    @rule(amount=st.none() | st.integers(1, 110), is_final=st.booleans())
    def capture(self, amount: int | None, is_final: bool) -> None:
        answer = self.run(self.api.capture(self.payment_id, amount, finalCapture=is_final))
        assert answer.status_code == self.model.capture(amount, is_final=is_final), answer.text

    @rule(action=st.sampled_from(["cancel", "fail", "complete"]))
    def end(self, action: str) -> None:
        answer = self.run(self.api.act(self.payment_id, action))
        assert answer.status_code == self.model.end(action), answer.text

    @precondition(lambda self: self.model.under_way)
    @rule()
    def inquire(self) -> None:
        self.service.clock.advance(seconds=2)
        self.run(self.service.run_jobs())
        self.model.inquire()

    @invariant()
    def looks_like_the_model(self) -> None:
        shown = self.run(self.api.show(self.payment_id))
        assert (shown["status"], shown["amountAuthorized"], shown["amountCaptured"]) == (
            self.model.status,
            self.model.authorized,
            self.model.captured,
        )

    @invariant()
    def holds_every_invariant(self) -> None:
        self.run(verify(self.service))


def test_a_payment_does_what_its_model_does(server_url: str) -> None:
    run_machine(PaymentMachine, server_url, examples=100, steps=12)


@pytest.mark.long
def test_a_payment_does_what_its_model_does_for_long(server_url: str) -> None:
    run_machine(PaymentMachine, server_url, examples=60 if os.environ.get("BURSAR_LONG_SAMPLE") else 1_000, steps=25)


def test_the_model_itself_makes_sense() -> None:
    model = Model("sound", is_automatic=False)
    assert [model.authorize(), model.capture(30, is_final=False), model.end("cancel"), model.end("complete")] == [
        200,
        200,
        409,
        200,
    ]
    assert (model.status, model.captured) == ("COMPLETED", 30)
