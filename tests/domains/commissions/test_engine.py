"""Which rule wins: the order key by key, every reason, and what holds for any rules."""

import tracemalloc
from collections import Counter
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bursar.domains.commissions.engine import Considered, Index, WhyNot, commission, explain, outranked, rank
from bursar.domains.commissions.experiments import Experiments
from bursar.domains.commissions.model import Experiment, Facts, Rule, Status, Unit
from tests.support.commissions import NOW, facts, mismatch, rule, small_facts, small_rules

DAY = timedelta(days=1)
W = WhyNot


class TestMismatch:
    @pytest.mark.parametrize(
        "terms, asked, why",
        [
            ({}, {}, None),
            ({"vendor_id": "v-1"}, {}, None),
            ({"vendor_id": "v-2"}, {}, W.OTHER_VENDOR),
            ({"category_id": "c-1"}, {"category_id": "c-1"}, None),
            ({"category_id": "c-1"}, {"category_id": "c-2"}, W.OTHER_CATEGORY),
            ({"category_id": "c-1"}, {}, W.OTHER_CATEGORY),
            ({}, {"category_id": "c-1"}, None),
            ({"transaction_type": "CHARGE"}, {}, None),
            ({"transaction_type": "REFUND"}, {}, W.OTHER_TRANSACTION_TYPE),
            ({"currency": "EUR"}, {}, None),
            ({"currency": "USD"}, {}, W.OTHER_CURRENCY),
            ({}, {"at": NOW - timedelta(microseconds=1)}, W.NOT_YET_EFFECTIVE),
            ({"effective_to": NOW + DAY}, {"at": NOW + DAY - timedelta(microseconds=1)}, None),
            ({"effective_to": NOW + DAY}, {"at": NOW + DAY}, W.NO_LONGER_EFFECTIVE),
            ({"min_amount": 10_000}, {}, None),
            ({"min_amount": 10_001}, {}, W.AMOUNT_TOO_LOW),
            ({"max_amount": 10_000}, {}, None),
            ({"max_amount": 9_999}, {}, W.AMOUNT_TOO_HIGH),
            ({"experiment": Experiment("e", "a", 1)}, {}, None),
            ({"experiment": Experiment("e", "a", 1, Unit.CUSTOMER)}, {}, W.CUSTOMER_UNKNOWN),
            ({"experiment": Experiment("e", "a", 1, Unit.CUSTOMER)}, {"customer_id": "u"}, None),
        ],
    )
    def test_by_each_dimension(self, terms: dict[str, Any], asked: dict[str, Any], why: WhyNot | None) -> None:
        one = rule(**terms)
        assert mismatch(one, facts(**asked), Experiments([one])) is why
        choice = explain([one], facts(**asked))
        assert choice.winner is (one if why is None else None)
        assert choice.considered == (() if why is None else (Considered(one.id, why),))


class TestOrder:
    @pytest.mark.parametrize(
        "winner, loser, why",
        [
            ({"priority": 2}, {"priority": 1, "vendor_id": "v-1", "category_id": "c-1"}, W.LOWER_PRIORITY),
            ({"vendor_id": "v-1", "category_id": "c-1"}, {"vendor_id": "v-1"}, W.LESS_SPECIFIC),
            ({"vendor_id": "v-1"}, {"category_id": "c-1"}, W.LESS_SPECIFIC),
            ({"category_id": "c-1"}, {}, W.LESS_SPECIFIC),
            ({"category_id": "c-1"}, {"currency": "EUR", "transaction_type": "CHARGE"}, W.LESS_SPECIFIC),
            ({"vendor_id": "v-1"}, {"category_id": "c-1", "effective_from": NOW + DAY}, W.LESS_SPECIFIC),
            ({"effective_from": NOW + DAY}, {}, W.EARLIER_EFFECTIVE_FROM),
            ({"effective_from": NOW + timedelta(microseconds=1)}, {}, W.EARLIER_EFFECTIVE_FROM),
            ({"id": "a"}, {"id": "b"}, W.HIGHER_ID),
        ],
    )
    def test_is_priority_then_specificity_then_beginning_then_id(
        self, winner: dict[str, Any], loser: dict[str, Any], why: WhyNot
    ) -> None:
        first, second = rule(**winner), rule(**loser)
        asked = facts(category_id="c-1", at=NOW + 2 * DAY)
        for given_rules in ([first, second], [second, first]):
            choice = explain(given_rules, asked)
            assert choice.winner == first and choice.considered == (Considered(second.id, why),)

    def test_says_of_each_rule_its_own_reason(self) -> None:
        rules = {
            W.NOT_ACTIVE: rule(status=Status.DRAFT, priority=9),
            W.LESS_SPECIFIC: rule(priority=5),
            W.LOWER_PRIORITY: rule(priority=4, vendor_id="v-1"),
            W.EARLIER_EFFECTIVE_FROM: rule(priority=5, vendor_id="v-1", effective_from=NOW - DAY),
            W.OTHER_CURRENCY: rule(priority=5, vendor_id="v-1", currency="USD"),
        }
        winner = rule(priority=5, vendor_id="v-1")
        rules[W.HIGHER_ID] = rule(priority=5, vendor_id="v-1")
        choice = explain([*rules.values(), winner], facts())
        assert choice.winner == winner
        assert {one.why_not: one.rule_id for one in choice.considered} == {why: one.id for why, one in rules.items()}

    @given(small_rules(), small_rules())
    def test_never_ties(self, one: Rule, other: Rule) -> None:
        assert rank(one) != rank(other)
        assert (rank(one) < rank(other)) != (rank(other) < rank(one))
        assert outranked(*sorted(map(rank, (one, other)), reverse=True)) in (
            W.LOWER_PRIORITY,
            W.LESS_SPECIFIC,
            W.EARLIER_EFFECTIVE_FROM,
            W.HIGHER_ID,
        )


class TestMemory:
    def test_whoever_is_asked_for_what_is_kept_stays_within_bounds(self) -> None:
        index = Index([rule() for _ in range(2_000)])
        tracemalloc.start()
        try:
            for number in range(2_000):
                index.choose(facts(vendor_id=f"v-{number}"), limit=0)
            assert tracemalloc.get_traced_memory()[0] < 16 * 2**20
        finally:
            tracemalloc.stop()


class TestAnyRules:
    @given(st.lists(small_rules(), max_size=8), small_facts, st.randoms(use_true_random=False))
    def test_give_the_same_answer_in_any_order(self, rules: list[Rule], asked: Facts, random: Any) -> None:
        shuffled = list(rules)
        random.shuffle(shuffled)
        assert explain(rules, asked) == explain(shuffled, asked)
        assert Index(rules).choose(asked, limit=9) == Index(shuffled).choose(asked, limit=9)

    @given(st.lists(small_rules(), max_size=8), small_facts)
    def test_are_each_explained(self, rules: list[Rule], asked: Facts) -> None:
        choice = explain(rules, asked)
        told = [one.rule_id for one in choice.considered] + ([choice.winner.id] if choice.winner else [])
        assert sorted(told) == sorted(one.id for one in rules)
        assert choice.considered_count == len(choice.considered)
        experiments = Experiments(rules)
        matching = [one for one in rules if mismatch(one, asked, experiments) is None]
        assert choice.winner == min(matching, key=rank, default=None)
        by_id = {one.id: one for one in rules}
        for told_of in choice.considered:
            one = by_id[told_of.rule_id]
            expected = mismatch(one, asked, experiments)
            assert told_of.why_not is (expected or outranked(rank(one), rank(choice.winner or one)))

    @given(st.lists(small_rules(), max_size=8), small_facts, st.integers(0, 9))
    def test_are_found_by_index_as_by_looking_at_all(self, rules: list[Rule], asked: Facts, limit: int) -> None:
        whole, found = explain(rules, asked), Index(rules).choose(asked, limit=limit)
        foreign = (W.OTHER_VENDOR, W.OTHER_CATEGORY)
        near = tuple(one for one in whole.considered if one.why_not not in foreign)
        assert found.winner == whole.winner
        assert found.considered == near[:limit] and found.considered_count == len(near)

    @given(st.lists(small_rules(), max_size=8), small_facts)
    def test_that_are_not_active_change_nothing(self, rules: list[Rule], asked: Facts) -> None:
        idle = [rule(status=status, priority=9, experiment=Experiment("e", "z", 5)) for status in Status
                if status is not Status.ACTIVE]  # fmt: skip
        assert explain([*rules, *idle], asked).winner == explain(rules, asked).winner
        assert Index([*rules, *idle]).choose(asked, limit=20) == Index(rules).choose(asked, limit=20)

    @given(st.lists(small_rules(), max_size=8), small_facts)
    def test_charge_nothing_where_none_matches(self, rules: list[Rule], asked: Facts) -> None:
        choice = explain(rules, asked)
        charged = commission(choice.winner, asked)
        assert 0 <= charged.amount <= asked.amount
        assert (charged.rule_id is None) == (choice.winner is None)
        if choice.winner is None:
            assert charged.amount == 0


class TestExperiments:
    def variants(self, **weights: int) -> list[Rule]:
        return [rule(experiment=Experiment("e", name, weight)) for name, weight in weights.items()]

    def drawn(self, rules: list[Rule], vendor: str) -> str:
        experiments = Experiments(rules)
        own = [one.experiment for one in rules if one.experiment]
        (variant,) = {one.variant for one in own if experiments.is_drawn(one, vendor)}
        return variant

    @given(st.permutations(["a", "b", "c"]), st.text(max_size=20))
    def test_draw_a_key_once_and_for_good(self, order: list[str], vendor: str) -> None:
        rules = {name: rule(experiment=Experiment("e", name, weight)) for weight, name in enumerate("abc", 1)}
        assert self.drawn([rules[name] for name in order], vendor) == self.drawn(list(rules.values()), vendor)

    @pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 1, "b": 3}, {"a": 10, "b": 30, "c": 60}])
    def test_share_keys_by_weight(self, weights: dict[str, int]) -> None:
        rules, number = self.variants(**weights), 5_000
        chosen = Counter(self.drawn(rules, f"vendor-{key}") for key in range(number))
        for name, weight in weights.items():
            share = weight / sum(weights.values())
            allowed = 5 * (share * (1 - share) / number) ** 0.5  # five standard deviations
            assert abs(chosen[name] / number - share) < allowed, chosen

    def test_of_other_names_draw_by_themselves(self) -> None:
        both = [rule(experiment=Experiment(name, variant, 1)) for name in "ef" for variant in "ab"]
        experiments = Experiments(both)
        pairs = Counter(
            tuple(
                one.experiment.variant for one in both if one.experiment and experiments.is_drawn(one.experiment, key)
            )
            for key in map(str, range(2_000))
        )
        assert len(pairs) == 4 and min(pairs.values()) > 350

    def test_leave_a_vendor_with_its_variant_and_the_other_one_says_so(self) -> None:
        rules = self.variants(a=1, b=1)
        choices = [explain(rules, facts(vendor_id="v-7", customer_id=customer)) for customer in ("x", "y", None)]
        assert len({choice.winner.id for choice in choices if choice.winner}) == 1
        assert all(one.why_not is W.OTHER_VARIANT for choice in choices for one in choice.considered)

    def test_tell_customers_apart_where_they_say_so(self) -> None:
        rules = [rule(experiment=Experiment("e", name, 1, Unit.CUSTOMER)) for name in "ab"]
        winners = [explain(rules, facts(customer_id=f"u-{number}")).winner for number in range(30)]
        assert {one.id for one in winners if one} == {one.id for one in rules}

    def test_take_the_higher_of_two_weights_in_any_order(self) -> None:
        rules = [*self.variants(a=1, b=1), rule(experiment=Experiment("e", "a", 9))]
        shares = [
            Counter(self.drawn(given_rules, str(key)) for key in range(500)) for given_rules in (rules, rules[::-1])
        ]
        assert shares[0] == shares[1] and shares[0]["a"] > 400
