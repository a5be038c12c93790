"""Which providers serve a payment, in which order. Pure."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.routing.model import Facts, NoProvider, Rule, Status, plan
from bursar.kit import ids
from bursar.providers.port import Authorization, MethodType, Payout, Request

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Able:
    """What a provider says of itself; it is never asked for anything."""

    name = "able"

    def __init__(
        self,
        *,
        method_types: frozenset[MethodType] = frozenset(MethodType),
        requests: frozenset[type[Request]] = frozenset({Authorization}),
        currencies: tuple[str, ...] = ("EUR", "USD", "JPY"),
    ) -> None:
        self.method_types = method_types
        self.requests = requests
        self.currencies = currencies

    def accepts(self, currency: str) -> bool:
        return currency in self.currencies


ALL: dict[str, Any] = {"a": Able(), "b": Able(), "c": Able()}


def rule(provider: str, **changes: Any) -> Rule:
    values: dict[str, Any] = {
        "id": ids.new(NOW),
        "version": 1,
        "name": provider,
        "status": Status.ACTIVE,
        "priority": 100,
        "weight": 1,
        "provider": provider,
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }
    return Rule(**values)


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "payment_id": ids.new(NOW),
        "method_type": MethodType.CARD,
        "amount": 1_000,
        "currency": "EUR",
        "country": "AT",
        "tokens": frozenset(),
        "is_portable": True,
        **changes,
    }
    return Facts(**values)


class TestWithoutRules:
    def test_is_the_order_of_the_setting(self) -> None:
        assert plan([], ALL, facts()) == ("a", "b", "c")

    def test_leaves_out_who_cannot(self) -> None:
        providers: dict[str, Any] = {
            "pays out": Able(requests=frozenset({Payout})),
            "banks": Able(method_types=frozenset({MethodType.BANK_ACCOUNT})),
            "yen": Able(currencies=("JPY",)),
            "good": Able(),
        }
        assert plan([], providers, facts()) == ("good",)
        with pytest.raises(NoProvider):
            plan([], providers, facts(currency="KWD"))
        with pytest.raises(NoProvider):
            plan([], {}, facts())

    def test_keeps_a_token_with_its_provider(self) -> None:
        assert plan([], ALL, facts(is_portable=False, tokens=frozenset({"b"}))) == ("b",)
        assert plan([], ALL, facts(is_portable=True, tokens=frozenset({"b"}))) == ("a", "b", "c")
        with pytest.raises(NoProvider):
            plan([], ALL, facts(is_portable=False))


class TestRules:
    def test_count_by_priority_and_leave_the_rest_out(self) -> None:
        rules = [rule("a", priority=3), rule("b", priority=1)]
        assert plan(rules, ALL, facts()) == ("b", "a")
        assert plan(rules[::-1], ALL, facts()) == ("b", "a")

    def test_that_fit_nothing_leave_the_setting_s_order(self) -> None:
        rules = [rule("c", currency="USD"), rule("b", status=Status.INACTIVE), rule("gone")]
        assert plan(rules, ALL, facts()) == ("a", "b", "c")

    def test_name_a_provider_once(self) -> None:
        rules = [rule("a", priority=1), rule("b", priority=2), rule("a", priority=3)]
        assert plan(rules, ALL, facts()) == ("a", "b")

    def test_cannot_choose_who_is_unable(self) -> None:
        rules = [rule("a", priority=1), rule("b", priority=2)]
        assert plan(rules, ALL, facts(is_portable=False, tokens=frozenset({"b", "c"}))) == ("b",)
        assert plan(rules, ALL, facts(is_portable=False, tokens=frozenset({"c"}))) == ("c",)

    @pytest.mark.parametrize(
        "condition, fits, misses",
        [
            ({"method_type": MethodType.CARD}, {}, {"method_type": MethodType.BANK_ACCOUNT}),
            ({"currency": "EUR"}, {}, {"currency": "USD"}),
            ({"country": "AT"}, {}, {"country": "DE"}),
            ({"country": "AT"}, {}, {"country": None}),
            ({"currency": "EUR", "min_amount": 1_000}, {}, {"amount": 999}),
            ({"currency": "EUR", "max_amount": 1_000}, {}, {"amount": 1_001}),
            ({"currency": "EUR", "min_amount": 5, "max_amount": 5}, {"amount": 5}, {"amount": 6}),
            ({"currency": "EUR", "min_amount": 5}, {"amount": 5}, {"amount": 5, "currency": "USD"}),
        ],
    )
    def test_fit_by_what_they_say(
        self, condition: dict[str, Any], fits: dict[str, Any], misses: dict[str, Any]
    ) -> None:
        rules = [rule("c", **condition)]
        assert plan(rules, ALL, facts(**fits)) == ("c",)
        assert plan(rules, ALL, facts(**misses)) == ("a", "b", "c")


class TestWeights:
    @pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 90, "b": 10}, {"a": 1, "b": 2, "c": 7}])
    def test_are_shares_of_many_payments(self, weights: dict[str, int]) -> None:
        rules, count = [rule(provider, weight=weight) for provider, weight in weights.items()], 20_000
        chosen = Counter(plan(rules, ALL, facts(payment_id=ids.new(NOW)))[0] for _ in range(count))
        for provider, weight in weights.items():
            share = weight / sum(weights.values())
            allowed = 5 * (share * (1 - share) / count) ** 0.5  # five standard deviations
            assert abs(chosen[provider] / count - share) < allowed, chosen

    def test_leave_the_others_behind_the_first(self) -> None:
        rules = [rule(provider) for provider in ALL] + [rule("a", priority=500)]
        for _ in range(50):
            assert sorted(plan(rules, ALL, facts())) == ["a", "b", "c"]

    @given(st.permutations(["a", "b", "c"]), st.integers(1, 1_000), st.uuids())
    def test_give_one_payment_the_same_providers_each_time(self, order: list[str], weight: int, uuid: Any) -> None:
        rules = [rule(name, id=f"{name}-1", weight=weight + place) for place, name in enumerate(["a", "b", "c"])]
        by_name = {one.provider: one for one in rules}
        asked = facts(payment_id=str(uuid))
        assert plan([by_name[name] for name in order], ALL, asked) == plan(rules, ALL, asked)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "c", "gone"]), st.integers(0, 3), st.integers(1, 1_000)), max_size=8
        ),
        st.uuids(),
    )
    def test_never_break_the_order_of_priorities(self, made: list[tuple[str, int, int]], uuid: Any) -> None:
        rules = [rule(name, priority=priority, weight=weight) for name, priority, weight in made]
        chosen = plan(rules, ALL, facts(payment_id=str(uuid)))
        best = {
            name: min(one.priority for one in rules if one.provider == name)
            for name in {one.provider for one in rules} & set(ALL)
        }
        if not best:
            assert chosen == ("a", "b", "c")
            return
        assert sorted(chosen) == sorted(best) and [best[name] for name in chosen] == sorted(best.values())
