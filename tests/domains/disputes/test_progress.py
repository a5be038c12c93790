"""How a dispute catches up with its provider: always to an end, never back, whatever comes in whatever order."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.domains.disputes.model import HOLDING, MACHINE, OPEN, Attempt, Dispute, Kind, Status
from bursar.domains.disputes.progress import behind, takes_money
from bursar.domains.payments.model import ProviderDisagrees
from bursar.providers.port import DisputeReason, DisputeState, DisputeStatus
from tests.support.disputes import DUE, NOW, dispute, state

S, P = Status, DisputeStatus
STEPS_MAX = 4


def caught_up(row: Dispute, told: DisputeState) -> tuple[Dispute, list[str]]:
    """The dispute once nothing is to be done any more, and by which actions."""
    actions = []
    while (step := behind(row, told)) is not None:
        row, _ = MACHINE.advance(row, step[0], NOW, **step[1])
        actions.append(step[0])
        assert len(actions) <= STEPS_MAX
    return row, actions


@pytest.mark.parametrize(
    "status, told, actions",
    [
        (S.ALERT, P.ALERT, []),
        (S.ALERT, P.NEEDS_RESPONSE, ["open"]),
        (S.ALERT, P.UNDER_REVIEW, ["open", "review"]),
        (S.ALERT, P.WON, ["open", "win"]),
        (S.ALERT, P.LOST, ["open", "lose"]),
        (S.ALERT, P.CLOSED, ["end"]),
        (S.CLOSED, P.ALERT, []),
        (S.CLOSED, P.CLOSED, []),
        (S.CLOSED, P.NEEDS_RESPONSE, ["open"]),
        (S.NEEDS_RESPONSE, P.ALERT, []),
        (S.NEEDS_RESPONSE, P.NEEDS_RESPONSE, []),
        (S.NEEDS_RESPONSE, P.UNDER_REVIEW, ["review"]),
        (S.NEEDS_RESPONSE, P.WON, ["win"]),
        (S.NEEDS_RESPONSE, P.LOST, ["lose"]),
        (S.NEEDS_RESPONSE, P.CLOSED, ["win"]),
        (S.UNDER_REVIEW, P.NEEDS_RESPONSE, []),
        (S.UNDER_REVIEW, P.ALERT, []),
        (S.UNDER_REVIEW, P.WON, ["win"]),
        (S.UNDER_REVIEW, P.LOST, ["lose"]),
        (S.ACCEPTED, P.NEEDS_RESPONSE, []),
        (S.ACCEPTED, P.LOST, []),
        (S.WON, P.UNDER_REVIEW, []),
        (S.LOST, P.UNDER_REVIEW, []),
        (S.LOST, P.LOST, []),
    ],
)
def test_what_follows(status: Status, told: DisputeStatus, actions: list[str]) -> None:
    said = state(told)
    row = dispute(status, fee_amount=said.fee) if status not in OPEN else dispute(status)
    assert caught_up(row, said)[1] == actions


@pytest.mark.parametrize("status, told", [(S.WON, P.LOST), (S.LOST, P.WON), (S.ACCEPTED, P.WON)])
def test_another_end_is_for_a_person(status: Status, told: DisputeStatus) -> None:
    with pytest.raises(ProviderDisagrees):
        behind(dispute(status), state(told))


@pytest.mark.parametrize("changes", [{"currency": "USD"}, {"amount": 99}])
def test_another_amount_of_what_was_taken_is_for_a_person(changes: dict[str, Any]) -> None:
    with pytest.raises(ProviderDisagrees):
        behind(dispute(), state(**changes))


def test_an_alert_takes_over_another_amount_and_another_reason() -> None:
    told = state(P.ALERT, amount=60, reason=DisputeReason.DUPLICATE)
    after, actions = caught_up(dispute(S.ALERT), told)
    assert (actions, after.amount, after.reason) == (["update"], 60, "DUPLICATE")


def test_the_provider_asks_again_with_a_later_deadline_alone() -> None:
    told = state(evidence_due_at=DUE + timedelta(days=7))
    after, actions = caught_up(dispute(S.UNDER_REVIEW, deadline_missed_at=NOW), told)
    assert (actions, after.status, after.deadline_missed_at) == (["ask_again"], S.NEEDS_RESPONSE, None)
    assert behind(dispute(S.UNDER_REVIEW), state(evidence_due_at=DUE - timedelta(days=1))) is None


def test_what_ends_while_we_give_in_was_accepted() -> None:
    accepting = dispute(attempt=Attempt("a", Kind.ACCEPTANCE, NOW))
    assert caught_up(accepting, state(P.LOST))[0].status is S.ACCEPTED
    contesting = dispute(attempt=Attempt("a", Kind.EVIDENCE, NOW))
    assert caught_up(contesting, state(P.LOST))[0].status is S.LOST


def test_the_fee_follows_the_provider_to_the_end() -> None:
    assert caught_up(dispute(S.LOST), state(P.LOST, fee=30)) == (
        dispute(S.LOST, fee_amount=30, version=4),
        ["update"],
    )
    assert caught_up(dispute(), state(P.WON))[0].fee_amount == 0
    assert caught_up(dispute(), state(P.WON, fee=15))[0].fee_amount == 15


@st.composite
def states(draw: st.DrawFn) -> DisputeState:
    return state(
        draw(st.sampled_from(P)),
        fee=draw(st.sampled_from((0, 15))),
        evidence_due_at=draw(st.sampled_from((None, DUE, DUE + timedelta(days=3)))),
    )


@given(st.sampled_from(S), st.lists(states(), max_size=8))
def test_nothing_leads_back(status: Status, said: list[DisputeState]) -> None:
    row = dispute(status)
    for told in said:
        before = row
        try:
            row, _ = caught_up(before, told)
        except ProviderDisagrees:
            continue
        assert msgspec.structs.replace(row, version=0) == msgspec.structs.replace(caught_up(row, told)[0], version=0)
        if before.status in HOLDING | {S.WON}:
            assert row.status not in (S.ALERT, S.CLOSED)
        if before.status not in OPEN | {S.CLOSED}:
            assert row.status is before.status
        if before.status is S.UNDER_REVIEW and row.status is S.NEEDS_RESPONSE:
            assert row.evidence_due_at is not None and before.evidence_due_at is not None
            assert row.evidence_due_at > before.evidence_due_at
        if not takes_money(told):
            assert row.status not in HOLDING or before.status in HOLDING
