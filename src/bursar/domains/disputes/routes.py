"""Disputes: /api/v1/disputes."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from bursar.domains.disputes import service, store
from bursar.domains.disputes.model import Dispute
from bursar.domains.disputes.schemas import (
    AcceptDispute,
    CloseDispute,
    CreateDispute,
    DisputeList,
    DisputeQuery,
    DisputeView,
    StageEvidence,
    SubmitEvidence,
    render,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import Paging, ResourceId, listing
from bursar.infra.steps import Asked
from bursar.kit.paging import Page

router = APIRouter(prefix="/api/v1/disputes", route_class=LeanRoute, tags=["Disputes"])

READERS: Final = frozenset({"service", "risk", "finance", "support", "admin"})
WRITERS: Final = frozenset({"service", "risk", "finance", "admin"})
CONTESTERS: Final = frozenset({"risk", "finance", "support", "admin"})
ENDERS: Final = frozenset({"finance", "admin"})
LATE_OR_DECLINED: Final[dict[int | str, dict[str, Any]]] = {202: {"model": DisputeView}, 402: {}}
"""Of a step with a provider: its outcome is not known yet, or it declined."""


@router.get("", response_model=DisputeList)
async def list_disputes(call: Call, query: Annotated[DisputeQuery, Query()]) -> Answer:
    """Disputes, newest first: in a status, of which a vendor bears a share."""
    call.allow(READERS)
    return _listed(await store.page(call.bursar.database, query, status=query.status, vendor_id=query.vendor_id))


@router.get("/{id}", response_model=DisputeView)
async def get_dispute(call: Call, id: ResourceId) -> Answer:
    """A dispute by its id."""
    call.allow(READERS)
    dispute = await service.get(call.bursar, id)
    return ok(await service.show(call.bursar, dispute), version=dispute.version)


@router.get("/payment/{paymentId}", response_model=DisputeList)
async def list_disputes_of_payment(call: Call, paymentId: ResourceId, query: Paging) -> Answer:
    """The disputes of a payment, newest first."""
    call.allow(READERS)
    return _listed(await store.page_of_payment(call.bursar.database, query, paymentId))


@router.post("", status_code=201, response_model=DisputeView, responses={200: {"model": DisputeView}})
async def create_dispute(call: Call, body: CreateDispute) -> Answer:
    """Write down a dispute, or an alert, that a person was told of. 200: an alert of that kind has become a dispute."""
    call.allow(WRITERS)
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.put("/{id}/evidence", response_model=DisputeView, responses={410: {}})
async def stage_dispute_evidence(call: Call, id: ResourceId, body: StageEvidence) -> Answer:
    """Put evidence beside what is there. It is handed in by submit, or by itself an hour before the deadline."""
    call.allow(CONTESTERS)
    return await service.stage(call.bursar, _asked(call), await service.get(call.bursar, id), body)


@router.post("/{id}/submit", response_model=DisputeView, responses=LATE_OR_DECLINED)
async def submit_dispute_evidence(call: Call, id: ResourceId, body: SubmitEvidence) -> Answer:
    """Hand in what was staged."""
    call.allow(CONTESTERS)
    return await service.submit(call.bursar, _asked(call), await service.get(call.bursar, id))


@router.post("/{id}/accept", response_model=DisputeView, responses=LATE_OR_DECLINED)
async def accept_dispute(call: Call, id: ResourceId, body: AcceptDispute) -> Answer:
    """Contest a dispute no more. An alert is accepted by refunding the payment."""
    call.allow(ENDERS)
    return await service.accept(call.bursar, _asked(call), await service.get(call.bursar, id))


@router.post("/{id}/close", response_model=DisputeView)
async def close_dispute(call: Call, id: ResourceId, body: CloseDispute) -> Answer:
    """Say how a dispute ended of which no provider can be asked."""
    call.allow(ENDERS)
    return await service.close(call.bursar, _asked(call), await service.get(call.bursar, id), body)


def _asked(call: Call) -> Asked:
    return Asked(call.origin(), call.claim(), call.expected_version())


def _listed(page: Page[Dispute]) -> Answer:
    rows: list[dict[str, Any]] = [render(dispute) for dispute in page.rows]
    return ok(listing(rows, page.next_cursor))
