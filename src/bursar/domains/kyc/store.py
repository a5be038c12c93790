"""Queries on kyc_subjects: the only SQL on that table."""

from datetime import datetime
from typing import Any

from bursar.domains.kyc.model import Status, Subject, SubjectType
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.kit.paging import Page, page_of

TABLE = Table("kyc_subjects", Subject)

UNIQUE_SUBJECT = "kyc_subjects_of_subject"
"""The constraint that refuses a second row of one subject."""

BY_SUBJECT = Query(
    name="kyc_by_subject",
    sql="""select w.name as key, k.id,
               case when k.status = 'VERIFIED' and k.expires_at <= $2::timestamptz then 'EXPIRED'
                    else k.status::text end as status
           from unnest($1::text[]) w(name) join kyc_subjects k
             on k.subject_type = split_part(w.name, ' ', 1)::kyc_subject_type
            and k.subject_id = substr(w.name, strpos(w.name, ' ') + 1)""",
)
"""The row and the status now of each subject by `key_of`; a verification that ran out is EXPIRED to the moment."""


def key_of(subject_type: SubjectType, subject_id: str) -> str:
    """A subject as one text; a type holds no space."""
    return f"{subject_type} {subject_id}"


async def lock(tx: Tx, row_id: str) -> Subject:
    return found(await tx.lock(TABLE, row_id), "subject of KYC")


async def find_locked(tx: Tx, subject_type: SubjectType, subject_id: str) -> Subject | None:
    """The subject's row, guarded; None where nothing was ever asked for."""
    rows = await tx.read(BY_SUBJECT, key_of(subject_type, subject_id))
    return await lock(tx, rows[0]["id"]) if rows else None


async def find(database: Database, subject_type: SubjectType, subject_id: str) -> Subject | None:
    rows = await database.page(TABLE, "where subject_type = $1 and subject_id = $2", subject_type, subject_id)
    return rows[0] if rows else None


async def page_in(database: Database, query: PageQuery, status: Status) -> Page[Subject]:
    """Subjects in a status, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [status, lowest, highest]
    conditions = ["(status, id) >= ($1, $2)", "(status, id) < ($1, $3)", *narrowed(args, query)]
    where = f"where {' and '.join(conditions)} order by status desc, id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def expired(database: Database, moment: datetime, *, limit: int) -> list[Subject]:
    """Verified subjects whose verification ran out before `moment`, the oldest first."""
    return await database.page(
        TABLE, "where status = 'VERIFIED' and expires_at <= $1 order by expires_at limit $2", moment, limit
    )
