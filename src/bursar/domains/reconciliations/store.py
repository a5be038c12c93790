"""Queries on reconciliations, their items and their files: the only SQL on those tables."""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from bursar.domains.reconciliations.model import Item, ItemStatus, Kind, Reconciliation, Status, Target
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("reconciliations", Reconciliation)
ITEMS = Table("reconciliation_items", Item)

UNIQUE_FILE: Final = "reconciliations_of_file"
WAITING_MAX: Final = 20_000
"""Open items of one kind of an account that are looked at."""

BY_FILE = Query(
    name="reconciliations_by_file",
    sql="""select file_digest as key, id from reconciliations
           where file_digest = any($1) and $2::timestamptz is not null""",
)


async def lock(tx: Tx, reconciliation_id: str) -> Reconciliation:
    return found(await tx.lock(TABLE, reconciliation_id), "reconciliation")


async def lock_item(tx: Tx, item_id: str) -> Item:
    return found(await tx.lock(ITEMS, item_id), "reconciliation item")


async def find_by_file(tx: Tx, digest: str) -> str | None:
    """The id of the reconciliation of a file."""
    rows = await tx.read(BY_FILE, digest)
    return str(rows[0]["id"]) if rows else None


async def keep_file(
    database: Database, digest: str, size: int, ciphertext: bytes, wrapped_key: str, kek_version: int, received_at: Any
) -> None:
    """Keep a file as it came, unless it is kept already."""
    await database.execute(
        """insert into settlement_files (digest, size, ciphertext, wrapped_key, kek_version, received_at)
           values ($1, $2, $3, $4, $5, $6) on conflict (digest) do nothing""",
        digest,
        size,
        ciphertext,
        wrapped_key,
        kek_version,
        received_at,
    )


async def file_of(database: Database, digest: str) -> Any:
    """A file's ciphertext, wrapped_key and kek_version."""
    rows = await database.fetch(
        "select ciphertext, wrapped_key, kek_version from settlement_files where digest = $1", digest
    )
    return rows[0]


async def has_file(database: Database, digest: str) -> bool:
    return bool(await database.fetchval("select 1 from settlement_files where digest = $1", digest))


async def page(database: Database, query: PageQuery, *, status: Status | None) -> Page[Reconciliation]:
    """Reconciliations, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2", *narrowed(args, query, status=status)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_of_items(
    database: Database,
    query: PageQuery,
    *,
    reconciliation_id: str,
    kind: Kind | None,
    status: ItemStatus | None,
) -> Page[Item]:
    """Items of a reconciliation, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [reconciliation_id, lowest, highest]
    conditions = [
        "reconciliation_id = $1",
        "id >= $2",
        "id < $3",
        *narrowed(args, query, kind=kind, status=status),
    ]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(ITEMS, where, *args), query.limit)


async def get_item(database: Database, reconciliation_id: str, item_id: str) -> Item:
    rows = await database.page(ITEMS, "where id = $2 and reconciliation_id = $1", reconciliation_id, item_id)
    return found(rows[0] if rows else None, "reconciliation item")


async def keys_done(database: Database, reconciliation_id: str) -> set[str]:
    """Which rows and movements of a reconciliation have their item already."""
    records = await database.fetch(
        "select row_key from reconciliation_items where reconciliation_id = $1", reconciliation_id
    )
    return {record["row_key"] for record in records}


async def rows_known(database: Database, account: str, row_ids: Sequence[str], *, except_of: str) -> frozenset[str]:
    """Those of `row_ids` that another reconciliation of the account had."""
    records = await database.fetch(
        """select distinct row_id from reconciliation_items
           where account = $1 and row_id = any($2) and kind <> all ('{REPEATED,DUPLICATE}')
             and reconciliation_id <> $3""",
        account,
        row_ids,
        except_of,
    )
    return frozenset(record["row_id"] for record in records)


class Known(NamedTuple):
    """What items say of a journal. missing_item: the open one that says that it was missing with them. is_spent: it is
    told of, or written off; not where a missing one was explained as right in our books, so that its row may yet come.
    """

    missing_item: str | None
    is_spent: bool


async def journals_known(database: Database, journal_ids: Collection[str]) -> dict[str, Known]:
    """Those of `journal_ids` that have an item."""
    records = await database.fetch(
        """select journal_id, id, kind = 'MISSING_WITH_THEM' and status = 'OPEN' as is_missing,
                  kind = 'MISSING_WITH_THEM' and status = 'EXPLAINED'
                      and explanations -> 0 ->> 'account' = $2 as is_awaited
           from reconciliation_items where journal_id = any($1::uuid[])""",
        list(journal_ids),
        Target.CLEARING,
    )
    told: dict[str, Known] = {}
    for record in records:
        is_first = record["journal_id"] not in told
        is_spent = not is_first or not (record["is_missing"] or record["is_awaited"])
        told[record["journal_id"]] = Known(record["id"] if record["is_missing"] and is_first else None, is_spent)
    return told


async def waiting(database: Database, account: str, *, except_of: str) -> list[Item]:
    """The open items of an account's other reconciliations that say that a row was missing with us, oldest first."""
    return await database.page(
        ITEMS,
        """where account = $1 and kind = 'MISSING_WITH_US' and status = 'OPEN' and reconciliation_id <> $2
           order by id limit $3""",
        account,
        except_of,
        WAITING_MAX,
    )
