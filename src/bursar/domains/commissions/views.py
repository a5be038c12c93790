"""What callers see of commission rules, of what wins and why, and of conflicts."""

from typing import Any

from pydantic import AwareDatetime

from bursar.domains.commissions.conflicts import Conflict, Kind
from bursar.domains.commissions.engine import Choice, WhyNot
from bursar.domains.commissions.model import (
    Commission,
    CommissionType,
    Facts,
    LimitedBy,
    Rule,
    Status,
    TierMode,
    Unit,
)
from bursar.infra.http.types import ResponseModel


class TierView(ResponseModel):
    rate: str
    up_to: int | None


class ExperimentView(ResponseModel):
    name: str
    variant: str
    weight: int
    unit: Unit


class CommissionRuleView(ResponseModel):
    """A rule, or a version of one. authors: who wrote its terms since it was last activated; changedBy and
    changeReason are of this version, made at updatedAt. A vendor sees neither these, nor experiment, nor metadata.
    """

    id: str
    version: int
    name: str
    status: Status
    vendor_id: str | None
    category_id: str | None
    transaction_type: str | None
    currency: str | None
    commission_type: CommissionType
    rate: str | None
    fixed_amount: int | None
    tiers: list[TierView] | None
    tier_mode: TierMode | None
    volume_window_days: int | None
    min_commission: int | None
    max_commission: int | None
    min_amount: int | None
    max_amount: int | None
    priority: int
    effective_from: AwareDatetime
    effective_to: AwareDatetime | None
    experiment: ExperimentView | None
    authors: list[str] | None
    changed_by: str | None
    change_reason: str | None
    metadata: dict[str, str]
    created_at: AwareDatetime
    updated_at: AwareDatetime


class CommissionRuleList(ResponseModel):
    data: list[CommissionRuleView]
    has_more: bool
    next_cursor: str | None


class ConsideredView(ResponseModel):
    rule_id: str
    why_not: WhyNot


class BestRuleView(ResponseModel):
    """The rule that counts, null where none matches, and why the others do not: the first ones by rank, of
    consideredCount that speak of this vendor and category.
    """

    rule: CommissionRuleView | None
    at: AwareDatetime
    considered: list[ConsideredView]
    considered_count: int


class PartView(ResponseModel):
    amount: int
    rate: str
    commission: int


class CalculationView(ResponseModel):
    """The commission on a transaction, in minor units of `currency`; amount = commissionAmount + netAmount.

    ruleId: null where no rule matches; nothing is charged then. parts and fixedAmount sum to commissionAmount unless
    limitedBy says what kept it otherwise. volumeWindowDays: over how many days `volume` was to be counted.
    """

    vendor_id: str
    category_id: str | None
    transaction_type: str
    amount: int
    currency: str
    at: AwareDatetime
    volume: int
    commission_amount: int
    net_amount: int
    rule_id: str | None
    rule_version: int | None
    commission_type: CommissionType | None
    volume_window_days: int | None
    parts: list[PartView]
    fixed_amount: int
    limited_by: LimitedBy | None
    considered: list[ConsideredView]
    considered_count: int


class WindowView(ResponseModel):
    """From when, until when; null: for good."""

    effective_from: AwareDatetime
    effective_to: AwareDatetime | None


class ExampleView(ResponseModel):
    """A transaction that both rules match."""

    vendor_id: str
    category_id: str | None
    transaction_type: str
    amount: int
    currency: str
    customer_id: str | None
    at: AwareDatetime


class ConflictView(ResponseModel):
    """Two rules that match one transaction; winnerId or loserId is null for the rule that was sent."""

    winner_id: str | None
    loser_id: str | None
    kind: Kind
    why_not: WhyNot
    window: WindowView
    example: ExampleView | None


class ConflictsView(ResponseModel):
    """isComplete: no two of the rules meet that are not told; else the limit was reached, and more may meet."""

    conflicts: list[ConflictView]
    is_complete: bool
    rules_checked: int


def render(rule: Rule) -> dict[str, Any]:
    """The rule as CommissionRuleView, whole, as staff see it."""
    return {
        "id": rule.id,
        "version": rule.version,
        "name": rule.name,
        "status": rule.status,
        "vendorId": rule.vendor_id,
        "categoryId": rule.category_id,
        "transactionType": rule.transaction_type,
        "currency": rule.currency,
        "commissionType": rule.commission_type,
        "rate": rule.rate,
        "fixedAmount": rule.fixed_amount,
        "tiers": rule.tiers,
        "tierMode": rule.tier_mode,
        "volumeWindowDays": rule.volume_window_days,
        "minCommission": rule.min_commission,
        "maxCommission": rule.max_commission,
        "minAmount": rule.min_amount,
        "maxAmount": rule.max_amount,
        "priority": rule.priority,
        "effectiveFrom": rule.effective_from,
        "effectiveTo": rule.effective_to,
        "experiment": rule.experiment,
        "authors": rule.authors,
        "changedBy": rule.changed_by,
        "changeReason": rule.change_reason,
        "metadata": rule.metadata,
        "createdAt": rule.created_at,
        "updatedAt": rule.updated_at,
    }


def render_for_vendor(rule: Rule) -> dict[str, Any]:
    """The rule as CommissionRuleView, without what is the platform's own business."""
    hidden: dict[str, Any] = {
        "experiment": None,
        "authors": None,
        "changedBy": None,
        "changeReason": None,
        "metadata": {},
    }
    return {**render(rule), **hidden}


def render_best(facts: Facts, choice: Choice, rule: dict[str, Any] | None) -> dict[str, Any]:
    """The choice as BestRuleView; `rule`: the winner as its reader may see it."""
    return {"rule": rule, "at": facts.at, **_considered(choice)}


def render_calculation(facts: Facts, choice: Choice, commission: Commission) -> dict[str, Any]:
    """The commission as CalculationView."""
    winner = choice.winner
    return {
        "vendorId": facts.vendor_id,
        "categoryId": facts.category_id,
        "transactionType": facts.transaction_type,
        "amount": facts.amount,
        "currency": facts.currency,
        "at": facts.at,
        "volume": facts.volume,
        "commissionAmount": commission.amount,
        "netAmount": facts.amount - commission.amount,
        "ruleId": commission.rule_id,
        "ruleVersion": commission.rule_version,
        "commissionType": None if winner is None else winner.commission_type,
        "volumeWindowDays": None if winner is None else winner.volume_window_days,
        "parts": commission.parts,
        "fixedAmount": commission.fixed_amount,
        "limitedBy": commission.limited_by,
        **_considered(choice),
    }


def render_conflict(conflict: Conflict, sent_id: str | None) -> dict[str, Any]:
    """The conflict as ConflictView. sent_id: of a rule that is not kept, which is shown as null."""
    example = conflict.example
    return {
        "winnerId": None if conflict.winner.id == sent_id else conflict.winner.id,
        "loserId": None if conflict.loser.id == sent_id else conflict.loser.id,
        "kind": conflict.kind,
        "whyNot": conflict.why,
        "window": {"effectiveFrom": conflict.starts_at, "effectiveTo": conflict.ends_at},
        "example": None if example is None else _example(example),
    }


def _considered(choice: Choice) -> dict[str, Any]:
    return {"considered": choice.considered, "consideredCount": choice.considered_count}


def _example(facts: Facts) -> dict[str, Any]:
    return {
        "vendorId": facts.vendor_id,
        "categoryId": facts.category_id,
        "transactionType": facts.transaction_type,
        "amount": facts.amount,
        "currency": facts.currency,
        "customerId": facts.customer_id,
        "at": facts.at,
    }
