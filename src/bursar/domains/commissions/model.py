"""A commission rule and its life, a transaction as rules see it, and the commission that comes out. Pure."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from bursar.kit.errors import Problem
from bursar.kit.machine import Machine

CHARGE: Final = "CHARGE"
"""The type of a transaction that nobody says more about."""


class Status(StrEnum):
    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class CommissionType(StrEnum):
    PERCENTAGE = "PERCENTAGE"
    FIXED = "FIXED"
    HYBRID = "HYBRID"
    """A percentage and a fixed amount."""
    TIERED = "TIERED"


class TierMode(StrEnum):
    """MARGINAL: each part of an amount at the rate of the tier in which it lies. WHOLE_VOLUME: all of it at the rate of
    the tier that is reached.
    """

    MARGINAL = "MARGINAL"
    WHOLE_VOLUME = "WHOLE_VOLUME"


class Unit(StrEnum):
    """By whom an experiment tells its variants apart."""

    VENDOR = "VENDOR"
    CUSTOMER = "CUSTOMER"


class Tier(msgspec.Struct, frozen=True, rename="camel"):
    """up_to: the volume at which it ends, included; None: it has no end."""

    rate: Decimal
    up_to: int | None


class Experiment(msgspec.Struct, frozen=True):
    """The rule counts only for those who are drawn for `variant`. weight: its share among the variants of that name."""

    name: str
    variant: str
    weight: int
    unit: Unit = Unit.VENDOR


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of commission_rules, and of its versions. What is None matches everything.

    rate: a fraction of one. Amounts in minor units of `currency`; min_amount and max_amount included. effective_from is
    included, effective_to is not. volume_window_days: over how many days a vendor's volume counts for the tiers; where
    it is None they are those of the single amount. authors: who wrote these terms since the last activation.
    changed_by, change_reason: of this version, made at updated_at.
    """

    id: str
    version: int
    name: str
    status: Status
    commission_type: CommissionType
    priority: int
    effective_from: datetime
    authors: tuple[str, ...]
    changed_by: str
    change_reason: str
    metadata: dict[str, str]
    created_at: datetime
    updated_at: datetime
    vendor_id: str | None = None
    category_id: str | None = None
    transaction_type: str | None = None
    currency: str | None = None
    rate: Decimal | None = None
    fixed_amount: int | None = None
    tiers: tuple[Tier, ...] | None = None
    tier_mode: TierMode | None = None
    volume_window_days: int | None = None
    min_commission: int | None = None
    max_commission: int | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    effective_to: datetime | None = None
    experiment: Experiment | None = None


class Facts(msgspec.Struct, frozen=True):
    """A transaction as rules see it. amount: minor units, >= 1. volume: what the vendor sold before it within the
    winner's window (`service.volume_window`), in minor units of the same currency.
    """

    vendor_id: str
    amount: int
    currency: str
    at: datetime
    category_id: str | None = None
    transaction_type: str = CHARGE
    customer_id: str | None = None
    volume: int = 0


class LimitedBy(StrEnum):
    """What kept a commission from being what the rates say."""

    MIN_COMMISSION = "MIN_COMMISSION"
    MAX_COMMISSION = "MAX_COMMISSION"
    AMOUNT = "AMOUNT"


class Part(msgspec.Struct, frozen=True):
    """A part of an amount and the commission on it at one rate."""

    amount: int
    rate: Decimal
    commission: int


class Commission(msgspec.Struct, frozen=True):
    """What is charged, in minor units, 0 <= amount <= the transaction's, and the version of the rule that says so.

    rule_id, rule_version: None where no rule matches; the amount then is 0. parts and fixed_amount sum to `amount`
    unless it is limited.
    """

    rule_id: str | None
    rule_version: int | None
    amount: int
    parts: tuple[Part, ...] = ()
    fixed_amount: int = 0
    limited_by: LimitedBy | None = None


class SecondPersonRequired(Problem):
    """Whoever made or changed a rule since it was last active cannot activate it."""

    status, code, title = 403, "second_person_required", "This needs a second person"


class ExperimentMismatch(Problem):
    """Active rules of one experiment agree on its unit, and those of one variant on its weight."""

    status, code, title = 409, "experiment_mismatch", "An active rule of this experiment says otherwise"


class TooManyActiveRules(Problem):
    status, code, title = 409, "too_many_commission_rules", "No more commission rules can be active at once"


MACHINE: Final = Machine(
    "commission_rule",
    initial=Status.DRAFT,
    edges=[
        # from              action        to               event
        (Status.DRAFT, "change", Status.DRAFT, "commission_rule.changed"),
        (Status.DRAFT, "activate", Status.ACTIVE, "commission_rule.activated"),
        (Status.ACTIVE, "deactivate", Status.INACTIVE, "commission_rule.deactivated"),
        (Status.INACTIVE, "activate", Status.ACTIVE, "commission_rule.activated"),
        (Status.INACTIVE, "change", Status.DRAFT, "commission_rule.changed"),
    ],
)

EVENT_CREATED: Final = "commission_rule.created"
