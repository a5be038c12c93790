"""Customer disputes v1: opened by a test, contested or given in to by the merchant."""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.paypal.desk import Desk
from simulators.paypal.payments import Payments
from simulators.paypal.state import Capture, Order, Refund
from simulators.paypal.words import error, link, moment, money

EVIDENCE_OWED: Final = frozenset({"PROOF_OF_FULFILLMENT", "PROOF_OF_REFUND", "PROOF_OF_RETURN"})
"""Kinds of evidence that need `evidence_info`."""


class Dispute(msgspec.Struct):
    """A dispute about a capture. status: WAITING_FOR_SELLER_RESPONSE, UNDER_REVIEW or RESOLVED."""

    id: str
    capture_id: str
    reason: str
    amount: int
    currency: str
    at: int
    status: str = "WAITING_FOR_SELLER_RESPONSE"
    evidences: list[dict[str, Any]] = []
    outcome: str = ""


class Disputes:
    """Disputes by id."""

    def __init__(self, desk: Desk, payments: Payments) -> None:
        self.desk = desk
        self.payments = payments
        self.by_id: dict[str, Dispute] = {}

    def routes(self) -> Sequence[Route]:
        """Disputes v1, and what the customer and PayPal do: POST /test/disputes {capture_id, reason?, amount?},
        POST /test/disputes/{id}/decision {outcome_code}.
        """
        return (
            Route("GET", "/v1/customer/disputes", self._list),
            Route("GET", "/v1/customer/disputes/{id}", self._get),
            Route("POST", "/v1/customer/disputes/{id}/provide-evidence", self._contest),
            Route("POST", "/v1/customer/disputes/{id}/accept-claim", self._accept),
            Route("POST", "/test/disputes", self._open, is_documented=False, has_faults=False),
            Route("POST", "/test/disputes/{id}/decision", self._decide, is_documented=False, has_faults=False),
        )

    def _open(self, request: Request) -> Answer:
        order, capture = self.payments.captured(request.params["capture_id"])
        dispute = Dispute(
            id=f"PP-D-{len(self.by_id) + 27_803}",
            capture_id=capture.id,
            reason=request.params.get("reason", "MERCHANDISE_OR_SERVICE_NOT_RECEIVED"),
            amount=request.params.get("amount", capture.amount),
            currency=order.currency,
            at=request.now,
        )
        self.by_id[dispute.id] = dispute
        self._tell("CREATED", dispute, request)
        return Answer(201, _told(dispute, request.base_url))

    def _decide(self, request: Request) -> Answer:
        dispute = self._known(request)
        self._resolve(dispute, json.loads(request.body)["outcome_code"], request)
        return Answer(200, _told(dispute, request.base_url))

    def _list(self, request: Request) -> Answer:
        wanted = request.query.get("disputed_transaction_id")
        found = [each for each in self.by_id.values() if wanted in (None, each.capture_id)]
        told = [_told(each, request.base_url, is_short=True) for each in found]
        path = link(f"{request.base_url}/v1/customer/disputes", "self")
        return Answer(200, {"links": [path]} | ({"items": told} if told else {}))

    def _get(self, request: Request) -> Answer:
        return Answer(200, _told(self._known(request), request.base_url))

    def _contest(self, request: Request) -> Answer:
        dispute = self._waiting(request)
        evidences = request.params.get("evidences")
        if not evidences:
            raise _refused("MISSING_REQUIRED_PARAMETER")
        for evidence in evidences:
            if evidence["evidence_type"] in EVIDENCE_OWED and "evidence_info" not in evidence:
                raise _refused("EVIDENCE_INFO_REQUIRED")
        told = [{**evidence, "source": "SUBMITTED_BY_SELLER", "date": moment(request.now)} for evidence in evidences]
        dispute.evidences = [*dispute.evidences, *told]
        dispute.status = "UNDER_REVIEW"
        self._tell("UPDATED", dispute, request)
        return self._linked(dispute, request)

    def _accept(self, request: Request) -> Answer:
        dispute = self._waiting(request)
        order, capture = self.payments.captured(dispute.capture_id)
        self._give_back(order, capture, dispute, request.now)
        self._resolve(dispute, "RESOLVED_BUYER_FAVOUR", request)
        return self._linked(dispute, request)

    def _give_back(self, order: Order, capture: Capture, dispute: Dispute, now: int) -> None:
        amount = min(dispute.amount, capture.refundable)
        if amount:
            capture.refunds = [*capture.refunds, Refund(self.desk.new_id("R"), amount, now)]
            capture.status = "PARTIALLY_REFUNDED" if capture.refundable else "REFUNDED"
            self.desk.books.record("dispute", order.id, amount, order.currency, at=now, dispute=dispute.id)

    def _resolve(self, dispute: Dispute, outcome: str, request: Request) -> None:
        dispute.status, dispute.outcome = "RESOLVED", outcome
        self._tell("RESOLVED", dispute, request)

    def _tell(self, word: str, dispute: Dispute, request: Request) -> None:
        told = _told(dispute, request.base_url)
        self.desk.emit(f"CUSTOMER.DISPUTE.{word}", "dispute", told, f"{dispute.id}: {dispute.status}")

    def _known(self, request: Request) -> Dispute:
        dispute = self.by_id.get(request.path_values["id"])
        if dispute is None:
            raise Refusal(error(404, name="RESOURCE_NOT_FOUND", message="The specified resource does not exist."))
        return dispute

    def _waiting(self, request: Request) -> Dispute:
        dispute = self._known(request)
        if dispute.status != "WAITING_FOR_SELLER_RESPONSE":
            raise _refused("ACTION_NOT_ALLOWED_IN_CURRENT_DISPUTE_STATE")
        return dispute

    def _linked(self, dispute: Dispute, request: Request) -> Answer:
        return Answer(200, {"links": [link(f"{request.base_url}/v1/customer/disputes/{dispute.id}", "self")]})


def _refused(issue: str) -> Refusal:
    return Refusal(error(400, issue, name="VALIDATION_ERROR", message="Invalid request - see details."))


def _told(dispute: Dispute, base: str, *, is_short: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {
        "dispute_id": dispute.id,
        "create_time": moment(dispute.at),
        "reason": dispute.reason,
        "status": dispute.status,
        "dispute_amount": money(dispute.amount, dispute.currency),
        "dispute_life_cycle_stage": "CHARGEBACK",
        "dispute_channel": "INTERNAL",
        "links": [link(f"{base}/v1/customer/disputes/{dispute.id}", "self")],
    }
    if is_short:
        return told
    told["disputed_transactions"] = [{"seller_transaction_id": dispute.capture_id}]
    if dispute.evidences:
        told["evidences"] = dispute.evidences
    if dispute.outcome:
        told["dispute_outcome"] = {"outcome_code": dispute.outcome}
    return told
