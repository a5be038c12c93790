"""The table of a subject's life, edge by edge; what its callers see; and its answers to others. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bursar.domains.kyc.model import EVIDENCE_MAX, MACHINE, Level, Status, Subject, SubjectType, not_started
from bursar.domains.kyc.schemas import Decide, StartCheck, SubjectView, render, render_own
from bursar.domains.kyc.steps import is_open
from bursar.kit.errors import InvalidTransition

NOW = datetime(2026, 1, 2, tzinfo=UTC)
S = Status

LEADS_TO: dict[tuple[Status, str], tuple[Status, str]] = {
    (S.NOT_STARTED, "request"): (S.PENDING, "kyc.requested"),
    (S.PENDING, "accept"): (S.PENDING, "kyc.in_progress"),
    (S.PENDING, "verify"): (S.VERIFIED, "kyc.verified"),
    (S.PENDING, "reject"): (S.REJECTED, "kyc.rejected"),
    (S.VERIFIED, "expire"): (S.EXPIRED, "kyc.expired"),
    (S.REJECTED, "request"): (S.PENDING, "kyc.requested"),
    (S.EXPIRED, "request"): (S.PENDING, "kyc.requested"),
    **{
        (status, "told_verified"): (S.VERIFIED, "kyc.verified")
        for status in (S.NOT_STARTED, S.VERIFIED, S.REJECTED, S.EXPIRED)
    },
    **{
        (status, action): told
        for status in (S.NOT_STARTED, S.VERIFIED, S.REJECTED, S.EXPIRED)
        for action, told in (
            ("told_rejected", (S.REJECTED, "kyc.rejected")),
            ("told_expired", (S.EXPIRED, "kyc.expired")),
        )
    },
}
"""Said here once more, so that a change of the table is meant."""

ALLOWED: dict[Status, list[str]] = {
    S.NOT_STARTED: ["request"],
    S.PENDING: ["reject", "verify"],
    S.VERIFIED: [],
    S.REJECTED: ["request"],
    S.EXPIRED: ["request"],
}
ACTIONS = ("request", "accept", "verify", "reject", "expire")


def subject(status: Status = S.PENDING, **changes: Any) -> Subject:
    fresh = not_started("019b7966-e200-7000-8000-0000000000e1", SubjectType.VENDOR, "v-1", NOW)
    return msgspec.structs.replace(fresh, status=status, version=3, attempt=2, **changes)


class TestTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", ACTIONS)
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        before, later = subject(status), NOW + timedelta(hours=1)
        if (status, action) in LEADS_TO:
            after, event = MACHINE.advance(before, action, later)
            assert (after.status, event) == LEADS_TO[status, action]
            assert (after.version, after.updated_at) == (4, later)
        else:
            with pytest.raises(InvalidTransition) as refused:
                MACHINE.advance(before, action, later)
            assert refused.value.context == {"state": str(status), "allowed": ALLOWED[status]}

    def test_has_no_other_edge(self) -> None:
        assert {(edge.source, edge.action): (edge.target, edge.event) for edge in MACHINE.edges} == LEADS_TO

    def test_begins_with_nothing(self) -> None:
        fresh = not_started("id", SubjectType.CUSTOMER, "c-1", NOW)
        assert (fresh.status, fresh.version, fresh.attempt, fresh.evidence) == (S.NOT_STARTED, 0, 0, ())


class TestCheckKey:
    def test_is_the_same_for_a_check_and_another_for_the_next(self) -> None:
        assert subject().check_key == subject(S.REJECTED).check_key == "019b7966-e200-7000-8000-0000000000e1:2"
        assert msgspec.structs.replace(subject(), attempt=3).check_key != subject().check_key


class TestIsOpen:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("attempt", [1, 2, 3])
    def test_only_the_check_under_way(self, status: Status, attempt: int) -> None:
        assert is_open(subject(status), attempt) == (status is S.PENDING and attempt == 2)


class TestRender:
    def test_has_every_field_of_the_view(self) -> None:
        names = {field.alias or name for name, field in SubjectView.model_fields.items()}
        assert render(subject()).keys() == render_own(subject()).keys() == names

    def test_of_whom_nothing_is_known(self) -> None:
        shown = render(not_started("id", SubjectType.CUSTOMER, "c-1", NOW))
        known = {name: value for name, value in shown.items() if value}
        assert known == {"subjectType": "CUSTOMER", "subjectId": "c-1", "status": "NOT_STARTED"}
        assert shown["id"] is None and shown["version"] == 0

    @pytest.mark.parametrize(
        "code, told",
        [
            ("sanctions_match", "rejected_by_service"),
            ("fraud_suspected", "rejected_by_service"),
            ("document_expired", "document_expired"),
            (None, None),
        ],
    )
    def test_tips_nobody_off(self, code: str | None, told: str | None) -> None:
        rejected = subject(S.REJECTED, rejection_code=code, decided_by="risk-7", decision_reason="looks forged")
        own = render_own(rejected)
        assert (own["rejectionCode"], own["decidedBy"], own["decisionReason"]) == (told, None, None)
        assert (render(rejected)["rejectionCode"], render(rejected)["decidedBy"]) == (code, "risk-7")


class TestRequests:
    def test_evidence_is_references_only(self) -> None:
        good = StartCheck.model_validate_json('{"evidence": ["doc-1", "vault:7.a_b"], "level": "ENHANCED"}')
        assert (good.evidence, good.level) == (["doc-1", "vault:7.a_b"], Level.ENHANCED)
        for bad in ('["Jane Doe, born 1990"]', '["data:image/png;base64,AAAA"]', '[{"passport": "1"}]', '[""]', "[1]"):
            with pytest.raises(ValidationError):
                StartCheck.model_validate_json(f'{{"evidence": {bad}}}')

    def test_evidence_has_a_limit(self) -> None:
        StartCheck(evidence=["d"] * EVIDENCE_MAX)
        with pytest.raises(ValidationError):
            StartCheck(evidence=["d"] * (EVIDENCE_MAX + 1))

    def test_only_a_verification_expires(self) -> None:
        text = '{"decision": "%s", "reason": "seen", "expiresAt": "2030-01-01T00:00:00Z"}'
        assert Decide.model_validate_json(text % "VERIFIED").expires_at == datetime(2030, 1, 1, tzinfo=UTC)
        for wrong in ("REJECTED", "PENDING", "verified"):
            with pytest.raises(ValidationError):
                Decide.model_validate_json(text % wrong)
