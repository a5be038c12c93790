"""KycController: /api/v1/kyc."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from bursar.domains.kyc import service, store
from bursar.domains.kyc.model import Status, SubjectType
from bursar.domains.kyc.schemas import Decide, StartCheck, SubjectList, SubjectView, render, render_own
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, Paging, listing
from bursar.kit.errors import NotFound

router = APIRouter(prefix="/api/v1/kyc", route_class=LeanRoute, tags=["KYC"])

REQUESTERS: Final = frozenset({"service", "admin", "customer", "vendor"})
READERS: Final = frozenset({"service", "finance", "admin", "support", "risk", "customer", "vendor"})
LISTERS: Final = frozenset({"risk", "admin", "support"})
DECIDERS: Final = frozenset({"risk", "admin"})

Kind = Annotated[SubjectType, Path(description="CUSTOMER or VENDOR")]


@router.post("/{subjectType}/{subjectId}/checks", status_code=202, response_model=SubjectView)
async def start_kyc_check(call: Call, subjectType: Kind, subjectId: ForeignId, body: StartCheck) -> Answer:
    """Ask for a check. It goes on by itself; the outcome comes by event and by GET."""
    call.allow(REQUESTERS)
    _must_be_own(call, subjectType, subjectId)
    return await service.request_check(
        call.bursar,
        call.origin(),
        call.claim(),
        subjectType,
        subjectId,
        body,
        expected_version=call.expected_version(),
    )


@router.get("/status/{status}", response_model=SubjectList)
async def list_kyc_in_status(call: Call, status: Status, query: Paging) -> Answer:
    """Who is in a status. Nobody is listed as NOT_STARTED: of them nothing is known."""
    call.allow(LISTERS)
    page = await store.page_in(call.bursar.database, query, status)
    rows: list[dict[str, Any]] = [render(subject) for subject in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/{subjectType}/{subjectId}", response_model=SubjectView)
async def get_kyc(call: Call, subjectType: Kind, subjectId: ForeignId) -> Answer:
    """How a customer or vendor stands; NOT_STARTED where nothing was ever asked for."""
    call.allow(READERS)
    _must_be_own(call, subjectType, subjectId)
    subject = await service.get(call.bursar, subjectType, subjectId)
    shown = render(subject) if call.caller.is_staff else render_own(subject)
    return ok(shown, version=subject.version)


@router.put("/{subjectType}/{subjectId}/decision", response_model=SubjectView)
async def decide_kyc(call: Call, subjectType: Kind, subjectId: ForeignId, body: Decide) -> Answer:
    """Record a person's decision on a check that is PENDING."""
    call.allow(DECIDERS)
    return await service.decide_check(
        call.bursar,
        call.origin(),
        call.claim(),
        subjectType,
        subjectId,
        body,
        expected_version=call.expected_version(),
    )


def _must_be_own(call: Call, subject_type: SubjectType, subject_id: str) -> None:
    """Raise NotFound where the caller is no staff, and somebody else."""
    caller = call.caller
    own = caller.customer_id if subject_type is SubjectType.CUSTOMER else caller.vendor_id
    if not caller.is_staff and own != subject_id:
        raise NotFound("no such customer or vendor")
