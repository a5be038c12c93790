"""Which rule wins for a transaction, and why each other one does not. Pure.

The order is total: highest priority, then most specific (vendor and category, vendor, category, all), then the latest
effective_from, then the lowest id. So two rules never tie, and the order in which they are given makes no difference.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain
from typing import Final

import msgspec

from bursar.domains.commissions.charge import charge
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import Commission, Experiment, Facts, Rule, Status, Unit
from bursar.kit.money import AMOUNT_MAX

KEPT_MAX: Final = 1_000_000
"""Rules that are kept in their order for pairs of a vendor and a category, all pairs together."""

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


def explain(rules: Iterable[Rule], facts: Facts) -> Choice:
    """The rule that counts, and every other one with its reason; rules in any order and status."""
    ranked = sorted(rules, key=rank)
    experiments = Experiments(rule for rule in ranked if rule.status is Status.ACTIVE)
    standings = [_standing(rule, _elsewhere(rule, facts)) for rule in ranked]
    return _choose(standings, len(ranked), facts, experiments, limit=len(ranked))


class Index:
    """Active rules, arranged so that those of a vendor and a category are found at once.

    tried: the id of a rule that counts as in force at all times, whatever its dates say; they rank it all the same.
    """

    def __init__(self, rules: Iterable[Rule], *, tried: str | None = None) -> None:
        self.rules: Sequence[Rule] = sorted((rule for rule in rules if rule.status is Status.ACTIVE), key=rank)
        self.experiments = Experiments(self.rules)
        self._standings = [_standing(rule, None, is_dated=rule.id != tried) for rule in self.rules]
        self._places: dict[tuple[str | None, str | None], list[int]] = {}
        for place, rule in enumerate(self.rules):
            self._places.setdefault((rule.vendor_id, rule.category_id), []).append(place)
        self._found: dict[tuple[str, str | None], list[_Standing]] = {}
        self._kept = 0

    def choose(self, facts: Facts, *, limit: int) -> Choice:
        """The rule that counts, and the first `limit` of those that speak of the vendor and the category. The same
        winner as `explain`.
        """
        sold = facts.vendor_id, facts.category_id
        standings = self._found.get(sold)
        if standings is None:
            standings = self._find(*sold)
            self._kept += 1 + len(standings)
            if self._kept > KEPT_MAX:
                self._found.clear()
                self._kept = 1 + len(standings)
            self._found[sold] = standings
        return _choose(standings, len(standings), facts, self.experiments, limit=limit)

    def _find(self, vendor_id: str, category_id: str | None) -> list["_Standing"]:
        """The rules that speak of a vendor and a category, in their order."""
        keys: list[tuple[str | None, str | None]] = [(vendor_id, None), (None, None)]
        if category_id is not None:
            keys += [(vendor_id, category_id), (None, category_id)]
        places = chain.from_iterable(self._places.get(key, ()) for key in keys)
        return [self._standings[place] for place in sorted(places)]


_Standing = tuple[
    Rank,
    Rule,
    WhyNot | None,
    str | None,
    str | None,
    datetime,
    datetime | None,
    int,
    int,
    Experiment | None,
]
"""A rule laid out for the loop below, which every calculation runs."""


def _standing(rule: Rule, elsewhere: WhyNot | None, *, is_dated: bool = True) -> _Standing:
    return (
        rank(rule),
        rule,
        elsewhere,
        rule.transaction_type,
        rule.currency,
        rule.effective_from if is_dated else _EPOCH,
        rule.effective_to if is_dated else None,
        rule.min_amount or 1,
        rule.max_amount or AMOUNT_MAX,
        rule.experiment,
    )


def _elsewhere(rule: Rule, facts: Facts) -> WhyNot | None:
    """Why a rule would not be found by index."""
    if rule.status is not Status.ACTIVE:
        return WhyNot.NOT_ACTIVE
    if rule.vendor_id is not None and rule.vendor_id != facts.vendor_id:
        return WhyNot.OTHER_VENDOR
    if rule.category_id is not None and rule.category_id != facts.category_id:
        return WhyNot.OTHER_CATEGORY
    return None


def _choose(
    standings: Iterable[_Standing], count: int, facts: Facts, experiments: Experiments, *, limit: int
) -> Choice:
    """The first that matches wins; each other one gets the first reason that holds for it."""
    at, amount, asked_type, asked_currency = facts.at, facts.amount, facts.transaction_type, facts.currency
    winner: Rule | None = None
    winning: Rank = (0, 0, 0, "")
    considered: list[Considered] = []
    why: WhyNot | None
    for own, rule, elsewhere, kind, currency, starts_at, ends_at, lowest, highest, experiment in standings:
        if elsewhere is not None:
            why = elsewhere
        elif kind is not None and kind != asked_type:
            why = WhyNot.OTHER_TRANSACTION_TYPE
        elif currency is not None and currency != asked_currency:
            why = WhyNot.OTHER_CURRENCY
        elif at < starts_at:
            why = WhyNot.NOT_YET_EFFECTIVE
        elif ends_at is not None and at >= ends_at:
            why = WhyNot.NO_LONGER_EFFECTIVE
        elif amount < lowest:
            why = WhyNot.AMOUNT_TOO_LOW
        elif amount > highest:
            why = WhyNot.AMOUNT_TOO_HIGH
        else:
            why = None if experiment is None else _not_drawn(experiment, facts, experiments)
            if why is None and winner is None:
                winner, winning = rule, own
                continue
        if len(considered) < limit:
            considered.append(Considered(rule.id, why or outranked(own, winning)))
        elif winner is not None:
            break
    return Choice(winner, tuple(considered), count - (winner is not None))


def _not_drawn(experiment: Experiment, facts: Facts, experiments: Experiments) -> WhyNot | None:
    key = facts.vendor_id if experiment.unit is Unit.VENDOR else facts.customer_id
    if key is None:
        return WhyNot.CUSTOMER_UNKNOWN
    return None if experiments.is_drawn(experiment, key) else WhyNot.OTHER_VARIANT


def commission(winner: Rule | None, facts: Facts) -> Commission:
    """What is charged by the rule that counts; nothing where there is none."""
    return Commission(None, None, 0) if winner is None else charge(winner, facts.amount, facts.volume)
