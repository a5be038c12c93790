"""Disputes: opened by the test cards or by hand, contested with evidence, won or lost."""

from typing import Final

from simulators.kit.message import Answer, Request, Route
from simulators.stripe import words
from simulators.stripe.charges import Charges
from simulators.stripe.warnings import Warnings
from simulators.stripe.world import Object, World

DUE_DAYS: Final = 9
OPEN: Final = ("needs_response", "warning_needs_response")
WINNING, LOSING = "winning_evidence", "losing_evidence"
"""Stripe's test words: in uncategorized_text they decide a dispute as soon as the evidence is submitted."""


class Disputes:
    """Disputes of charges. `POST /_sim/disputes` {payment_intent, amount?, reason?, is_inquiry?} opens one; `POST
    /_sim/disputes/{dispute}` {outcome: won, lost or escalated} ends one, or makes a dispute of an inquiry.
    """

    def __init__(self, world: World, charges: Charges, warnings: Warnings) -> None:
        self._world, self._charges, self._warnings = world, charges, warnings
        self.routes = [
            Route("GET", "/v1/disputes", self._list),
            Route("GET", "/v1/disputes/{dispute}", self._retrieve),
            Route("POST", "/v1/disputes/{dispute}", self._update),
            Route("POST", "/v1/disputes/{dispute}/close", self._close),
            Route("POST", "/_sim/disputes", self._open_by_hand, is_documented=False, has_faults=False),
            Route("POST", "/_sim/disputes/{dispute}", self._end_by_hand, is_documented=False, has_faults=False),
        ]

    def after(self, charge: Object, request: Request | None) -> None:
        """Open the dispute that a test card brings."""
        card = self._charges.card(charge)
        if card is not None and card.dispute == "WARNING":
            self._warnings.warn(charge)
        elif card is not None and card.dispute:
            is_inquiry = card.dispute == "INQUIRY"
            reason = "general" if is_inquiry else card.dispute.lower()
            self.open(charge, charge["amount_captured"], reason, is_inquiry=is_inquiry)

    def open(self, charge: Object, amount: int, reason: str, *, is_inquiry: bool = False) -> Object:
        """A dispute; the money goes at once, unless it is an inquiry."""
        dispute = self._world.create(
            "dispute",
            "dp_",
            amount=amount,
            balance_transactions=[],
            charge=charge["id"],
            currency=charge["currency"],
            is_charge_refundable=is_inquiry,
            metadata={},
            payment_intent=charge["payment_intent"],
            reason=reason,
            status="warning_needs_response" if is_inquiry else "needs_response",
        )
        dispute["evidence"] = dict.fromkeys(dispute.get("evidence", {}))
        dispute["evidence_details"] = {
            "due_by": self._world.clock.unix() + DUE_DAYS * 86_400,
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        }
        charge["disputed"] = True
        self._world.hidden[charge["id"]]["is_refundable"] = is_inquiry
        self._world.event("charge.dispute.created", dispute)
        if not is_inquiry:
            self._withdraw(dispute, charge)
        self._warnings.after(charge, None)
        return dispute

    def escalate(self, dispute: Object) -> None:
        """Make a dispute of an inquiry: the money goes."""
        charge = self._world.get("charge", dispute["charge"])
        dispute["status"], dispute["is_charge_refundable"] = "needs_response", False
        self._world.hidden[charge["id"]]["is_refundable"] = False
        self._world.event("charge.dispute.updated", dispute)
        self._withdraw(dispute, charge)

    def _withdraw(self, dispute: Object, charge: Object) -> None:
        taken = self._charges.dispute(charge, dispute["amount"], None)
        taken["source"] = dispute["id"]
        dispute["balance_transactions"].append(dict(taken))
        self._world.event("charge.dispute.funds_withdrawn", dispute)

    def end(self, dispute: Object, outcome: str, request: Request | None) -> None:
        """won or lost; the money comes back where it was won."""
        is_inquiry = dispute["status"].startswith("warning")
        dispute["status"] = "warning_closed" if is_inquiry else outcome
        if outcome == "won" and not is_inquiry:
            charge = self._world.get("charge", dispute["charge"])
            back = self._charges.dispute(charge, dispute["amount"], request, is_back=True)
            back["source"] = dispute["id"]
            dispute["balance_transactions"].append(dict(back))
            self._world.event("charge.dispute.funds_reinstated", dispute, request)
        self._world.event("charge.dispute.closed", dispute, request)

    def _named(self, request: Request) -> Object:
        return self._world.get("dispute", request.path_values["dispute"], "dispute")

    def _retrieve(self, request: Request) -> Answer:
        return self._world.answer(self._named(request), request)

    def _list(self, request: Request) -> Answer:
        equal = {name: request.query.get(name) for name in ("charge", "payment_intent")}
        return self._world.page("dispute", request, **equal)

    def _update(self, request: Request) -> Answer:
        dispute, params = self._named(request), request.params
        dispute["metadata"] |= params.get("metadata") or {}
        evidence = params.get("evidence") or {}
        is_submitted = params.get("submit", True)
        if not evidence and "submit" not in params:
            return self._world.answer(dispute, request)
        if dispute["status"] not in OPEN:
            raise words.invalid("This dispute is already closed or under review.", code="dispute_not_open")
        dispute["evidence"] |= evidence
        details = dispute["evidence_details"]
        details["has_evidence"] = any(dispute["evidence"].values())
        if is_submitted:
            details["submission_count"] += 1
            is_inquiry = dispute["status"].startswith("warning")
            dispute["status"] = "warning_under_review" if is_inquiry else "under_review"
        self._world.event("charge.dispute.updated", dispute, request)
        text = dispute["evidence"].get("uncategorized_text")
        if is_submitted and text in (WINNING, LOSING):
            self.end(dispute, "won" if text == WINNING else "lost", request)
        return self._world.answer(dispute, request)

    def _close(self, request: Request) -> Answer:
        dispute = self._named(request)
        if dispute["status"] not in OPEN:
            raise words.invalid("This dispute is already closed.", code="dispute_not_open")
        self.end(dispute, "lost", request)
        return self._world.answer(dispute, request)

    def _open_by_hand(self, request: Request) -> Answer:
        intent = self._world.get("payment_intent", request.params.get("payment_intent"), "payment_intent")
        charge = self._world.get("charge", intent["latest_charge"])
        amount = int(request.params.get("amount") or charge["amount_captured"])
        reason, is_inquiry = str(request.params.get("reason", "fraudulent")), "is_inquiry" in request.params
        dispute = self.open(charge, amount, reason, is_inquiry=is_inquiry)
        return self._world.answer(dispute, request)

    def _end_by_hand(self, request: Request) -> Answer:
        dispute = self._named(request)
        if request.params.get("outcome") == "escalated":
            self.escalate(dispute)
        else:
            self.end(dispute, "won" if request.params.get("outcome") == "won" else "lost", None)
        return self._world.answer(dispute, request)
