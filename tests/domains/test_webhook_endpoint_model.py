"""An endpoint's table, what it asks for, the schedule of a delivery, an endpoint's health, signatures. Pure."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from bursar.domains.webhook_endpoints import signature
from bursar.domains.webhook_endpoints.delivery import (
    FAILURES_UNTIL_DOWN,
    GIVEN_UP_AFTER,
    JITTER,
    PROBE_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MAX,
    SCHEDULE_SECONDS,
    TRIES_KEPT,
    Delivery,
    Health,
    Outcome,
    after,
)
from bursar.domains.webhook_endpoints.delivery import Status as DeliveryStatus
from bursar.domains.webhook_endpoints.model import MACHINE, Endpoint, Secret, Status, parties, wants
from bursar.infra.events import Event
from bursar.kit.clock import SystemClock
from bursar.kit.errors import InvalidTransition

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ID = "019b7966-e200-7000-8000-0000000000e1"
S = Status

LEADS_TO: dict[tuple[Status, str], tuple[Status, str]] = {
    (S.ACTIVE, "disable"): (S.DISABLED, "webhook_endpoint.disabled"),
    (S.ACTIVE, "remove"): (S.REMOVED, "webhook_endpoint.removed"),
    (S.DISABLED, "enable"): (S.ACTIVE, "webhook_endpoint.enabled"),
    (S.DISABLED, "remove"): (S.REMOVED, "webhook_endpoint.removed"),
}
"""Said here once more, so that a change of the table is meant."""


def endpoint(**changes: Any) -> Endpoint:
    made = Endpoint(ID, 3, "https://shop.example.com/hooks", S.ACTIVE, ("*",), (), {}, NOW, NOW)
    return msgspec.structs.replace(made, **changes)


def event(event_type: str = "payment.captured", **data: Any) -> Event:
    return Event(ID, ID, 1, event_type, ID, data, NOW, NOW, 7, 1)


def delivery(**changes: Any) -> Delivery:
    made = Delivery(ID, 1, ID, DeliveryStatus.PENDING, ID, "payment.captured", ID, True, 0, 0, (), NOW, NOW)
    return msgspec.structs.replace(made, **{"next_attempt_at": NOW, **changes})


def failed(status_code: int | None = 500, at: datetime = NOW, **more: Any) -> Outcome:
    return Outcome(at, status_code, None if status_code else "ConnectionRefusedError", **more)


class TestTable:
    @pytest.mark.parametrize("status", Status)
    @pytest.mark.parametrize("action", ["disable", "enable", "remove"])
    def test_every_status_and_action(self, status: Status, action: str) -> None:
        before, later = endpoint(status=status), NOW + timedelta(hours=1)
        if (status, action) in LEADS_TO:
            changed, told = MACHINE.advance(before, action, later)
            assert (changed.status, told) == LEADS_TO[status, action]
            assert (changed.version, changed.updated_at) == (4, later)
        else:
            with pytest.raises(InvalidTransition):
                MACHINE.advance(before, action, later)

    def test_has_no_other_edge(self) -> None:
        assert {(edge.source, edge.action): (edge.target, edge.event) for edge in MACHINE.edges} == LEADS_TO


class TestWants:
    @pytest.mark.parametrize(
        "patterns, event_type, is_wanted",
        [
            (("*",), "payment.captured", True),
            (("payment.*",), "payment.captured", True),
            (("payment.captured",), "payment.captured", True),
            (("payment.captured",), "payment.completed", False),
            (("payment.*",), "payment_method.created", False),
            (("payment_method.*", "payment.failed"), "payment.failed", True),
        ],
    )
    def test_types(self, patterns: tuple[str, ...], event_type: str, is_wanted: bool) -> None:
        assert wants(endpoint(event_types=patterns), event(event_type), frozenset()) is is_wanted

    def test_only_those_whom_an_event_concerns(self) -> None:
        concerned = parties(
            [
                {"amount": 5},
                {"customerId": "ann", "splits": [{"vendorId": "v1", "amount": 1}, {"vendorId": "v2", "amount": 2}]},
                {"subjectType": "VENDOR", "subjectId": "v3"},
            ]
        )
        assert concerned == {("customer", "ann"), ("vendor", "v1"), ("vendor", "v2"), ("vendor", "v3")}
        assert wants(endpoint(customer_id="ann", vendor_id="v2"), event(), concerned)
        assert not wants(endpoint(customer_id="v1"), event(), concerned)
        assert not wants(endpoint(customer_id="ann", vendor_id="v4"), event(), concerned)

    def test_an_event_without_parties_concerns_nobody(self) -> None:
        assert parties([{"splits": None, "customerId": None}]) == frozenset()


class TestSchedule:
    def test_is_that_of_the_specification(self) -> None:
        now, one, waits = NOW, delivery(), []
        while one.status is DeliveryStatus.PENDING:
            one = after(one, failed(at=now), is_probe=False)
            if one.next_attempt_at is not None:
                waits.append((one.next_attempt_at - now).total_seconds())
                now = one.next_attempt_at
        assert (one.status, one.attempts, one.finished_at) == (DeliveryStatus.FAILED, 10, now)
        assert len(waits) == 9
        for wait, wanted in zip(waits, SCHEDULE_SECONDS[1:], strict=True):
            assert wanted <= wait <= wanted * (1 + JITTER)
        assert sum(SCHEDULE_SECONDS) < GIVEN_UP_AFTER.total_seconds()

    def test_jitter_differs(self) -> None:
        assert len({after(delivery(), failed(), is_probe=False).next_attempt_at for _ in range(10)}) > 1

    @pytest.mark.parametrize("status", [200, 201, 204, 299])
    def test_any_2xx_delivers(self, status: int) -> None:
        done = after(delivery(), Outcome(NOW, status, body="ok"), is_probe=False)
        assert (done.status, done.next_attempt_at, done.last_response_body) == (DeliveryStatus.DELIVERED, None, "ok")

    @pytest.mark.parametrize("status", [None, 199, 301, 307, 400, 404, 429, 500, 503])
    def test_anything_else_does_not(self, status: int | None) -> None:
        assert after(delivery(), failed(status), is_probe=False).status is DeliveryStatus.PENDING

    def test_410_ends_it(self) -> None:
        gone = after(delivery(), failed(410), is_probe=False)
        assert (gone.status, gone.attempts) == (DeliveryStatus.FAILED, 1)

    @pytest.mark.parametrize("status, header, seconds", [
        (429, "7200", 7_200),
        (503, "7200", 7_200),
        (503, "Fri, 02 Jan 2026 02:00:00 GMT", 7_200),
        (429, "999999999", RETRY_AFTER_SECONDS_MAX),
    ])  # fmt: skip
    def test_retry_after_says_when(self, status: int, header: str, seconds: int) -> None:
        outcome = failed(status, retry_after=header)
        assert after(delivery(step=2), outcome, is_probe=False).next_attempt_at == NOW + timedelta(seconds=seconds)

    @pytest.mark.parametrize("header", ["0", "1", "Thu, 01 Jan 2026 00:00:00 GMT"])
    def test_retry_after_shortens_no_wait(self, header: str) -> None:
        """Else a receiver that is overloaded for a minute has its events given up within it."""
        now, one = NOW, delivery()
        while one.next_attempt_at is not None:
            one = after(one, failed(503, at=now, retry_after=header), is_probe=False)
            now = one.next_attempt_at or now
        assert now - NOW >= timedelta(seconds=sum(SCHEDULE_SECONDS))

    def test_retry_after_of_a_probe_shortens_no_wait(self) -> None:
        waiting = delivery(step=3, next_attempt_at=NOW + timedelta(hours=1))
        asked = after(waiting, failed(503, retry_after="1"), is_probe=True)
        assert (asked.step, asked.next_attempt_at) == (3, waiting.next_attempt_at)

    @pytest.mark.parametrize("status, header", [(500, "17"), (429, "soon"), (429, "-1"), (503, "1e3"), (429, "")])
    def test_no_other_header_does(self, status: int, header: str) -> None:
        outcome = failed(status, retry_after=header)
        waited = after(delivery(), outcome, is_probe=False).next_attempt_at
        assert waited is not None and waited >= NOW + timedelta(seconds=SCHEDULE_SECONDS[1]), waited
        assert outcome.pause_until is None

    @given(st.text(max_size=60))
    def test_no_header_breaks_it(self, header: str) -> None:
        until = failed(429, retry_after=header).pause_until
        assert until is None or NOW <= until <= NOW + timedelta(seconds=RETRY_AFTER_SECONDS_MAX)

    def test_a_probe_that_fails_costs_no_step(self) -> None:
        waiting = delivery(step=3, attempts=3, next_attempt_at=NOW + timedelta(hours=1))
        probed = after(waiting, failed(None), is_probe=True)
        assert (probed.step, probed.attempts, probed.next_attempt_at) == (3, 4, waiting.next_attempt_at)
        assert after(waiting, Outcome(NOW, 200), is_probe=True).status is DeliveryStatus.DELIVERED

    def test_keeps_a_bounded_number_of_tries(self) -> None:
        one = delivery(next_attempt_at=NOW + timedelta(days=1))
        for number in range(TRIES_KEPT + 5):
            one = after(one, failed(500 + number % 10), is_probe=True)
        assert (one.attempts, len(one.tries)) == (TRIES_KEPT + 5, TRIES_KEPT)


class TestHealth:
    def down(self, at: datetime = NOW) -> Health:
        health = Health()
        for _ in range(FAILURES_UNTIL_DOWN):
            health = health.after(delivery(), failed(at=at))
        return health

    def test_is_down_when_one_after_the_other_fails(self) -> None:
        health = self.down()
        assert health.is_down and health.failing_since == NOW
        assert health.is_paused(NOW) and not health.is_paused(NOW + timedelta(seconds=PROBE_SECONDS_MAX))

    def test_one_bad_event_is_not_the_endpoint(self) -> None:
        health = Health()
        for step in range(len(SCHEDULE_SECONDS)):
            health = health.after(delivery(step=step), failed())
        assert not health.is_down and health.paused_until is None

    def test_a_success_ends_it(self) -> None:
        health = self.down().after(delivery(), Outcome(NOW, 204))
        assert not health.is_down and health.failing_since is None

    def test_asks_ever_more_seldom_but_often_enough(self) -> None:
        health, now, pauses = self.down(), NOW, []
        for _ in range(25):
            assert health.paused_until is not None
            pauses.append((health.paused_until - now).total_seconds())
            now = health.paused_until
            health = health.after(delivery(step=2), failed(at=now))
        assert pauses[0] <= 1 and pauses[-1] > 10 and max(pauses) <= PROBE_SECONDS_MAX

    def test_a_pause_that_was_asked_for_is_kept(self) -> None:
        health = Health().after(delivery(), failed(429, retry_after="120"))
        assert not health.is_down and health.paused_until == NOW + timedelta(seconds=120)
        assert health.after(delivery(), Outcome(NOW, 200)).paused_until == health.paused_until

    def test_a_pause_that_was_asked_for_shortens_none(self) -> None:
        """Else an endpoint that is down and says `Retry-After: 0` is asked as fast as it answers."""
        health = self.down().after(delivery(step=2), failed(503, at=NOW + timedelta(minutes=5), retry_after="0"))
        assert health.is_paused(NOW + timedelta(minutes=5, seconds=10))

    def test_is_hopeless_after_days_without_a_success(self) -> None:
        health = self.down()
        assert not health.is_hopeless(NOW + GIVEN_UP_AFTER - timedelta(seconds=1))
        assert health.is_hopeless(NOW + GIVEN_UP_AFTER)


class TestSignature:
    def test_of_the_specification(self) -> None:
        key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        signed = signature.headers(
            [key], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}'
        )
        assert signed == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    @given(st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=3, unique=True), st.text(max_size=200))
    def test_verifies_elsewhere_by_each_secret(self, keys: list[bytes], text: str) -> None:
        body = msgspec.json.encode({"text": text})
        now = int(SystemClock().now().timestamp())
        signed = signature.headers(keys, message_id=ID, timestamp=now, body=body)
        for key in keys:
            assert Webhook(signature.shown(key)).verify(body, signed) == {"text": text}

    def test_a_secret_signs_until_it_expires(self) -> None:
        newest, older = Secret("a", 1, None), Secret("b", 1, NOW + timedelta(hours=1))
        rotated = endpoint(secrets=(newest, older))
        assert rotated.valid_secrets(NOW) == (newest, older)
        assert rotated.valid_secrets(NOW + timedelta(hours=1)) == (newest,)
