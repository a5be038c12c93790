"""Queries on disputes: the only SQL on that table and on whose they are."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from bursar.domains.disputes.model import Dispute, Status
from bursar.infra.db import Database, Query, Table, Tx, found
from bursar.infra.http.types import PageQuery
from bursar.infra.pages import id_range, narrowed
from bursar.infra.reads import Reader
from bursar.kit.paging import Page, page_of

TABLE = Table("disputes", Dispute, private=frozenset({"asked_by"}))

UNIQUE_REFERENCE: Final = "disputes_of_provider"
"""The constraint that refuses a second row of one of a provider's disputes."""

BY_REFERENCE = Query(
    name="disputes_by_reference",
    sql="""select w.name as key, d.id
           from unnest($1::text[]) w(name) join disputes d
             on d.provider = split_part(w.name, ' ', 1)
            and d.provider_dispute_id = substr(w.name, strpos(w.name, ' ') + 1)
           where $2::timestamptz is not null""",
)
"""The row of each of a provider's disputes, by "provider reference"; neither holds a space."""

OF_PAYMENT = Query(
    name="disputes_of_payment",
    sql="""select payment_id::text as key, id, status::text
           from disputes where payment_id = any ($1::text[]::uuid[]) and $2::timestamptz is not null""",
)
"""Id and status of every dispute of a payment."""


async def lock(tx: Tx, dispute_id: str) -> Dispute:
    return found(await tx.lock(TABLE, dispute_id), "dispute")


async def find_locked(tx: Tx, provider: str, reference: str) -> Dispute | None:
    """The row of a provider's dispute, guarded; None where there is none yet."""
    rows = await tx.read(BY_REFERENCE, f"{provider} {reference}")
    return await lock(tx, rows[0]["id"]) if rows else None


async def statuses_of(tx: Tx, payment_id: str) -> dict[str, Status]:
    """The status of every dispute of a payment. Not guarded: whoever changes one writes the payment too."""
    return {row["id"]: Status(row["status"]) for row in await tx.read(OF_PAYMENT, payment_id)}


async def find(reader: Reader, provider: str, reference: str) -> Dispute | None:
    """The row of a provider's dispute as last committed."""
    rows = await reader.query(BY_REFERENCE, f"{provider} {reference}")
    return await reader.get(TABLE, rows[0]["id"]) if rows else None


async def of_ids(database: Database, dispute_ids: Collection[str]) -> list[Dispute]:
    """The disputes of those ids; in no order."""
    return await database.page(TABLE, "where id = any($1::uuid[])", list(dispute_ids))


async def page(database: Database, query: PageQuery, *, status: Status | None, vendor_id: str | None) -> Page[Dispute]:
    """Disputes, newest first: in a status, of which a vendor bears a share."""
    lowest, highest = id_range(query)
    args: list[Any] = [lowest, highest]
    conditions = ["id >= $1", "id < $2"]
    if status is not None:
        args.append(status)
        conditions = [f"(status, id) >= (${len(args)}, $1)", f"(status, id) < (${len(args)}, $2)"]
    conditions += narrowed(args, query)
    if vendor_id is not None:
        args.append(vendor_id)
        of_vendor = f"select v.dispute_id from dispute_vendors v where v.vendor_id = ${len(args)}"  # noqa: S608
        conditions.append(f"id in ({of_vendor})")
    order = "id desc" if status is None else "status desc, id desc"
    where = f"where {' and '.join(conditions)} order by {order} limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def page_of_payment(database: Database, query: PageQuery, payment_id: str) -> Page[Dispute]:
    """The disputes of a payment, newest first."""
    lowest, highest = id_range(query)
    args: list[Any] = [payment_id, lowest, highest]
    conditions = ["payment_id = $1", "id >= $2", "id < $3", *narrowed(args, query)]
    where = f"where {' and '.join(conditions)} order by id desc limit {query.limit + 1}"
    return page_of(await database.page(TABLE, where, *args), query.limit)


async def with_attempt_older_than(database: Database, moment: datetime, *, limit: int) -> list[Dispute]:
    """Disputes with a step under way whose last change is older than `moment`, oldest first."""
    return await database.page(
        TABLE, "where attempt is not null and updated_at < $1 order by updated_at limit $2", moment, limit
    )


_UNANSWERED: Final = """status = any ('{ALERT,NEEDS_RESPONSE}') and deadline_missed_at is null
             and (status = 'NEEDS_RESPONSE' or evidence_submitted_at is null
                  or evidence_submitted_at < evidence_staged_at)"""
"""An alert that was answered stays one; a dispute that was answered is under review."""


async def due_within(database: Database, now: datetime, *, within: timedelta, limit: int) -> list[Dispute]:
    """Disputes that wait for evidence, whose deadline is `within` a while from now, of which that was not told yet."""
    return await database.page(
        TABLE,
        f"""where {_UNANSWERED} and due_soon_at is null and evidence_due_at > $1 and evidence_due_at <= $2
            order by evidence_due_at limit $3""",
        now,
        now + within,
        limit,
    )


async def to_submit(
    database: Database, now: datetime, *, within: timedelta, again_before: datetime, limit: int
) -> list[Dispute]:
    """Disputes with evidence that was not handed in, whose deadline is `within` a while from now. Of what the provider
    declined, those whose evidence has changed since; of what failed otherwise, those that failed before `again_before`.
    """
    return await database.page(
        TABLE,
        """where status = any ('{ALERT,NEEDS_RESPONSE}') and evidence_due_at > $1 and evidence_due_at <= $2
             and attempt is null and evidence_names <> '[]'
             and (evidence_submitted_at is null or evidence_submitted_at < evidence_staged_at)
             and (step_failed_at is null or step_failed_at < evidence_staged_at
                  or (decline_code is null and step_failed_at < $3))
           order by evidence_due_at limit $4""",
        now,
        now + within,
        again_before,
        limit,
    )


async def missed(database: Database, now: datetime, *, limit: int) -> list[Dispute]:
    """Disputes whose deadline has passed without evidence, of which that was not told yet."""
    return await database.page(
        TABLE,
        f"where {_UNANSWERED} and attempt is null and evidence_due_at <= $1 order by evidence_due_at limit $2",
        now,
        limit,
    )


async def at_rest_since(database: Database, moment: datetime, *, bucket: int, after: str, limit: int) -> list[Dispute]:
    """Open disputes in one of 24 buckets whose last change is older than `moment`, by id, after that one."""
    return await database.page(
        TABLE,
        """where status = any ('{ALERT,NEEDS_RESPONSE,UNDER_REVIEW}') and updated_at < $1 and id > $3
             and get_byte(uuid_send(id), 15) % 24 = $2
           order by id limit $4""",
        moment,
        bucket,
        after,
        limit,
    )
