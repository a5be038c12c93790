"""How many people have to approve a refund."""

from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from bursar.domains.refunds import policy
from bursar.domains.refunds.model import Reason
from bursar.domains.refunds.policy import DEFAULT, Facts, PolicyError, Rule, Verdict, decide, load


def facts(amount: int = 5_000, *requesters: str, **changes: Any) -> Facts:
    known = {"reason": Reason.OTHER, "amount": amount, "currency": "EUR", "requesters": frozenset(requesters)}
    return Facts(**{**known, **changes})


class TestDefault:
    @pytest.mark.parametrize(
        "amount, currency, requester, approvals",
        [
            (10_000, "EUR", "service", 0),
            (10_001, "EUR", "service", 1),
            (100_000, "EUR", "service", 1),
            (100_001, "EUR", "service", 2),
            (1, "EUR", "customer", 1),
            (100_000, "EUR", "customer", 1),
            (100_001, "EUR", "customer", 2),
            (100, "JPY", "service", 0),
            (101, "JPY", "service", 1),
            (1_001, "JPY", "service", 2),
            (100_000, "KWD", "service", 0),
            (100_001, "KWD", "service", 1),
            (1_000_001, "KWD", "service", 2),
        ],
    )
    def test_goes_by_the_amount_and_by_who_asks(
        self, amount: int, currency: str, requester: str, approvals: int
    ) -> None:
        assert decide(DEFAULT, facts(amount, requester, currency=currency)).approvals == approvals

    def test_says_why(self) -> None:
        assert decide(DEFAULT, facts(1, "customer")).rule == "asked for by a customer"
        assert decide(DEFAULT, facts(200_000, "admin")).rule == "above 1,000 units of the currency"

    @given(amount=st.integers(1, 10**12), roles=st.sets(st.sampled_from(["customer", "service", "finance", "admin"])))
    def test_asks_for_no_fewer_the_more_goes_back(self, amount: int, roles: set[str]) -> None:
        smaller = decide(DEFAULT, facts(max(1, amount // 2), *roles))
        assert smaller.approvals <= decide(DEFAULT, facts(amount, *roles)).approvals


class TestRules:
    def test_the_first_that_matches_counts(self) -> None:
        rules = (Rule(approvals=2, reasons=frozenset({Reason.DUPLICATE}), name="look twice"), Rule(approvals=0))
        assert decide(rules, facts(reason=Reason.DUPLICATE)) == Verdict(2, "look twice")
        assert decide(rules, facts()) == Verdict(0, "rule 2")

    def test_two_people_where_none_matches(self) -> None:
        rules = (Rule(approvals=0, currencies=frozenset({"USD"})),)
        assert decide(rules, facts()) == Verdict(2, "no rule matches")

    @pytest.mark.parametrize(
        "vendors, approvals",
        [
            (("trusted",), 0),
            (("trusted", "other"), 1),
            (("trusted", None), 1),
            ((None,), 1),
            (("watched", "trusted"), 2),
        ],
    )
    def test_of_several_vendors_the_strictest_counts(self, vendors: tuple[str | None, ...], approvals: int) -> None:
        rules = (
            Rule(approvals=2, vendors=frozenset({"watched"})),
            Rule(approvals=0, vendors=frozenset({"trusted"})),
            Rule(approvals=1),
        )
        assert decide(rules, facts(vendors=vendors)).approvals == approvals

    def test_match_any_of_the_requesters_roles(self) -> None:
        rules = (Rule(approvals=0, requesters=frozenset({"support", "finance"})), Rule(approvals=1))
        assert decide(rules, facts(1, "finance", "risk")).approvals == 0
        assert decide(rules, facts(1, "risk")).approvals == 1


class TestLoad:
    def test_nothing_is_the_default(self) -> None:
        assert load("").rules == load("  \n").rules == DEFAULT
        assert load("").keeps_commission == frozenset()

    def test_rules_in_their_order(self) -> None:
        text = """[{"reasons": ["DUPLICATE"], "vendors": ["v-1"], "currencies": ["EUR"], "requesters": ["service"],
                    "maxAmount": 500, "approvals": 0, "name": "duplicates"}, {"approvals": 2}]"""
        first, second = load(text).rules
        assert first == Rule(
            approvals=0,
            name="duplicates",
            reasons=frozenset({Reason.DUPLICATE}),
            vendors=frozenset({"v-1"}),
            currencies=frozenset({"EUR"}),
            requesters=frozenset({"service"}),
            max_amount=500,
        )
        assert second == Rule(approvals=2)

    def test_the_reasons_for_which_the_commission_is_kept(self) -> None:
        kept = load("", keeps_commission="CUSTOMER_REQUEST, OTHER").keeps_commission
        assert kept == {Reason.CUSTOMER_REQUEST, Reason.OTHER}

    @pytest.mark.parametrize(
        "rules, says",
        [
            ([], "1 to 1000 rules, not 0"),
            ([{"approvals": 3}], "rule 1 of the refund policy: approvals is 0 to 2"),
            ([{"approvals": 1}, {"approvals": -1}], "rule 2 of the refund policy: approvals is 0 to 2"),
            ([{"approvals": 1, "maxAmount": 0}], "maxAmount is 1 or more"),
            ([{"approvals": 1, "reasons": []}], "reasons names nothing"),
            ([{"approvals": 1, "vendors": []}], "vendors names nothing"),
            ([{"approvals": 1, "requesters": ["boss"]}], "requesters names no role: boss"),
            ([{"approvals": 1, "currencies": ["EURO"]}], "currencies names no currency: EURO"),
            ([{"approvals": 1, "reasons": ["WHIM"]}], "WHIM"),
            ([{"approvals": 1, "amount": 5}], "unknown field `amount`"),
            ([{}], "missing required field `approvals`"),
            ({"approvals": 1}, "cannot be read"),
        ],
    )
    def test_one_clear_line_about_what_cannot_be_used(self, rules: Any, says: str) -> None:
        with pytest.raises(PolicyError) as refused:
            load(msgspec.json.encode(rules).decode())
        assert says in str(refused.value) and "\n" not in str(refused.value)

    def test_what_is_no_json(self) -> None:
        with pytest.raises(PolicyError, match="cannot be read"):
            load("approvals: 1")

    def test_a_reason_that_is_none(self) -> None:
        with pytest.raises(PolicyError, match="no reason for a refund: WHIM"):
            load("", keeps_commission="OTHER,WHIM")

    def test_a_policy_holds_what_was_loaded(self) -> None:
        assert isinstance(load(""), policy.Policy)
