"""PaymentMethodController: /api/v1/payment-methods."""

from typing import Any, Final

from fastapi import APIRouter

from bursar.domains.payment_methods import add, manage, refresh, service, store, verification
from bursar.domains.payment_methods.model import PaymentMethod
from bursar.domains.payment_methods.schemas import (
    CreatePaymentMethod,
    EncryptionKeyView,
    PaymentMethodList,
    PaymentMethodView,
    RefreshPaymentMethod,
    SetDefault,
    UpdatePaymentMethod,
    UpdateVerification,
    VerifyPaymentMethod,
    render,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, Paging, ResourceId, listing
from bursar.kit.errors import Forbidden, NotFound
from bursar.kit.paging import Page
from bursar.providers.port import MethodType

router = APIRouter(prefix="/api/v1/payment-methods", route_class=LeanRoute, tags=["Payment methods"])

WRITERS: Final = frozenset({"service", "admin", "customer"})
VERIFIERS: Final = frozenset({"service", "risk", "admin"})
READERS: Final = frozenset({"service", "finance", "admin", "support", "risk", "customer"})
LATER: Final[dict[str, Any]] = {"model": PaymentMethodView}
"""The answer where a provider has not said yet."""


@router.post("", status_code=201, response_model=PaymentMethodView, responses={402: {}})
async def add_payment_method(call: Call, body: CreatePaymentMethod) -> Answer:
    """Tokenize a card, a bank account or a wallet, and have its provider check it without charging."""
    call.allow(WRITERS)
    if not call.caller.is_staff and call.caller.customer_id != body.customer_id:
        raise Forbidden("a customer adds payment methods for itself only")
    return await add.add(call.bursar, call.origin(), call.claim(), body)


@router.get("/encryption-key", response_model=EncryptionKeyView)
async def get_encryption_key(call: Call) -> Answer:
    """The public key for `card.jwe`: take it anew for each card, or at least each day."""
    return ok(call.bursar.entry_keys.public())


@router.get("/{id}", response_model=PaymentMethodView)
async def get_payment_method(call: Call, id: ResourceId) -> Answer:
    """A payment method by its id, with its holder's name and address."""
    method = await _own(call, id, READERS)
    return ok(await service.show(call.bursar, method), version=method.version)


@router.get("/customer/{customerId}", response_model=PaymentMethodList)
async def list_payment_methods(call: Call, customerId: ForeignId, query: Paging) -> Answer:
    """The payment methods of a customer."""
    _must_own_customer(call, customerId)
    return _listed(await store.page(call.bursar.database, query, customer_id=customerId))


@router.get("/customer/{customerId}/active", response_model=PaymentMethodList)
async def list_active_payment_methods(call: Call, customerId: ForeignId, query: Paging) -> Answer:
    """The customer's methods that are active and verified."""
    _must_own_customer(call, customerId)
    return _listed(await store.page(call.bursar.database, query, customer_id=customerId, is_usable=True))


@router.get("/customer/{customerId}/default", response_model=PaymentMethodView)
async def get_default_payment_method(call: Call, customerId: ForeignId) -> Answer:
    """The customer's default method."""
    _must_own_customer(call, customerId)
    method = await store.find_default(call.bursar.database, customerId)
    if method is None:
        raise NotFound("the customer has no default payment method")
    return ok(await service.show(call.bursar, method), version=method.version)


@router.get("/customer/{customerId}/type/{methodType}", response_model=PaymentMethodList)
async def list_payment_methods_of_type(
    call: Call, customerId: ForeignId, methodType: MethodType, query: Paging
) -> Answer:
    """The customer's methods of one type."""
    _must_own_customer(call, customerId)
    return _listed(await store.page(call.bursar.database, query, customer_id=customerId, method_type=methodType))


@router.put("/{id}/set-default", response_model=PaymentMethodView)
async def set_default_payment_method(call: Call, id: ResourceId, body: SetDefault) -> Answer:
    """Make this method the customer's default."""
    method = await _own(call, id, WRITERS)
    return await manage.set_default(
        call.bursar, call.origin(), call.claim(), method, expected_version=call.expected_version()
    )


@router.put("/{id}/verification-status", response_model=PaymentMethodView)
async def update_verification_status(call: Call, id: ResourceId, body: UpdateVerification) -> Answer:
    """Record what a check outside found out."""
    method = await _own(call, id, VERIFIERS)
    return await manage.set_verification(
        call.bursar, call.origin(), call.claim(), method, body, expected_version=call.expected_version()
    )


@router.delete("/{id}", response_model=PaymentMethodView)
async def remove_payment_method(call: Call, id: ResourceId) -> Answer:
    """Remove a method: what was kept of its number cannot be read by anybody any more."""
    method = await _own(call, id, WRITERS)
    return await manage.remove(
        call.bursar, call.origin(), call.claim(), method, expected_version=call.expected_version()
    )


@router.patch("/{id}", response_model=PaymentMethodView, responses={410: {}})
async def update_payment_method(call: Call, id: ResourceId, body: UpdatePaymentMethod) -> Answer:
    """Change expiry, billing address and metadata; activate or deactivate."""
    method = await _own(call, id, WRITERS)
    return await manage.update(
        call.bursar, call.origin(), call.claim(), method, body, expected_version=call.expected_version()
    )


@router.post("/{id}/verify", response_model=PaymentMethodView, responses={202: LATER, 402: {}})
async def verify_payment_method(call: Call, id: ResourceId, body: VerifyPaymentMethod) -> Answer:
    """Verify a card or wallet without charging it; send an account two small amounts, or say what they were."""
    method = await _own(call, id, WRITERS)
    return await verification.verify(
        call.bursar, call.origin(), call.claim(), method, body, expected_version=call.expected_version()
    )


@router.post("/{id}/refresh", response_model=PaymentMethodView, responses={202: LATER})
async def refresh_payment_method(call: Call, id: ResourceId, body: RefreshPaymentMethod) -> Answer:
    """Ask the provider that keeps the method what it knows of it now."""
    method = await _own(call, id, WRITERS | {"support"})
    return await refresh.refresh(
        call.bursar, method, call.origin(), call.claim(), expected_version=call.expected_version()
    )


async def _own(call: Call, method_id: str, roles: frozenset[str]) -> PaymentMethod:
    call.allow(roles)
    method = await service.get(call.bursar, method_id)
    if not call.sees(method.customer_id):
        raise NotFound("no such payment method")
    return method


def _must_own_customer(call: Call, customer_id: str) -> None:
    call.allow(READERS)
    call.must_own_customer(customer_id)


def _listed(page: Page[PaymentMethod]) -> Answer:
    rows: list[dict[str, Any]] = [render(method) for method in page.rows]
    return ok(listing(rows, page.next_cursor))
