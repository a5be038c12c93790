"""What callers send of commission rules: whole rules, transactions, and what they want to see."""

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from bursar.domains.commissions.model import (
    CHARGE,
    CommissionType,
    Experiment,
    Facts,
    Status,
    Tier,
    TierMode,
    Unit,
)
from bursar.infra.http.types import (
    Amount,
    Currency,
    ForeignId,
    Metadata,
    Moment,
    PageQuery,
    RequestModel,
    Text,
)
from bursar.kit.money import AMOUNT_MAX

PRIORITY_MAX: Final = 1_000_000
TIERS_MAX: Final = 20
WEIGHT_MAX: Final = 1_000
WINDOW_DAYS_MAX: Final = 3_650
VOLUME_MAX: Final = 10**15
CONSIDERED: Final = 10
CONSIDERED_MAX: Final = 100

T = TypeVar("T")

_DECIMAL: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
_OF_TYPE: Final[dict[CommissionType, frozenset[str]]] = {
    CommissionType.PERCENTAGE: frozenset({"rate"}),
    CommissionType.FIXED: frozenset({"fixed_amount"}),
    CommissionType.HYBRID: frozenset({"rate", "fixed_amount"}),
    CommissionType.TIERED: frozenset({"tiers", "tier_mode", "volume_window_days"}),
}
_NEEDED: Final = frozenset({"rate", "fixed_amount", "tiers"})


def _rate_of(text: Any) -> Decimal:
    """A decimal string as a fraction of one."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text):
        raise PydanticCustomError("rate_format", 'a rate is a string such as "0.125", with six decimals at the most')
    rate = Decimal(text).normalize()
    if rate > 1:
        raise PydanticCustomError("rate_above_one", "a rate is a fraction: 1 is the whole amount")
    return rate


Rate = Annotated[
    Decimal,
    BeforeValidator(_rate_of),
    WithJsonSchema({"type": "string", "pattern": r"^(0(\.\d{1,6})?|1(\.0{1,6})?)$", "examples": ["0.125"]}),
]
"""A fraction of one, as a decimal string."""

AmountOrNothing = Annotated[int, Field(strict=True, ge=0, le=AMOUNT_MAX, description="minor units")]
TransactionType = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,31}$"), Field(examples=[CHARGE])]


class TierRequest(RequestModel):
    """upTo: the volume at which the tier ends, included, in minor units; the last tier has none."""

    up_to: Annotated[int, Field(ge=1, le=VOLUME_MAX)] | None = None
    rate: Rate


class ExperimentRequest(RequestModel):
    """The rule counts for those who are drawn for `variant`; `weight` is its share among the variants of `name`."""

    name: ForeignId
    variant: ForeignId
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)]
    unit: Unit = Unit.VENDOR


class RuleTerms(RequestModel):
    """What a rule speaks of and what it charges. What is absent matches everything; amounts are in minor units of
    `currency`, both ends included. effectiveFrom: from now on, where absent. The highest priority wins.
    """

    commission_type: CommissionType | None = None
    vendor_id: ForeignId | None = None
    category_id: ForeignId | None = None
    transaction_type: TransactionType | None = None
    currency: Currency | None = None
    rate: Annotated[Rate | None, Field(validate_default=True)] = None
    fixed_amount: Annotated[AmountOrNothing | None, Field(validate_default=True)] = None
    tiers: Annotated[list[TierRequest] | None, Field(min_length=1, max_length=TIERS_MAX, validate_default=True)] = None
    tier_mode: TierMode | None = None
    volume_window_days: Annotated[int, Field(ge=1, le=WINDOW_DAYS_MAX)] | None = None
    min_commission: AmountOrNothing | None = None
    max_commission: AmountOrNothing | None = None
    min_amount: Amount | None = None
    max_amount: Amount | None = None
    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] = 0
    effective_from: Moment | None = None
    effective_to: Moment | None = None
    experiment: ExperimentRequest | None = None

    @field_validator("rate", "fixed_amount", "tiers", "tier_mode", "volume_window_days")
    @classmethod
    def _is_of_the_type(cls, value: T, info: ValidationInfo) -> T:
        kind, name = info.data.get("commission_type"), info.field_name or ""
        if kind is not None and value is None and name in _OF_TYPE[kind] & _NEEDED:
            raise PydanticCustomError("missing", "a {kind} rule needs this", {"kind": str(kind)})
        if kind is not None and value is not None and name not in _OF_TYPE[kind]:
            raise PydanticCustomError("not_of_this_type", "a {kind} rule has no such thing", {"kind": str(kind)})
        return value

    @field_validator("fixed_amount", "tiers", "min_commission", "max_commission", "min_amount", "max_amount")
    @classmethod
    def _has_a_currency(cls, value: T, info: ValidationInfo) -> T:
        if value is not None and "currency" in info.data and info.data["currency"] is None:
            raise PydanticCustomError("currency_missing", "amounts need their currency")
        return value

    @field_validator("tiers")
    @classmethod
    def _ascend(cls, tiers: list[TierRequest] | None) -> list[TierRequest] | None:
        faults = _tier_faults(tiers or [])
        if faults:
            code, _ = faults[0]
            raise PydanticCustomError(code, "{faults}", {"faults": "; ".join(text for _, text in faults)})
        return tiers

    @field_validator("max_commission", "max_amount")
    @classmethod
    def _is_not_below_the_minimum(cls, value: int | None, info: ValidationInfo) -> int | None:
        minimum = info.data.get((info.field_name or "").replace("max", "min"))
        if value is not None and minimum is not None and value < minimum:
            raise PydanticCustomError("below_minimum", "the maximum is below the minimum")
        return value

    @field_validator("effective_to")
    @classmethod
    def _ends_after_it_begins(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        begins = info.data.get("effective_from")
        if value is not None and begins is not None and value <= begins:
            raise PydanticCustomError("ends_before_it_begins", "effectiveTo is not after effectiveFrom")
        return value

    def terms(self) -> dict[str, Any]:
        """These fields of the rule, as it keeps them."""
        values = {name: getattr(self, name) for name in RuleTerms.model_fields}
        if self.tiers is not None:
            values["tiers"] = tuple(Tier(rate=tier.rate, up_to=tier.up_to) for tier in self.tiers)
            values["tier_mode"] = self.tier_mode or TierMode.MARGINAL
        if self.experiment is not None:
            values["experiment"] = Experiment(**self.experiment.model_dump())
        return values


def _tier_faults(tiers: list[TierRequest]) -> list[tuple[str, str]]:
    """What is wrong with the ends of tiers: code and text of each fault."""
    faults, before = [], 0
    for number, tier in enumerate(tiers, 1):
        if tier.up_to is None:
            if number < len(tiers):
                faults.append(("tiers_overlap", f"tier {number} has no end, and another one follows"))
            continue
        if number == len(tiers):
            faults.append(("tiers_end", f"tier {number} is the last: it has no upTo"))
        if tier.up_to == before:
            faults.append(("tiers_overlap", f"tier {number} ends where the one before does"))
        elif tier.up_to < before:
            faults.append(("tiers_descend", f"tier {number} ends below the one before"))
        before = max(before, tier.up_to)
    return faults


Name = Annotated[Text, Field(max_length=100)]


class CreateRule(RuleTerms):
    """A rule; it is a DRAFT until a second person activates it. reason: why it is made."""

    name: Name
    commission_type: CommissionType
    reason: Text | None = None
    metadata: Metadata = Field(default_factory=dict)


class ChangeRule(CreateRule):
    """A whole rule in the place of another, and why."""

    reason: Text


class WhySo(RequestModel):
    """Why a rule is activated or deactivated."""

    reason: Text | None = None


class CheckConflicts(RuleTerms):
    """A rule as one would create it, or the id of one; nothing: all active rules are checked with one another."""

    rule_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] | None = None
    name: Name | None = None
    reason: Text | None = None
    metadata: Metadata = Field(default_factory=dict)

    @field_validator("rule_id")
    @classmethod
    def _stands_alone(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and any(info.data.get(name) for name in RuleTerms.model_fields):
            raise PydanticCustomError("not_alone", "either a rule's id or a rule, not both")
        return value


class Transaction(BaseModel):
    """A transaction as rules see it. at: now, where absent. volume: what the vendor sold before, within the window of
    the rule that counts, in minor units; as its transactions have it, where absent. limit: how many of the rules
    considered are shown.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    vendor_id: ForeignId
    amount: Annotated[int, Field(ge=1, le=AMOUNT_MAX, description="minor units")]
    currency: Currency
    category_id: ForeignId | None = None
    transaction_type: TransactionType = CHARGE
    customer_id: ForeignId | None = None
    volume: Annotated[int, Field(ge=0, le=VOLUME_MAX)] | None = None
    at: Moment | None = None
    limit: Annotated[int, Field(ge=0, le=CONSIDERED_MAX)] = CONSIDERED

    def facts(self, now: datetime) -> Facts:
        """What the engine takes."""
        return Facts(
            vendor_id=self.vendor_id,
            amount=self.amount,
            currency=self.currency,
            at=self.at or now,
            category_id=self.category_id,
            transaction_type=self.transaction_type,
            customer_id=self.customer_id,
            volume=self.volume or 0,
        )


class ListRules(PageQuery):
    """Which rules to list. A vendor sees the active ones, whatever it asks for."""

    status: Status | None = None


Asked = Annotated[Transaction, Query()]
Filter = Annotated[ListRules, Query()]
