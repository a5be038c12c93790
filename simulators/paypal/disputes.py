"""Customer disputes v1: opened by a test, contested or given in to by the merchant."""

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.paypal.desk import Desk
from simulators.paypal.payments import Payments
from simulators.paypal.state import Order
from simulators.paypal.words import error, link, moment, money

FEE: Final = 2_000
"""Of a chargeback, in minor units; given back where it is won."""
DUE_SECONDS: Final = 10 * 86_400

FOR_CUSTOMER: Final = ("RESOLVED_BUYER_FAVOUR", "ACCEPTED")
"""Outcomes for which we pay."""

EVIDENCE_OWED: Final = frozenset({"PROOF_OF_FULFILLMENT", "PROOF_OF_REFUND", "PROOF_OF_RETURN"})
"""Kinds of evidence that need `evidence_info`."""


class Dispute(msgspec.Struct):
    """A dispute about a capture. status: WAITING_FOR_SELLER_RESPONSE, UNDER_REVIEW or RESOLVED. stage: INQUIRY, which
    holds no money, or CHARGEBACK. movements: of our money, as PayPal shows them.
    """

    id: str
    capture_id: str
    reason: str
    amount: int
    currency: str
    at: int
    status: str = "WAITING_FOR_SELLER_RESPONSE"
    evidences: list[dict[str, Any]] = []
    outcome: str = ""
    stage: str = "CHARGEBACK"
    movements: list[dict[str, Any]] = []


class Disputes:
    """Disputes by id."""

    def __init__(self, desk: Desk, payments: Payments) -> None:
        self.desk = desk
        self.payments = payments
        self.by_id: dict[str, Dispute] = {}

    def routes(self) -> Sequence[Route]:
        """Disputes v1, and what the customer and PayPal do: POST /test/disputes {capture_id, reason?, amount?, stage?},
        POST /test/disputes/{id}/decision {outcome_code}; ESCALATED makes a chargeback of an inquiry.
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
        dispute.stage = request.params.get("stage", dispute.stage)
        if dispute.stage != "INQUIRY":
            self._take(dispute, request, fee=FEE)
        self._tell("CREATED", dispute, request)
        return Answer(201, _told(dispute, request.base_url))

    def _decide(self, request: Request) -> Answer:
        dispute, outcome = self._known(request), json.loads(request.body)["outcome_code"]
        if outcome == "ESCALATED":
            dispute.stage, dispute.status = "CHARGEBACK", "WAITING_FOR_SELLER_RESPONSE"
            self._take(dispute, request, fee=FEE)
            self._tell("UPDATED", dispute, request)
            return Answer(200, _told(dispute, request.base_url))
        if outcome in FOR_CUSTOMER and not dispute.movements:
            self._take(dispute, request)
        elif outcome not in FOR_CUSTOMER and dispute.movements:
            self._give_back(dispute, request)
        self._resolve(dispute, outcome, request)
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
        if not dispute.movements:
            self._take(dispute, request)
        self._resolve(dispute, "RESOLVED_BUYER_FAVOUR", request)
        return self._linked(dispute, request)

    def _take(self, dispute: Dispute, request: Request, *, fee: int = 0) -> None:
        """The money goes from us, as far as it was not given back before."""
        order, capture = self.payments.captured(dispute.capture_id)
        amount = min(dispute.amount, capture.refundable)
        capture.disputed += amount
        dispute.movements = [*dispute.movements, *_moved(dispute, "DEBIT", amount, fee, request.now)]
        self._record(order, dispute, amount, fee, request)

    def _give_back(self, dispute: Dispute, request: Request) -> None:
        """We won: the money comes back, and the fee."""
        order, capture = self.payments.captured(dispute.capture_id)
        amount, capture.disputed = capture.disputed, 0
        dispute.movements = [*dispute.movements, *_moved(dispute, "CREDIT", amount, FEE, request.now)]
        self._record(order, dispute, -amount, -FEE, request)

    def _record(self, order: Order, dispute: Dispute, amount: int, fee: int, request: Request) -> None:
        for kind, moved in (("dispute", amount), ("dispute_fee", fee)):
            if moved:
                entry_id = f"{kind}-{dispute.id}-{len(dispute.movements)}"
                self.desk.record(kind, order, moved, request, id=entry_id, dispute=dispute.id)

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


def _moved(dispute: Dispute, kind: str, amount: int, fee: int, now: int) -> list[dict[str, Any]]:
    """Money movements. kind: DEBIT or CREDIT."""
    given = (("DISPUTE_SETTLEMENT", amount), ("CHARGEBACK_FEE", fee))
    return [
        {
            "affected_party": "SELLER",
            "amount": money(moved, dispute.currency),
            "initiated_time": moment(now),
            "type": kind,
            "reason": reason,
        }
        for reason, moved in given
        if moved
    ]


def _told(dispute: Dispute, base: str, *, is_short: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {
        "dispute_id": dispute.id,
        "create_time": moment(dispute.at),
        "reason": dispute.reason,
        "status": dispute.status,
        "dispute_amount": money(dispute.amount, dispute.currency),
        "dispute_life_cycle_stage": dispute.stage,
        "dispute_channel": "INTERNAL",
        "links": [link(f"{base}/v1/customer/disputes/{dispute.id}", "self")],
    }
    if is_short:
        return told
    told["disputed_transactions"] = [{"seller_transaction_id": dispute.capture_id}]
    told["seller_response_due_date"] = moment(dispute.at + DUE_SECONDS)
    if dispute.movements:
        told["money_movements"] = dispute.movements
    if dispute.evidences:
        told["evidences"] = dispute.evidences
    if dispute.outcome:
        told["dispute_outcome"] = {"outcome_code": dispute.outcome}
    return told
