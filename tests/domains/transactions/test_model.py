"""The life of a transaction: every action in every status."""

import pytest

from bursar.domains.transactions.model import MACHINE, Allocation, Status
from bursar.kit.errors import InvalidTransition
from tests.support.transactions import NOW, charge

S = Status
LEADS_TO = {
    (S.PENDING, "complete"): S.COMPLETED,
    (S.PENDING, "fail"): S.FAILED,
    (S.COMPLETED, "hold"): S.COMPLETED,
    (S.COMPLETED, "release"): S.COMPLETED,
    (S.COMPLETED, "settle"): S.COMPLETED,
    (S.COMPLETED, "unsettle"): S.COMPLETED,
    (S.COMPLETED, "dispute"): S.COMPLETED,
    (S.COMPLETED, "undispute"): S.COMPLETED,
    (S.COMPLETED, "reverse"): S.FAILED,
}
ACTIONS = sorted({action for _, action in LEADS_TO})


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("status", list(Status))
def test_every_action_in_every_status(status: Status, action: str) -> None:
    before = charge(("a", 10, 1), status=status)
    wanted = LEADS_TO.get((status, action))
    if wanted is None:
        with pytest.raises(InvalidTransition) as refused:
            MACHINE.advance(before, action, NOW)
        assert refused.value.context == {
            "state": status,
            "allowed": ["complete", "fail"] if status is S.PENDING else [],
        }
    else:
        after, event = MACHINE.advance(before, action, NOW)
        assert (after.status, after.version) == (wanted, 2)
        assert event.startswith("transaction.")


def test_what_is_left_of_an_allocation() -> None:
    part = Allocation("a", 100, 10, 90, refunding=10, refunded=20, disputed=30, commission_refunding=1,
                      commission_returned=1, commission_disputed=3, commission_kept=1)  # fmt: skip
    assert (part.taken, part.left, part.commission_left) == (60, 40, 4)
