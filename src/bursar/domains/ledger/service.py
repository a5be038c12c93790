"""Posting journals."""

from collections.abc import Sequence

from bursar.domains.ledger.model import CHART, JournalRow, Line, PostingRow, digest
from bursar.infra.db import Tx
from bursar.kit import ids


def post(tx: Tx, *, journal_type: str, reference: str, currency: str, about: str, lines: Sequence[Line]) -> str:
    """Post a journal in the caller's transaction. Returns its id.

    lines: two or more, none of them zero, summing to zero; minor units of `currency`. about: the id of what it is for.
    reference: unique over all journals: the cause's own id, so that the same cause cannot be booked twice.
    """
    assert len(lines) >= 2, "a journal has two lines or more"
    assert all(line.amount for line in lines), "a line of zero says nothing"
    assert sum(line.amount for line in lines) == 0, "a journal sums to zero"
    journal_id = ids.new(tx.now)
    numbered = [(number, line.account, currency, line.amount, about) for number, line in enumerate(lines, 1)]
    sealed = digest(journal_id, journal_type, reference, numbered)
    tx.write("journals", JournalRow(journal_id, journal_type, reference, len(lines), sealed, tx.now))
    for number, line in enumerate(lines, 1):
        kind, can_overdraw = CHART[line.account.partition(":")[0]]
        tx.write(
            "postings", PostingRow(journal_id, number, line.account, currency, line.amount, about, kind, can_overdraw)
        )
    return journal_id
