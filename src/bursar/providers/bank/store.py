"""Queries on bank_entries, bank_files, bank_files_read and bank_notices: the only SQL on these tables."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Final

import msgspec

from bursar.infra.db import Database, LiveTx, Table
from bursar.providers.bank.model import Entry, Kind, Notice, OutgoingFile, Queued, Rail, Window

ENTRIES: Final = Table("bank_entries", Entry)
FILES: Final = Table("bank_files", OutgoingFile)

LOCKS: Final = {Rail.ACH: 0x62616368, Rail.SEPA: 0x62736570}  # "bach", "bsep"
MODIFIERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class NoticeRow(msgspec.Struct, frozen=True):
    """A row of bank_notices that is to be told, with what it is about."""

    id: str
    code: str
    is_late: bool
    instrument_id: str
    key: str
    kind: Kind
    decline_code: str | None
    correction_record_id: str | None


@asynccontextmanager
async def alone(database: Database, rail: Rail) -> AsyncIterator[bool]:
    """Whether nobody else exchanges files of this rail meanwhile; it ends with the connection, so with the process."""
    async with database.pool.acquire() as connection:
        is_alone = bool(await connection.fetchval("select pg_try_advisory_lock($1)", LOCKS[rail]))
        try:
            yield is_alone
        finally:
            if is_alone and not connection.is_closed():
                await connection.execute("select pg_advisory_unlock($1)", LOCKS[rail])


async def insert(tx: LiveTx, entry: Entry) -> bool:
    """Write an entry; False where its key is there already."""
    taken = await tx.connection.fetchval(
        """insert into bank_entries select (jsonb_populate_record(null::bank_entries, $1)).*
           on conflict (key) do nothing returning true""",
        msgspec.json.encode(entry).decode(),
    )
    return bool(taken)


async def by_keys(tx: LiveTx, keys: Sequence[str]) -> list[Entry]:
    """The entries of these keys, in their order."""
    records = await tx.connection.fetch(
        f"select {ENTRIES.columns} from bank_entries where key = any($1) order by key",  # noqa: S608  no input in it
        list(keys),
    )
    return [ENTRIES.from_record(record) for record in records]


async def lock_family(tx: LiveTx, rail: Rail, reference: str) -> tuple[Entry, ...]:
    """A payment's entries, oldest first; its first one is locked before the others are looked at, so that steps on one
    payment are decided one after another.
    """
    head = "select id from bank_entries where key = $1 and rail = $2 for update"
    if await tx.connection.fetchval(head, reference.partition("_")[2], rail) is None:
        return ()
    records = await tx.connection.fetch(
        f"""select {ENTRIES.columns} from bank_entries where reference = $1 and rail = $2
            order by id for update""",  # noqa: S608  no input in it
        reference,
        rail,
    )
    return tuple(ENTRIES.from_record(record) for record in records)


async def cancel(tx: LiveTx, entry_ids: Sequence[str]) -> None:
    """Mark entries that were never sent; they are locked by the caller."""
    await tx.connection.execute(
        """update bank_entries set status = 'CANCELLED', updated_at = $2
           where id = any($1::uuid[]) and status = any ('{AUTHORIZED,QUEUED}')""",
        list(entry_ids),
        tx.now,
    )


async def is_cut(tx: LiveTx, rail: Rail, window: Window) -> bool:
    """Whether a file was cut for this window."""
    return bool(
        await tx.connection.fetchval(
            "select exists (select from bank_files where rail = $1 and window_on = $2)", rail, window.on
        )
    )


async def lock_queued(tx: LiveTx, rail: Rail, *, before: datetime, limit: int) -> list[Queued]:
    """What waits for a file since before an instant, oldest first."""
    records = await tx.connection.fetch(
        """select id, kind, amount from bank_entries
           where rail = $1 and status = 'QUEUED' and created_at < $2 order by id limit $3 for update""",
        rail,
        before,
        limit,
    )
    return [msgspec.convert(dict(record), Queued) for record in records]


async def next_modifier(tx: LiveTx, rail: Rail, *, since: datetime) -> str:
    """The letter by which a file differs from the others that were made since an instant, the beginning of a day."""
    count = await tx.connection.fetchval(
        "select count(*) from bank_files where rail = $1 and created_at >= $2", rail, since
    )
    return MODIFIERS[count % len(MODIFIERS)]


async def cut(
    tx: LiveTx, file: OutgoingFile, entry_ids: Sequence[str], *, settles_on: date, trace_prefix: str | None
) -> None:
    """Write a file's row, and mark its entries as sent in it."""
    await tx.connection.execute(
        "insert into bank_files select (jsonb_populate_record(null::bank_files, $1)).*",
        msgspec.json.encode(file).decode(),
    )
    await tx.connection.execute(
        """update bank_entries set status = 'SENT', file_id = $2, effective_on = $3, settles_on = $4, updated_at = $5,
               trace_number = $6::text || lpad(nextval('bank_trace_numbers')::text, 7, '0')
           where id = any($1::uuid[])""",
        list(entry_ids),
        file.id,
        file.effective_on,
        settles_on,
        tx.now,
        trace_prefix,
    )


async def open_files(database: Database, rail: Rail) -> list[OutgoingFile]:
    """Files that were cut and are not written yet, oldest first."""
    return await database.page(FILES, "where rail = $1 and status <> 'WRITTEN' order by id", rail)


async def of_file(database: Database, file_id: str) -> list[Entry]:
    """A file's entries, oldest first."""
    return await database.page(ENTRIES, "where file_id = $1 order by id", file_id)


async def lock_unprepared(tx: LiveTx, file_id: str) -> bool:
    """Whether a file's text has yet to be put down; nobody else does it meanwhile. A process whose lock of the rail
    went with its connection may come late: what it put down again would appear again.
    """
    locked = "select true from bank_files where id = $1 and status = 'WRITING' for update"
    return bool(await tx.connection.fetchval(locked, file_id))


async def mark_prepared(tx: LiveTx, file_id: str, digest: str) -> None:
    """Its text lies on the disk; the row is locked by the caller."""
    await tx.connection.execute(
        "update bank_files set status = 'PREPARED', digest = $2, updated_at = $3 where id = $1",
        file_id,
        digest,
        tx.now,
    )


async def mark_written(tx: LiveTx, file_id: str, *, settles_on: date) -> None:
    """The bank can take the file. settles_on: as if it had been cut now, which may be long after it was."""
    await tx.connection.execute(
        """update bank_files set status = 'WRITTEN', written_at = $2, updated_at = $2
           where id = $1 and status = 'PREPARED'""",
        file_id,
        tx.now,
    )
    await tx.connection.execute(
        "update bank_entries set settles_on = $2 where file_id = $1 and status = 'SENT' and settles_on < $2",
        file_id,
        settles_on,
    )


async def begin_reading(tx: LiveTx, rail: Rail, *, digest: str, name: str, notices: int) -> bool:
    """Note that a file is read; False where it was read before, by whatever name."""
    return bool(
        await tx.connection.fetchval(
            """insert into bank_files_read (digest, rail, name, notices, read_at) values ($1, $2, $3, $4, $5)
               on conflict (digest) do nothing returning true""",
            digest,
            rail,
            name,
            notices,
            tx.now,
        )
    )


async def find_named(database: Database, rail: Rail, notice: Notice) -> list[Entry]:
    """The entries that a notice is about; of one trace number, the newest."""
    if notice.trace_number is not None:
        where = "where rail = $1 and trace_number = $2 order by effective_on desc limit 1"
        return await database.page(ENTRIES, where, rail, notice.trace_number)
    where = """where rail = $1 and file_id = (select id from bank_files where name = $2 and rail = $1)
               and ($3::text is null or key = $3) and key <> all ($4) order by id"""
    return await database.page(ENTRIES, where, rail, notice.file_name or "", notice.key, list(notice.other_keys))


async def lock(tx: LiveTx, entry_id: str) -> Entry:
    record = await tx.connection.fetchrow(
        f"select {ENTRIES.columns} from bank_entries where id = $1 for update",  # noqa: S608  no input in it
        entry_id,
    )
    assert record is not None, f"no entry {entry_id}"
    return ENTRIES.from_record(record)


async def mark_returned(tx: LiveTx, entry_id: str, *, code: str, decline_code: str, reason: str) -> None:
    await tx.connection.execute(
        """update bank_entries set status = 'RETURNED', return_code = $2, decline_code = $3, reason = $4,
               returned_at = $5, updated_at = $5 where id = $1""",
        entry_id,
        code,
        decline_code,
        reason,
        tx.now,
    )


async def mark_settled(tx: LiveTx, entry_id: str) -> None:
    await tx.connection.execute(
        """update bank_entries set status = 'SETTLED', settled_at = $2, updated_at = $2
           where id = $1 and status = 'SENT'""",
        entry_id,
        tx.now,
    )


async def settle_due(database: Database, rail: Rail, day: date, now: datetime) -> int:
    """Settle what was sent in a file that is written, did not come back, and whose day has come. Returns how many."""
    done = await database.execute(
        """update bank_entries e set status = 'SETTLED', settled_at = $3, updated_at = $3
           where rail = $1 and status = 'SENT' and settles_on <= $2
             and exists (select from bank_files f where f.id = e.file_id and f.status = 'WRITTEN')""",
        rail,
        day,
        now,
    )
    return int(done.rpartition(" ")[2])


async def reseal(tx: LiveTx, entry: Entry, record_id: str) -> list[str]:
    """Let an account's entries carry another record of the vault, save for those in a file that is not written yet,
    whose text has to stay. Returns the records that no entry carries any more.
    """
    before = await tx.connection.fetch(
        """select id, vault_record_id from bank_entries e
           where rail = $1 and (id = $2 or (instrument_id = $3 and instrument_id <> '')) and vault_record_id is not null
             and (file_id is null or exists (select from bank_files f where f.id = e.file_id and f.status = 'WRITTEN'))
           order by id for update""",
        entry.rail,
        entry.id,
        entry.instrument_id,
    )
    await tx.connection.execute(
        "update bank_entries set vault_record_id = $2, updated_at = $3 where id = any($1::uuid[])",
        [row["id"] for row in before],
        record_id,
        tx.now,
    )
    left = await tx.connection.fetch(
        """select r as id from unnest($1::uuid[]) r
           where not exists (select from bank_entries where vault_record_id = r)""",
        list({row["vault_record_id"] for row in before}),
    )
    return [row["id"] for row in left]


async def note(
    tx: LiveTx,
    notice: Notice,
    *,
    notice_id: str,
    rail: Rail,
    digest: str,
    entry_id: str | None,
    is_late: bool,
    is_untold: bool,
    correction_record_id: str | None,
) -> None:
    """Keep what a bank said."""
    await tx.connection.execute(
        """insert into bank_notices (id, rail, file_digest, about, code, amount, meaning, is_late, is_untold,
               received_at, entry_id, decline_code, correction_record_id)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)""",
        notice_id,
        rail,
        digest,
        notice.about,
        notice.code,
        notice.amount,
        notice.meaning,
        is_late,
        is_untold,
        tx.now,
        entry_id,
        notice.decline_code,
        correction_record_id,
    )


async def untold(database: Database, rail: Rail, *, limit: int) -> list[NoticeRow]:
    """What nobody has acknowledged yet, oldest first."""
    records = await database.fetch(
        """select n.id, n.code, n.is_late, e.instrument_id, e.key, e.kind, n.decline_code, n.correction_record_id
           from bank_notices n join bank_entries e on e.id = n.entry_id
           where n.rail = $1 and n.is_untold order by n.id limit $2""",
        rail,
        limit,
    )
    return [msgspec.convert(dict(record), NoticeRow) for record in records]


async def tell(tx: LiveTx, notice_ids: Sequence[str]) -> list[str]:
    """Note that these were applied. Returns the records of the vault that held their corrections."""
    records = await tx.connection.fetch(
        """update bank_notices n set is_untold = false, correction_record_id = null
           from (select id, correction_record_id as record_id from bank_notices
                 where id = any($1::uuid[]) and is_untold for update) was
           where n.id = was.id returning was.record_id""",
        list(notice_ids),
    )
    return [record["record_id"] for record in records if record["record_id"] is not None]
