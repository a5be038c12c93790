"""A provider's own account of our money, asked for instead of read from a file."""

from datetime import UTC, datetime
from typing import Final

from bursar.domains.context import App
from bursar.domains.reconciliations.formats import reading
from bursar.domains.reconciliations.formats.reading import LineUnreadable, Rows
from bursar.domains.reconciliations.model import Movement, NoReport, Reconciliation, Statement
from bursar.providers import port
from bursar.providers.port import Reporting

MOVEMENTS: Final[dict[str, Movement]] = {
    movement.value: movement
    for movement in (
        Movement.CHARGE,
        Movement.REFUND,
        Movement.DISPUTE,
        Movement.PAYOUT,
        Movement.FEE,
        Movement.ADJUSTMENT,
    )
}


def reporting(app: App, provider: str) -> Reporting:
    """The provider as one that shows its account. Raises NoReport."""
    shown = port.adapter_of(app.providers[provider])
    if not isinstance(shown, Reporting):
        raise NoReport(f"{provider} shows none; send its settlement file")
    return shown


async def statement(app: App, row: Reconciliation) -> Statement:
    """Every movement of the period. Raises ReportUnavailable, Unreadable."""
    assert row.provider is not None and row.since is not None and row.until is not None
    moved = await reporting(app, row.provider).movements(since=row.since, until=row.until)
    rows = Rows()
    for movement in moved:
        try:
            _take(rows, movement)
        except LineUnreadable as error:
            rows.refuse(0, f"{movement.id}: {error}")
    return Statement(rows.taken(), row.since, row.until)


def _take(rows: Rows, movement: port.Movement) -> None:
    rows.add(
        None,
        reading.row_id_of(movement.id),
        MOVEMENTS.get(movement.kind, Movement.ADJUSTMENT),
        [reading.reference(movement.reference or ""), reading.reference(movement.id)],
        currency=reading.currency_of(movement.currency),
        gross=movement.amount,
        fee=movement.fee,
        net=movement.amount - movement.fee,
        occurred_at=_aware(movement.occurred_at),
    )


def _aware(at: datetime) -> datetime:
    return at.astimezone(UTC)
