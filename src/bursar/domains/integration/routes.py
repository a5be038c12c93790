"""IntegrationEventController: /api/v1/integration-events."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from bursar.domains.integration import service, store
from bursar.domains.integration.schemas import (
    CloudEvent,
    IntegrationEventList,
    IntegrationEventView,
    ListIntegrationEvents,
    render,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ResourceId, listing

router = APIRouter(prefix="/api/v1/integration-events", route_class=LeanRoute, tags=["Integration events"])

SENDERS: Final = frozenset({"service"})
READERS: Final = frozenset({"service", "admin", "support"})

Filter = Annotated[ListIntegrationEvents, Query()]


@router.post("", status_code=202, response_model=IntegrationEventView, responses={200: {"model": IntegrationEventView}})
async def receive_integration_event(call: Call, body: CloudEvent) -> Answer:
    """Tell us what happened elsewhere, as a CloudEvent; 202, and 200 with what became of it where it came before."""
    call.allow(SENDERS)
    return await service.receive(call.bursar, call.origin(), call.claim(), body)


@router.get("", response_model=IntegrationEventList)
async def list_integration_events(call: Call, query: Filter) -> Answer:
    """What other services told us."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query, status=query.status)
    rows: list[dict[str, Any]] = [render(row) for row in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/{id}", response_model=IntegrationEventView)
async def get_integration_event(call: Call, id: ResourceId) -> Answer:
    """What became of an event, by our id of it."""
    call.allow(READERS)
    row = await service.get(call.bursar, id)
    return ok(render(row), version=row.version)
