"""The life of a dispute as a table, and what a payment shows of its disputes."""

from itertools import chain, combinations

import pytest

from bursar.domains.disputes.model import ACTIONS, HOLDING, MACHINE, OPEN, Status, shown
from bursar.kit.errors import InvalidTransition
from tests.support.disputes import NOW, dispute

S = Status
LEADS_TO = {
    (S.ALERT, "alert"): S.ALERT,
    (S.ALERT, "open"): S.NEEDS_RESPONSE,
    (S.CLOSED, "open"): S.NEEDS_RESPONSE,
    (S.ALERT, "end"): S.CLOSED,
    (S.NEEDS_RESPONSE, "review"): S.UNDER_REVIEW,
    (S.UNDER_REVIEW, "ask_again"): S.NEEDS_RESPONSE,
    (S.NEEDS_RESPONSE, "win"): S.WON,
    (S.UNDER_REVIEW, "win"): S.WON,
    (S.NEEDS_RESPONSE, "lose"): S.LOST,
    (S.UNDER_REVIEW, "lose"): S.LOST,
    (S.ALERT, "submitted"): S.ALERT,
    (S.NEEDS_RESPONSE, "submitted"): S.UNDER_REVIEW,
    (S.UNDER_REVIEW, "submitted"): S.UNDER_REVIEW,
    (S.ALERT, "accepted"): S.CLOSED,
    (S.NEEDS_RESPONSE, "accepted"): S.ACCEPTED,
    (S.UNDER_REVIEW, "accepted"): S.ACCEPTED,
    **{(status, action): status for status in (S.ALERT, S.NEEDS_RESPONSE) for action in (*ACTIONS, "warn", "miss")},
    **{(status, action): status for status in OPEN for action in ("wait", "not_done", "declined")},
    **{(status, "update"): status for status in S},
}
ALL_ACTIONS = sorted({action for _, action in LEADS_TO})


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", ALL_ACTIONS)
def test_every_action_in_every_status(status: Status, action: str) -> None:
    target = LEADS_TO.get((status, action))
    if target is None:
        with pytest.raises(InvalidTransition) as refused:
            MACHINE.advance(dispute(status), action, NOW)
        assert refused.value.context["allowed"] == MACHINE.allowed(status)
    else:
        after, event_type = MACHINE.advance(dispute(status), action, NOW)
        assert (after.status, after.version) == (target, 4) and event_type.startswith("dispute.")


def test_the_table_has_no_further_edges() -> None:
    assert {(edge.source, edge.action): edge.target for edge in MACHINE.edges} == LEADS_TO


def test_what_has_ended_takes_no_action_of_a_caller() -> None:
    assert [MACHINE.allowed(status) for status in Status if status not in OPEN] == [[]] * 4
    assert MACHINE.allowed(S.UNDER_REVIEW) == []


def test_a_payment_shows_the_dispute_that_asks_most() -> None:
    sets = chain.from_iterable(combinations(Status, size) for size in range(1, len(Status) + 1))
    for statuses in map(set, sets):
        what = shown(statuses)
        assert what in statuses
        if statuses & {S.NEEDS_RESPONSE, S.UNDER_REVIEW}:
            assert what in (S.NEEDS_RESPONSE, S.UNDER_REVIEW)
        elif statuses & OPEN:
            assert what in OPEN
        elif statuses & HOLDING:
            assert what in HOLDING
