"""A delivery: one event for one endpoint, its tries, and what an endpoint's answers say of its health. Pure.

A delivery's status is no history of an object, as that of a job is none; so it changes by `after` here, without events:
an event for each try would be an event to deliver.
"""

import random
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

SCHEDULE_SECONDS: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long after the try before it each try comes: 0 s, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h."""

JITTER: Final = 0.2
"""A wait is up to so much longer than the schedule says, that tries of one moment do not come back together."""

RETRY_AFTER_SECONDS_MAX: Final = 86_400
FAILURES_UNTIL_DOWN: Final = 5
PROBE_SECONDS_MAX: Final = 15
GIVEN_UP_AFTER: Final = timedelta(days=5)
TRIES_KEPT: Final = 20
GONE: Final = 410
ASKS_FOR_PAUSE: Final = frozenset({429, 503})


class Status(StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class Try(msgspec.Struct, frozen=True, rename="camel"):
    """One try, as it is kept. milliseconds: how long it took."""

    at: datetime
    status_code: int | None
    error: str | None
    milliseconds: int


class Delivery(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row of webhook_deliveries. step: how many tries of the schedule are over. attempts: all of them, with those
    that only asked whether an endpoint is back. is_ordered: whether it keeps its stream's order; a test and a
    redelivery do not. content: of an event that stands in no history.
    """

    id: str
    version: int
    endpoint_id: str
    status: Status
    event_id: str
    event_type: str
    stream: str
    is_ordered: bool
    attempts: int
    step: int
    tries: tuple[Try, ...]
    created_at: datetime
    updated_at: datetime
    event_tx: int | None = None
    event_position: int | None = None
    content: dict[str, Any] | None = None
    redelivery_of: str | None = None
    next_attempt_at: datetime | None = None
    last_attempt_at: datetime | None = None
    last_status_code: int | None = None
    last_error: str | None = None
    last_response_body: str | None = None
    finished_at: datetime | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What a try came to. retry_after: the header as it came. body: the beginning of the answer's body."""

    at: datetime
    status_code: int | None = None
    error: str | None = None
    body: str | None = None
    retry_after: str | None = None
    milliseconds: int = 0

    @property
    def is_delivered(self) -> bool:
        return self.status_code is not None and 200 <= self.status_code < 300

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint wants nothing more."""
        return self.status_code == GONE

    @property
    def pause_until(self) -> datetime | None:
        """Until when the endpoint asks to be left alone."""
        if self.status_code not in ASKS_FOR_PAUSE or self.retry_after is None:
            return None
        seconds = _seconds_until(self.retry_after, self.at)
        return None if seconds is None else self.at + timedelta(seconds=min(seconds, RETRY_AFTER_SECONDS_MAX))


def _seconds_until(header: str, now: datetime) -> float | None:
    text = header.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return int(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())


def wait_seconds(step: int) -> float:
    """How long after its `step`-th try the next one comes."""
    return SCHEDULE_SECONDS[step] * random.uniform(1, 1 + JITTER)  # noqa: S311  no secret


def after(delivery: Delivery, outcome: Outcome, *, is_probe: bool) -> Delivery:
    """The delivery after a try. is_probe: it was not due, and only asked whether the endpoint is back; where it is
    not, the schedule stays as it was.
    """
    shown = Try(outcome.at, outcome.status_code, outcome.error, outcome.milliseconds)
    step = delivery.step if is_probe and not outcome.is_delivered else delivery.step + 1
    is_over = outcome.is_delivered or outcome.is_gone or step >= len(SCHEDULE_SECONDS)
    status = Status.PENDING
    if is_over:
        status = Status.DELIVERED if outcome.is_delivered else Status.FAILED
    return msgspec.structs.replace(
        delivery,
        version=delivery.version + 1,
        status=status,
        attempts=delivery.attempts + 1,
        step=step,
        tries=(*delivery.tries, shown)[-TRIES_KEPT:],
        updated_at=outcome.at,
        next_attempt_at=None if is_over else _next(delivery, outcome, step, is_probe),
        last_attempt_at=outcome.at,
        last_status_code=outcome.status_code,
        last_error=outcome.error,
        last_response_body=outcome.body,
        finished_at=outcome.at if is_over else None,
    )


def _next(delivery: Delivery, outcome: Outcome, step: int, is_probe: bool) -> datetime:
    """When the next try is: not before the endpoint's pause is over, nor before its turn in the schedule, of which an
    overloaded endpoint would else use up every step within moments.
    """
    due = outcome.at + timedelta(seconds=wait_seconds(step))
    if is_probe and delivery.next_attempt_at is not None:
        due = delivery.next_attempt_at
    return due if outcome.pause_until is None else max(due, outcome.pause_until)


class Health(msgspec.Struct, frozen=True):
    """How an endpoint has answered lately. failures: of deliveries whose first try failed, since the last success.

    Each delivery has its schedule; but when one after the other fails, the endpoint is down, and it is no use to have
    the rest find out: one try at a time asks whether it is back, and then all go on at once.
    """

    failures: int = 0
    failing_since: datetime | None = None
    paused_until: datetime | None = None

    @property
    def is_down(self) -> bool:
        return self.failures >= FAILURES_UNTIL_DOWN

    def is_paused(self, now: datetime) -> bool:
        return self.paused_until is not None and now < self.paused_until

    def is_hopeless(self, now: datetime) -> bool:
        """Whether it has failed for so long that nobody will mend it."""
        return self.failing_since is not None and now - self.failing_since >= GIVEN_UP_AFTER

    def after(self, delivery: Delivery, outcome: Outcome) -> "Health":
        """Its health after a try of `delivery`, as that was before."""
        if outcome.is_delivered:
            return Health(paused_until=self.paused_until)
        since = self.failing_since or outcome.at
        failures = self.failures + (1 if delivery.step == 0 else 0)
        until = None
        if failures >= FAILURES_UNTIL_DOWN:
            lasted = (outcome.at - since).total_seconds()
            pause = min(PROBE_SECONDS_MAX, max(1.0, lasted / 4)) * random.uniform(0.8, 1)  # noqa: S311  no secret
            until = outcome.at + timedelta(seconds=pause)
        moments = (until, outcome.pause_until, self.paused_until)
        latest = max((moment for moment in moments if moment is not None), default=None)
        return Health(failures, since, latest)
