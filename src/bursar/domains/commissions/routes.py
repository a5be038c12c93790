"""CommissionRuleController: /api/v1/commission-rules."""

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter

from bursar.domains.commissions import engine, service, store
from bursar.domains.commissions.model import Rule, Status
from bursar.domains.commissions.schemas import Asked, ChangeRule, CheckConflicts, CreateRule, Filter, WhySo
from bursar.domains.commissions.views import (
    BestRuleView,
    CalculationView,
    CommissionRuleList,
    CommissionRuleView,
    ConflictsView,
    render,
    render_best,
    render_calculation,
    render_for_vendor,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.db import found
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import ForeignId, ResourceId, listing
from bursar.kit.errors import NotFound
from bursar.kit.paging import Page

router = APIRouter(prefix="/api/v1/commission-rules", route_class=LeanRoute, tags=["Commission rules"])

WRITERS: Final = frozenset({"finance", "admin"})
CHECKERS: Final = frozenset({"finance", "admin", "support", "service"})
READERS: Final = CHECKERS | {"vendor"}


@router.post("", status_code=201, response_model=CommissionRuleView)
async def create_commission_rule(call: Call, body: CreateRule) -> Answer:
    """Make a rule. It counts for nothing until a second person activates it."""
    call.allow(WRITERS)
    return await service.create(call.bursar, call.origin(), call.claim(), body)


@router.get("/calculate", response_model=CalculationView, responses={404: {}})
async def calculate_commission(call: Call, query: Asked) -> Answer:
    """The commission on a transaction, how it comes about, and why other rules do not count."""
    _must_be_of(call, query.vendor_id)
    facts = query.facts(call.bursar.clock.now())
    choice = service.choose(call.bursar, facts, limit=query.limit)
    if query.volume is None:
        facts = await service.measured(call.bursar, facts, choice.winner)
    return ok(render_calculation(facts, choice, engine.commission(choice.winner, facts)))


@router.get("/best-applicable", response_model=BestRuleView, responses={404: {}})
async def find_best_commission_rule(call: Call, query: Asked) -> Answer:
    """The rule that counts for a transaction, and why other rules do not."""
    _must_be_of(call, query.vendor_id)
    facts = query.facts(call.bursar.clock.now())
    choice = service.choose(call.bursar, facts, limit=query.limit)
    shown = None if choice.winner is None else _shows(call)(choice.winner)
    return ok(render_best(facts, choice, shown))


@router.post("/check-conflicts", response_model=ConflictsView)
async def check_commission_conflicts(call: Call, body: CheckConflicts) -> Answer:
    """Which active rules would meet a rule, or meet one another: when, how, and on which transaction."""
    call.allow(CHECKERS)
    return await service.check_conflicts(call.bursar, body)


@router.get("/vendor/{vendorId}", response_model=CommissionRuleList)
async def list_commission_rules_of_vendor(call: Call, vendorId: ForeignId, query: Filter) -> Answer:
    """The rules that can apply to a vendor: its own and those for all vendors."""
    _must_be_of(call, vendorId)
    status = query.status if call.caller.is_staff else Status.ACTIVE
    return _listed(call, await store.page_of_vendor(call.bursar.database, query, vendor_id=vendorId, status=status))


@router.get("/category/{categoryId}", response_model=CommissionRuleList)
async def list_commission_rules_of_category(call: Call, categoryId: ForeignId, query: Filter) -> Answer:
    """The rules for a category; a vendor sees those that can apply to it."""
    call.allow(READERS)
    is_staff = call.caller.is_staff
    page = await store.page_of_category(
        call.bursar.database,
        query,
        category_id=categoryId,
        status=query.status if is_staff else Status.ACTIVE,
        vendor_id=None if is_staff else call.caller.vendor_id or "",
    )
    return _listed(call, page)


@router.get("/{id}", response_model=CommissionRuleView)
async def get_commission_rule(call: Call, id: ResourceId) -> Answer:
    """A rule by its id."""
    rule = await _visible(call, id)
    return ok(_shows(call)(rule), version=rule.version)


@router.get("/{id}/history", response_model=CommissionRuleList)
async def get_commission_rule_history(call: Call, id: ResourceId) -> Answer:
    """Every version of a rule, the latest first; a vendor sees those that were in force."""
    call.allow(READERS)
    is_staff = call.caller.is_staff
    versions = await store.versions(call.bursar.database, id, status=None if is_staff else Status.ACTIVE)
    shown = [rule for rule in versions if is_staff or rule.vendor_id in (None, call.caller.vendor_id)]
    found(shown[0] if shown else None, "commission rule")
    return ok(listing([_shows(call)(rule) for rule in shown], None))


@router.put("/{id}", response_model=CommissionRuleView)
async def change_commission_rule(call: Call, id: ResourceId, body: ChangeRule) -> Answer:
    """Put whole terms in the place of a rule's; it is a DRAFT then. An active rule is deactivated first."""
    call.allow(WRITERS)
    expected = call.expected_version()
    return await service.replace(call.bursar, call.origin(), call.claim(), id, body, expected_version=expected)


@router.put("/{id}/activate", response_model=CommissionRuleView)
async def activate_commission_rule(call: Call, id: ResourceId, body: WhySo) -> Answer:
    """Put a rule in force; whoever made or changed it may not."""
    call.allow(WRITERS)
    expected = call.expected_version()
    return await service.activate(
        call.bursar, call.origin(), call.claim(), id, reason=body.reason, expected_version=expected
    )


@router.put("/{id}/deactivate", response_model=CommissionRuleView)
async def deactivate_commission_rule(call: Call, id: ResourceId, body: WhySo) -> Answer:
    """Take a rule out of force; other rules count then."""
    call.allow(WRITERS)
    expected = call.expected_version()
    return await service.deactivate(
        call.bursar, call.origin(), call.claim(), id, reason=body.reason, expected_version=expected
    )


def _must_be_of(call: Call, vendor_id: str) -> None:
    """Raise NotFound where the caller is a vendor, and another one."""
    call.allow(READERS)
    if not call.caller.is_staff and call.caller.vendor_id != vendor_id:
        raise NotFound("no such vendor")


async def _visible(call: Call, rule_id: str) -> Rule:
    """The rule as last committed; for a vendor, one that applies to it or did."""
    call.allow(READERS)
    rule: Rule = found(await call.bursar.reader.get(store.TABLE, rule_id), "commission rule")
    is_own = rule.vendor_id in (None, call.caller.vendor_id) and rule.status is not Status.DRAFT
    return found(rule if call.caller.is_staff or is_own else None, "commission rule")


def _shows(call: Call) -> Callable[[Rule], dict[str, Any]]:
    return render if call.caller.is_staff else render_for_vendor


def _listed(call: Call, page: Page[Rule]) -> Answer:
    shows = _shows(call)
    return ok(listing([shows(rule) for rule in page.rows], page.next_cursor))
