"""A write under way in the ordinary stack: its transaction, the caller's idempotency key, its event and audit lines."""

import hashlib
from datetime import datetime
from typing import Any, NamedTuple, Self

from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from bursar.kit import ids
from tests.bench.peers.orm_tables import AuditLine, Event, IdempotencyKey

Answer = tuple[int, str, dict[str, str]]


class Refusal(Exception):  # noqa: N818
    """A request that cannot be done: status and reason."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Caller(NamedTuple):
    subject: str
    roles: frozenset[str]


class Work(NamedTuple):
    """A write under way: the session, who asks, and his key for just this request."""

    session: AsyncSession
    now: datetime
    caller: Caller
    key: str
    digest: str
    path: str
    request_id: str

    @classmethod
    def of(
        cls, session: AsyncSession, *, now: datetime, caller: Caller, key: str, method: str, path: str, body: bytes
    ) -> Self:
        digest = hashlib.blake2b(f"{method} {path}\n".encode() + body, digest_size=16).hexdigest()
        return cls(session, now, caller, key, digest, path, ids.new(now))

    def take_key(self, answer: Answer | None = None) -> None:
        """Take the idempotency key: with its answer, or open. One that was taken before fails the commit."""
        status, body, headers = answer or (None, None, None)
        self.session.add(
            IdempotencyKey(
                scope=self.caller.subject, key=self.key, digest=self.digest, status=status, body=body, headers=headers
            )
        )

    async def close_key(self, answer: Answer) -> None:
        """Give the open key its answer."""
        status, body, headers = answer
        await self.session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.scope == self.caller.subject, IdempotencyKey.key == self.key)
            .where(IdempotencyKey.status.is_(None))
            .values(status=status, body=body, headers=headers)
        )

    def audit(self, action: str, object_id: str) -> None:
        self.session.add(
            AuditLine(
                at=self.now,
                actor=self.caller.subject,
                action=action,
                object_id=object_id,
                request_id=self.request_id,
                outcome="done",
            )
        )

    def emit(self, *, stream: str, version: int, event_type: str, about: str, data: dict[str, Any]) -> None:
        self.session.add(
            Event(
                id=ids.new(self.now),
                stream=stream,
                version=version,
                type=event_type,
                about=about,
                data=data,
                occurred_at=self.now,
            )
        )


async def replay(work: Work, error: IntegrityError) -> Answer:
    """The answer kept for the caller's key, where it was the key that the database refused."""
    if "idempotency_keys_pkey" not in str(error.orig):
        raise error
    await work.session.rollback()
    kept = await work.session.get(IdempotencyKey, (work.caller.subject, work.key))
    assert kept is not None
    if kept.digest != work.digest:
        raise Refusal(422, "the key came with another request")
    if kept.status is None or kept.body is None:
        raise Refusal(409, "the request with this key is under way")
    return kept.status, kept.body, kept.headers or {}
