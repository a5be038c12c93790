"""What callers send and see of routing rules."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from bursar.domains.routing.model import Rule, Status
from bursar.infra.http.types import Amount, Country, Currency, RequestModel, ResponseModel, Text
from bursar.providers.port import MethodType

PRIORITY_MAX = 1_000_000
WEIGHT_MAX = 1_000


class RoutingRuleRequest(RequestModel):
    """A whole rule. What is absent matches everything; amounts in minor units of `currency`, both included."""

    name: Annotated[Text, Field(max_length=100)]
    provider: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,31}$")]
    priority: Annotated[int, Field(ge=0, le=PRIORITY_MAX)] = 100
    weight: Annotated[int, Field(ge=1, le=WEIGHT_MAX)] = 1
    method_type: MethodType | None = None
    currency: Currency | None = None
    country: Country | None = None
    min_amount: Amount | None = None
    max_amount: Amount | None = None
    status: Literal[Status.ACTIVE, Status.INACTIVE] = Status.ACTIVE

    @model_validator(mode="after")
    def _amounts_make_sense(self) -> "RoutingRuleRequest":
        if self.currency is None and (self.min_amount is not None or self.max_amount is not None):
            raise ValueError("amounts need their currency")
        if self.min_amount is not None and self.max_amount is not None and self.min_amount > self.max_amount:
            raise ValueError("minAmount is more than maxAmount")
        return self


class RoutingRuleView(ResponseModel):
    id: str
    version: int
    name: str
    status: Status
    provider: str
    priority: int
    weight: int
    method_type: MethodType | None
    currency: str | None
    country: str | None
    min_amount: int | None
    max_amount: int | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class RoutingRuleList(ResponseModel):
    data: list[RoutingRuleView]
    has_more: bool
    next_cursor: str | None


def render(rule: Rule) -> dict[str, Any]:
    """The rule as RoutingRuleView."""
    return {
        "id": rule.id,
        "version": rule.version,
        "name": rule.name,
        "status": rule.status,
        "provider": rule.provider,
        "priority": rule.priority,
        "weight": rule.weight,
        "methodType": rule.method_type,
        "currency": rule.currency,
        "country": rule.country,
        "minAmount": rule.min_amount,
        "maxAmount": rule.max_amount,
        "createdAt": rule.created_at,
        "updatedAt": rule.updated_at,
    }
