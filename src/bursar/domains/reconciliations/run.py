"""Carrying a reconciliation out: read, match, book. Safe to repeat at any point: what has its item is left out of the
next run, so a killed worker's work goes on where it stopped.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar.domains.context import App
from bursar.domains.reconciliations import book, fees, files, ours, report, store
from bursar.domains.reconciliations.change import change
from bursar.domains.reconciliations.formats.detect import READERS
from bursar.domains.reconciliations.formats.reading import ROW
from bursar.domains.reconciliations.matching import Finding, Ours, Rules, match, settle_earlier
from bursar.domains.reconciliations.model import (
    Format,
    Item,
    Kind,
    LineFault,
    Reconciliation,
    Row,
    Statement,
    Status,
    Unreadable,
)
from bursar.infra.db import Origin, Tx, found
from bursar.infra.jobs import NotYet

DAY: Final = timedelta(days=1)
SECOND: Final = timedelta(seconds=1)
ROW_IDS: Final = 5_000
"""Ids of rows that one query takes."""


async def run(app: App, reconciliation_id: str) -> None:
    """Read what a provider says, match it, and book what came of it. A file that cannot be read fails it, and nothing
    is booked.

    Emits reconciliation.started, .progressed, .completed or .failed, and of the items .found and .resolved. Posts fees,
    payouts and differences. Raises NotYet where somebody else goes on with it, or with another of its account;
    ReportUnavailable.
    """
    row: Reconciliation = found(await app.reader.get(store.TABLE, reconciliation_id), "reconciliation")
    if row.status not in (Status.RECEIVED, Status.RUNNING):
        return
    origin = Origin("reconciliation", row.id)
    try:
        statement = await _statement(app, row)
    except Unreadable as error:
        await _change(app, origin, row, "fail", faults=error.faults)
        return
    if row.status is Status.RECEIVED:
        since, until = period_of(row, statement)
        changes = {"since": since, "until": until, "row_count": len(statement.rows)}
        row = await _change(app, origin, row, "start", **changes)
    async with app.database.alone(f"reconciliation of {row.account}") as is_alone:
        if not is_alone:
            raise NotYet("another reconciliation is under way")
        await _match_and_book(app, origin, row, statement)


async def _match_and_book(app: App, origin: Origin, row: Reconciliation, statement: Statement) -> None:
    """What others booked on the account before is known here, and they book nothing meanwhile."""
    done = await store.keys_done(app.database, row.id)
    findings = await _findings(app, row, [line for line in statement.rows if line.key not in done])
    for start in range(0, len(findings), book.CHUNK):
        row = await book.book(app, origin, row, findings[start : start + book.CHUNK])
    told = {line.key for line in statement.rows} | {key for key in done if key.startswith(ROW)}  # a report may grow
    await _change(app, origin, row, "complete", completed_at=app.clock.now(), row_count=len(told))


async def _statement(app: App, row: Reconciliation) -> Statement:
    if row.format is Format.PROVIDER_REPORT:
        return await report.statement(app, row)
    assert row.file_digest is not None
    content = await files.content_of(app, row.file_digest)
    statement = await asyncio.to_thread(READERS[row.format], content)
    if not statement.rows and (statement.since is None or statement.until is None) and row.until is None:
        raise Unreadable((LineFault(1, "no rows, and no period: say from and until"),))
    return statement


def period_of(row: Reconciliation, statement: Statement) -> tuple[datetime, datetime]:
    """The period: what the caller said, else what the file says, else the whole days (UTC) of its rows, up to when the
    file came.
    """
    times = [line.occurred_at for line in statement.rows]
    since = row.since or statement.since or _day(min(times, default=row.created_at))
    until = row.until
    if until is None and statement.until is not None:
        until = statement.until + SECOND  # files name the last second of their period
    if until is None:
        last = max([since, *times])
        until = max(last + SECOND, min(_day(last) + DAY, row.created_at))
    return since, max(until, since + SECOND)


def _day(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def _findings(app: App, row: Reconciliation, rows: Sequence[Row]) -> Sequence[Finding]:
    """What is to be booked yet, of the rows that have no item yet."""
    movements = await ours.expected(app, row, rows)
    repeated: set[str] = set()
    for start in range(0, len(rows), ROW_IDS):
        row_ids = [line.id for line in rows[start : start + ROW_IDS]]
        repeated |= await store.rows_known(app.database, row.account, row_ids, except_of=row.id)
    waiting = await store.waiting(app.database, row.account, except_of=row.id)
    rules = _rules(app, row)
    return await asyncio.to_thread(_matched, rows, movements, rules, frozenset(repeated), waiting)


def _matched(
    rows: Sequence[Row], movements: Sequence[Ours], rules: Rules, repeated: frozenset[str], waiting: Sequence[Item]
) -> Sequence[Finding]:
    findings = match(rows, movements, rules, repeated=repeated)
    if not waiting or not any(finding.kind is Kind.MISSING_WITH_THEM for finding in findings):
        return findings
    return settle_earlier(findings, [_row_of(item) for item in waiting], rules)


def _row_of(item: Item) -> Row:
    """The row of an item that was missing with us."""
    assert item.currency is not None and item.gross is not None and item.occurred_at is not None
    return Row(
        key=item.id,
        id=item.row_id or item.id,
        line=item.line,
        movement=item.movement,
        references=item.their_references or (),
        currency=item.currency,
        gross=item.gross,
        fee=item.fee or 0,
        net=item.net or 0,
        occurred_at=item.occurred_at,
        closes=item.id,
    )


def _rules(app: App, row: Reconciliation) -> Rules:
    known = fees.load(app.settings.provider_fees)
    return Rules(
        late=timedelta(days=app.settings.reconciliation_late_days),
        fees={currency: fee for (provider, currency), fee in known.items() if provider == row.provider},
        is_loose=row.provider is None,
    )


async def _change(app: App, origin: Origin, seen: Reconciliation, action: str, **changes: object) -> Reconciliation:
    async with app.database.transaction(now=app.clock.now(), origin=origin) as tx:
        return await _advance(tx, seen, action, **changes)


async def _advance(tx: Tx, seen: Reconciliation, action: str, **changes: object) -> Reconciliation:
    before = await store.lock(tx, seen.id)
    if before.version != seen.version:
        raise NotYet("another worker goes on with this reconciliation")
    return change(tx, before, action, **changes)
