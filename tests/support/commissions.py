"""Commission rules as tests make them: small universes in which everything meets, and rules over HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count, product
from typing import Any

import httpx
import hypothesis.strategies as st

from bursar.domains.commissions.engine import WhyNot
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import CommissionType, Experiment, Facts, Rule, Status, Tier, TierMode, Unit
from tests.support.api import Api, json_of, unique
from tests.support.service import Service, eventually

RULES = "/api/v1/commission-rules"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = [NOW + timedelta(days=day) for day in range(4)]
VENDORS, CATEGORIES, CURRENCIES, TYPES = ("v-1", "v-2"), ("c-1", "c-2"), ("EUR", "USD"), ("CHARGE", "REFUND")
AMOUNTS = (1, 2, 3)
CUSTOMERS = (None, "u-1", "u-2")
_numbers = count(1)


def rule(**changes: Any) -> Rule:
    """An active rule that takes everything since NOW and charges a tenth."""
    fields = {
        "id": f"00000000-0000-7000-8000-{next(_numbers):012x}",
        "version": 1,
        "name": "x",
        "status": Status.ACTIVE,
        "commission_type": CommissionType.PERCENTAGE,
        "priority": 0,
        "effective_from": NOW,
        "authors": ("ann",),
        "changed_by": "ben",
        "change_reason": "activated",
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "rate": Decimal("0.1"),
    }
    return Rule(**{**fields, **changes})


def tiered(*tiers: tuple[str, int | None], mode: TierMode = TierMode.MARGINAL, **changes: Any) -> Rule:
    """A rule of tiers, each a rate and where it ends."""
    made = tuple(Tier(rate=Decimal(rate), up_to=up_to) for rate, up_to in tiers)
    terms = {"commission_type": CommissionType.TIERED, "rate": None, "tiers": made, "tier_mode": mode}
    return rule(currency="EUR", **{**terms, **changes})


def facts(**changes: Any) -> Facts:
    """A charge of 100.00 EUR by v-1 at NOW."""
    return Facts(**{"vendor_id": "v-1", "amount": 10_000, "currency": "EUR", "at": NOW, **changes})


EXPERIMENTS = [None] * 6 + [
    Experiment(name, variant, weight, unit)
    for name, variant, weight, unit in (
        ("e", "a", 1, Unit.VENDOR),
        ("e", "b", 2, Unit.VENDOR),
        ("f", "a", 1, Unit.CUSTOMER),
        ("f", "b", 1, Unit.CUSTOMER),
        ("g", "a", 1, Unit.VENDOR),
        ("h", "a", 1, Unit.CUSTOMER),
    )
]


@st.composite
def small_rules(draw: st.DrawFn) -> Rule:
    """A rule of the small universe."""
    starts = draw(st.sampled_from(DAYS[:3]))
    ends = draw(st.sampled_from([None, *(day for day in DAYS if day > starts)]))
    low = draw(st.sampled_from([None, 1, 2, 3]))
    high = draw(st.sampled_from([None, *(amount for amount in AMOUNTS if amount >= (low or 1))]))
    return rule(
        priority=draw(st.integers(0, 2)),
        vendor_id=draw(st.sampled_from([None, *VENDORS])),
        category_id=draw(st.sampled_from([None, *CATEGORIES])),
        currency=draw(st.sampled_from([None, *CURRENCIES])),
        transaction_type=draw(st.sampled_from([None, *TYPES])),
        effective_from=starts,
        effective_to=ends,
        min_amount=low,
        max_amount=high,
        experiment=draw(st.sampled_from(EXPERIMENTS)),
    )


def universe() -> list[Facts]:
    """Every transaction that the small rules tell apart; v-3 and c-3 are those of whom no rule speaks by name, 4 is an
    amount above every maximum.
    """
    return [
        Facts(
            vendor_id=vendor,
            amount=amount,
            currency=currency,
            at=at,
            category_id=category,
            transaction_type=kind,
            customer_id=customer,
        )
        for vendor, category, currency, kind, amount, at, customer in product(
            (*VENDORS, "v-3"), (None, *CATEGORIES), CURRENCIES, TYPES, (*AMOUNTS, 4), DAYS, CUSTOMERS
        )
    ]


small_facts = st.builds(
    Facts,
    vendor_id=st.sampled_from([*VENDORS, "v-3"]),
    amount=st.sampled_from(AMOUNTS),
    currency=st.sampled_from(CURRENCIES),
    at=st.sampled_from(DAYS),
    category_id=st.sampled_from([None, *CATEGORIES]),
    transaction_type=st.sampled_from(TYPES),
    customer_id=st.sampled_from(CUSTOMERS),
)


def mismatch(one: Rule, asked: Facts, experiments: Experiments) -> WhyNot | None:
    """The first thing in which a rule does not fit a transaction, said once more and plainly; None where it fits."""
    is_by_vendor = one.experiment is None or one.experiment.unit is Unit.VENDOR
    key = asked.vendor_id if is_by_vendor else asked.customer_id
    faults = {
        WhyNot.NOT_ACTIVE: one.status is not Status.ACTIVE,
        WhyNot.OTHER_VENDOR: one.vendor_id not in (None, asked.vendor_id),
        WhyNot.OTHER_CATEGORY: one.category_id not in (None, asked.category_id),
        WhyNot.OTHER_TRANSACTION_TYPE: one.transaction_type not in (None, asked.transaction_type),
        WhyNot.OTHER_CURRENCY: one.currency not in (None, asked.currency),
        WhyNot.NOT_YET_EFFECTIVE: asked.at < one.effective_from,
        WhyNot.NO_LONGER_EFFECTIVE: one.effective_to is not None and one.effective_to <= asked.at,
        WhyNot.AMOUNT_TOO_LOW: one.min_amount is not None and asked.amount < one.min_amount,
        WhyNot.AMOUNT_TOO_HIGH: one.max_amount is not None and asked.amount > one.max_amount,
        WhyNot.CUSTOMER_UNKNOWN: one.experiment is not None and key is None,
        WhyNot.OTHER_VARIANT: one.experiment is not None and key is not None
        and not experiments.is_drawn(one.experiment, key),
    }  # fmt: skip
    return next((why for why, is_so in faults.items() if is_so), None)


class Desk:
    """Two people who make and activate rules over HTTP."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.ann = service.api.as_("finance", subject="ann")
        self.ben = service.api.as_("finance", subject="ben")
        self.reader = service.api.as_("service")

    async def draft(self, **body: Any) -> dict[str, Any]:
        """A rule of ann's; a tenth, where nothing else is said."""
        terms = {"name": "x", "commissionType": "PERCENTAGE", "rate": "0.1", **body}
        sent = {name: value for name, value in terms.items() if value is not None}
        return dict(json_of(await self.ann.call("POST", RULES, sent), 201))

    async def active(self, **body: Any) -> dict[str, Any]:
        """A rule of ann's that ben activated, and that counts."""
        made = await self.draft(**body)
        after = dict(json_of(await self.ben.call("PUT", f"{RULES}/{made['id']}/activate", {}), 200))
        await counts(self.service, after)
        return after

    async def act(
        self,
        rule: dict[str, Any],
        action: str,
        *,
        by: Api | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> httpx.Response:
        """The answer to ben, or whoever is named, who activates or deactivates a rule."""
        return await (by or self.ben).call("PUT", f"{RULES}/{rule['id']}/{action}", body, headers=headers)

    async def calculate(self, **params: Any) -> dict[str, Any]:
        asked = {"amount": 10_000, "currency": "EUR", **params}
        return dict(json_of(await self.reader.get(f"{RULES}/calculate", **asked), 200))


async def counts(service: Service, shown: dict[str, Any], seconds: float = 60) -> None:
    """Wait until a service knows the rule as it is shown: in force, or not."""
    wanted = shown["version"] if shown["status"] == "ACTIVE" else None

    def is_known() -> bool:
        rows: Sequence[Rule] = service.app.commission_rules.index.rules
        return {row.id: row.version for row in rows}.get(shown["id"]) == wanted

    await eventually(is_known, seconds)


def new_vendor() -> str:
    return unique("vendor")
