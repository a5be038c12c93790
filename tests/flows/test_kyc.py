"""Customers and vendors become known by a KYC service that fails in every way, and not for good."""

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from bursar.domains.kyc import service as kyc
from bursar.domains.kyc.model import Status
from bursar.infra.db import Origin
from bursar.providers.kyc import guard
from bursar.providers.kyc.port import InProgress, Rejected, Verified
from simulators.kit.faults import Kind
from simulators.kit.server import build, running
from simulators.kyc import provider
from simulators.kyc.service import API_KEY
from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.kyc import KYC, Stage
from tests.support.truth import verify

ORIGIN = Origin("kyc:test", "")
PATIENCE: dict[str, Any] = {"provider_timeout_seconds": 2, "provider_breaker_failures": 0}
PAUSE_SECONDS = 600


@pytest.fixture
async def stage(serve: Serve) -> AsyncIterator[Stage]:
    there = provider(seed=3)
    application = build(there)
    async with (
        running(application) as url,
        serve(kyc_url=url, kyc_api_key=API_KEY, **PATIENCE) as service,
    ):
        yield Stage(service, there)
        await verify(service)
    assert application.simulator.violations == []


class TestService:
    async def test_nothing_is_known_of_who_never_asked(self, stage: Stage) -> None:
        answer = await stage.api.get(f"{KYC}/VENDOR/v-1")
        shown = json_of(answer, 200)
        assert (shown["status"], shown["id"], shown["version"], answer.headers["etag"]) == (
            "NOT_STARTED", None, 0, '"0"',
        )  # fmt: skip

    async def test_a_check_is_pending_at_once_and_verified_by_the_service(self, stage: Stage) -> None:
        pending = await stage.request("v-verified", level="ENHANCED", evidence=["doc-1"])
        assert (pending["status"], pending["level"], pending["evidence"]) == ("PENDING", "ENHANCED", ["doc-1"])
        assert not stage.there.checks

        shown = await stage.until_decided("v-verified")

        (check,) = stage.there.checks.values()
        assert shown["status"] == "VERIFIED" and shown["providerReference"] == check.id
        assert (check.subject_id, check.level, check.client_reference) == ("v-verified", "ENHANCED", f"{shown['id']}:1")
        assert shown["expiresAt"] == check.expires_at and shown["decidedBy"] == "kyc:kyc"
        assert await stage.events("v-verified") == ["kyc.requested", "kyc.verified"]

    async def test_a_rejection_says_why_and_may_be_asked_again(self, stage: Stage) -> None:
        await stage.request("v-rejected")
        rejected = await stage.until_decided("v-rejected")
        assert (rejected["status"], rejected["rejectionCode"]) == ("REJECTED", "identity_mismatch")

        again = await stage.request("v-rejected", evidence=["doc-2"])
        assert (again["status"], again["rejectionCode"], again["decidedAt"]) == ("PENDING", None, None)
        await stage.until_decided("v-rejected")
        assert [check.client_reference[-2:] for check in stage.there.checks.values()] == [":1", ":2"]
        assert await stage.events("v-rejected") == ["kyc.requested", "kyc.rejected"] * 2

    async def test_a_check_in_progress_is_asked_about_until_it_is_decided(self, stage: Stage) -> None:
        await stage.request("v-later")
        await stage.service.run_jobs()
        waiting = await stage.shown("v-later")
        assert waiting["status"] == "PENDING" and waiting["providerReference"] in stage.there.checks
        assert (await stage.until_decided("v-later"))["status"] == "VERIFIED"
        assert len(stage.there.checks) == 1
        assert await stage.events("v-later") == ["kyc.requested", "kyc.in_progress", "kyc.verified"]

    async def test_a_verification_runs_out(self, stage: Stage) -> None:
        await stage.request("v-verified")
        await stage.until_decided("v-verified")
        stage.service.clock.advance(days=364)
        await stage.service.run_schedule("kyc.expire")
        assert (await stage.shown("v-verified"))["status"] == "VERIFIED"

        stage.service.clock.advance(days=2)
        assert await stage.status_of("v-verified") is Status.EXPIRED  # to the moment, before any schedule
        await stage.service.run_schedule("kyc.expire")

        assert (await stage.shown("v-verified"))["status"] == "EXPIRED"
        assert (await stage.request("v-verified"))["expiresAt"] is None
        assert await stage.events("v-verified") == ["kyc.requested", "kyc.verified", "kyc.expired", "kyc.requested"]

    async def test_overrule_a_service_that_takes_its_time(self, stage: Stage) -> None:
        await stage.request("v-later")
        await stage.service.run_jobs()
        json_of(await stage.decide("v-later", "REJECTED"), 200)
        stage.service.clock.advance(hours=1)
        assert await stage.service.run_jobs() == 1
        assert (await stage.shown("v-later"))["status"] == "REJECTED"

    async def test_a_key_is_answered_again_byte_for_byte(self, stage: Stage) -> None:
        key, path = unique("key"), f"{KYC}/VENDOR/v-verified/checks"
        first = await stage.api.call("POST", path, {}, key=key)
        await stage.until_decided("v-verified")
        again = await stage.api.call("POST", path, {}, key=key)
        assert (again.status_code, again.content) == (202, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        other = await stage.api.call("POST", path, {"level": "ENHANCED"}, key=key)
        problem_of(other, 422, "idempotency_key_reused")


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            Kind.TIMEOUT_BEFORE_EFFECT,
            Kind.TIMEOUT_AFTER_EFFECT,
            Kind.ERROR_AFTER_EFFECT,
            Kind.GARBAGE,
            Kind.RESET,
            Kind.WRONG_AMOUNT,
        ],
    )
    async def test_an_unknown_stays_pending_and_one_check_is_made(self, stage: Stage, fault: Kind) -> None:
        stage.there.faults.plan(fault, on="POST /v1/checks", times=2)
        await stage.request("v-verified")
        await stage.service.run_jobs()
        assert (await stage.shown("v-verified"))["status"] == "PENDING"

        assert (await stage.until_decided("v-verified"))["status"] == "VERIFIED"
        assert len(stage.there.checks) == 1

    async def test_a_service_that_asks_for_a_pause_gets_it(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        stage.there.faults.retry_after_seconds = PAUSE_SECONDS
        stage.there.faults.plan(Kind.TOO_MANY_REQUESTS, on="POST /v1/checks")
        await stage.request("v-verified")
        for _ in range(5):
            await stage.service.run_jobs()
            stage.service.clock.advance(minutes=20)
        assert not stage.there.checks and stage.there.faults.given == {Kind.TOO_MANY_REQUESTS: 1}

        ahead = SimpleNamespace(  # a pause is measured by the machine's clock
            monotonic=lambda: time.monotonic() + PAUSE_SECONDS, perf_counter=time.perf_counter
        )
        monkeypatch.setattr(guard, "time", ahead)
        assert (await stage.until_decided("v-verified"))["status"] == "VERIFIED"

    async def test_a_forgotten_key_is_looked_up_before_it_is_used_again(self, stage: Stage) -> None:
        stage.there.faults.plan(Kind.TIMEOUT_AFTER_EFFECT, on="POST /v1/checks")
        await stage.request("v-pending")
        await stage.service.run_jobs()
        stage.service.clock.advance(days=2)
        stage.there.clock.advance(2 * 86_400)
        await stage.service.run_jobs()
        (check,) = stage.there.checks.values()
        assert (await stage.shown("v-pending"))["providerReference"] == check.id

    async def test_a_check_that_never_arrived_is_started_later(self, stage: Stage) -> None:
        stage.there.faults.plan(Kind.TIMEOUT_BEFORE_EFFECT, on="POST /v1/checks")
        await stage.request("v-verified")
        await stage.service.run_jobs()
        stage.service.clock.advance(days=2)
        assert (await stage.until_decided("v-verified"))["status"] == "VERIFIED"
        assert len(stage.there.checks) == 1


class TestReports:
    async def test_a_report_settles_once(self, stage: Stage) -> None:
        pending = await stage.request("v-pending")
        await stage.service.run_jobs()
        key, reference = f"{pending['id']}:1", (await stage.shown("v-pending"))["providerReference"]
        reports = [Verified(reference), Verified(reference), Rejected(reference, "underage"), InProgress(reference)]
        for report in reports:
            after = await kyc.on_report(stage.service.app, ORIGIN, check_key=key, report=report)
            assert after is not None and after.status is Status.VERIFIED
        assert await stage.events("v-pending") == ["kyc.requested", "kyc.in_progress", "kyc.verified"]
        stage.service.clock.advance(hours=1)
        assert await stage.service.run_jobs() == 1  # the job that asked finds nothing left to do
        assert (await stage.service.fetch("select count(*) from jobs"))[0][0] == 0

    async def test_a_report_on_an_earlier_check_changes_nothing(self, stage: Stage) -> None:
        await stage.request("v-rejected")
        await stage.until_decided("v-rejected")
        before = await stage.request("v-rejected")
        for key in (f"{before['id']}:1", f"{before['id']}:3"):
            after = await kyc.on_report(stage.service.app, ORIGIN, check_key=key, report=Verified("chk_1"))
            assert after is not None and after.status is Status.PENDING
        assert await stage.shown("v-rejected") == before

    @pytest.mark.parametrize("key", ["", "x:1", "019b7966-e200-7000-8000-0000000000e1:1", "{}", "{}:", "{}:-1", "{}:²"])
    async def test_a_report_on_nothing_of_ours_is_told_so(self, stage: Stage, key: str) -> None:
        pending = await stage.request("v-pending")
        report = Verified("chk_1")
        told = await kyc.on_report(stage.service.app, ORIGIN, check_key=key.format(pending["id"]), report=report)
        assert told is None and (await stage.shown("v-pending"))["status"] == "PENDING"
