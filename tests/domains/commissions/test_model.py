"""The table of a rule's life; what requests are refused, with every fault at once; what its readers see."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bursar.domains.commissions.model import MACHINE, Status
from bursar.domains.commissions.schemas import ChangeRule, CheckConflicts, CreateRule
from bursar.domains.commissions.views import CommissionRuleView, render, render_for_vendor
from bursar.kit.errors import InvalidTransition
from tests.support.commissions import NOW, rule

S = Status

LEADS_TO: dict[tuple[Status, str], tuple[Status, str]] = {
    (S.DRAFT, "change"): (S.DRAFT, "commission_rule.changed"),
    (S.DRAFT, "activate"): (S.ACTIVE, "commission_rule.activated"),
    (S.ACTIVE, "deactivate"): (S.INACTIVE, "commission_rule.deactivated"),
    (S.INACTIVE, "activate"): (S.ACTIVE, "commission_rule.activated"),
    (S.INACTIVE, "change"): (S.DRAFT, "commission_rule.changed"),
}
"""Said here once more, so that a change of the table is meant."""


class TestTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", ["change", "activate", "deactivate"])
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        before, later = rule(status=status), NOW + timedelta(hours=1)
        if (status, action) in LEADS_TO:
            after, event = MACHINE.advance(before, action, later)
            assert (after.status, event) == LEADS_TO[status, action]
            assert (after.version, after.updated_at) == (2, later)
        else:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(before, action, later)
            allowed = sorted(name for source, name in LEADS_TO if source is status)
            assert refused.value.context == {"state": str(status), "allowed": allowed}

    def test_has_no_other_edge(self) -> None:
        assert {(edge.source, edge.action): (edge.target, edge.event) for edge in MACHINE.edges} == LEADS_TO


TENTH = {"name": "x", "commissionType": "PERCENTAGE", "rate": "0.1"}
FIXED = {"name": "x", "commissionType": "FIXED", "fixedAmount": 5, "currency": "EUR"}
TIERED: dict[str, Any] = {"name": "x", "commissionType": "TIERED", "currency": "EUR"}
END = {"rate": "0.1"}


def tiers(*ends: int | None) -> dict[str, Any]:
    return {**TIERED, "tiers": [{"rate": "0.1", **({} if end is None else {"upTo": end})} for end in ends]}


def faults(model: type[CreateRule] | type[CheckConflicts], body: dict[str, Any]) -> set[tuple[str, str]]:
    try:
        model.model_validate_json(msgspec.json.encode(body))
    except ValidationError as error:
        return {(".".join(map(str, item["loc"])), item["type"]) for item in error.errors()}
    return set()


class TestRequests:
    @pytest.mark.parametrize(
        "body",
        [
            TENTH,
            FIXED,
            {**FIXED, "fixedAmount": 0},
            {**FIXED, "commissionType": "HYBRID", "rate": "1"},
            {**TENTH, "rate": "0"},
            {**TENTH, "rate": "1.000000"},
            tiers(None),
            tiers(1, 2, None),
            {**tiers(5, None), "tierMode": "WHOLE_VOLUME", "volumeWindowDays": 30},
            {**TENTH, "currency": "EUR", "minAmount": 5, "maxAmount": 5, "minCommission": 0, "maxCommission": 0},
            {**TENTH, "effectiveFrom": "2026-01-01T00:00:00Z", "effectiveTo": "2026-01-01T00:00:00.000001Z"},
            {**TENTH, "experiment": {"name": "e", "variant": "a", "weight": 1}},
        ],
    )
    def test_that_make_sense(self, body: dict[str, Any]) -> None:
        assert faults(CreateRule, body) == set()
        assert faults(CheckConflicts, body) == set()

    @pytest.mark.parametrize(
        "body, expected",
        [
            ({**TENTH, "rate": "1.000001"}, {("rate", "rate_above_one")}),
            ({**TENTH, "rate": "100"}, {("rate", "rate_above_one")}),
            *(
                ({**TENTH, "rate": rate}, {("rate", "rate_format")})
                for rate in (0.1, 1, "-0.1", "", ".1", "1.", "0.1234567", "1e-3", "NaN", "0,1", "٠", True, ["0.1"])
            ),
            ({**TENTH, "rate": None}, {("rate", "missing")}),
            ({**TENTH, "fixedAmount": 5, "currency": "EUR"}, {("fixedAmount", "not_of_this_type")}),
            ({**FIXED, "rate": "0.1"}, {("rate", "not_of_this_type")}),
            ({**FIXED, "fixedAmount": None}, {("fixedAmount", "missing")}),
            ({**FIXED, "fixedAmount": -1}, {("fixedAmount", "greater_than_equal")}),
            ({**FIXED, "fixedAmount": 1.5}, {("fixedAmount", "int_type")}),
            ({**FIXED, "fixedAmount": 10**12 + 1}, {("fixedAmount", "less_than_equal")}),
            ({**FIXED, "commissionType": "HYBRID"}, {("rate", "missing")}),
            (TIERED, {("tiers", "missing")}),
            ({**TENTH, "tierMode": "MARGINAL"}, {("tierMode", "not_of_this_type")}),
            ({**TENTH, "volumeWindowDays": 5}, {("volumeWindowDays", "not_of_this_type")}),
            ({**tiers(None), "volumeWindowDays": 0}, {("volumeWindowDays", "greater_than_equal")}),
            ({**TIERED, "tiers": []}, {("tiers", "too_short")}),
            (tiers(*range(1, 21), None), {("tiers", "too_long")}),
            (tiers(5, 5, None), {("tiers", "tiers_overlap")}),
            (tiers(None, 5, None), {("tiers", "tiers_overlap")}),
            (tiers(5, 4, None), {("tiers", "tiers_descend")}),
            (tiers(4, 5), {("tiers", "tiers_end")}),
            (tiers(0, None), {("tiers.0.upTo", "greater_than_equal")}),
            ({**TIERED, "tiers": [{"rate": "2"}]}, {("tiers.0.rate", "rate_above_one")}),
            ({**TENTH, "minAmount": 5}, {("minAmount", "currency_missing")}),
            ({**TENTH, "currency": "EUR", "minAmount": 6, "maxAmount": 5}, {("maxAmount", "below_minimum")}),
            (
                {**TENTH, "currency": "EUR", "minCommission": 6, "maxCommission": 5},
                {("maxCommission", "below_minimum")},
            ),
            (
                {**TENTH, "effectiveFrom": "2026-01-02T00:00:00Z", "effectiveTo": "2026-01-01T00:00:00Z"},
                {("effectiveTo", "ends_before_it_begins")},
            ),
            (
                {**TENTH, "effectiveFrom": "2026-01-02T00:00:00Z", "effectiveTo": "2026-01-02T01:00:00+01:00"},
                {("effectiveTo", "ends_before_it_begins")},
            ),
            ({**TENTH, "priority": -1}, {("priority", "greater_than_equal")}),
            ({**TENTH, "currency": "EURO"}, {("currency", "value_error")}),
            ({**TENTH, "transactionType": "sale"}, {("transactionType", "string_pattern_mismatch")}),
            ({**TENTH, "vendorId": "a b"}, {("vendorId", "string_pattern_mismatch")}),
            ({**TENTH, "experiment": {"name": "e", "variant": "a", "weight": 0}},
             {("experiment.weight", "greater_than_equal")}),
            ({**TENTH, "status": "ACTIVE"}, {("status", "extra_forbidden")}),
            ({"rate": "0.1"}, {("name", "missing"), ("commissionType", "missing")}),
        ],
    )  # fmt: skip
    def test_that_make_none(self, body: dict[str, Any], expected: set[tuple[str, str]]) -> None:
        assert faults(CreateRule, body) == expected

    def test_name_every_fault_at_once(self) -> None:
        body = {
            "name": "",
            "commissionType": "HYBRID",
            "rate": "2",
            "fixedAmount": 5,
            "tiers": [{"rate": "0.1", "upTo": 5}, {"rate": "0.1", "upTo": 5}],
            "minCommission": 6,
            "maxCommission": 5,
            "minAmount": 6,
            "maxAmount": 5,
            "effectiveFrom": "2026-01-02T00:00:00Z",
            "effectiveTo": "2026-01-01T00:00:00Z",
            "share": 1,
        }
        expected = {
            "name", "rate", "fixedAmount", "tiers", "minCommission", "maxCommission", "minAmount", "maxAmount",
            "effectiveTo", "share",
        }  # fmt: skip
        assert {field for field, _ in faults(CreateRule, body)} == expected

    def test_of_a_change_say_why(self) -> None:
        assert faults(ChangeRule, TENTH) == {("reason", "missing")}

    def test_of_a_check_name_a_rule_or_describe_one(self) -> None:
        rule_id = "00000000-0000-7000-8000-000000000000"
        assert faults(CheckConflicts, {}) == set() == faults(CheckConflicts, {"ruleId": rule_id})
        assert faults(CheckConflicts, {"ruleId": rule_id, "vendorId": "v"}) == {("ruleId", "not_alone")}
        assert faults(CheckConflicts, {"vendorId": "v", "currency": "EUR", "maxAmount": 5}) == set()


class TestViews:
    def test_have_every_field(self) -> None:
        names = {field.alias or name for name, field in CommissionRuleView.model_fields.items()}
        assert render(rule()).keys() == render_for_vendor(rule()).keys() == names

    def test_of_vendors_hide_what_is_the_platforms_business(self) -> None:
        shown = render_for_vendor(rule(metadata={"a": "b"}))
        hidden = {name for name, value in render(rule(metadata={"a": "b"})).items() if shown[name] != value}
        assert hidden - {"id"} == {"authors", "changedBy", "changeReason", "metadata"}
