"""Queries on postings and their journals. They are written by `service.post`, through the transaction."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from bursar.domains.ledger.model import Moved
from bursar.infra.db import Database
from bursar.kit import ids


async def movements(database: Database, account: str, *, since: datetime, until: datetime) -> list[Moved]:
    """What was posted to an account in [since, until), oldest first. Ids carry the time, to the millisecond."""
    records = await database.fetch(
        """select j.id as journal_id, j.type, j.reference, p.about, p.amount, p.currency, j.occurred_at
           from journals j join postings p on p.journal_id = j.id
           where j.id >= $2 and j.id < $3 and p.account = $1 order by j.id, p.line""",
        account,
        ids.lowest(since),
        ids.lowest(until),
    )
    return [msgspec.convert(dict(record), Moved) for record in records]


async def movements_about(database: Database, account: str, abouts: Collection[str]) -> list[Moved]:
    """What was posted to an account about any of `abouts`, at any time, oldest first."""
    records = await database.fetch(
        """select j.id as journal_id, j.type, j.reference, p.about, p.amount, p.currency, j.occurred_at
           from postings p join journals j on j.id = p.journal_id
           where p.about = any($2::uuid[]) and p.account = $1 order by j.id, p.line""",
        account,
        list(abouts),
    )
    return [msgspec.convert(dict(record), Moved) for record in records]


async def find_about(database: Database, reference: str) -> str | None:
    """What the journal of that reference is about; None where there is none."""
    about: str | None = await database.fetchval(
        """select p.about from journals j join postings p on p.journal_id = j.id and p.line = 1
           where j.reference = $1""",
        reference,
    )
    return about
