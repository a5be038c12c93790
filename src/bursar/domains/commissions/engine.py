"""Which rule wins for a transaction, and why each other one does not. Pure.

The order is total: highest priority, then most specific (vendor and category, vendor, category, all), then the latest
effective_from, then the lowest id. So two rules never tie, and the order in which they are given makes no difference.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

import msgspec

from bursar.domains.commissions.charge import charge
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import Commission, Facts, Rule, Status, Unit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Rank = tuple[int, int, int, str]


class WhyNot(StrEnum):
    """Why a rule is not the one that counts: it does not match, or another one that matches is before it."""

    NOT_ACTIVE = "NOT_ACTIVE"
    OTHER_VENDOR = "OTHER_VENDOR"
    OTHER_CATEGORY = "OTHER_CATEGORY"
    OTHER_TRANSACTION_TYPE = "OTHER_TRANSACTION_TYPE"
    OTHER_CURRENCY = "OTHER_CURRENCY"
    NOT_YET_EFFECTIVE = "NOT_YET_EFFECTIVE"
    NO_LONGER_EFFECTIVE = "NO_LONGER_EFFECTIVE"
    AMOUNT_TOO_LOW = "AMOUNT_TOO_LOW"
    AMOUNT_TOO_HIGH = "AMOUNT_TOO_HIGH"
    CUSTOMER_UNKNOWN = "CUSTOMER_UNKNOWN"
    OTHER_VARIANT = "OTHER_VARIANT"
    LOWER_PRIORITY = "LOWER_PRIORITY"
    LESS_SPECIFIC = "LESS_SPECIFIC"
    EARLIER_EFFECTIVE_FROM = "EARLIER_EFFECTIVE_FROM"
    HIGHER_ID = "HIGHER_ID"


class Considered(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A rule that is not the one that counts."""

    rule_id: str
    why_not: WhyNot


class Choice(msgspec.Struct, frozen=True):
    """The rule that counts, None where none matches; the others in the order of their ranks, each with its reason.

    considered_count: of all the others, of which `considered` may be the first ones.
    """

    winner: Rule | None
    considered: tuple[Considered, ...]
    considered_count: int


def rank(rule: Rule) -> Rank:
    """Where a rule stands among all; the lowest rank that matches wins."""
    specificity = 2 * (rule.vendor_id is not None) + (rule.category_id is not None)
    return -rule.priority, -specificity, -((rule.effective_from - _EPOCH) // _MICROSECOND), rule.id


def outranked(loser: Rank, winner: Rank) -> WhyNot:
    """The first thing in which the winner's rank is before the loser's."""
    if loser[0] != winner[0]:
        return WhyNot.LOWER_PRIORITY
    if loser[1] != winner[1]:
        return WhyNot.LESS_SPECIFIC
    return WhyNot.EARLIER_EFFECTIVE_FROM if loser[2] != winner[2] else WhyNot.HIGHER_ID


def mismatch(rule: Rule, facts: Facts, experiments: Experiments) -> WhyNot | None:
    """Why a rule does not speak of the transaction; None where it does. experiments: of all active rules."""
    if rule.status is not Status.ACTIVE:
        return WhyNot.NOT_ACTIVE
    if rule.vendor_id is not None and rule.vendor_id != facts.vendor_id:
        return WhyNot.OTHER_VENDOR
    if rule.category_id is not None and rule.category_id != facts.category_id:
        return WhyNot.OTHER_CATEGORY
    return _mismatch_nearby(rule, facts, experiments)


def _mismatch_nearby(rule: Rule, facts: Facts, experiments: Experiments) -> WhyNot | None:
    """The same of an active rule that is known to speak of the vendor and the category."""
    if rule.transaction_type is not None and rule.transaction_type != facts.transaction_type:
        return WhyNot.OTHER_TRANSACTION_TYPE
    if rule.currency is not None and rule.currency != facts.currency:
        return WhyNot.OTHER_CURRENCY
    if facts.at < rule.effective_from:
        return WhyNot.NOT_YET_EFFECTIVE
    if rule.effective_to is not None and facts.at >= rule.effective_to:
        return WhyNot.NO_LONGER_EFFECTIVE
    if rule.min_amount is not None and facts.amount < rule.min_amount:
        return WhyNot.AMOUNT_TOO_LOW
    if rule.max_amount is not None and facts.amount > rule.max_amount:
        return WhyNot.AMOUNT_TOO_HIGH
    return None if rule.experiment is None else _not_drawn(rule, facts, experiments)


def _not_drawn(rule: Rule, facts: Facts, experiments: Experiments) -> WhyNot | None:
    assert rule.experiment is not None
    key = facts.vendor_id if rule.experiment.unit is Unit.VENDOR else facts.customer_id
    if key is None:
        return WhyNot.CUSTOMER_UNKNOWN
    return None if experiments.is_drawn(rule.experiment, key) else WhyNot.OTHER_VARIANT


def explain(rules: Iterable[Rule], facts: Facts) -> Choice:
    """The rule that counts, and every other one with its reason; rules in any order and status."""
    ranked = sorted((rank(rule), rule) for rule in rules)
    experiments = Experiments(rule for _, rule in ranked if rule.status is Status.ACTIVE)
    return _choose(ranked, len(ranked), mismatch, facts, experiments, limit=len(ranked))


class Index:
    """Active rules, arranged so that those of a vendor and a category are found at once."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._ranked = sorted((rank(rule), rule) for rule in rules if rule.status is Status.ACTIVE)
        self.rules: Sequence[Rule] = [rule for _, rule in self._ranked]
        self.experiments = Experiments(self.rules)
        self._places: dict[tuple[str | None, str | None], list[int]] = {}
        for place, rule in enumerate(self.rules):
            self._places.setdefault((rule.vendor_id, rule.category_id), []).append(place)

    def choose(self, facts: Facts, *, limit: int) -> Choice:
        """The rule that counts, and the first `limit` of those that speak of the vendor and the category. The same
        winner as `explain`.
        """
        vendor_id, category_id = facts.vendor_id, facts.category_id
        keys: list[tuple[str | None, str | None]] = [(vendor_id, None), (None, None)]
        if category_id is not None:
            keys += [(vendor_id, category_id), (None, category_id)]
        found = [places for key in keys if (places := self._places.get(key)) is not None]
        places = found[0] if len(found) == 1 else sorted(chain.from_iterable(found))
        ranked = map(self._ranked.__getitem__, places)
        return _choose(ranked, len(places), _mismatch_nearby, facts, self.experiments, limit=limit)


def _choose(
    ranked: Iterable[tuple[Rank, Rule]],
    count: int,
    mismatch_of: Callable[[Rule, Facts, Experiments], WhyNot | None],
    facts: Facts,
    experiments: Experiments,
    *,
    limit: int,
) -> Choice:
    winner: Rule | None = None
    winning: Rank = (0, 0, 0, "")
    considered: list[Considered] = []
    for own, rule in ranked:
        why = mismatch_of(rule, facts, experiments)
        if why is None and winner is None:
            winner, winning = rule, own
        elif len(considered) < limit:
            considered.append(Considered(rule.id, why or outranked(own, winning)))
        elif winner is not None:
            break
    return Choice(winner, tuple(considered), count - (winner is not None))


def commission(winner: Rule | None, facts: Facts) -> Commission:
    """What is charged by the rule that counts; nothing where there is none."""
    return Commission(None, None, 0) if winner is None else charge(winner, facts.amount, facts.volume)
