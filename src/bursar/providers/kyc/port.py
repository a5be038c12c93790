"""What Bursar asks of a KYC service, and the five outcomes that it can get.

An adapter turns every failure into an outcome and raises nothing. Unavailable: certainly not started, or not asked;
Unknown: maybe started. Every check carries `key`, the same for every repeat of one check. Evidence travels by
reference only: the service fetches the documents from where they lie; none ever passes through here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec

from bursar.providers.port import Unavailable, Unknown

REJECTIONS: Final[dict[str, str]] = {
    "document_unreadable": "A document cannot be read.",
    "document_expired": "A document has expired.",
    "document_not_accepted": "A document of this kind, or of this country, is not accepted.",
    "identity_mismatch": "The documents and the person or business do not match.",
    "information_missing": "Something that is needed was not given.",
    "ownership_unclear": "Who owns or controls the business could not be found out.",
    "underage": "The person is too young.",
    "sanctions_match": "The person or business is on a sanctions list.",
    "fraud_suspected": "The service suspects fraud.",
    "rejected_by_service": "The service rejected without a reason that we know.",
    "rejected_by_staff": "One of our people rejected.",
}
"""Every code that callers can meet as `rejectionCode`, and what it means."""


class Verified(msgspec.Struct, frozen=True):
    """The subject is who it says it is. expires_at: until when that holds, where the service says."""

    reference: str
    expires_at: datetime | None = None


class Rejected(msgspec.Struct, frozen=True):
    """The subject did not pass. code: one of REJECTIONS."""

    reference: str
    code: str


class InProgress(msgspec.Struct, frozen=True):
    """The service has the check and has not decided yet."""

    reference: str


class Absent(msgspec.Struct, frozen=True):
    """The service certainly has no check under that key."""


Report = Verified | Rejected | InProgress
"""What a service tells of a check that it has."""

Outcome = Verified | Rejected | InProgress | Unavailable | Unknown


class KycProvider(Protocol):
    """One KYC service."""

    @property
    def name(self) -> str: ...

    async def start(
        self, *, key: str, subject_type: str, subject_id: str, level: str, evidence: Sequence[str]
    ) -> Outcome:
        """Have a subject checked, once for each key: a repeat answers with the check that there is."""
        ...

    async def status(self, reference: str) -> Outcome:
        """How a check stands; `reference` is the service's id of it."""
        ...

    async def find(self, key: str) -> Outcome | Absent:
        """How the check stands that was started under our key, or that there is none."""
        ...

    async def close(self) -> None: ...
