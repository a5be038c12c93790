"""PaymentTransactionController: /api/v1/payments."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path

from bursar.domains.transactions import backtest, service, store
from bursar.domains.transactions.model import Transaction
from bursar.domains.transactions.schemas import (
    Backtest,
    BacktestView,
    CompleteTransaction,
    CreateTransaction,
    FailTransaction,
    TransactionList,
    TransactionView,
    render,
    render_for_customer,
    render_for_vendor,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.auth import Caller
from bursar.infra.db import found
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, Paging, ResourceId, Text, listing
from bursar.kit.errors import Forbidden, NotFound
from bursar.kit.paging import Page

router = APIRouter(prefix="/api/v1/payments", route_class=LeanRoute, tags=["Transactions"])

rules_router = APIRouter(prefix="/api/v1/commission-rules", route_class=LeanRoute, tags=["Commission rules"])
"""What the rules of commissions have to do with transactions."""

MOVERS: Final = frozenset({"service", "finance", "admin"})
STAFF: Final = MOVERS | {"support", "risk"}
READERS: Final = STAFF | {"customer", "vendor"}
TRIERS: Final = frozenset({"finance", "admin"})

Reference = Annotated[Text, Path(description="the provider's or the caller's id of it")]


@router.post("", status_code=201, response_model=TransactionView)
async def create_transaction(call: Call, body: CreateTransaction) -> Answer:
    """Allocate captured money that is in no transaction yet to vendors. It is PENDING until it is completed."""
    call.allow(MOVERS)
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.get("/{id}", response_model=TransactionView)
async def get_transaction(call: Call, id: ResourceId) -> Answer:
    """A transaction by its id."""
    call.allow(READERS)
    return _shown(call, await service.get(call.bursar, id))


@router.get("/transaction/{transactionId}", response_model=TransactionView)
async def get_transaction_by_external_id(call: Call, transactionId: Reference) -> Answer:
    """A transaction by the id that the provider or the caller has for it: the newest, where several have it, as the
    captures of one payment may; for a customer or a vendor the newest of its own.
    """
    call.allow(READERS)
    customer_id, vendor_id = _confined_to(call.caller)
    transaction = await store.find_by_external_id(
        call.bursar.database, transactionId, customer_id=customer_id, vendor_id=vendor_id
    )
    return _shown(call, found(transaction, "transaction"))


@router.get("/order/{orderId}", response_model=TransactionList)
async def list_transactions_of_order(call: Call, orderId: ForeignId, query: Paging) -> Answer:
    """The transactions of an order; a customer or a vendor sees its own."""
    call.allow(READERS)
    customer_id, vendor_id = _confined_to(call.caller)
    page = await store.page(call.bursar.database, query, order_id=orderId, customer_id=customer_id, vendor_id=vendor_id)
    return _listed(call, page)


@router.get("/customer/{customerId}", response_model=TransactionList)
async def list_transactions_of_customer(call: Call, customerId: ForeignId, query: Paging) -> Answer:
    """The transactions of a customer."""
    call.allow(STAFF | {"customer"})
    call.must_own_customer(customerId)
    return _listed(call, await store.page(call.bursar.database, query, customer_id=customerId))


@router.get("/vendor/{vendorId}", response_model=TransactionList)
async def list_transactions_of_vendor(call: Call, vendorId: ForeignId, query: Paging) -> Answer:
    """The transactions that a vendor has a share of. Staff see them whole, the vendor what is its own."""
    call.allow(STAFF | {"vendor"})
    if not call.caller.is_staff and call.caller.vendor_id != vendorId:
        raise NotFound("no such vendor")
    return _listed(call, await store.page_of_vendor(call.bursar.database, query, vendor_id=vendorId))


@router.put("/{id}/complete", response_model=TransactionView)
async def complete_transaction(call: Call, id: ResourceId, body: CompleteTransaction) -> Answer:
    """Its money is the vendors' and the platform's from now on."""
    call.allow(MOVERS)
    return await service.complete(
        call.bursar,
        call.origin(),
        call.claim(),
        await service.get(call.bursar, id),
        gateway_reference=body.gateway_reference,
        expected_version=call.expected_version(),
    )


@router.put("/{id}/fail", response_model=TransactionView)
async def fail_transaction(call: Call, id: ResourceId, body: FailTransaction) -> Answer:
    """A PENDING transaction comes to nothing; its money can be allocated again."""
    call.allow(MOVERS)
    return await service.fail(
        call.bursar,
        call.origin(),
        call.claim(),
        await service.get(call.bursar, id),
        reason=body.reason,
        expected_version=call.expected_version(),
    )


@rules_router.post("/{id}/backtest", response_model=BacktestView)
async def backtest_commission_rule(call: Call, id: ResourceId, body: Backtest) -> Answer:
    """What a rule, be it a draft, would have earned on past charges, beside the rules that are active now."""
    call.allow(TRIERS)
    return await backtest.run(call.bursar, id, body)


def _confined_to(caller: Caller) -> tuple[str | None, str | None]:
    """The customer and the vendor to whose transactions the caller is confined, who may be both; neither for staff."""
    if caller.is_staff:
        return None, None
    if caller.customer_id is None and caller.vendor_id is None:
        raise Forbidden("the token names neither a customer nor a vendor")
    return caller.customer_id, caller.vendor_id


def _as_seen(call: Call, transaction: Transaction) -> dict[str, Any]:
    """The transaction as the caller may see it. Raises NotFound where it is none of his."""
    customer_id, vendor_id = _confined_to(call.caller)
    if customer_id is None and vendor_id is None:
        return render(transaction)
    if customer_id is not None and transaction.customer_id == customer_id:
        return render_for_customer(transaction)
    if vendor_id is not None and any(allocation.vendor_id == vendor_id for allocation in transaction.allocations):
        return render_for_vendor(transaction, vendor_id)
    raise NotFound("no such transaction")


def _shown(call: Call, transaction: Transaction) -> Answer:
    return ok(_as_seen(call, transaction), version=transaction.version)


def _listed(call: Call, page: Page[Transaction]) -> Answer:
    return ok(listing([_as_seen(call, transaction) for transaction in page.rows], page.next_cursor))
