"""Which rules meet, beside trying every transaction of a small universe; and how many pairs are looked at."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations, product
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from bursar.domains.commissions.conflicts import Conflict, Kind, against, among, meeting
from bursar.domains.commissions.engine import WhyNot, explain, rank
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import Experiment, Facts, Rule, Unit
from tests.support.commissions import DAYS, EXPERIMENTS, NOW, facts, mismatch, rule, small_rules, universe

DAY = timedelta(days=1)
UNIVERSE = universe()
VENDORS = ["v-1", "v-2", *(f"other-{number}" for number in range(40))]
CUSTOMERS = [None, *(f"customer-{number}" for number in range(40))]


def conflict(one: Rule, other: Rule) -> Conflict | None:
    return meeting(one, other, Experiments([one, other]))


def told(rules: Sequence[Rule]) -> list[Conflict]:
    return [found for found in among(rules) if found is not None]


def pair(found: Conflict) -> frozenset[str]:
    return frozenset((found.winner.id, found.loser.id))


def is_covered(found: Conflict, asked: Sequence[Facts], experiments: Experiments) -> bool:
    """Whether from the window's beginning on the winner matches whatever the loser does."""
    return all(
        mismatch(found.winner, one, experiments) is None
        for one in asked
        if one.at >= found.starts_at and mismatch(found.loser, one, experiments) is None
    )


class TestPairs:
    @pytest.mark.parametrize(
        "one, other, meet",
        [
            ({}, {}, True),
            ({"vendor_id": "v-1"}, {"vendor_id": "v-2"}, False),
            ({"vendor_id": "v-1"}, {"category_id": "c-1"}, True),
            ({"category_id": "c-1"}, {"category_id": "c-2"}, False),
            ({"currency": "EUR"}, {"currency": "USD"}, False),
            ({"transaction_type": "CHARGE"}, {"transaction_type": "REFUND"}, False),
            ({"effective_to": NOW + DAY}, {"effective_from": NOW + DAY}, False),
            ({"effective_to": NOW + DAY}, {"effective_from": NOW + DAY - timedelta(microseconds=1)}, True),
            ({"max_amount": 5}, {"min_amount": 6}, False),
            ({"max_amount": 5}, {"min_amount": 5}, True),
            ({"experiment": Experiment("e", "a", 1)}, {"experiment": Experiment("e", "b", 1)}, False),
            ({"experiment": Experiment("e", "a", 1)}, {"experiment": Experiment("e", "a", 1)}, True),
            ({"experiment": Experiment("e", "a", 1)}, {"experiment": Experiment("f", "b", 1)}, True),
            ({"experiment": Experiment("e", "a", 1)}, {"experiment": Experiment("e", "b", 1, Unit.CUSTOMER)}, True),
            ({"experiment": Experiment("e", "a", 1)}, {}, True),
        ],
    )
    def test_that_meet_and_those_that_cannot(self, one: dict[str, Any], other: dict[str, Any], meet: bool) -> None:
        first, second = rule(**one), rule(**other)
        found = conflict(first, second)
        assert (found is not None) is meet
        assert [pair(each) for each in told([first, second])] == ([{first.id, second.id}] if meet else [])

    @pytest.mark.parametrize(
        "winner, loser, kind, why",
        [
            ({}, {"effective_from": NOW - DAY}, Kind.SAME_PRIORITY, WhyNot.EARLIER_EFFECTIVE_FROM),
            ({"vendor_id": "v-1"}, {}, Kind.SAME_PRIORITY, WhyNot.LESS_SPECIFIC),
            ({"id": "a"}, {"id": "b"}, Kind.SAME_PRIORITY, WhyNot.HIGHER_ID),
            ({"priority": 1}, {}, Kind.SHADOWED, WhyNot.LOWER_PRIORITY),
            ({"priority": 1}, {"vendor_id": "v-1"}, Kind.SHADOWED, WhyNot.LOWER_PRIORITY),
            ({"priority": 1, "vendor_id": "v-1"}, {}, Kind.PARTLY_SHADOWED, WhyNot.LOWER_PRIORITY),
            ({"priority": 1, "effective_to": NOW + DAY}, {}, Kind.PARTLY_SHADOWED, WhyNot.LOWER_PRIORITY),
            ({"priority": 1, "effective_from": NOW + DAY}, {}, Kind.SHADOWED, WhyNot.LOWER_PRIORITY),
            (
                {"priority": 1, "effective_to": NOW + DAY},
                {"effective_to": NOW + DAY},
                Kind.SHADOWED,
                WhyNot.LOWER_PRIORITY,
            ),
            ({"priority": 1, "min_amount": 2}, {}, Kind.PARTLY_SHADOWED, WhyNot.LOWER_PRIORITY),
            (
                {"priority": 1, "min_amount": 2},
                {"min_amount": 2, "max_amount": 9},
                Kind.SHADOWED,
                WhyNot.LOWER_PRIORITY,
            ),
            ({"priority": 1}, {"experiment": Experiment("e", "a", 1)}, Kind.SHADOWED, WhyNot.LOWER_PRIORITY),
        ],
    )
    def test_say_who_wins_and_how(self, winner: dict[str, Any], loser: dict[str, Any], kind: Kind, why: WhyNot) -> None:
        first, second = rule(**winner), rule(**loser)
        for one, other in ((first, second), (second, first)):
            found = conflict(one, other)
            assert found is not None
            assert (found.winner, found.loser, found.kind, found.why) == (first, second, kind, why)

    def test_have_the_window_and_an_example(self) -> None:
        first = rule(priority=1, vendor_id="v-1", min_amount=50, effective_to=NOW + 9 * DAY, currency="USD")
        second = rule(category_id="c-1", effective_from=NOW + DAY, effective_to=NOW + 5 * DAY, max_amount=80)
        found = conflict(first, second)
        assert found is not None
        assert (found.starts_at, found.ends_at) == (NOW + DAY, NOW + 5 * DAY)
        assert found.example == facts(amount=50, currency="USD", category_id="c-1", at=NOW + DAY)

    def test_of_a_vendor_meet_where_it_is_drawn_for_both(self) -> None:
        variants = [rule(experiment=Experiment("e", name, 1)) for name in "ab"]
        for number in range(20):
            own = rule(vendor_id=f"v-{number}")
            experiments = Experiments([*variants, own])
            met = [one for one in variants if meeting(one, own, experiments) is not None]
            choice = explain([*variants], facts(vendor_id=f"v-{number}"))
            assert met == [choice.winner]

    def test_with_little_chance_still_have_an_example(self) -> None:
        rare = [
            *(rule(experiment=Experiment("e", name, weight)) for name, weight in (("a", 1), ("b", 99))),
            *(rule(experiment=Experiment("f", name, weight)) for name, weight in (("a", 1), ("b", 99))),
        ]
        found = meeting(rare[0], rare[2], Experiments(rare))
        assert found is not None and found.example is not None
        assert all(mismatch(one, found.example, Experiments(rare)) is None for one in (rare[0], rare[2]))


class TestBesideAllTransactions:
    @given(st.lists(small_rules(), min_size=2, max_size=5))
    def test_tells_every_pair_that_meets_and_no_other(self, rules: list[Rule]) -> None:
        experiments, found = Experiments(rules), told(rules)
        pairs = [pair(one) for one in found]
        assert len(set(pairs)) == len(pairs)
        matching = {one.id: {n for n, asked in enumerate(UNIVERSE) if mismatch(one, asked, experiments) is None}
                    for one in rules}  # fmt: skip
        for one, other in combinations(rules, 2):
            if matching[one.id] & matching[other.id]:
                assert frozenset((one.id, other.id)) in pairs, (one, other)
        for each in found:
            assert each.example is not None
            assert mismatch(each.winner, each.example, experiments) is None
            assert mismatch(each.loser, each.example, experiments) is None
            assert rank(each.winner) < rank(each.loser)

    @given(st.lists(small_rules(), min_size=2, max_size=5))
    def test_tells_the_window_in_which_they_meet(self, rules: list[Rule]) -> None:
        for each in told(rules):
            both = [day for day in DAYS if all(
                one.effective_from <= day and (one.effective_to is None or day < one.effective_to)
                for one in (each.winner, each.loser))]  # fmt: skip
            assert both == [
                day for day in DAYS if each.starts_at <= day and (each.ends_at is None or day < each.ends_at)
            ]
            assert both

    @given(small_rules(), small_rules())
    def test_tells_how_far_one_shadows_the_other(self, one: Rule, other: Rule) -> None:
        one, other = (msgspec.structs.replace(each, experiment=None) for each in (one, other))
        found = conflict(one, other)
        if found is None:
            return
        covered = is_covered(found, UNIVERSE, Experiments([]))
        expected = Kind.SHADOWED if covered else Kind.PARTLY_SHADOWED
        assert found.kind is (Kind.SAME_PRIORITY if one.priority == other.priority else expected)

    @given(
        st.tuples(*[st.sampled_from(EXPERIMENTS)] * 2),
        st.tuples(*[st.sampled_from([None, "v-1", "v-2"])] * 2),
        st.sampled_from(EXPERIMENTS),
    )
    def test_tells_how_far_an_experiment_shadows_a_rule(
        self, both: tuple[Any, Any], vendors: tuple[Any, Any], third: Any
    ) -> None:
        winner, loser = (rule(experiment=own, vendor_id=vendor) for own, vendor in zip(both, vendors, strict=True))
        winner = msgspec.structs.replace(winner, priority=1)
        experiments = Experiments([winner, loser, rule(experiment=third)])
        asked = [facts(vendor_id=vendor, customer_id=customer) for vendor, customer in product(VENDORS, CUSTOMERS)]
        met = [one for one in asked if all(mismatch(each, one, experiments) is None for each in (winner, loser))]
        found = meeting(winner, loser, experiments)
        assert bool(met) == (found is not None)
        if found is not None:
            assert (found.kind is Kind.SHADOWED) == is_covered(found, asked, experiments)

    @given(st.lists(small_rules(), max_size=6), small_rules())
    def test_of_one_rule_is_its_part_of_all(self, rules: list[Rule], own: Rule) -> None:
        everything = [*rules, own]
        mine = {pair(found) for found in against(own, everything) if found is not None}
        assert mine == {pair(found) for found in told(everything) if own.id in pair(found)}


class TestEffort:
    def test_looks_at_no_pair_that_is_set_apart_by_a_dimension(self) -> None:
        rules = [rule(vendor_id=f"v-{number}", currency="EUR") for number in range(10_000)]
        assert list(among(rules)) == [None] * 10_000

    def test_looks_at_no_pair_that_is_set_apart_by_time(self) -> None:
        rules = [rule(effective_from=NOW + n * DAY, effective_to=NOW + (n + 1) * DAY) for n in range(10_000)]
        assert list(among(rules)) == [None] * 10_000

    def test_of_a_market_is_about_what_it_tells(self) -> None:
        vendors = [rule(vendor_id=f"v-{number // 2}", category_id=f"c-{number % 2}") for number in range(9_000)]
        categories = [rule(category_id=f"c-{number}", priority=1) for number in range(5)]
        steps = list(among([*vendors, *categories, rule(priority=2)]))
        assert sum(found is not None for found in steps) == 9_000 + 9_005
        assert sum(found is None for found in steps) == 9_006
