"""Posting journals, and what moved on an account."""

from collections.abc import Collection, Sequence
from datetime import datetime

from bursar.domains.ledger import store
from bursar.domains.ledger.model import CHART, JournalRow, Line, Moved, PostingRow, digest
from bursar.infra.db import Database, Tx
from bursar.kit import ids


def post(tx: Tx, *, journal_type: str, reference: str, currency: str, about: str, lines: Sequence[Line]) -> str:
    """Post a journal in the caller's transaction. Returns its id.

    lines: two or more, none of them zero, summing to zero; minor units of `currency`. about: the id of what it is for,
    unless a line says otherwise.
    reference: unique over all journals: the cause's own id, so that the same cause cannot be booked twice.
    """
    assert len(lines) >= 2, "a journal has two lines or more"
    assert all(line.amount for line in lines), "a line of zero says nothing"
    assert sum(line.amount for line in lines) == 0, "a journal sums to zero"
    journal_id = ids.new(tx.now)
    numbered = [
        (number, line.account, currency, line.amount, line.about or about) for number, line in enumerate(lines, 1)
    ]
    sealed = digest(journal_id, journal_type, reference, numbered)
    tx.write("journals", JournalRow(journal_id, journal_type, reference, len(lines), sealed, tx.now))
    for number, line in enumerate(lines, 1):
        kind, can_overdraw = CHART[line.account.partition(":")[0]]
        tx.write(
            "postings",
            PostingRow(
                journal_id, number, line.account, currency, line.amount, line.about or about, kind, can_overdraw
            ),
        )
    return journal_id


async def movements(database: Database, account: str, *, since: datetime, until: datetime) -> list[Moved]:
    """What was posted to an account in [since, until), oldest first."""
    return await store.movements(database, account, since=since, until=until)


async def movements_about(database: Database, account: str, abouts: Collection[str]) -> list[Moved]:
    """What was posted to an account about any of `abouts`, at any time, oldest first."""
    return await store.movements_about(database, account, abouts)


async def find_about(database: Database, reference: str) -> str | None:
    """What the journal of that reference is about: the id of its first line; None where there is none."""
    return await store.find_about(database, reference)
