"""What is said of something that came from outside: it is a provider's event, or why not; and who says so."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

import msgspec


class Verified(msgspec.Struct, frozen=True):
    """An event that the provider has surely sent. references: what it names, by kind. headers: those by which it was
    signed.
    """

    provider: str
    event_id: str
    event_type: str
    occurred_at: datetime | None
    references: dict[str, str]
    headers: dict[str, str]


class Refused(msgspec.Struct, frozen=True):
    """It is not known to be a provider's. provider: the one that it would be, where that is known."""

    reason: str
    provider: str | None = None


class Unreadable(msgspec.Struct, frozen=True):
    """It is signed by the provider, and is no event."""

    reason: str
    provider: str


class Verifier(Protocol):
    """Says whether a provider has sent something."""

    async def verify(
        self, provider: str | None, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Verified | Refused | Unreadable:
        """Whether `provider`, or the one that the headers speak of, has sent `body`. headers: in lower case."""
        ...
