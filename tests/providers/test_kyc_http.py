"""The KYC adapter on the simulator, through every fault: same outcomes, same unknowns, one check for each key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from bursar.kit.clock import ManualClock
from bursar.providers.guard import Limits
from bursar.providers.kyc import http
from bursar.providers.kyc.guard import GuardedKyc
from bursar.providers.kyc.http import HttpKyc
from bursar.providers.kyc.port import REJECTIONS, Absent, InProgress, Outcome, Rejected, Verified
from bursar.providers.port import Unavailable, Unknown
from simulators.kit.faults import Kind
from simulators.kit.server import build, running
from simulators.kyc import KycService, provider
from simulators.kyc.service import API_KEY
from tests.support.api import unique
from tests.support.logs import logged
from tests.support.ports import free_port
from tests.support.service import eventually

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HURRIED_SECONDS = 1.0
"""How long is waited where no answer comes."""

SILENT = {Kind.TIMEOUT_BEFORE_EFFECT, Kind.TIMEOUT_AFTER_EFFECT, Kind.HANG, Kind.SLOW}


class Stage:
    """The simulator, and the adapter on it. application: of the kit, with the record of calls and violations."""

    def __init__(self, service: KycService, application: Any, url: str, kyc: HttpKyc) -> None:
        self.service = service
        self.application = application
        self.url = url
        self.kyc = kyc
        self.hurried = adapter(url, timeout_seconds=HURRIED_SECONDS)

    async def start(self, key: str, subject_id: str) -> Outcome:
        return await start(self.kyc, key, subject_id)


async def start(kyc: Any, key: str, subject_id: str) -> Outcome:
    outcome: Outcome = await kyc.start(
        key=key, subject_type="VENDOR", subject_id=subject_id, level="STANDARD", evidence=["doc-1"]
    )
    return outcome


def adapter(url: str, api_key: str = API_KEY, timeout_seconds: float = 30) -> HttpKyc:
    return HttpKyc(url=url, api_key=api_key, timeout_seconds=timeout_seconds, clock=ManualClock(NOW))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    service = provider(seed=1)
    application = build(service)
    async with running(application) as url:
        kyc = adapter(url)
        made = Stage(service, application, url, kyc)
        yield made
        await kyc.close()
        await made.hurried.close()
    assert application.simulator.violations == []


class TestStart:
    @pytest.mark.parametrize(
        "ending, kind",
        [("verified", Verified), ("rejected", Rejected), ("sanctioned", Rejected), ("pending", InProgress)],
    )
    async def test_says_what_became_of_a_test_subject(self, stage: Stage, ending: str, kind: type) -> None:
        outcome = await stage.start(unique("key"), f"v-{ending}")
        assert isinstance(outcome, kind)
        assert outcome.reference in stage.service.checks

    async def test_tells_until_when_and_why(self, stage: Stage) -> None:
        verified = await stage.start(unique("key"), "v-verified")
        rejected = await stage.start(unique("key"), "v-sanctioned")
        assert isinstance(verified, Verified) and verified.expires_at is not None
        assert timedelta(days=364) < verified.expires_at - datetime.now(UTC) < timedelta(days=366)
        assert isinstance(rejected, Rejected) and rejected.code == "sanctions_match"

    async def test_starts_one_check_for_a_key(self, stage: Stage) -> None:
        key = unique("key")
        first, second = await stage.start(key, "v-pending"), await stage.start(key, "v-pending")
        assert first == second and len(stage.service.checks) == 1

    async def test_starts_one_check_for_a_key_that_the_service_forgot(self, stage: Stage) -> None:
        key = unique("key")
        first = await stage.start(key, "v-pending")
        stage.service.clock.advance(25 * 3_600)
        assert await stage.start(key, "v-pending") == first
        assert len(stage.service.checks) == 1


class TestFaults:
    @pytest.mark.parametrize(
        "fault, kind, count",
        [
            (Kind.TIMEOUT_BEFORE_EFFECT, Unknown, 0),
            (Kind.HANG, Unknown, 0),
            (Kind.TIMEOUT_AFTER_EFFECT, Unknown, 1),
            (Kind.ERROR_AFTER_EFFECT, Unknown, 1),
            (Kind.GARBAGE, Unknown, 1),
            (Kind.RESET, Unknown, 1),
            (Kind.SLOW, Unknown, 1),
            (Kind.WRONG_AMOUNT, Unknown, 1),
            (Kind.TOO_MANY_REQUESTS, Unavailable, 0),
            (Kind.DECLINE, Rejected, 1),
        ],
    )
    async def test_each_has_its_outcome_and_a_repeat_finds_the_truth(
        self, stage: Stage, fault: Kind, kind: type, count: int
    ) -> None:
        key = unique("key")
        stage.service.faults.slow_seconds = 4 * HURRIED_SECONDS
        stage.service.faults.plan(fault, on="POST /v1/checks")

        asked = stage.hurried if fault in SILENT else stage.kyc
        assert isinstance(await start(asked, key, "v-verified"), kind)
        if fault is Kind.SLOW:
            assert await stage.start(key, "v-verified") == Unknown("the KYC service answered 409")
            await eventually(lambda: len(stage.service.checks) == 1, 30)
        else:
            assert len(stage.service.checks) == count

        again = await stage.start(key, "v-verified")
        assert isinstance(again, Rejected if fault is Kind.DECLINE else Verified)
        assert len(stage.service.checks) == 1

    @pytest.mark.parametrize("fault", [Kind.TIMEOUT_AFTER_EFFECT, Kind.GARBAGE, Kind.RESET, Kind.WRONG_AMOUNT])
    async def test_meet_questions_too(self, stage: Stage, fault: Kind) -> None:
        started = await stage.start("k", "v-pending")
        assert isinstance(started, InProgress)
        stage.service.faults.plan(fault, on="GET /v1/checks/.*")
        stage.service.faults.plan(Kind.RESET, on="GET /v1/checks")
        outcome = await (stage.hurried if fault in SILENT else stage.kyc).status(started.reference)
        if fault is Kind.WRONG_AMOUNT:
            assert outcome == started
        else:
            assert isinstance(outcome, Unknown)
        assert isinstance(await stage.kyc.find("k"), Unknown)
        assert await stage.kyc.find("k") == started

    async def test_hundreds_of_calls_leave_one_check_for_each_key(self, stage: Stage) -> None:
        kinds = (Kind.RESET, Kind.GARBAGE, Kind.ERROR_AFTER_EFFECT, Kind.TOO_MANY_REQUESTS, Kind.WRONG_AMOUNT)
        stage.service.faults.set(seed=7, rates=dict.fromkeys(kinds, 0.12))
        keys = [f"key-{number}" for number in range(200)]
        for key in keys:
            outcomes = [await stage.start(key, "v-verified")]
            while not isinstance(outcomes[-1], Verified):
                assert isinstance(outcomes[-1], Unknown | Unavailable)
                assert len(outcomes) < 30
                outcomes.append(await stage.start(key, "v-verified"))
        assert sum(stage.service.faults.given.values()) > 100
        assert sorted(check.client_reference for check in stage.service.checks.values()) == sorted(keys)


class TestRefusals:
    async def test_a_port_where_nobody_listens_is_unavailable(self) -> None:
        kyc = adapter(f"http://127.0.0.1:{free_port()}")
        assert isinstance(await start(kyc, "k", "v"), Unavailable)
        assert isinstance(await kyc.find("k"), Unavailable)
        await kyc.close()

    async def test_a_wrong_token_is_unavailable_for_a_start_and_tells_nothing_else(self, stage: Stage) -> None:
        kyc = adapter(stage.url, "another")
        assert await start(kyc, "k", "v") == Unavailable("the KYC service refused with 401")
        assert isinstance(await kyc.status("chk_1"), Unknown)
        assert isinstance(await kyc.find("k"), Unknown)
        await kyc.close()
        assert not stage.service.checks

    async def test_retry_after_is_told(self, stage: Stage) -> None:
        stage.service.faults.retry_after_seconds = 17
        stage.service.faults.plan(Kind.TOO_MANY_REQUESTS, on=".* /v1/checks", times=2)
        started, found = await stage.start("k", "v-verified"), await stage.kyc.find("k")
        assert isinstance(started, Unavailable) and started.retry_after == 17
        assert isinstance(found, Unavailable) and found.retry_after == 17

    @pytest.mark.parametrize(
        "header, seconds",
        [
            ("5", 5),
            ("999999999999", 3_600),
            ("Sun, 01 Mar 2026 00:00:30 GMT", 31),
            ("Sun, 01 Mar 2020 00:00:30 GMT", 1),
            ("soon", 1),
            ("", 1),
            ("-3", 1),
            ("٣", 1),
        ],
    )
    async def test_retry_after_is_read(self, header: str, seconds: int) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", header.encode())]})
            await send({"type": "http.response.body", "body": b""})

        async with answering(app) as kyc:
            outcome = await start(kyc, "k", "v")
        assert isinstance(outcome, Unavailable) and outcome.retry_after == seconds

    @pytest.mark.parametrize(
        "body",
        [b"", b"{}", b"null", b'{"data":[1]}', b"\xff", b"<html>", b'{"id":"\xff"}', b'{"x":' + b"[" * 100_000],
        ids=["", "{}", "null", "numbers", "bytes", "html", "no UTF-8", "deep"],
    )
    async def test_what_cannot_be_read_is_unknown(self, body: bytes) -> None:
        async with answering(_fixed(200, body)) as kyc:
            assert isinstance(await start(kyc, "k", "v"), Unknown)
            assert isinstance(await kyc.status("c"), Unknown)
            assert isinstance(await kyc.find("k"), Unknown)

    @pytest.mark.parametrize(
        "told",
        [{"expiresAt": "2030-01-01T00:00:00"}, {"id": ""}, {"id": "chk_\0"}, {"id": "c" * 300}, {"status": "MAYBE"}],
    )
    async def test_what_cannot_be_kept_is_unknown(self, told: dict[str, str]) -> None:
        check = {"id": "c", "clientReference": "k", "subjectType": "VENDOR", "subjectId": "v", "level": "STANDARD"}
        async with answering(_fixed(200, msgspec.json.encode(check | {"status": "VERIFIED"} | told))) as kyc:
            assert isinstance(await start(kyc, "k", "v"), Unknown)

    async def test_its_words_are_not_logged(self) -> None:
        with capture_logs() as logs:
            async with answering(_fixed(422, b'{"detail":"no Ada Lovelace was born on 1815-12-10"}')) as kyc:
                assert isinstance(await start(kyc, "k", "v"), Unavailable)
        assert [event for event, _ in logged(logs, "kyc")] == ["kyc.refused"] and "Ada" not in str(logs)

    async def test_an_endless_answer_is_unknown(self) -> None:
        async with answering(_fixed(200, b" " * (http.ANSWER_SIZE_MAX + 1))) as kyc:
            assert await kyc.status("c") == Unknown("the KYC service answered too much")

    @pytest.mark.parametrize("status, kind", [(422, Unavailable), (409, Unknown), (302, Unknown), (503, Unknown)])
    async def test_other_answers(self, status: int, kind: type) -> None:
        async with answering(_fixed(status, b"{}")) as kyc:
            assert isinstance(await start(kyc, "k", "v"), kind)
            assert isinstance(await kyc.find("k"), Unknown)


class TestFind:
    async def test_knows_that_there_is_none(self, stage: Stage) -> None:
        assert await stage.kyc.find("never") == Absent()


class TestGuard:
    async def test_leaves_alone_who_asks_for_it(self, stage: Stage) -> None:
        stage.service.faults.retry_after_seconds = 30
        stage.service.faults.plan(Kind.TOO_MANY_REQUESTS, on="POST /v1/checks")
        guarded = GuardedKyc(stage.kyc, Limits())
        assert isinstance(await start(guarded, "k", "v-verified"), Unavailable)
        held = [await start(guarded, "k", "v-verified"), await guarded.status("c"), await guarded.find("k")]
        assert all(isinstance(each, Unavailable) and 20 < (each.retry_after or 0) <= 31 for each in held)
        assert len(stage.application.simulator.calls) == 1

    async def test_opens_after_failures_in_a_row_and_lets_one_try_again(self, stage: Stage) -> None:
        stage.service.faults.plan(Kind.RESET, on="POST /v1/checks", times=3)
        guarded = GuardedKyc(stage.kyc, Limits(breaker_failures=3, breaker_open_seconds=1.5))
        assert [type(await start(guarded, "k", "v-verified")) for _ in range(4)] == [*[Unknown] * 3, Unavailable]
        assert guarded.breaker.is_open and len(stage.application.simulator.calls) == 3
        await asyncio.sleep(1.55)
        assert isinstance(await start(guarded, "k", "v-verified"), Verified)
        assert not guarded.breaker.is_open

    async def test_a_caller_who_left_is_no_failure_of_the_service(self, stage: Stage) -> None:
        stage.service.faults.plan(Kind.HANG, on="POST /v1/checks")
        guarded = GuardedKyc(stage.kyc, Limits(breaker_failures=1))
        task = asyncio.create_task(start(guarded, "k", "v-verified"))
        await eventually(lambda: stage.service.faults.given[Kind.HANG] == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not guarded.breaker.is_open

    async def test_turns_a_broken_adapter_into_an_unknown(self) -> None:
        class Broken:
            name = "broken"

            async def start(self, **_: Any) -> Outcome:
                raise LookupError("a fault")

            async def status(self, reference: str) -> Outcome:
                raise LookupError(reference)

            async def find(self, key: str) -> Outcome:
                raise LookupError(key)

            async def close(self) -> None:
                return None

        guarded = GuardedKyc(Broken(), Limits())
        assert await start(guarded, "k", "v") == Unknown("the adapter broke: LookupError")
        await guarded.close()


def test_every_reason_of_the_service_has_a_code_that_is_documented() -> None:
    assert set(http.REJECTION_CODES.values()) < REJECTIONS.keys()
    document = provider().document
    assert document is not None
    operation = document.operation("GET", "/v1/checks/{id}")
    assert operation is not None
    reasons = operation._answered.resolve("#/components/schemas/Check")["properties"]["rejectionReason"]["enum"]
    assert {reason for reason in reasons if reason} == http.REJECTION_CODES.keys()


def _fixed(status: int, body: bytes) -> ASGIApp:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


@asynccontextmanager
async def answering(app: ASGIApp) -> AsyncIterator[HttpKyc]:
    """The adapter on a service that always answers the same."""
    kyc = adapter("http://kyc.invalid")
    await kyc._client.aclose()
    kyc._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kyc.invalid")
    yield kyc
    await kyc.close()
