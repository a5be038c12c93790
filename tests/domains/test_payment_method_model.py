"""The two tables of a payment method, status by action; who inherits, and when a card has expired. Pure."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.payment_methods.model import (
    ACTION_TO,
    MACHINE,
    VERIFICATION,
    CardSummary,
    PaymentMethod,
    PaymentMethodUnusable,
    Status,
    VerificationStatus,
    first_of_next_month,
    heirs,
    refuse_unusable,
    with_details,
)
from bursar.kit.errors import InvalidTransition
from bursar.providers.port import MethodDetails, MethodType

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
S, V = Status, VerificationStatus

STATUS_TABLE: dict[tuple[Status, str], tuple[Status, str]] = {
    (S.ACTIVE, "deactivate"): (S.INACTIVE, "deactivated"),
    (S.ACTIVE, "expire"): (S.EXPIRED, "expired"),
    (S.ACTIVE, "remove"): (S.REMOVED, "removed"),
    (S.INACTIVE, "activate"): (S.ACTIVE, "activated"),
    (S.INACTIVE, "expire"): (S.EXPIRED, "expired"),
    (S.INACTIVE, "remove"): (S.REMOVED, "removed"),
    (S.EXPIRED, "renew"): (S.ACTIVE, "renewed"),
    (S.EXPIRED, "remove"): (S.REMOVED, "removed"),
}
VERIFICATION_TABLE: dict[tuple[VerificationStatus, str], tuple[VerificationStatus, str]] = {
    (V.PENDING, "verify"): (V.VERIFIED, "verified"),
    (V.PENDING, "fail"): (V.FAILED, "verification_failed"),
    (V.PENDING, "require_action"): (V.REQUIRES_ACTION, "action_required"),
    (V.REQUIRES_ACTION, "verify"): (V.VERIFIED, "verified"),
    (V.REQUIRES_ACTION, "fail"): (V.FAILED, "verification_failed"),
    (V.REQUIRES_ACTION, "require_action"): (V.REQUIRES_ACTION, "action_required"),
    (V.REQUIRES_ACTION, "restart"): (V.PENDING, "verification_restarted"),
    (V.FAILED, "verify"): (V.VERIFIED, "verified"),
    (V.FAILED, "require_action"): (V.REQUIRES_ACTION, "action_required"),
    (V.FAILED, "restart"): (V.PENDING, "verification_restarted"),
    (V.VERIFIED, "fail"): (V.FAILED, "verification_failed"),
    (V.VERIFIED, "require_action"): (V.REQUIRES_ACTION, "action_required"),
    (V.VERIFIED, "restart"): (V.PENDING, "verification_restarted"),
}
"""Said here once more, so that a change of a table is meant."""

STATUS_ACTIONS = sorted({edge.action for edge in MACHINE.edges})


def method(status: Status = S.ACTIVE, verification: VerificationStatus = V.VERIFIED, **changes: Any) -> PaymentMethod:
    values: dict[str, Any] = {
        "id": "m",
        "version": 3,
        "customer_id": "c",
        "type": MethodType.CARD,
        "status": status,
        "verification_status": verification,
        "is_default": False,
        "token": "tok",
        "metadata": {},
        "provider_tokens": {},
        "created_at": NOW,
        "updated_at": NOW,
        **changes,
    }
    return PaymentMethod(**values)


class TestStatus:
    @pytest.mark.parametrize("status", S)
    @pytest.mark.parametrize("action", STATUS_ACTIONS)
    def test_advances_by_its_table_alone(self, status: Status, action: str) -> None:
        before, later = method(status), NOW + timedelta(seconds=1)
        if (status, action) not in STATUS_TABLE:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(before, action, later)
            assert refused.value.context["state"] == status
            return
        target, event = STATUS_TABLE[status, action]
        after, told = MACHINE.advance(before, action, later)
        assert (after.status, after.version, after.updated_at, told) == (target, 4, later, f"payment_method.{event}")
        assert after.verification_status is before.verification_status

    def test_removed_is_the_end(self) -> None:
        assert MACHINE.allowed(S.REMOVED) == []


class TestVerification:
    @pytest.mark.parametrize("status", V)
    @pytest.mark.parametrize("to", V)
    def test_advances_by_its_table_alone(self, status: VerificationStatus, to: VerificationStatus) -> None:
        before, action = method(verification=status), ACTION_TO[to]
        if (status, action) not in VERIFICATION_TABLE:
            with pytest.raises(InvalidTransition):
                VERIFICATION.advance(before, action, NOW)
            return
        target, event = VERIFICATION_TABLE[status, action]
        after, told = VERIFICATION.advance(before, action, NOW)
        assert target is to
        assert (after.verification_status, after.version, told) == (to, 4, f"payment_method.{event}")
        assert after.status is before.status

    def test_has_an_action_to_each_status(self) -> None:
        assert {ACTION_TO[edge.target] for edge in VERIFICATION.edges} == {edge.action for edge in VERIFICATION.edges}
        assert all(ACTION_TO[edge.target] == edge.action for edge in VERIFICATION.edges)


class TestUsable:
    @pytest.mark.parametrize("kind", MethodType)
    @pytest.mark.parametrize("status", S)
    @pytest.mark.parametrize("verification", V)
    def test_is_who_is_active_and_not_failed(
        self, kind: MethodType, status: Status, verification: VerificationStatus
    ) -> None:
        good = {V.VERIFIED} if kind is MethodType.BANK_ACCOUNT else {V.VERIFIED, V.PENDING, V.REQUIRES_ACTION}
        one = method(status, verification, type=kind)
        if status is S.ACTIVE and verification in good:
            refuse_unusable(one)
            return
        with pytest.raises(PaymentMethodUnusable) as refused:
            refuse_unusable(one)
        assert refused.value.context == {"methodStatus": status, "verificationStatus": verification}


class TestHeir:
    @given(st.lists(st.tuples(st.sampled_from(list(S)), st.sampled_from(list(V))), max_size=8), st.integers(0, 8))
    def test_is_the_newest_verified_else_the_newest_active(
        self, made: list[tuple[Status, VerificationStatus]], leaving: int
    ) -> None:
        methods = [method(status, verified, id=str(number)) for number, (status, verified) in enumerate(made)]
        found = heirs(methods, str(leaving))

        active = [one for one in methods if one.status is S.ACTIVE and one.id != str(leaving)]
        verified = [one for one in active if one.verification_status is V.VERIFIED]
        assert found[:1] == (verified or active)[-1:] and sorted(found, key=lambda one: one.id) == active


class TestExpiry:
    @pytest.mark.parametrize(
        "month, year, day",
        [(1, 2026, date(2026, 2, 1)), (11, 2026, date(2026, 12, 1)), (12, 2026, date(2027, 1, 1))],
    )
    def test_begins_after_the_month(self, month: int, year: int, day: date) -> None:
        assert first_of_next_month(month, year) == day

    @given(st.integers(1, 12), st.integers(2000, 2199))
    def test_is_always_the_day_after_the_last_of_the_month(self, month: int, year: int) -> None:
        last = first_of_next_month(month, year) - timedelta(days=1)
        assert (last.month, last.year) == (month, year)


class TestDetails:
    def test_replace_what_they_tell_and_nothing_else(self) -> None:
        old = CardSummary("VISA", "4242", 1, 2030, "424242")
        assert with_details(old, MethodDetails()) == old
        new = with_details(old, MethodDetails(last4="1111", exp_month=2, exp_year=2034, country="AT"))
        assert new == msgspec.structs.replace(old, last4="1111", exp_month=2, exp_year=2034, country="AT")
        assert with_details(None, MethodDetails(brand="JCB")) == CardSummary("JCB", None, None, None, None)
