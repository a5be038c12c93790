"""PaymentController: /api/v1/payments/core."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from bursar.domains.payments import model, service, steps, store
from bursar.domains.payments.model import Payment, PublicStatus, Status
from bursar.domains.payments.schemas import (
    AuthorizePayment,
    CancelPayment,
    CapturePayment,
    CompletePayment,
    CreatePayment,
    FailPayment,
    PaymentList,
    PaymentView,
    Timeline,
    TimelineQuery,
    UpdatePayment,
    for_customer,
    render,
)
from bursar.infra import events
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, Paging, ResourceId, Text, listing
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import Forbidden, NotFound
from bursar.kit.paging import Page, id_after, page_of

router = APIRouter(prefix="/api/v1/payments/core", route_class=LeanRoute, tags=["Payments"])

MOVERS: Final = frozenset({"service", "finance", "admin"})
CREATORS: Final = frozenset({"service", "admin", "customer"})
CANCELLERS: Final = MOVERS | {"support", "customer"}
READERS: Final = frozenset({"service", "finance", "admin", "support", "risk", "customer"})
TIMELINE_MAX: Final = 1_000

Number = Annotated[str, Path(description="PAY-…")]
Reference = Annotated[Text, Path(description="the provider's reference")]


@router.post("", status_code=201, response_model=PaymentView)
async def create_payment(call: Call, body: CreatePayment) -> Answer:
    """Create a payment; it is scored for fraud before it is kept."""
    call.allow(CREATORS)
    if not call.caller.is_staff and call.caller.customer_id != body.customer_id:
        raise Forbidden("a customer creates payments for itself only")
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.get("/{id}", response_model=PaymentView)
async def get_payment(call: Call, id: ResourceId) -> Answer:
    """A payment by its id. One in PROCESSING is asked for at the provider first, where that is due."""
    payment = await steps.repair(call.bursar, await _own(call, id))
    return await _shown(call, payment)


@router.get("/number/{paymentNumber}", response_model=PaymentView)
async def get_payment_by_number(call: Call, paymentNumber: Number) -> Answer:
    """A payment by the number that people use."""
    call.allow(READERS)
    is_number = ids.is_number("PAY", paymentNumber)
    found = await store.find_by_number(call.bursar.database, paymentNumber) if is_number else None
    return await _shown(call, _visible(call, found))


@router.get("/transaction/{transactionId}", response_model=PaymentView)
async def get_payment_by_transaction(call: Call, transactionId: Reference) -> Answer:
    """A payment by the provider's reference."""
    call.allow(READERS)
    found = await store.find_by_provider_transaction(call.bursar.database, transactionId)
    return await _shown(call, _visible(call, found))


@router.get("/order/{orderId}", response_model=PaymentList)
async def list_payments_of_order(call: Call, orderId: ForeignId, query: Paging) -> Answer:
    """The payments of an order; a customer sees its own."""
    call.allow(READERS)
    return _listed(await store.page(call.bursar.database, query, order_id=orderId, customer_id=call.only_customer()))


@router.get("/customer/{customerId}", response_model=PaymentList)
async def list_payments_of_customer(call: Call, customerId: ForeignId, query: Paging) -> Answer:
    """The payments of a customer."""
    call.allow(READERS)
    call.must_own_customer(customerId)
    return _listed(await store.page(call.bursar.database, query, customer_id=customerId))


@router.get("/status/{status}", response_model=PaymentList)
async def list_payments_in_status(call: Call, status: PublicStatus, query: Paging) -> Answer:
    """The payments in a status; a customer sees its own."""
    call.allow(READERS)
    inner = [candidate for candidate in Status if model.PUBLIC[candidate] is status]
    return _listed(await store.page_in(call.bursar.database, query, inner, customer_id=call.only_customer()))


@router.put("/{id}/authorize", response_model=PaymentView)
async def authorize_payment(call: Call, id: ResourceId, body: AuthorizePayment) -> Answer:
    """Reserve the amount on the payment method; an AUTOMATIC payment is captured at once."""
    call.allow(MOVERS)
    return await steps.authorize(call.bursar, _asked(call), id, method_id=body.payment_method_id)


@router.put("/{id}/capture", response_model=PaymentView)
async def capture_payment(call: Call, id: ResourceId, body: CapturePayment) -> Answer:
    """Take the authorized amount or a part of it."""
    call.allow(MOVERS)
    return await steps.capture(call.bursar, _asked(call), id, amount=body.amount, is_final=body.final_capture)


@router.put("/{id}/complete", response_model=PaymentView)
async def complete_payment(call: Call, id: ResourceId, body: CompletePayment) -> Answer:
    """Finish a captured payment; what was not captured is given back."""
    call.allow(MOVERS)
    return await steps.complete(call.bursar, _asked(call), id)


@router.put("/{id}/fail", response_model=PaymentView)
async def fail_payment(call: Call, id: ResourceId, body: FailPayment) -> Answer:
    """Mark a payment as failed; an authorization is voided."""
    call.allow(MOVERS)
    return await steps.end(
        call.bursar, _asked(call), id, "fail", reason=body.reason, failure_code=body.failure_code or "failed_by_caller"
    )


@router.put("/{id}/cancel", response_model=PaymentView)
async def cancel_payment(call: Call, id: ResourceId, body: CancelPayment) -> Answer:
    """Cancel a payment; an authorization is voided. A customer cancels its own while it is PENDING."""
    call.allow(CANCELLERS)
    return await steps.end(call.bursar, _asked(call), id, "cancel", reason=body.reason, owner=call.only_customer())


@router.patch("/{id}", response_model=PaymentView)
async def update_payment(call: Call, id: ResourceId, body: UpdatePayment) -> Answer:
    """Change description and metadata."""
    call.allow(MOVERS | {"support"})
    return await service.update(
        call.bursar, call.origin(), call.claim(), id, body, expected_version=call.expected_version()
    )


@router.get("/{id}/timeline", response_model=Timeline)
async def get_payment_timeline(call: Call, id: ResourceId, query: Annotated[TimelineQuery, Query()]) -> Answer:
    """Every event of the payment and of what belongs to it, oldest first; for a customer those of the payment and of
    its refunds, with what it may know of them.
    """
    payment, after = await _own(call, id), id_after(query.cursor)
    happened = await events.of_timeline(call.bursar.database, payment.id, limit=TIMELINE_MAX + 1, after=after)
    page = page_of(happened, TIMELINE_MAX)
    shown = [events.envelope(event) for event in page.rows]
    return ok(listing(shown if call.caller.is_staff else for_customer(shown), page.next_cursor))


def _asked(call: Call) -> Asked:
    return Asked(
        call.origin(), call.claim(), expected_version=call.expected_version(), is_waiting=not call.wants_asynchronous
    )


async def _own(call: Call, payment_id: str) -> Payment:
    call.allow(READERS)
    return _visible(call, await service.get(call.bursar, payment_id))


def _visible(call: Call, payment: Payment | None) -> Payment:
    if payment is None or not call.sees(payment.customer_id):
        raise NotFound("no such payment")
    return payment


async def _shown(call: Call, payment: Payment) -> Answer:
    return ok(await service.show(call.bursar, payment), version=payment.version)


def _listed(page: Page[Payment]) -> Answer:
    rows: list[dict[str, Any]] = [render(payment) for payment in page.rows]
    return ok(listing(rows, page.next_cursor))
