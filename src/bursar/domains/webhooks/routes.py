"""PaymentWebhookController: /api/v1/payment-webhooks."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from bursar.domains.webhooks import service, store
from bursar.domains.webhooks.model import Webhook
from bursar.domains.webhooks.schemas import (
    AutoRetry,
    DryRunView,
    ProcessWebhook,
    ReceiveQuery,
    ReceiveWebhook,
    RunView,
    VerdictView,
    VerifySignature,
    WebhookList,
    WebhookQuery,
    WebhookView,
    render,
)
from bursar.domains.webhooks.signatures.verifier import HEADERS
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import IS_PUBLIC, UNLESS_TOKEN, LeanRoute, parsed_body
from bursar.infra.http.types import Paging, ResourceId, listing
from bursar.kit.paging import Page

router = APIRouter(prefix="/api/v1/payment-webhooks", route_class=LeanRoute, tags=["Webhooks"])

BRINGERS: Final = frozenset({"service"})
OPERATORS: Final = frozenset({"service", "finance", "admin"})
READERS: Final = frozenset({"service", "finance", "admin", "support", "risk"})

RAW: Final = [(name, name.encode()) for name in HEADERS]
EVENT_OF_PROVIDER: Final = {
    "description": "What the provider sends, with its signature; or, with a token, what a service hands over",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


@router.post(
    "",
    status_code=202,
    response_model=WebhookView,
    responses={200: {"model": WebhookView}, 401: {}},
    openapi_extra={IS_PUBLIC: UNLESS_TOKEN, "requestBody": EVENT_OF_PROVIDER},
)
async def receive_webhook(call: Call, query: Annotated[ReceiveQuery, Query()]) -> Answer:
    """Take a provider's event, by its own signature; or, by a service's token, one that the service vouches for."""
    if call.has_token:
        call.allow(BRINGERS)
        return await service.receive_trusted(
            call.bursar, call.origin(), call.claim(), parsed_body(call, ReceiveWebhook)
        )
    headers = {name: raw.decode("latin-1") for name, key in RAW if (raw := call.raw.get(key)) is not None}
    return await service.receive_signed(call.bursar, call.origin(), query.provider, headers, call.body_bytes)


@router.get("/unprocessed", response_model=WebhookList)
async def list_unprocessed_webhooks(call: Call, query: Annotated[WebhookQuery, Query()]) -> Answer:
    """Webhooks that are yet to be processed: RECEIVED, or FAILED and to be tried again."""
    call.allow(READERS)
    return _listed(await store.page_waiting(call.bursar.database, query, provider=query.provider))


@router.get("/errors", response_model=WebhookList)
async def list_failed_webhooks(call: Call, query: Annotated[WebhookQuery, Query()]) -> Answer:
    """Webhooks whose processing failed: FAILED, or given up as DEAD_LETTER."""
    call.allow(READERS)
    return _listed(await store.page_in_error(call.bursar.database, query, provider=query.provider))


@router.get("/payment/{paymentId}", response_model=WebhookList)
async def list_webhooks_of_payment(call: Call, paymentId: ResourceId, query: Paging) -> Answer:
    """The webhooks about a payment."""
    call.allow(READERS)
    return _listed(await store.page_of_payment(call.bursar.database, query, paymentId))


@router.post("/verify-signature", response_model=VerdictView)
async def verify_webhook_signature(call: Call, body: VerifySignature) -> Answer:
    """Whether a payload was signed by a provider, and why not. Nothing is stored."""
    call.allow(OPERATORS)
    return await service.verify_signature(call.bursar, body)


@router.post("/auto-retry", status_code=202, response_model=RunView, responses={200: {"model": DryRunView}})
async def retry_failed_webhooks(call: Call, body: AutoRetry) -> Answer:
    """Take up the webhooks in error, dead letters too; with dryRun, say what that would change."""
    call.allow(OPERATORS)
    return await service.auto_retry(call.bursar, call.origin(), call.claim(), body)


@router.get("/auto-retry/{id}", response_model=RunView)
async def get_retry_of_webhooks(call: Call, id: ResourceId) -> Answer:
    """How far a bulk retry has come."""
    call.allow(READERS)
    return ok(await service.progress(call.bursar, id))


@router.get("/{id}", response_model=WebhookView)
async def get_webhook(call: Call, id: ResourceId) -> Answer:
    """A webhook by its id."""
    call.allow(READERS)
    webhook = await service.get(call.bursar, id)
    return ok(render(webhook), version=webhook.version)


@router.post("/{id}/process", response_model=WebhookView)
async def process_webhook(call: Call, id: ResourceId, body: ProcessWebhook) -> Answer:
    """Make the next attempt to process a webhook now."""
    call.allow(OPERATORS)
    return await service.process_now(call.bursar, call.claim(), id, expected_version=call.expected_version())


@router.post("/{id}/retry", status_code=202, response_model=WebhookView)
async def retry_webhook(call: Call, id: ResourceId, body: ProcessWebhook) -> Answer:
    """Give a webhook that failed, was given up or ignored its attempts back; it is processed at once, by a job."""
    call.allow(OPERATORS)
    return await service.retry(call.bursar, call.origin(), call.claim(), id, expected_version=call.expected_version())


def _listed(page: Page[Webhook]) -> Answer:
    rows: list[dict[str, Any]] = [render(webhook) for webhook in page.rows]
    return ok(listing(rows, page.next_cursor))
