"""RefundController: /api/v1/refunds; and the refund of one transaction, /api/v1/payments/{id}/refund."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from bursar.domains.refunds import batches, byhand, service, steps, store
from bursar.domains.refunds.begin import Wanted
from bursar.domains.refunds.model import Refund, Status
from bursar.domains.refunds.schemas import (
    ApproveRefund,
    BatchView,
    CancelRefund,
    CompleteRefund,
    CreateBatch,
    CreateRefund,
    FailRefund,
    ItemList,
    ItemPaging,
    ProcessRefund,
    RefundList,
    RefundTerms,
    RefundTransaction,
    RefundView,
    RejectRefund,
    UpdateRefund,
    render,
    render_batch,
    render_for_customer,
    render_item,
)
from bursar.domains.transactions import service as transactions
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, Paging, ResourceId, listing
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import NotFound
from bursar.kit.paging import Page

router = APIRouter(prefix="/api/v1/refunds", route_class=LeanRoute, tags=["Refunds"])
of_transactions = APIRouter(prefix="/api/v1/payments", route_class=LeanRoute, tags=["Transactions"])

MOVERS: Final = frozenset({"service", "finance", "admin"})
APPROVERS: Final = frozenset({"finance", "admin"})
STAFF: Final = MOVERS | {"support"}
CREATORS: Final = STAFF | {"customer"}
READERS: Final = STAFF | {"risk", "customer"}
BATCH_READERS: Final = STAFF | {"risk"}

Number = Annotated[str, Path(description="RFD-…")]


@router.post("", status_code=201, response_model=RefundView)
async def create_refund(call: Call, body: CreateRefund) -> Answer:
    """Ask for a refund; its amount is reserved from now on. The policy says who has to approve it."""
    call.allow(CREATORS)
    wanted = _wanted(call, body, payment_id=body.payment_id, transaction_id=body.transaction_id)
    return await service.create(call.bursar, Asked(call.origin(), call.claim()), wanted, show=_show(call))


@router.post("/batch", status_code=202, response_model=BatchView)
async def create_refund_batch(call: Call, body: CreateBatch) -> Answer:
    """Ask for the refunds of many orders or payments; a job goes through them."""
    call.allow(MOVERS)
    return await batches.create(call.bursar, Asked(call.origin(), call.claim()), body, roles=call.caller.roles)


@router.get("/batch/{id}", response_model=BatchView)
async def get_refund_batch(call: Call, id: ResourceId) -> Answer:
    """How far a batch is, and how its refunds stand."""
    call.allow(BATCH_READERS)
    batch = await batches.get(call.bursar, id)
    totals = await store.refund_totals(call.bursar.database, batch.id)
    return ok(render_batch(batch, totals), version=batch.version)


@router.get("/batch/{id}/items", response_model=ItemList)
async def list_refund_batch_items(call: Call, id: ResourceId, query: ItemPaging) -> Answer:
    """The items of a batch, in the order in which they were asked for."""
    call.allow(BATCH_READERS)
    batch = await batches.get(call.bursar, id)
    page = await store.page_items(
        call.bursar.database, batch.id, status=query.status, cursor=query.cursor, limit=query.limit
    )
    return ok(listing([render_item(item) for item in page.rows], page.next_cursor))


@router.get("/refund-number/{refundNumber}", response_model=RefundView)
async def get_refund_by_number(call: Call, refundNumber: Number) -> Answer:
    """A refund by the number that people use."""
    call.allow(READERS)
    is_number = ids.is_number("RFD", refundNumber)
    found = await store.find_by_number(call.bursar.database, refundNumber) if is_number else None
    return _shown(call, _visible(call, found))


@router.get("/payment/{paymentId}", response_model=RefundList)
async def list_refunds_of_payment(call: Call, paymentId: ResourceId, query: Paging) -> Answer:
    """The refunds of a payment; a customer sees its own."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query, payment_id=paymentId, customer_id=call.only_customer())
    return _listed(call, page)


@router.get("/order/{orderId}", response_model=RefundList)
async def list_refunds_of_order(call: Call, orderId: ForeignId, query: Paging) -> Answer:
    """The refunds of an order; a customer sees its own."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query, order_id=orderId, customer_id=call.only_customer())
    return _listed(call, page)


@router.get("/status/{status}", response_model=RefundList)
async def list_refunds_in_status(call: Call, status: Status, query: Paging) -> Answer:
    """The refunds in a status; a customer sees its own."""
    call.allow(READERS)
    return _listed(call, await store.page_in(call.bursar.database, query, status, customer_id=call.only_customer()))


@router.get("/{id}", response_model=RefundView)
async def get_refund(call: Call, id: ResourceId) -> Answer:
    """A refund by its id. One in PROCESSING is asked for at the provider first, where that is due."""
    return _shown(call, await steps.repair(call.bursar, await _own(call, id, READERS)))


@router.post("/{id}/approve", response_model=RefundView)
async def approve_refund(call: Call, id: ResourceId, body: ApproveRefund) -> Answer:
    """Consent to a refund. Not by who asked for it; two approvals are two persons'."""
    refund = await _own(call, id, APPROVERS)
    return await service.approve(call.bursar, _asked(call), refund, content_digest=body.content_digest)


@router.post("/{id}/reject", response_model=RefundView)
async def reject_refund(call: Call, id: ResourceId, body: RejectRefund) -> Answer:
    """Refuse a refund that waits for approval; what it had reserved is free again."""
    refund = await _own(call, id, APPROVERS)
    return await service.reject(call.bursar, _asked(call), refund, reason=body.reason)


@router.post("/{id}/cancel", response_model=RefundView)
async def cancel_refund(call: Call, id: ResourceId, body: CancelRefund) -> Answer:
    """Take a refund back that was not sent; what it had reserved is free again."""
    refund = await _own(call, id, CREATORS)
    return await service.cancel(call.bursar, _asked(call), refund, reason=body.reason, show=_show(call))


@router.post("/{id}/process", response_model=RefundView)
async def process_refund(call: Call, id: ResourceId, body: ProcessRefund) -> Answer:
    """Give the money of an approved refund back through the provider."""
    refund = await _own(call, id, MOVERS)
    asked = Asked(
        call.origin(), call.claim(), expected_version=call.expected_version(), is_waiting=not call.wants_asynchronous
    )
    return await steps.process(call.bursar, asked, refund)


@router.post("/{id}/complete", response_model=RefundView)
async def complete_refund(call: Call, id: ResourceId, body: CompleteRefund) -> Answer:
    """Call a refund completed that is PROCESSING: the provider is asked, and not contradicted."""
    refund = await _own(call, id, MOVERS)
    reference = body.provider_reference if not call.caller.roles.isdisjoint(APPROVERS) else None
    return await byhand.complete(call.bursar, _asked(call), refund, reference=reference)


@router.post("/{id}/fail", response_model=RefundView)
async def fail_refund(call: Call, id: ResourceId, body: FailRefund) -> Answer:
    """Call a refund failed that was not sent, or that the provider has not done: it is asked, and not contradicted."""
    refund = await _own(call, id, MOVERS)
    return await byhand.fail(call.bursar, _asked(call), refund, reason=body.reason)


@router.patch("/{id}", response_model=RefundView)
async def update_refund(call: Call, id: ResourceId, body: UpdateRefund) -> Answer:
    """Change the metadata."""
    return await service.update(call.bursar, _asked(call), await _own(call, id, STAFF), body)


@of_transactions.post(
    "/{id}/refund",
    response_model=transactions.TransactionView,
    responses={202: {"model": transactions.TransactionView}},
)
async def refund_transaction(call: Call, id: ResourceId, body: RefundTransaction) -> Answer:
    """Refund one charge, at once where the policy wants nobody's approval. Answers with the REFUND transaction."""
    call.allow(MOVERS)
    charge = await transactions.get(call.bursar, id)
    wanted = _wanted(
        call,
        body,
        payment_id=charge.payment_id,
        transaction_id=charge.id,
        expected_version=call.expected_version(),
    )
    asked = Asked(call.origin(), call.claim(), is_waiting=not call.wants_asynchronous)
    return await steps.refund_transaction(call.bursar, asked, wanted)


def _wanted(
    call: Call,
    body: RefundTerms,
    *,
    payment_id: str,
    transaction_id: str | None,
    expected_version: int | None = None,
) -> Wanted:
    return Wanted(
        payment_id=payment_id,
        reason=body.reason,
        roles=call.caller.roles,
        amount=body.amount,
        reason_detail=body.reason_detail,
        transaction_id=transaction_id,
        expected_version=expected_version,
        allocations=body.by_vendor,
        owner=call.only_customer(),
        metadata=body.metadata,
    )


def _asked(call: Call) -> Asked:
    return Asked(call.origin(), call.claim(), expected_version=call.expected_version())


async def _own(call: Call, refund_id: str, roles: frozenset[str]) -> Refund:
    call.allow(roles)
    return _visible(call, await service.get(call.bursar, refund_id))


def _visible(call: Call, refund: Refund | None) -> Refund:
    if refund is None or not call.sees(refund.customer_id):
        raise NotFound("no such refund")
    return refund


def _show(call: Call) -> Callable[[Refund], dict[str, Any]]:
    return render if call.caller.is_staff else render_for_customer


def _shown(call: Call, refund: Refund) -> Answer:
    return ok(_show(call)(refund), version=refund.version)


def _listed(call: Call, page: Page[Refund]) -> Answer:
    show = _show(call)
    return ok(listing([show(refund) for refund in page.rows], page.next_cursor))
