"""The adapter for a KYC service over HTTP: `POST /v1/checks`, `GET /v1/checks/{id}`, `GET /v1/checks?clientReference=`.

What the service has to speak is simulators/kyc/openapi.json. Our key goes as `Idempotency-Key` and as
`clientReference`, so that a check can be found again when the service has long forgotten the key.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import quote

import httpx
import msgspec
import structlog

from bursar.kit.clock import Clock
from bursar.providers.kyc.port import Absent, InProgress, Outcome, Rejected, Report, Verified
from bursar.providers.port import Unavailable, Unknown

log = structlog.get_logger()
T = TypeVar("T")

Reference = Annotated[str, msgspec.Meta(pattern=r"^[!-~]{1,255}$")]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

CONNECT_SECONDS_MAX: Final = 5.0
ANSWER_SIZE_MAX: Final = 262_144
RETRY_AFTER_MAX: Final = 3_600

REJECTION_CODES: Final[dict[str, str]] = {
    # the service's                  ours
    "document_unreadable": "document_unreadable",
    "document_expired": "document_expired",
    "document_type_not_supported": "document_not_accepted",
    "document_country_not_supported": "document_not_accepted",
    "face_mismatch": "identity_mismatch",
    "name_mismatch": "identity_mismatch",
    "date_of_birth_mismatch": "identity_mismatch",
    "registration_mismatch": "identity_mismatch",
    "evidence_missing": "information_missing",
    "beneficial_owner_unknown": "ownership_unclear",
    "underage": "underage",
    "sanctions_match": "sanctions_match",
    "document_forged": "fraud_suspected",
    "fraud_suspected": "fraud_suspected",
}
"""Reasons of the service by name; any other is `rejected_by_service`."""

NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
REFUSED: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422})
"""With these the service says that it did nothing with what we sent."""


class _Check(msgspec.Struct, frozen=True, rename="camel"):
    id: Reference
    client_reference: str
    subject_type: str
    subject_id: str
    level: str
    status: Literal["IN_PROGRESS", "VERIFIED", "REJECTED"]
    rejection_reason: str | None = None
    expires_at: Moment | None = None


class _Checks(msgspec.Struct, frozen=True):
    data: list[_Check]


class HttpKyc:
    """The adapter. url: where the service is, without `/v1`."""

    name = "kyc"

    def __init__(self, *, url: str, api_key: str, timeout_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS_MAX, timeout_seconds / 2)),
            trust_env=False,
        )

    async def start(
        self, *, key: str, subject_type: str, subject_id: str, level: str, evidence: Sequence[str]
    ) -> Outcome:
        """See KycProvider. An answer about another check than the one that was asked for is Unknown."""
        asked = {
            "clientReference": key,
            "subjectType": str(subject_type),
            "subjectId": subject_id,
            "level": str(level),
            "evidence": list(evidence),
        }
        answer = await self._ask("POST", "/v1/checks", json=asked, headers={"Idempotency-Key": key})
        if isinstance(answer, Unavailable | Unknown):
            return answer
        if answer.status in REFUSED:
            log.error("kyc.refused", status=answer.status, key=key)  # its words may be about a person
            return Unavailable(f"the KYC service refused with {answer.status}")
        check = _decoded(answer, _Check)
        if isinstance(check, Unknown):
            return check
        told = (check.client_reference, check.subject_type, check.subject_id, check.level)
        if told != (key, str(subject_type), subject_id, str(level)):
            return Unknown("the KYC service answered about another check")
        return report_of(check)

    async def status(self, reference: str) -> Outcome:
        """See KycProvider."""
        answer = await self._ask("GET", f"/v1/checks/{quote(reference, safe='')}")
        if isinstance(answer, Unavailable | Unknown):
            return answer
        check = _decoded(answer, _Check)
        if isinstance(check, Unknown):
            return check
        return report_of(check) if check.id == reference else Unknown("the KYC service answered about another check")

    async def find(self, key: str) -> Outcome | Absent:
        """See KycProvider."""
        answer = await self._ask("GET", "/v1/checks", params={"clientReference": key})
        if isinstance(answer, Unavailable | Unknown):
            return answer
        found = _decoded(answer, _Checks)
        if isinstance(found, Unknown):
            return found
        if not found.data:
            return Absent()
        check = found.data[0]
        return report_of(check) if check.client_reference == key else Unknown("the KYC service found another check")

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **options: Any) -> "_Answer | Unavailable | Unknown":
        """One request in bounded time. Unavailable: certainly not done; Unknown: nobody can tell."""
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._client.stream(method, path, **options) as response,
            ):
                body = await _read(response)
        except NEVER_SENT as error:
            return Unavailable(f"the KYC service cannot be reached: {type(error).__name__}")
        except (httpx.HTTPError, TimeoutError) as error:
            return Unknown(f"the KYC service did not answer: {type(error).__name__}")
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            return Unavailable("the KYC service has too much to do", retry_after=self._retry_after(response))
        if body is None:
            return Unknown("the KYC service answered too much")
        return _Answer(response.status_code, body)

    def _retry_after(self, response: httpx.Response) -> int:
        """Seconds, from a number or a date (RFC 9110, 10.2.3); 1 where the header is neither."""
        text = response.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(int(text[:9]), RETRY_AFTER_MAX)
        try:
            seconds = (parsedate_to_datetime(text) - self._clock.now()).total_seconds()
        except (ValueError, TypeError):
            return 1
        return min(max(int(seconds) + 1, 1), RETRY_AFTER_MAX)


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes


async def _read(response: httpx.Response) -> bytes | None:
    """The body; None where it is larger than ANSWER_SIZE_MAX."""
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        chunks.append(chunk)
        size += len(chunk)
        if size > ANSWER_SIZE_MAX:
            return None
    return b"".join(chunks)


def _decoded(answer: _Answer, wanted: type[T]) -> T | Unknown:
    if answer.status not in (HTTPStatus.OK, HTTPStatus.CREATED):
        return Unknown(f"the KYC service answered {answer.status}")
    try:
        return msgspec.json.decode(answer.body, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Unknown(f"the KYC service's answer cannot be read: {type(error).__name__}")


def report_of(check: _Check) -> Report:
    """What a check of the service says, in our words."""
    if check.status == "VERIFIED":
        return Verified(check.id, check.expires_at)
    if check.status == "REJECTED":
        return Rejected(check.id, REJECTION_CODES.get(check.rejection_reason or "", "rejected_by_service"))
    return InProgress(check.id)
