"""Checks, their outcomes by test subject, and their webhooks."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from simulators.kit.faults import Kind
from simulators.kit.idempotency import Store
from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.kit.openapi import Document, Violation
from simulators.kit.provider import Provider, Trouble

API_KEY: Final = "kyc_test_key"
SECRET: Final = "whsec_a3ljLXNpbXVsYXRvci1zaWduaW5nLXNlY3JldC0wMQ=="
DOCUMENT: Final = Path(__file__).with_name("openapi.json")
KEY_SECONDS: Final = 24 * 3_600
VALID_DAYS: Final = 365


class Course(msgspec.Struct, frozen=True):
    """How a check of a test subject goes. status: at once. looks: GETs after which it is verified; 0: never by
    itself.
    """

    status: str
    says: str
    reason: str | None = None
    looks: int = 0


COURSES: Final[dict[str, Course]] = {
    "-verified": Course("VERIFIED", f"verified at once, for {VALID_DAYS} days"),
    "-rejected": Course("REJECTED", "rejected at once: face_mismatch", "face_mismatch"),
    "-sanctioned": Course("REJECTED", "rejected at once: sanctions_match", "sanctions_match"),
    "-pending": Course("IN_PROGRESS", "in progress, until POST /test/checks/{id}/decision decides"),
    "-later": Course("IN_PROGRESS", "in progress, verified when it is asked for the second time", None, 2),
}
"""By how the subject's id ends; any other subject is verified at once."""

ABOUT: Final = "\n".join(
    [
        f"    bearer token {API_KEY}, webhook secret {SECRET}",
        *(f"    subject …{ending}: {course.says}" for ending, course in COURSES.items()),
        "    any other subject: verified at once",
    ]
)


class Check(msgspec.Struct, rename="camel"):
    """A check, as it is told."""

    id: str
    client_reference: str
    subject_type: str
    subject_id: str
    level: str
    status: str
    rejection_reason: str | None
    expires_at: str | None
    created_at: str


class KycService(Provider):
    """The simulator: checks by id and by clientReference."""

    name = "kyc"
    about = ABOUT

    def __init__(self, *, document: Document | None = None, seed: int = 0) -> None:
        store = Store(
            seconds=KEY_SECONDS,
            keeps=lambda answer: answer.status < 500,
            replay_headers={"Idempotent-Replayed": "true"},
        )
        super().__init__(document=document, store=store, seed=seed)
        self.webhooks.secret = SECRET
        self.checks: dict[str, Check] = {}
        self._by_reference: dict[str, Check] = {}
        self._looks: dict[str, int] = {}
        self._events = 0
        self.routes = (
            Route("POST", "/v1/checks", self._start),
            Route("GET", "/v1/checks", self._find),
            Route("GET", "/v1/checks/{id}", self._get),
            Route("POST", "/test/checks/{id}/decision", self._decide, is_documented=False, has_faults=False),
        )

    def authenticate(self, request: Request) -> Answer | None:
        is_known = request.headers.get("authorization") == f"Bearer {API_KEY}"
        return None if is_known else _error(401, "unauthenticated", "the bearer token is not known")

    def key_of(self, request: Request) -> str | None:
        return request.headers.get("idempotency-key")

    def speak(self, trouble: Trouble, request: Request) -> Answer:
        return {
            Trouble.NOT_FOUND: _error(404, "not_found", "there is nothing here"),
            Trouble.KEY_IN_FLIGHT: _error(409, "key_in_flight", "a request with this key is still running"),
            Trouble.KEY_REUSED: _error(409, "key_reused", "this key came with another request"),
            Trouble.TOO_MANY_REQUESTS: _error(429, "rate_limited", "too many requests"),
            Trouble.SERVER_ERROR: _error(500, "internal_error", "something broke"),
        }[trouble]

    def refuse(self, request: Request, violations: Sequence[Violation]) -> Answer:
        first = violations[0]
        return _error(400, "invalid_request", f"{first.parameter}: {first.message}")

    def distort(self, answer: Answer) -> Answer:
        """An answer about somebody else: there are no amounts here."""
        if isinstance(answer.body, dict) and "subjectId" in answer.body:
            return Answer(answer.status, {**answer.body, "subjectId": "somebody-else"}, answer.headers)
        return answer

    def sign(self, body: bytes, event: dict[str, Any], at: int) -> dict[str, str]:
        """Standard Webhooks: HMAC-SHA256 over id, time and body."""
        secret = base64.b64decode(self.webhooks.secret.removeprefix("whsec_"))
        signed = hmac.new(secret, f"{event['id']}.{at}.".encode() + body, hashlib.sha256).digest()
        return {
            "webhook-id": event["id"],
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }

    def _start(self, request: Request) -> Answer:
        asked = request.params
        known = self._by_reference.get(asked["clientReference"])
        if known is not None:
            return Answer(200, _told(known))
        course = _course_of(asked["subjectId"])
        if request.fault is Kind.DECLINE:
            course = Course("REJECTED", "", "document_unreadable")
        check = Check(
            id=f"chk_{len(self.checks) + 1:024x}",
            client_reference=asked["clientReference"],
            subject_type=asked["subjectType"],
            subject_id=asked["subjectId"],
            level=asked["level"],
            status="IN_PROGRESS",
            rejection_reason=None,
            expires_at=None,
            created_at=_moment(request.now),
        )
        self.checks[check.id] = self._by_reference[check.client_reference] = check
        self.books.record("check", check.id, 0, "XXX", at=request.now, key=request.key, subject=check.subject_id)
        self._move(check, course.status, course.reason, request.now)
        return Answer(201, _told(check))

    def _find(self, request: Request) -> Answer:
        check = self._by_reference.get(request.query["clientReference"])
        return Answer(200, {"data": [] if check is None else [_told(check)]})

    def _get(self, request: Request) -> Answer:
        check = self._known(request)
        self._looks[check.id] = self._looks.get(check.id, 0) + 1
        looks = _course_of(check.subject_id).looks
        if check.status == "IN_PROGRESS" and 0 < looks <= self._looks[check.id]:
            self._move(check, "VERIFIED", None, request.now)
        return Answer(200, _told(check))

    def _decide(self, request: Request) -> Answer:
        """A person at the service decides: {status: VERIFIED | REJECTED, rejectionReason?}."""
        check, decision = self._known(request), json.loads(request.body)
        self._move(check, decision["status"], decision.get("rejectionReason"), request.now)
        return Answer(200, _told(check))

    def _known(self, request: Request) -> Check:
        check = self.checks.get(request.path_values["id"])
        if check is None:
            raise Refusal(_error(404, "not_found", "there is no such check"), is_kept=False)
        return check

    def _move(self, check: Check, status: str, reason: str | None, now: int) -> None:
        check.status, check.rejection_reason = status, reason
        check.expires_at = _moment(now + VALID_DAYS * 86_400) if status == "VERIFIED" else None
        self._events += 1
        event_id, event_type = f"evt_{self._events:024x}", f"check.{status.lower()}"
        event = {"id": event_id, "type": event_type, "timestamp": _moment(now), "data": _told(check)}
        self.webhooks.emit(event_id, event_type, event)


def provider(*, seed: int = 0) -> KycService:
    """A new service without any check."""
    return KycService(document=Document.load(DOCUMENT, is_closed=True), seed=seed)


def _course_of(subject_id: str) -> Course:
    endings = (course for ending, course in COURSES.items() if subject_id.endswith(ending))
    return next(endings, Course("VERIFIED", ""))


def _told(check: Check) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(check)
    return told


def _moment(unix: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=unix)).isoformat().replace("+00:00", "Z")


def _error(status: int, code: str, message: str) -> Answer:
    return Answer(status, {"error": {"code": code, "message": message}})
