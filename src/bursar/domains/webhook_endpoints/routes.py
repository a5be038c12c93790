"""Webhooks out: /api/v1/webhook-endpoints."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from bursar.domains.webhook_endpoints import service, store
from bursar.domains.webhook_endpoints.schemas import (
    CreateWebhookEndpoint,
    DeliveryQuery,
    EndpointQuery,
    RedeliverWebhook,
    RotateSecret,
    TestWebhookEndpoint,
    UpdateWebhookEndpoint,
    WebhookDeliveryList,
    WebhookDeliveryView,
    WebhookEndpointList,
    WebhookEndpointSecretView,
    WebhookEndpointView,
    render,
    render_delivery,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ResourceId, listing

router = APIRouter(prefix="/api/v1/webhook-endpoints", route_class=LeanRoute, tags=["Webhook endpoints"])

WRITERS: Final = frozenset({"admin", "service"})
READERS: Final = WRITERS | {"support"}


@router.post("", status_code=201, response_model=WebhookEndpointSecretView)
async def create_webhook_endpoint(call: Call, body: CreateWebhookEndpoint) -> Answer:
    """Have events sent to a URL from now on. The secret that signs them is shown in this answer alone."""
    call.allow(WRITERS)
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.get("", response_model=WebhookEndpointList)
async def list_webhook_endpoints(call: Call, query: Annotated[EndpointQuery, Query()]) -> Answer:
    """All endpoints that were not removed, newest first; or those in one status."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query, status=query.status)
    rows: list[dict[str, Any]] = [render(endpoint) for endpoint in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/deliveries/{id}", response_model=WebhookDeliveryView)
async def get_webhook_delivery(call: Call, id: ResourceId) -> Answer:
    """A delivery by its id, with what came of its last tries."""
    call.allow(READERS)
    delivery = await service.get_delivery(call.bursar, id)
    return ok(render_delivery(delivery), version=delivery.version)


@router.post("/deliveries/{id}/redeliver", status_code=202, response_model=WebhookDeliveryView)
async def redeliver_webhook(call: Call, id: ResourceId, body: RedeliverWebhook) -> Answer:
    """Send an event again under its id, in a new delivery; one that still waits is tried at once instead."""
    call.allow(WRITERS)
    return await service.redeliver(
        call.bursar, call.origin(), call.claim(), id, expected_version=call.expected_version()
    )


@router.get("/{id}", response_model=WebhookEndpointView)
async def get_webhook_endpoint(call: Call, id: ResourceId) -> Answer:
    """An endpoint by its id. Its secret is not shown again."""
    call.allow(READERS)
    endpoint = await service.get(call.bursar, id)
    return ok(render(endpoint), version=endpoint.version)


@router.patch("/{id}", response_model=WebhookEndpointView)
async def update_webhook_endpoint(call: Call, id: ResourceId, body: UpdateWebhookEndpoint) -> Answer:
    """Change the URL, what is sent, or whether anything is; what waits is tried at once."""
    call.allow(WRITERS)
    return await service.update(
        call.bursar, call.origin(), call.claim(), id, body, expected_version=call.expected_version()
    )


@router.delete("/{id}", response_model=WebhookEndpointView)
async def remove_webhook_endpoint(call: Call, id: ResourceId) -> Answer:
    """Remove an endpoint: nothing more is sent to it."""
    call.allow(WRITERS)
    return await service.remove(call.bursar, call.origin(), call.claim(), id, expected_version=call.expected_version())


@router.post("/{id}/rotate-secret", response_model=WebhookEndpointSecretView)
async def rotate_webhook_secret(call: Call, id: ResourceId, body: RotateSecret) -> Answer:
    """Make a new secret, shown in this answer alone. For `overlapHours` the older ones sign beside it."""
    call.allow(WRITERS)
    return await service.rotate_secret(
        call.bursar, call.origin(), call.claim(), id, body, expected_version=call.expected_version()
    )


@router.post("/{id}/test", status_code=202, response_model=WebhookDeliveryView)
async def test_webhook_endpoint(call: Call, id: ResourceId, body: TestWebhookEndpoint) -> Answer:
    """Send a test event, whatever the endpoint asks for; the delivery says what came of it."""
    call.allow(WRITERS)
    return await service.send_test(
        call.bursar, call.origin(), call.claim(), id, expected_version=call.expected_version()
    )


@router.get("/{id}/deliveries", response_model=WebhookDeliveryList)
async def list_webhook_deliveries(call: Call, id: ResourceId, query: Annotated[DeliveryQuery, Query()]) -> Answer:
    """What was sent, is to be sent, or was given up, newest first."""
    call.allow(READERS)
    await service.get(call.bursar, id)
    page = await store.page_of_deliveries(
        call.bursar.database, query, endpoint_id=id, status=query.status, event_type=query.event_type
    )
    rows: list[dict[str, Any]] = [render_delivery(delivery) for delivery in page.rows]
    return ok(listing(rows, page.next_cursor))
