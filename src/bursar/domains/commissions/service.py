"""Making and changing commission rules, and what the rules of now say of a transaction."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from bursar.domains.commissions import conflicts, engine, store
from bursar.domains.commissions.change import change
from bursar.domains.commissions.conflicts import Conflict
from bursar.domains.commissions.engine import Choice
from bursar.domains.commissions.model import (
    EVENT_CREATED,
    MACHINE,
    Commission,
    CommissionType,
    ExperimentMismatch,
    Facts,
    Rule,
    SecondPersonRequired,
    Status,
    TooManyActiveRules,
)
from bursar.domains.commissions.schemas import ChangeRule, CheckConflicts, CreateRule, RuleTerms
from bursar.domains.commissions.views import render, render_conflict
from bursar.domains.context import App
from bursar.infra import events
from bursar.infra.answer import Answer, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.http.call import require
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version

LOCATION = "/api/v1/commission-rules/{}"
CONFLICTS_MAX = 1_000
"""Conflicts in one answer."""

COMPARED_MAX = 3_000_000
"""Pairs of rules that one check compares."""

COMPARED_AT_ONCE = 500
"""Pairs after which other requests have their turn."""


def choose(app: App, facts: Facts, *, limit: int) -> Choice:
    """The rule that counts for a transaction by the rules of now, and why the first `limit` others do not."""
    index: engine.Index = app.commission_rules.index
    return index.choose(facts, limit=limit)


def charge(winner: Rule | None, facts: Facts) -> Commission:
    """What the rule that counts charges on a transaction, whose volume is that of the rule's window. Pure."""
    return engine.commission(winner, facts)


async def measured(app: App, facts: Facts, winner: Rule | None) -> Facts:
    """The facts with what the vendor sold within the winner's window before them, where it has one."""
    if winner is None or winner.volume_window_days is None:
        return facts
    since = facts.at - timedelta(days=winner.volume_window_days)
    volume = await app.vendor_volume(app, facts.vendor_id, facts.currency, since, facts.at)
    return msgspec.structs.replace(facts, volume=volume)


async def get(app: App, rule_id: str) -> Rule:
    """The rule as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, rule_id), "commission rule")


def trial(app: App, rule: Rule) -> tuple[engine.Index, engine.Index]:
    """The active rules without `rule`, and with it as if it were active and had been in force at all times."""
    others = [other for other in app.commission_rules.rows if other.id != rule.id]
    tried = msgspec.structs.replace(rule, status=Status.ACTIVE)
    return engine.Index(others), engine.Index([*others, tried], tried=rule.id)


async def create(app: App, origin: Origin, claim: Claim | None, request: CreateRule) -> Answer:
    """Make a rule, a DRAFT. Emits commission_rule.created. Idempotent by the claim."""

    async def decide(tx: Tx) -> Answer:
        rule = Rule(
            id=ids.new(tx.now),
            version=1,
            name=request.name,
            status=MACHINE.initial,
            authors=(tx.origin.actor,),
            changed_by=tx.origin.actor,
            change_reason=request.reason or "created",
            metadata=request.metadata,
            created_at=tx.now,
            updated_at=tx.now,
            **_dated(request, tx),
        )
        tx.object_id = rule.id
        tx.insert(store.TABLE, rule)
        data = events.public(store.TABLE, rule)
        events.emit(tx, stream=rule.id, version=1, event_type=EVENT_CREATED, about=rule.id, data=data)
        return created(render(rule), location=LOCATION.format(rule.id), version=1)

    return await app.batcher.run(Command("commission_rule.create", ids.new(app.clock.now()), decide, origin, claim))


async def replace(
    app: App,
    origin: Origin,
    claim: Claim | None,
    rule_id: str,
    request: ChangeRule,
    *,
    expected_version: int | None,
) -> Answer:
    """Put whole terms in the place of others; the rule is a DRAFT then. An ACTIVE rule is deactivated first.

    Emits commission_rule.changed. Idempotent by the claim.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, rule_id)
        match_version(before.version, expected_version)
        earlier = before.authors if before.status is Status.DRAFT else ()
        after = change(
            tx,
            before,
            "change",
            reason=request.reason,
            name=request.name,
            metadata=request.metadata,
            authors=tuple(dict.fromkeys((*earlier, tx.origin.actor))),
            **_dated(request, tx),
        )
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("commission_rule.change", rule_id, decide, origin, claim))


async def activate(
    app: App, origin: Origin, claim: Claim | None, rule_id: str, *, reason: str | None, expected_version: int | None
) -> Answer:
    """Put a rule in force; whoever wrote its terms may not.

    Emits commission_rule.activated. Idempotent by the claim. Raises SecondPersonRequired, ExperimentMismatch,
    TooManyActiveRules.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, rule_id)
        match_version(before.version, expected_version)
        if MACHINE.allows(before.status, "activate"):
            if tx.origin.actor in before.authors:
                raise SecondPersonRequired("who made or changed a rule may not activate it")
            _refuse_misfit(before, app.commission_rules.rows)
        after = change(tx, before, "activate", reason=reason or "activated")
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("commission_rule.activate", rule_id, decide, origin, claim))


async def deactivate(
    app: App, origin: Origin, claim: Claim | None, rule_id: str, *, reason: str | None, expected_version: int | None
) -> Answer:
    """Take a rule out of force. Emits commission_rule.deactivated. Idempotent by the claim."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, rule_id)
        match_version(before.version, expected_version)
        after = change(tx, before, "deactivate", reason=reason or "deactivated")
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("commission_rule.deactivate", rule_id, decide, origin, claim))


async def check_conflicts(app: App, request: CheckConflicts) -> Answer:
    """Which active rules meet: a rule that is sent, or the one of an id, with all others; or all with one another.

    Other requests have their turn meanwhile. Nothing is written.
    """
    rules: tuple[Rule, ...] = tuple(app.commission_rules.rows)
    sent_id: str | None = None
    if not request.model_fields_set:
        pairs = conflicts.among(rules)
    elif request.rule_id is not None:
        kept = found(await app.reader.get(store.TABLE, request.rule_id), "commission rule")
        pairs = conflicts.against(kept, rules)
    else:
        rule = _sent(app, request)
        sent_id = rule.id
        pairs = conflicts.against(rule, rules)
    told, is_complete = await _gathered(pairs)
    return ok(
        {
            "conflicts": [render_conflict(conflict, sent_id) for conflict in told],
            "isComplete": is_complete,
            "rulesChecked": len(rules),
        }
    )


async def _gathered(pairs: Iterator[Conflict | None]) -> tuple[list[Conflict], bool]:
    """The conflicts among the pairs, and whether these are all."""
    told: list[Conflict] = []
    for number, conflict in enumerate(pairs, 1):
        if conflict is not None:
            if len(told) == CONFLICTS_MAX:
                return told, False
            told.append(conflict)
        if number == COMPARED_MAX:
            return told, False
        if conflict is not None or number % COMPARED_AT_ONCE == 0:  # an example may take long to find
            await asyncio.sleep(0)
    return told, True


def _sent(app: App, request: CheckConflicts) -> Rule:
    """The rule that is sent, as if it were made now."""
    now = app.clock.now()
    terms = request.terms()
    terms["commission_type"] = terms["commission_type"] or CommissionType.FIXED
    terms["effective_from"] = terms["effective_from"] or now
    _refuse_empty_window(terms["effective_from"], terms["effective_to"])
    return Rule(
        id=ids.new(now),
        version=1,
        name=request.name or "",
        status=Status.DRAFT,
        authors=(),
        changed_by="",
        change_reason="",
        metadata={},
        created_at=now,
        updated_at=now,
        **terms,
    )


def _dated(request: RuleTerms, tx: Tx) -> dict[str, Any]:
    """The terms as a rule keeps them: in force from now on where nothing else is said."""
    terms = request.terms()
    terms["effective_from"] = terms["effective_from"] or tx.now
    _refuse_empty_window(terms["effective_from"], terms["effective_to"])
    return terms


def _refuse_empty_window(starts_at: datetime, ends_at: datetime | None) -> None:
    is_open = ends_at is None or starts_at < ends_at
    require(is_open, "effectiveTo", "ends_before_it_begins", "effectiveTo is not after effectiveFrom, which is now")


def _refuse_misfit(rule: Rule, active: Sequence[Rule]) -> None:
    """Raise where the rule does not fit those that are active. Should two activations cross, the engine copes: it
    takes the higher of two weights.
    """
    if len(active) >= store.ACTIVE_MAX:
        raise TooManyActiveRules(f"at most {store.ACTIVE_MAX}")
    own = rule.experiment
    if own is None:
        return
    for other in active:
        theirs = other.experiment
        if theirs is None or other.id == rule.id or theirs.name != own.name:
            continue
        if theirs.unit is not own.unit or (theirs.variant == own.variant and theirs.weight != own.weight):
            raise ExperimentMismatch(f"rule {other.id} says: {theirs.unit}, weight {theirs.weight}", ruleId=other.id)
