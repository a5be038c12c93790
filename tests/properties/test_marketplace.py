"""One payment with vendors under any sequence of captures, allocations, refunds and disputes: what the service says is
what a model of a few integers says, and after each step every invariant holds: the parts sum to the whole, refunded ≤
captured, the vendors' shares and the commission are the payment, clearing is captured − refunded − disputed, and the
ledger verifies.
"""

import os
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from bursar.domains.disputes import service as disputes
from bursar.domains.refunds import service as refunds
from bursar.domains.refunds.model import RefundNamed
from bursar.infra.db import SYSTEM
from bursar.providers.port import DisputeStatus
from tests.support.api import Api, json_of, unique
from tests.support.commissions import Desk
from tests.support.machines import ServiceMachine, run_machine
from tests.support.service import Service
from tests.support.truth import verify

AMOUNT = 1_000
VENDORS = ("vendor-a", "vendor-b", "vendor-c")
REFUNDS = {
    "pm_sandbox_visa": "COMPLETED",
    "pm_sandbox_refund_declined": "FAILED",
    "pm_sandbox_refund_pending": "PROCESSING",
    "pm_sandbox_refund_unavailable": "APPROVED",
}
"""What a refund is after it was processed, by the payment's method."""


percents = st.sampled_from([1, 10, 33, 50, 90, 100, 101])
"""Of what is left: most of what is asked for can be had."""


def part_of(whole: int, percent: int) -> int:
    """That much of it, at least 1."""
    return max(1, -(-whole * percent // 100))


class Model:
    """What the payment has to look like."""

    def __init__(self) -> None:
        self.captured = self.allocated = self.refunding = self.refunded = self.disputed = 0

    @property
    def refundable(self) -> int:
        return max(0, self.captured - self.refunding - self.refunded - self.disputed)


class Marketplace(ServiceMachine):
    """Does the same to the service and to the model, and compares. A bundle holds (id, amount)."""

    model: Model
    payment_id: str

    charges = Bundle("charges")
    waiting = Bundle("waiting")
    approved = Bundle("approved")
    under_way = Bundle("under_way")
    done = Bundle("done")
    disputed = Bundle("disputed")

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    def act(self, role: str, method: str, path: str, body: Any, *statuses: int) -> dict[str, Any]:
        """Send a request, whose answer has to be one of `statuses`."""
        answer = self.run(self.service.api.as_(role, subject=f"{role}-1").call(method, path, body))
        assert answer.status_code in statuses, answer.text
        document: dict[str, Any] = answer.json()
        return document

    @initialize(
        method=st.sampled_from(sorted(REFUNDS)),
        shares=st.none() | st.lists(st.integers(1, 400), min_size=0, max_size=2),
    )
    def pay(self, method: str, shares: list[int] | None) -> None:
        self.model, self.method = Model(), method
        splits = None
        if shares is not None:
            amounts = [*shares, AMOUNT - sum(shares)]
            splits = [{"vendorId": vendor, "amount": amount} for vendor, amount in zip(VENDORS, amounts, strict=False)]
        self.is_split = splits is not None
        api = self.service.api.as_("service")
        extra = {} if splits is None else {"splits": splits}
        body = {"paymentMethodId": method, "amount": AMOUNT, "customerId": unique("buyer"), **extra}
        payment = self.run(api.create_payment(**body))
        self.payment_id, self.customer_id = payment["id"], payment["customerId"]
        json_of(self.run(api.authorize(self.payment_id)), 200)
        self.capture(60)

    @rule(percent=percents)
    def capture(self, percent: int) -> None:
        amount = part_of(AMOUNT - self.model.captured, percent)
        fits = self.model.captured + amount <= AMOUNT
        path = f"/api/v1/payments/core/{self.payment_id}/capture"
        self.act("service", "PUT", path, {"amount": amount, "finalCapture": False}, 200 if fits else 409)
        if fits:
            self.model.captured += amount
            self.model.allocated += amount if self.is_split else 0

    @rule(target=charges, percent=percents, part=st.integers(0, 100))
    def allocate(self, percent: int, part: int) -> Any:
        unallocated = self.shown()["amountUnallocated"]
        amount = part_of(unallocated, percent)
        first = amount * part // 100
        parts = [one for one in (first, amount - first) if one]
        allocations = [{"vendorId": vendor, "amount": one} for vendor, one in zip(VENDORS, parts, strict=False)]
        fits = amount <= unallocated
        body = {"paymentId": self.payment_id, "amount": amount, "allocations": allocations}
        charge = self.act("service", "POST", "/api/v1/payments", body, 201 if fits else 409)
        if not fits:
            return multiple()
        assert sum(one["grossAmount"] for one in charge["allocations"]) == amount
        self.model.allocated += amount
        return charge["id"], amount

    @rule(charge=consumes(charges), action=st.sampled_from(["complete", "fail"]))
    def end_charge(self, charge: tuple[str, int], action: str) -> None:
        body = {"reason": "no such goods"} if action == "fail" else {}
        self.act("service", "PUT", f"/api/v1/payments/{charge[0]}/{action}", body, 200)
        self.model.allocated -= charge[1] if action == "fail" else 0

    def ask(self, api: Api, percent: int, status: str) -> Any:
        can = min(self.model.refundable, self.left())
        amount = part_of(can, percent)
        body = {"paymentId": self.payment_id, "amount": amount, "reason": "CUSTOMER_REQUEST"}
        answer = self.run(api.call("POST", "/api/v1/refunds", body))
        if amount > can:
            assert answer.status_code == 409, answer.text
            return multiple()
        refund = json_of(answer, 201)
        assert refund["status"] == status
        self.model.refunding += amount
        return refund["id"], amount

    @rule(target=approved, percent=percents)
    def ask_for_refund(self, percent: int) -> Any:
        return self.ask(self.service.api.as_("service", subject="shop"), percent, "APPROVED")

    @rule(target=waiting, percent=percents)
    def ask_for_own_refund(self, percent: int) -> Any:
        return self.ask(self.service.api.as_("customer", customer_id=self.customer_id), percent, "PENDING_APPROVAL")

    @rule(target=approved, refund=consumes(waiting))
    def approve(self, refund: tuple[str, int]) -> tuple[str, int]:
        self.act("finance", "POST", f"/api/v1/refunds/{refund[0]}/approve", {}, 200)
        return refund

    @rule(refund=consumes(waiting), action=st.sampled_from(["reject", "cancel"]))
    def refuse(self, refund: tuple[str, int], action: str) -> None:
        self.act("finance", "POST", f"/api/v1/refunds/{refund[0]}/{action}", {"reason": "worn"}, 200)
        self.model.refunding -= refund[1]

    def processed(self, refund: tuple[str, int]) -> str:
        """Process a refund. Returns what it is then."""
        if self.shown()["disputeStatus"] in ("NEEDS_RESPONSE", "UNDER_REVIEW"):
            self.act("finance", "POST", f"/api/v1/refunds/{refund[0]}/process", {}, 409)
            return "APPROVED"
        self.act("finance", "POST", f"/api/v1/refunds/{refund[0]}/process", {}, 200, 202, 402, 409, 503)
        status = str(self.refund(refund)["status"])
        assert status == REFUNDS[self.method] or (self.model.disputed and status in ("FAILED", "APPROVED")), status
        if status in ("COMPLETED", "FAILED"):
            self.model.refunding -= refund[1]
        if status == "COMPLETED":
            self.model.refunded += refund[1]
        return status

    @rule(target=done, refund=consumes(approved))
    def process(self, refund: tuple[str, int]) -> Any:
        status = self.processed(refund)
        if status == "PROCESSING":
            self.inquire()
            self.model.refunding -= refund[1]
            self.model.refunded += refund[1]
            status = "COMPLETED"
        return refund if status == "COMPLETED" else multiple()

    @rule(target=done, percent=percents)
    def give_back_at_once(self, percent: int) -> Any:
        refund = self.ask_for_refund(percent)
        return self.process(refund) if isinstance(refund, tuple) else refund

    def inquire(self) -> None:
        self.service.clock.advance(seconds=2)
        self.run(self.service.run_jobs())

    @rule(refund=consumes(done))
    def comes_back(self, refund: tuple[str, int]) -> None:
        """The customer's bank returns a refund."""
        attempt_id = self.run(self.service.fetch("select attempt_id from refunds where id = $1", refund[0]))[0][0]
        self.service.sandbox.send_back(attempt_id)
        named = RefundNamed(key=attempt_id, payment_id=self.payment_id)
        self.run(refunds.on_provider_notice(self.service.app, SYSTEM, provider="sandbox", named=named))
        assert self.refund(refund)["status"] == "FAILED"
        self.model.refunded -= refund[1]

    @rule(target=disputed, percent=percents)
    def dispute(self, percent: int) -> Any:
        left = self.model.captured - self.model.refunded - self.model.disputed
        if not left:
            return multiple()
        amount = min(left, part_of(left, percent))
        reference = self.service.sandbox.open_dispute(self.shown()["transactionId"], amount=amount)
        self.noticed(reference)
        self.model.disputed += amount
        return reference, amount

    @rule(dispute=consumes(disputed), is_won=st.booleans())
    def decide(self, dispute: tuple[str, int], is_won: bool) -> None:
        status = DisputeStatus.WON if is_won else DisputeStatus.LOST
        self.service.sandbox.move_dispute(dispute[0], status)
        self.noticed(dispute[0])
        self.noticed(dispute[0])
        self.model.disputed -= dispute[1] if is_won else 0

    def noticed(self, reference: str) -> None:
        self.run(disputes.on_provider_notice(self.service.app, SYSTEM, provider="sandbox", reference=reference))

    def left(self) -> int:
        """What is in no transaction, and what is left of those that were completed."""
        taken = ("amountRefunding", "amountRefunded", "amountDisputed")
        return int(self.shown()["amountUnallocated"]) + sum(
            part["grossAmount"] - sum(part[name] for name in taken)
            for charge in self.all_charges()
            if charge["status"] == "COMPLETED"
            for part in charge["allocations"]
        )

    def all_charges(self) -> list[dict[str, Any]]:
        path = f"/api/v1/payments/order/{self.shown()['orderId']}?limit=100"
        listed = self.act("finance", "GET", path, None, 200)["data"]
        return [one for one in listed if one["type"] == "CHARGE"]

    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.run(self.service.api.as_("service").show(self.payment_id))
        return shown

    def refund(self, refund: tuple[str, int]) -> dict[str, Any]:
        return self.act("service", "GET", f"/api/v1/refunds/{refund[0]}", None, 200)

    @invariant()
    def looks_like_the_model(self) -> None:
        shown = self.shown()
        ours = (self.model.captured, self.model.refunding, self.model.refunded, self.model.disputed)
        names = ("amountCaptured", "amountRefunding", "amountRefunded", "amountDisputed")
        assert tuple(shown[name] for name in names) == ours
        assert shown["amountRefundable"] == self.model.refundable

    @invariant()
    def vendors_and_platform_share_what_was_allocated(self) -> None:
        charges = [one for one in self.all_charges() if one["status"] != "FAILED"]
        assert sum(one["amount"] for one in charges) == self.model.allocated
        for one in charges:
            assert sum(part["netAmount"] for part in one["allocations"]) + one["commissionTotal"] == one["amount"]

    @invariant()
    def holds_every_invariant(self) -> None:
        self.run(verify(self.service))


async def with_commission(service: Service) -> None:
    await Desk(service).active(rate="0.125")


def test_a_marketplace_payment_does_what_its_model_does(server_url: str) -> None:
    run_machine(Marketplace, server_url, examples=40, steps=15, prepare=with_commission)


@pytest.mark.long
def test_a_marketplace_payment_does_what_its_model_does_for_long(server_url: str) -> None:
    run_machine(
        Marketplace,
        server_url,
        examples=40 if os.environ.get("BURSAR_LONG_SAMPLE") else 500,
        steps=30,
        prepare=with_commission,
    )
