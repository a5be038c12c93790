"""The lives of a reconciliation and of an item as tables, and the period that a file stands for."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bursar.domains.reconciliations.model import (
    ITEM_MACHINE,
    MACHINE,
    Format,
    Item,
    ItemStatus,
    Kind,
    Movement,
    Reconciliation,
    Row,
    Statement,
    Status,
)
from bursar.domains.reconciliations.run import period_of
from bursar.kit.errors import InvalidTransition

NOW = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
LEADS_TO = {
    (Status.RECEIVED, "start"): Status.RUNNING,
    (Status.RECEIVED, "fail"): Status.FAILED,
    (Status.RUNNING, "go_on"): Status.RUNNING,
    (Status.RUNNING, "complete"): Status.COMPLETED,
    (Status.FAILED, "retry"): Status.RECEIVED,
}
ITEM_LEADS_TO = {
    (ItemStatus.OPEN, "explain"): ItemStatus.EXPLAINED,
    (ItemStatus.OPEN, "resolve"): ItemStatus.RESOLVED,
    (ItemStatus.EXPLAINED, "note"): ItemStatus.EXPLAINED,
}


def reconciliation(status: Status = Status.RECEIVED) -> Reconciliation:
    account, form = "provider:stripe:clearing", Format.STRIPE_BALANCE_CSV
    return Reconciliation("r-1", 3, account, "main", form, status, "ann", {}, {}, NOW, NOW)


def item(status: ItemStatus) -> Item:
    return Item("i-1", 3, "r-1", "bank:main", "row:1", Kind.AMOUNT, status, Movement.CHARGE, {}, (), NOW, NOW)


def row(at: datetime) -> Row:
    return Row("row:1", "1", 2, Movement.CHARGE, (), "EUR", 1, 0, 1, at)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", ["start", "fail", "go_on", "complete", "retry"])
def test_every_action_in_every_status(status: Status, action: str) -> None:
    target = LEADS_TO.get((status, action))
    if target is None:
        with pytest.raises(InvalidTransition):
            MACHINE.advance(reconciliation(status), action, NOW)
    else:
        after, event_type = MACHINE.advance(reconciliation(status), action, NOW)
        assert (after.status, after.version) == (target, 4) and event_type.startswith("reconciliation.")


@pytest.mark.parametrize("status", ItemStatus)
@pytest.mark.parametrize("action", ["explain", "resolve", "note"])
def test_every_action_on_an_item_in_every_status(status: ItemStatus, action: str) -> None:
    target = ITEM_LEADS_TO.get((status, action))
    if target is None:
        with pytest.raises(InvalidTransition):
            ITEM_MACHINE.advance(item(status), action, NOW)
    else:
        after, event_type = ITEM_MACHINE.advance(item(status), action, NOW)
        assert (after.status, after.version) == (target, 4) and event_type.startswith("reconciliation_item.")


class TestPeriod:
    def test_is_the_whole_days_of_the_rows(self) -> None:
        rows = (row(NOW - 2 * DAY), row(NOW - DAY))
        midnight = NOW.replace(hour=0, minute=0)
        assert period_of(reconciliation(), Statement(rows)) == (midnight - 2 * DAY, midnight)

    def test_ends_when_the_file_came_while_its_day_goes_on(self) -> None:
        assert period_of(reconciliation(), Statement((row(NOW - 2 * SECOND),)))[1] == NOW

    def test_is_the_files_where_it_names_one(self) -> None:
        said = Statement((row(NOW - DAY),), NOW - 3 * DAY, NOW - 2 * DAY)
        assert period_of(reconciliation(), said) == (NOW - 3 * DAY, NOW - 2 * DAY + SECOND)

    def test_is_the_callers_before_all(self) -> None:
        asked = msgspec.structs.replace(reconciliation(), since=NOW - 5 * DAY, until=NOW - 4 * DAY)
        assert period_of(asked, Statement((row(NOW),), NOW - DAY, NOW)) == (NOW - 5 * DAY, NOW - 4 * DAY)

    @pytest.mark.parametrize("at", [NOW - 400 * DAY, NOW, NOW + 400 * DAY])
    def test_is_never_empty(self, at: datetime) -> None:
        for asked in (reconciliation(), msgspec.structs.replace(reconciliation(), since=NOW)):
            since, until = period_of(asked, Statement((row(at),)))
            assert since < until
