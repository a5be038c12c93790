"""Routing rules: /api/v1/routing-rules."""

from typing import Final

from fastapi import APIRouter

from bursar.domains.routing import service, store
from bursar.domains.routing.schemas import RoutingRuleList, RoutingRuleRequest, RoutingRuleView, render
from bursar.infra.answer import Answer, ok
from bursar.infra.db import found
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import Paging, ResourceId, listing

router = APIRouter(prefix="/api/v1/routing-rules", route_class=LeanRoute, tags=["Routing rules"])

READERS: Final = frozenset({"admin", "finance", "support"})
WRITERS: Final = frozenset({"admin"})


@router.post("", status_code=201, response_model=RoutingRuleView)
async def create_routing_rule(call: Call, body: RoutingRuleRequest) -> Answer:
    """Make a rule; it counts from the next authorization on."""
    call.allow(WRITERS)
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.get("", response_model=RoutingRuleList)
async def list_routing_rules(call: Call, query: Paging) -> Answer:
    """All rules, newest first. They count by `priority`, lowest first; those of one priority share by `weight`."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query)
    return ok(listing([render(rule) for rule in page.rows], page.next_cursor))


@router.get("/{id}", response_model=RoutingRuleView)
async def get_routing_rule(call: Call, id: ResourceId) -> Answer:
    """A rule by its id."""
    call.allow(READERS)
    rule = found(await call.bursar.reader.get(store.TABLE, id), "routing rule")
    return ok(render(rule), version=rule.version)


@router.put("/{id}", response_model=RoutingRuleView)
async def replace_routing_rule(call: Call, id: ResourceId, body: RoutingRuleRequest) -> Answer:
    """Put a whole rule in the place of another; INACTIVE takes it out."""
    call.allow(WRITERS)
    expected = call.expected_version()
    return await service.replace(call.bursar, call.origin(), call.claim(), id, body, expected_version=expected)
