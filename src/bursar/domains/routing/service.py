"""Making and changing rules, and the plan for a payment."""

import msgspec

from bursar.domains.context import App
from bursar.domains.routing import store
from bursar.domains.routing.model import Facts, ProviderNotConfigured, Rule, plan
from bursar.domains.routing.schemas import RoutingRuleRequest, render
from bursar.infra import events
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version

EVENT_CREATED = "routing_rule.created"
EVENT_UPDATED = "routing_rule.updated"
LOCATION = "/api/v1/routing-rules/{}"


def providers_for(app: App, facts: Facts) -> tuple[str, ...]:
    """The providers for a payment by the rules of now, first choice first. Raises NoProvider."""
    return plan(app.routing_rules.rows, app.providers, facts)


async def create(app: App, origin: Origin, claim: Claim | None, request: RoutingRuleRequest) -> Answer:
    """Make a rule. Emits routing_rule.created. Idempotent by the claim. Raises ProviderNotConfigured."""
    _refuse_unknown(app, request)

    async def decide(tx: Tx) -> Answer:
        rule = Rule(id=ids.new(tx.now), version=1, created_at=tx.now, updated_at=tx.now, **request.model_dump())
        tx.object_id = rule.id
        tx.insert(store.TABLE, rule)
        data = events.public(store.TABLE, rule)
        events.emit(tx, stream=rule.id, version=1, event_type=EVENT_CREATED, about=rule.id, data=data)
        return created(render(rule), location=LOCATION.format(rule.id), version=1)

    return await app.batcher.run(Command("routing_rule.create", ids.new(app.clock.now()), decide, origin, claim))


async def replace(
    app: App,
    origin: Origin,
    claim: Claim | None,
    rule_id: str,
    request: RoutingRuleRequest,
    *,
    expected_version: int | None,
) -> Answer:
    """Put a whole rule in the place of another. Emits routing_rule.updated. Raises ProviderNotConfigured."""
    _refuse_unknown(app, request)

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, rule_id)
        match_version(before.version, expected_version)
        changes = request.model_dump()
        after = msgspec.structs.replace(before, version=before.version + 1, updated_at=tx.now, **changes)
        tx.update(store.TABLE, after, was=before.version)
        data = events.public(store.TABLE, after, changes)
        events.emit(tx, stream=after.id, version=after.version, event_type=EVENT_UPDATED, about=after.id, data=data)
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("routing_rule.update", rule_id, decide, origin, claim))


def _refuse_unknown(app: App, request: RoutingRuleRequest) -> None:
    if request.provider not in app.providers:
        raise ProviderNotConfigured(f"there is: {', '.join(app.providers)}")
