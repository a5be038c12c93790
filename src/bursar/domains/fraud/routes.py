"""FraudCheckController: /api/v1/fraud-checks, in its first form."""

from typing import Final

from fastapi import APIRouter

from bursar.domains.fraud import service, store
from bursar.domains.fraud.schemas import FraudCheckList, FraudCheckView, ReviewFraudCheck, render
from bursar.infra.answer import Answer, ok
from bursar.infra.commands import Command
from bursar.infra.db import Tx
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ResourceId, listing

router = APIRouter(prefix="/api/v1/fraud-checks", route_class=LeanRoute, tags=["Fraud checks"])

READERS: Final = frozenset({"service", "finance", "admin", "support", "risk"})
REVIEWERS: Final = frozenset({"risk", "admin"})


@router.get("/payment/{paymentId}", response_model=FraudCheckList)
async def list_fraud_checks_of_payment(call: Call, paymentId: ResourceId) -> Answer:
    """The fraud checks of a payment."""
    call.allow(READERS)
    checks = await store.of_payment(call.bursar.database, paymentId)
    return ok(listing([render(check) for check in checks], None))


@router.put("/{id}/review", response_model=FraudCheckView)
async def review_fraud_check(call: Call, id: ResourceId, body: ReviewFraudCheck) -> Answer:
    """Record a person's decision; the payment moves on, or fails, by the event."""
    call.allow(REVIEWERS)
    expected = call.expected_version()

    async def decide(tx: Tx) -> Answer:
        check = await service.review(
            tx, id, is_approved=body.decision == "APPROVE", notes=body.notes, expected_version=expected
        )
        return ok(render(check), version=check.version)

    answer: Answer = await call.bursar.batcher.run(
        Command("fraud_check.review", id, decide, call.origin(), call.claim())
    )
    return answer
