"""Idempotency keys: the first answer is kept in the commit of its effect and replayed byte for byte.

A key is OPEN (no status yet) while a step with a provider is under way; it is closed by whoever settles that step: the
request itself, the inquiry job, a webhook. A key that is OPEN or taken is never taken again.
"""

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from bursar.infra.answer import Answer, Answered
from bursar.infra.db import Database, Query, Tx
from bursar.infra.reads import Reader
from bursar.kit.errors import KeyInUse, KeyReused, Problem

KEPT_REFUSALS = frozenset({402, 409, 410, 422})
"""Refusals that are kept: the work had begun. One with a Retry-After never is."""

RETRY_AFTER_SECONDS = 1
PURGE_SIZE = 20_000
HOURS_MIN = 24


class Claim(msgspec.Struct, frozen=True):
    """One caller's key for one request. digest: of method, path with query, and body."""

    scope: str
    key: str
    digest: str


class _KeyRow(msgspec.Struct, frozen=True, omit_defaults=True):
    scope: str
    key: str
    digest: str
    status: int | None = None
    body: str | None = None
    headers: dict[str, str] | None = None


BY_CLAIM = Query(
    name="idempotency_keys",
    sql="""select k.scope || ' ' || k.key as key, k.digest, k.status, k.body, k.headers
           from unnest($1::text[]) w(name) join idempotency_keys k
             on k.scope = split_part(w.name, ' ', 1) and k.key = substr(w.name, strpos(w.name, ' ') + 1)
           where $2::timestamptz is not null""",
)
"""Kept answers by "scope key"; a scope holds no space."""


def digest_of(method: str, path: str, body: bytes, *, key: bytes) -> str:
    """What makes two requests the same request. Keyed: nobody finds out by trying what a body held."""
    return hashlib.blake2b(f"{method} {path}\n".encode() + body, digest_size=16, key=key).hexdigest()


def take(tx: Tx, claim: Claim, answer: Answer | None) -> None:
    """Take the key: with its answer where the work is done, OPEN where it goes on outside the database."""
    tx.write("keys", _row(claim, answer))


def close(tx: Tx, claim: Claim | None, answer: Answer) -> None:
    """Give an OPEN key its answer."""
    if claim is not None:
        tx.write("closed_keys", _row(claim, answer))


def free(tx: Tx, claim: Claim | None) -> None:
    """Give an OPEN key back: nothing was done, so the same request may try again."""
    if claim is not None:
        tx.write("freed_keys", _row(claim, None))


async def refuse_known(tx: Tx, claim: Claim) -> None:
    """Raise Answered where the key's answer is kept, KeyInUse where it is OPEN, KeyReused where it came with another
    request.
    """
    rows = await tx.read(BY_CLAIM, _named(claim))
    if rows:
        _refuse(claim, rows[0])


async def refuse_known_already(reader: Reader, claim: Claim | None) -> None:
    """The same before anybody outside is asked for a command, by what was committed last."""
    row = await find_known(reader, claim)
    if claim is not None and row is not None:
        _refuse(claim, row)


async def find_known(reader: Reader, claim: Claim | None) -> Any | None:
    """What is kept of a key, as last committed; None where nothing is, or there is no key."""
    rows = [] if claim is None else await reader.query(BY_CLAIM, _named(claim))
    return rows[0] if rows else None


def _named(claim: Claim) -> str:
    return f"{claim.scope} {claim.key}"


def _refuse(claim: Claim, row: Any) -> None:
    if row["digest"] != claim.digest:
        raise KeyReused
    if row["status"] is None:
        raise KeyInUse(retry_after=RETRY_AFTER_SECONDS)
    raise Answered(Answer(row["status"], row["body"].encode(), row["headers"] or {}), is_replay=True)


def is_kept(problem: Problem) -> bool:
    """Whether a refusal is kept for its key."""
    return problem.status in KEPT_REFUSALS and problem.retry_after is None and not isinstance(problem, KeyReused)


async def purge(database: Database, *, before: datetime) -> None:
    """Forget answers given before `before`, so many at a time; an open key stays until its step is settled."""
    while True:
        done = await database.execute(
            """delete from idempotency_keys where ctid = any(array(
                   select ctid from idempotency_keys where created_at < $1 and status is not null limit $2))""",
            before,
            PURGE_SIZE,
        )
        if done != f"DELETE {PURGE_SIZE}":
            return


def _row(claim: Claim, answer: Answer | None) -> _KeyRow:
    if answer is None:
        return _KeyRow(claim.scope, claim.key, claim.digest)
    return _KeyRow(claim.scope, claim.key, claim.digest, answer.status, answer.body.decode(), answer.headers)
