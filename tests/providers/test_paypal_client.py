"""The adapter's HTTP side: its token, and what each failure leaves possible. And what PayPal shows: its account of our
money, and its log of events.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from bursar.kit.clock import ManualClock
from bursar.providers.paypal import PayPal
from bursar.providers.port import (
    Approved,
    Authorization,
    Declined,
    Forgetting,
    Instrument,
    Logged,
    MethodType,
    Outcome,
    Payout,
    Refund,
    ReportUnavailable,
    Unavailable,
    Unknown,
    Void,
)
from simulators.kit.faults import Kind
from tests.providers.contract.harness_paypal import Shared, sharing
from tests.support.logs import logged
from tests.support.ports import free_port

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
WALLET = Instrument("pm_ours", MethodType.DIGITAL_WALLET, token="paypal-approved")
TOKEN = b'{"access_token":"t","expires_in":32400}'


@pytest.fixture
async def shared() -> AsyncIterator[Shared]:
    async with sharing() as opened:
        yield opened


def authorization(at: datetime, **others: Any) -> Authorization:
    usual = {"amount": 5000, "currency": "USD", "capture": True}
    return Authorization(key=str(uuid4()), payment_id="pay_1", instrument=WALLET, asked_at=at, **usual | others)


def token_calls(shared: Shared) -> int:
    return len(shared.simulator.tokens)


class TestToken:
    async def test_is_kept_and_fetched_once_for_all(self, shared: Shared) -> None:
        asked = [shared.adapter.execute(authorization(shared.now())) for _ in range(10)]
        assert all(isinstance(outcome, Approved) for outcome in await asyncio.gather(*asked))
        assert token_calls(shared) == 1

    async def test_is_renewed_before_it_ends(self, shared: Shared) -> None:
        await shared.adapter.execute(authorization(shared.now()))
        shared.advance(timedelta(hours=9, seconds=-90))
        assert isinstance(await shared.adapter.execute(authorization(shared.now())), Approved)
        assert token_calls(shared) == 2

    async def test_that_paypal_takes_no_more_is_renewed_once(self, shared: Shared) -> None:
        await shared.adapter.execute(authorization(shared.now()))
        shared.simulator.tokens.clear()
        asked = [shared.adapter.execute(authorization(shared.now())) for _ in range(10)]
        assert all(isinstance(outcome, Approved) for outcome in await asyncio.gather(*asked))
        assert token_calls(shared) == 1

    async def test_that_is_not_given_leaves_nothing_done(self, shared: Shared) -> None:
        for kind in (Kind.GARBAGE, Kind.RESET, Kind.ERROR_AFTER_EFFECT):
            shared.simulator.faults.plan(kind, on="POST /v1/oauth2/token")
            assert isinstance(await shared.adapter.execute(authorization(shared.now())), Unavailable)
            shared.simulator.faults.plan(kind, on="POST /v1/oauth2/token")
            assert isinstance(await shared.adapter.inquire(authorization(shared.now())), Unknown)
        assert not shared.simulator.books.entries

    async def test_is_not_given_to_a_stranger(self, shared: Shared) -> None:
        stranger = adapter(shared.base_url, client_secret="wrong")
        with capture_logs() as logs:
            outcome = await stranger.execute(authorization(shared.now()))
        await stranger.close()
        assert isinstance(outcome, Unavailable)
        assert logged(logs, "paypal") == [("paypal.credentials_refused", "critical")]


def adapter(base_url: str, **others: Any) -> PayPal:
    usual = {"client_id": "paypal_test_client", "client_secret": "paypal_test_secret", "timeout_seconds": 30}
    return PayPal(base_url=base_url, clock=ManualClock(NOW), authorization_days=3, **usual | others)


Serve = Callable[[bytes], bytes]


@asynccontextmanager
async def answering(answer: bytes | Serve) -> AsyncIterator[str]:
    """A server that gives a token to whoever asks, and this answer to everything else, as it stands."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        await reader.readexactly(length)
        if b"/v1/oauth2/token" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(TOKEN) + TOKEN)
        else:
            writer.write(answer(head) if callable(answer) else answer)
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(answer: bytes | Serve, ask: Callable[[PayPal], Awaitable[Outcome]]) -> Outcome:
    async with answering(answer) as base_url:
        asking = adapter(base_url)
        try:
            return await ask(asking)
        finally:
            await asking.close()


def said(status: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OPEN = {
    "503": said("503 Service Unavailable", body=b"<h1>later</h1>"),
    "a redirect": said("302 Found", "Location: https://example.com"),
    "a timeout by a gateway": said("408 Request Timeout"),
    "a conflict": said("409 Conflict", body=b'{"name":"RESOURCE_CONFLICT"}'),
    "a proxy's 403": said("403 Forbidden", body=b"<h1>no</h1>"),
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "another document": said("201 Created", body=b'{"hello":"world"}'),
    "no JSON": said("201 Created", body=b"<html>"),
    "an order without units": said("201 Created", body=b'{"id":"O1","status":"COMPLETED"}'),
    "an endless answer": b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n" + b" " * (2 << 20),
}


class TestFailures:
    @pytest.mark.parametrize("answer", OPEN.values(), ids=OPEN.keys())
    async def test_that_leave_it_open(self, answer: bytes) -> None:
        request = authorization(NOW)
        assert isinstance(await asked(answer, lambda adapter: adapter.execute(request)), Unknown)
        assert isinstance(await asked(answer, lambda adapter: adapter.inquire(request)), Unknown)

    @pytest.mark.parametrize(
        "header,seconds",
        [
            ("7", 7),
            ("9" * 5_000, 999_999_999),
            ("Wed, 01 Jul 2026 12:00:30 GMT", 30),
            ("Wed, 01 Jul 2026 11:00:00 GMT", 0),
            ("soon", None),
        ],
    )
    async def test_that_ask_to_be_left_alone(self, header: str, seconds: int | None) -> None:
        answer = said("429 Too Many Requests", f"Retry-After: {header}")
        outcome = await asked(answer, lambda adapter: adapter.execute(authorization(NOW)))
        assert isinstance(outcome, Unavailable) and outcome.retry_after == seconds
        inquired = await asked(answer, lambda adapter: adapter.inquire(authorization(NOW)))
        assert isinstance(inquired, Unknown)

    async def test_where_nobody_listens(self) -> None:
        nowhere = adapter(f"http://127.0.0.1:{free_port()}")
        assert isinstance(await nowhere.execute(authorization(NOW)), Unavailable)
        assert isinstance(await nowhere.inquire(authorization(NOW)), Unknown)
        await nowhere.close()

    async def test_where_an_answer_drips(self) -> None:
        """Each byte comes in time; the whole does not."""

        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            try:
                while True:
                    writer.write(b"H")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            except ConnectionError:
                writer.close()

        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        async with server:
            slow = adapter(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_seconds=0.2)
            started = asyncio.get_running_loop().time()
            await slow.execute(authorization(NOW))
            assert asyncio.get_running_loop().time() - started < 20
            await slow.close()

    async def test_that_refuse_with_a_reason(self) -> None:
        body = b'{"name":"INVALID_REQUEST","details":[{"issue":"MISSING_REQUIRED_PARAMETER"}]}'
        outcome = await asked(said("400 Bad Request", body=body), lambda adapter: adapter.execute(authorization(NOW)))
        assert isinstance(outcome, Declined) and outcome.decline_code == "processing_error"

    @pytest.mark.parametrize(
        "status,name", [("403 Forbidden", "NOT_AUTHORIZED"), ("404 Not Found", "RESOURCE_NOT_FOUND")]
    )
    async def test_that_keep_us_from_looking_decide_nothing(self, status: str, name: str) -> None:
        """What was done before we lost the right to ask stays done."""
        answer, request = said(status, body=f'{{"name":"{name}"}}'.encode()), authorization(NOW)
        assert isinstance(await asked(answer, lambda adapter: adapter.execute(request)), Declined)
        assert isinstance(await asked(answer, lambda adapter: adapter.inquire(request)), Unknown)

    async def test_that_are_our_own_are_unknown(self) -> None:
        """A fault in the adapter is no outcome of PayPal's."""
        broken = adapter("http://127.0.0.1:1")
        nameless = Void(str(uuid4()), None, NOW)  # type: ignore[arg-type]
        with capture_logs() as logs:
            assert isinstance(await broken.execute(nameless), Unknown)
        await broken.close()
        assert [event for event, _ in logged(logs, "paypal")] == ["paypal.adapter_broke"]


async def test_ids_lead_nowhere_else() -> None:
    """What a caller gives us as a token is one part of a path."""
    paths: list[str] = []

    def note(head: bytes) -> bytes:
        paths.append(head.split()[1].decode())
        return said("404 Not Found", body=b'{"name":"RESOURCE_NOT_FOUND"}')

    token = "x/../../../v2/checkout/orders/O1?fields=all#top"
    outcome = await asked(note, lambda adapter: adapter.execute(Forgetting(str(uuid4()), token, NOW)))
    assert outcome == Approved(token)
    assert len(paths) == 1 and paths[0].startswith("/v3/vault/payment-tokens/x%2F..%2F") and "?" not in paths[0]


class TestMovements:
    async def test_are_paypals_account_of_our_money(self, shared: Shared) -> None:
        since = shared.now()
        taken = await shared.adapter.execute(authorization(since, amount=10_000))
        assert isinstance(taken, Approved)
        await shared.adapter.execute(authorization(since, capture=False))  # moves nothing yet
        await shared.adapter.execute(Refund(str(uuid4()), taken.reference, 2500, "USD", since))
        vendor = Instrument("dest", MethodType.DIGITAL_WALLET, token="vendor@example.com")
        await shared.adapter.execute(Payout(str(uuid4()), 3000, "USD", vendor, "S 7", since))
        shared.advance(timedelta(hours=5))
        window = {"since": since - timedelta(minutes=1), "until": since + timedelta(minutes=1)}
        found = await shared.adapter.movements(**window)
        assert sorted((line.kind, line.amount, line.fee) for line in found) == [
            ("CHARGE", 10_000, 349),
            ("PAYOUT", -3000, 0),
            ("REFUND", -2500, 0),
        ]
        assert {line.reference for line in found if line.kind == "CHARGE"} == {taken.reference}
        assert (
            await shared.adapter.movements(since=since + timedelta(hours=1), until=since + timedelta(minutes=90)) == []
        )

    async def test_are_not_told_before_they_are_complete(self, shared: Shared) -> None:
        now = shared.now()
        with pytest.raises(ReportUnavailable):
            await shared.adapter.movements(since=now - timedelta(hours=1), until=now)

    async def test_of_months_are_asked_for_in_parts(self, shared: Shared) -> None:
        since = shared.now()
        await shared.adapter.execute(authorization(since))
        shared.advance(timedelta(days=80))
        found = await shared.adapter.movements(since=since - timedelta(minutes=1), until=since + timedelta(days=70))
        assert [line.amount for line in found] == [5000]

    async def test_are_not_told_by_nobody(self) -> None:
        nowhere = adapter(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ReportUnavailable):
            await nowhere.movements(since=NOW, until=NOW + timedelta(days=1))
        await nowhere.close()


async def events_of(paypal: PayPal, since: datetime, until: datetime) -> list[Logged]:
    return [event async for page in paypal.events(since=since, until=until) for event in page]


class TestEvents:
    async def test_are_shown_over_pages_as_they_were_sent(self, shared: Shared) -> None:
        since = shared.now()
        for number in range(230):
            shared.simulator.vault.desk.emit("PAYMENT.CAPTURE.COMPLETED", "capture", {"id": f"C{number}"}, "a capture")
        found = await events_of(shared.adapter, since - timedelta(minutes=1), since + timedelta(minutes=1))
        assert [(event.id, json.loads(event.body)) for event in found] == [
            (event["id"], event) for event in shared.simulator.webhooks.events
        ]
        assert len(found) == 230 and {event.type for event in found} == {"PAYMENT.CAPTURE.COMPLETED"}

    async def test_of_another_time_are_left_away(self, shared: Shared) -> None:
        await shared.adapter.execute(authorization(shared.now()))
        now = shared.now()
        assert await events_of(shared.adapter, now - timedelta(hours=2), now - timedelta(hours=1)) == []

    @pytest.mark.parametrize(
        "body",
        [
            b'{"events": 7}',
            b"no JSON",
        ],
    )
    async def test_that_cannot_be_read_are_told_later(self, body: bytes) -> None:
        with pytest.raises(ReportUnavailable):
            await asked(lambda head: said("200 OK", body=body), lambda paypal: events_of(paypal, NOW, NOW))

    async def test_what_is_none_keeps_nothing_back(self) -> None:
        body = b'{"events": [{"id": "WH-1"}, 7, {"id": "WH-2", "event_type": "A.B"}]}'
        found = await asked(lambda head: said("200 OK", body=body), lambda paypal: events_of(paypal, NOW, NOW))
        assert [event.id for event in found] == ["WH-2"]

    async def test_a_link_leads_to_no_other_place_and_not_round_in_circles(self) -> None:
        """Of a link to the next page its query is taken, and nothing else."""
        paths: list[str] = []

        def answer(head: bytes) -> bytes:
            paths.append(head.split()[1].decode())
            body = b'{"events": [{"id": "WH-1", "event_type": "A.B"}], "links": [%s]}'
            return said("200 OK", body=body % b'{"rel": "next", "href": "https://elsewhere.example/x?page=2"}')

        found = await asked(answer, lambda paypal: events_of(paypal, NOW, NOW))
        assert len(found) == 2
        assert [path.partition("?")[0] for path in paths] == ["/v1/notifications/webhooks-events"] * 2
        assert paths[1].endswith("?page=2")
