"""Which rules can meet: pairs that match one transaction, of which one then decides and the other does not. Pure.

Two rules meet where a vendor, a category, a type, a currency, an amount, a moment and a draw exist that both take. What
is not told does not meet: rules are set apart only by a dimension in which nothing fits both. Different variants of one
experiment never meet, since a key is drawn for one.
"""

import heapq
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from bursar.domains.commissions.engine import WhyNot, outranked, rank
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import CHARGE, Experiment, Facts, Rule, Unit
from bursar.kit.money import AMOUNT_MAX

EXAMPLE_CURRENCY: Final = "EUR"
EXAMPLE_VENDOR: Final = "example-vendor"
EXAMPLE_CUSTOMER: Final = "example-customer"

_MASKS: Final = range(16)
"""Which of the four dimensions a rule fixes: a bit each."""


class Kind(StrEnum):
    """SAME_PRIORITY: something other than the priority decides. SHADOWED: from the window's beginning on, the loser
    counts for nothing more. PARTLY_SHADOWED: it counts where, or when, the winner does not match.
    """

    SAME_PRIORITY = "SAME_PRIORITY"
    SHADOWED = "SHADOWED"
    PARTLY_SHADOWED = "PARTLY_SHADOWED"


class Conflict(msgspec.Struct, frozen=True):
    """Two rules that meet from starts_at until ends_at (None: for good). why: the winner is before the loser.

    example: a transaction that both match; None only where no key was found that two experiments draw together.
    """

    winner: Rule
    loser: Rule
    starts_at: datetime
    ends_at: datetime | None
    kind: Kind
    why: WhyNot
    example: Facts | None


def meeting(one: Rule, other: Rule, experiments: Experiments) -> Conflict | None:
    """The conflict of two rules; None where no transaction can match both. experiments: of all rules in force."""
    if not _share_dimensions(one, other):
        return None
    starts_at, ends_at = max(one.effective_from, other.effective_from), _earlier(one.effective_to, other.effective_to)
    if ends_at is not None and ends_at <= starts_at:
        return None
    lowest = max(one.min_amount or 1, other.min_amount or 1)
    if lowest > min(one.max_amount or AMOUNT_MAX, other.max_amount or AMOUNT_MAX):
        return None
    vendor = one.vendor_id or other.vendor_id
    drawn = {experiment for experiment in (one.experiment, other.experiment) if experiment is not None}
    if not _can_be_drawn_together(drawn, vendor, experiments):
        return None
    winner, loser = sorted((one, other), key=rank)
    return Conflict(
        winner=winner,
        loser=loser,
        starts_at=starts_at,
        ends_at=ends_at,
        kind=_kind(winner, loser, experiments),
        why=outranked(rank(loser), rank(winner)),
        example=_example(one, other, vendor, drawn, lowest, starts_at, experiments),
    )


def against(rule: Rule, rules: Iterable[Rule]) -> Iterator[Conflict | None]:
    """What `rule` meets among `rules`, as if it were in force with them: one item for each of the others, None where
    it does not meet that one.
    """
    others = [other for other in rules if other.id != rule.id]
    experiments = Experiments([*others, rule])
    for other in others:
        yield meeting(rule, other, experiments)


def among(rules: Iterable[Rule]) -> Iterator[Conflict | None]:
    """Every pair of `rules` that meets. None stands for a rule, or a pair of neighbours, that was looked at in vain.

    A sweep over time: rules are taken by their beginnings and compared with those that still hold then and fix no
    dimension otherwise, found by index.
    """
    ordered = sorted(rules, key=lambda rule: (rule.effective_from, rule.id))
    experiments = Experiments(ordered)
    holding = _Holding()
    for rule in ordered:
        yield None
        holding.let_go(rule.effective_from)
        for other in holding.neighbours(rule):
            yield meeting(rule, other, experiments)
        holding.take(rule)


class _Holding:
    """The rules that hold at the moment of the sweep, by what they fix."""

    def __init__(self) -> None:
        self._ends: list[tuple[datetime, str, Rule]] = []
        self._by_key: dict[tuple[object, ...], dict[str, Rule]] = {}

    def take(self, rule: Rule) -> None:
        for key in _keys(rule):
            self._by_key.setdefault(key, {})[rule.id] = rule
        if rule.effective_to is not None:
            heapq.heappush(self._ends, (rule.effective_to, rule.id, rule))

    def let_go(self, moment: datetime) -> None:
        """Forget the rules that have ended at `moment`."""
        while self._ends and self._ends[0][0] <= moment:
            rule = heapq.heappop(self._ends)[2]
            for key in _keys(rule):
                del self._by_key[key][rule.id]

    def neighbours(self, rule: Rule) -> Iterator[Rule]:
        """Those that fix nothing otherwise than `rule` does."""
        own = _mask(rule)
        for mask in _MASKS:
            shared = mask & own
            yield from self._by_key.get((mask, shared, *_fixed(rule, shared)), {}).values()


def _keys(rule: Rule) -> Iterator[tuple[object, ...]]:
    """Under what a rule is found: what it fixes, and each selection of that which another one may fix, too."""
    own = _mask(rule)
    for shared in _MASKS:
        if shared & own == shared:
            yield own, shared, *_fixed(rule, shared)


def _dimensions(rule: Rule) -> tuple[str | None, str | None, str | None, str | None]:
    return rule.vendor_id, rule.category_id, rule.transaction_type, rule.currency


def _mask(rule: Rule) -> int:
    return sum(1 << bit for bit, value in enumerate(_dimensions(rule)) if value is not None)


def _fixed(rule: Rule, mask: int) -> Iterator[str | None]:
    return (value for bit, value in enumerate(_dimensions(rule)) if mask >> bit & 1)


def _share_dimensions(one: Rule, other: Rule) -> bool:
    return (
        (one.vendor_id is None or other.vendor_id is None or one.vendor_id == other.vendor_id)
        and (one.category_id is None or other.category_id is None or one.category_id == other.category_id)
        and (
            one.transaction_type is None
            or other.transaction_type is None
            or one.transaction_type == other.transaction_type
        )
        and (one.currency is None or other.currency is None or one.currency == other.currency)
    )


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(one, other) if one is not None and other is not None else one or other


def _can_be_drawn_together(drawn: set[Experiment], vendor: str | None, experiments: Experiments) -> bool:
    variants = {(experiment.name, experiment.unit): experiment.variant for experiment in drawn}
    if any(variants[experiment.name, experiment.unit] != experiment.variant for experiment in drawn):
        return False
    of_vendor = (experiment for experiment in drawn if experiment.unit is Unit.VENDOR)
    return vendor is None or all(experiments.is_drawn(experiment, vendor) for experiment in of_vendor)


def _kind(winner: Rule, loser: Rule, experiments: Experiments) -> Kind:
    if winner.priority == loser.priority:
        return Kind.SAME_PRIORITY
    holds_as_long = winner.effective_to is None or (
        loser.effective_to is not None and loser.effective_to <= winner.effective_to
    )
    takes_as_much = (winner.min_amount or 1) <= (loser.min_amount or 1) and (winner.max_amount or AMOUNT_MAX) >= (
        loser.max_amount or AMOUNT_MAX
    )
    fixes_no_more = all(
        ours is None or ours == theirs for ours, theirs in zip(_dimensions(winner), _dimensions(loser), strict=True)
    )
    is_covered = holds_as_long and takes_as_much and fixes_no_more and _draws_as_many(winner, loser, experiments)
    return Kind.SHADOWED if is_covered else Kind.PARTLY_SHADOWED


def _draws_as_many(winner: Rule, loser: Rule, experiments: Experiments) -> bool:
    """Whether everybody for whom the loser counts is drawn for the winner, too."""
    ours, theirs = winner.experiment, loser.experiment
    if ours is None:
        return True
    if theirs is not None and (ours.name, ours.unit, ours.variant) == (theirs.name, theirs.unit, theirs.variant):
        return True
    if ours.unit is Unit.VENDOR:
        is_known = loser.vendor_id is not None and experiments.is_drawn(ours, loser.vendor_id)
        return is_known or experiments.draws_all(ours)
    return theirs is not None and theirs.unit is Unit.CUSTOMER and experiments.draws_all(ours)


def _example(
    one: Rule,
    other: Rule,
    vendor: str | None,
    drawn: set[Experiment],
    amount: int,
    at: datetime,
    experiments: Experiments,
) -> Facts | None:
    of_vendor = [experiment for experiment in drawn if experiment.unit is Unit.VENDOR]
    of_customer = [experiment for experiment in drawn if experiment.unit is Unit.CUSTOMER]
    vendor = vendor or experiments.example(of_vendor, EXAMPLE_VENDOR)
    customer = experiments.example(of_customer, EXAMPLE_CUSTOMER) if of_customer else None
    if vendor is None or (of_customer and customer is None):
        return None
    return Facts(
        vendor_id=vendor,
        amount=amount,
        currency=one.currency or other.currency or EXAMPLE_CURRENCY,
        at=at,
        category_id=one.category_id or other.category_id,
        transaction_type=one.transaction_type or other.transaction_type or CHARGE,
        customer_id=customer,
    )
