"""The KYC simulator by itself: its test subjects, its memory, its signed webhooks, and its document."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from simulators.__main__ import known, make
from simulators.kit.faults import Kind
from simulators.kit.openapi import read
from simulators.kit.schemas import Schemas, Side
from simulators.kit.server import build, running
from simulators.kyc import KycService, provider
from simulators.kyc.service import ABOUT, API_KEY, COURSES, DOCUMENT, SECRET
from tests.support.api import unique

HEADERS = {"Authorization": f"Bearer {API_KEY}"}


class Stage:
    def __init__(self, service: KycService, simulator: Any, client: httpx.AsyncClient) -> None:
        self.service = service
        self.simulator = simulator
        self.client = client

    async def start(self, subject: str, key: str = "", **changes: Any) -> httpx.Response:
        key = key or unique("key")
        body = {"clientReference": key, "subjectType": "VENDOR", "subjectId": subject, "level": "STANDARD"}
        return await self.client.post(
            "/v1/checks", json={**body, "evidence": ["doc-1"], **changes}, headers={"Idempotency-Key": key}
        )


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    service = provider()
    application = build(service)
    async with (
        running(application) as url,
        httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60, trust_env=False) as client,
    ):
        yield Stage(service, application.simulator, client)


class TestChecks:
    @pytest.mark.parametrize("ending, course", sorted(COURSES.items()))
    async def test_go_as_the_subjects_id_says(self, stage: Stage, ending: str, course: Any) -> None:
        answer = await stage.start(f"v{ending}")
        check = answer.json()
        assert (answer.status_code, check["status"]) == (201, course.status)
        assert check["rejectionReason"] == course.reason
        assert (check["expiresAt"] is not None) == (course.status == "VERIFIED")
        looks = [(await stage.client.get(f"/v1/checks/{check['id']}")).json()["status"] for _ in range(3)]
        assert looks == [course.status, *(["VERIFIED"] * 2 if course.looks else [course.status] * 2)]
        assert ending in ABOUT
        assert stage.simulator.violations == []

    async def test_are_found_by_our_reference(self, stage: Stage) -> None:
        check = (await stage.start("v-pending", "ref-1")).json()
        found = await stage.client.get("/v1/checks", params={"clientReference": "ref-1"})
        none = await stage.client.get("/v1/checks", params={"clientReference": "ref-2"})
        assert (found.json(), none.json()) == ({"data": [check]}, {"data": []})

    async def test_are_decided_by_a_person_there(self, stage: Stage) -> None:
        check = (await stage.start("v-pending")).json()
        decision = {"status": "REJECTED", "rejectionReason": "underage"}
        decided = await stage.client.post(f"/test/checks/{check['id']}/decision", json=decision)
        assert decided.json() == (await stage.client.get(f"/v1/checks/{check['id']}")).json()
        assert (decided.json()["status"], decided.json()["rejectionReason"]) == ("REJECTED", "underage")


class TestKeys:
    async def test_a_repeat_gets_the_first_answer(self, stage: Stage) -> None:
        first, again = await stage.start("v-pending", "key"), await stage.start("v-pending", "key")
        assert again.content == first.content and again.headers["idempotent-replayed"] == "true"

    async def test_another_request_under_a_key_is_refused(self, stage: Stage) -> None:
        await stage.start("v-pending", "key")
        other = await stage.start("v-other", "key")
        assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")

    async def test_a_reference_starts_one_check_for_good(self, stage: Stage) -> None:
        first = await stage.start("v-pending", "key")
        stage.service.clock.advance(25 * 3_600)
        again = await stage.start("v-pending", "key")
        assert (again.status_code, again.json()) == (200, first.json())
        assert len(stage.service.books.of("check")) == 1


class TestRefusals:
    async def test_of_who_is_not_known(self, stage: Stage) -> None:
        stage.client.headers["authorization"] = "Bearer other"
        assert (await stage.start("v")).status_code == 401
        assert not stage.service.checks

    @pytest.mark.parametrize(
        "changes",
        [
            {"evidence": ["Jane Doe"]},
            {"evidence": None},
            {"level": "MAXIMUM"},
            {"subjectType": "PERSON"},
            {"subjectId": ""},
            {"name": "Jane Doe"},
        ],
    )
    async def test_of_what_the_document_does_not_allow(self, stage: Stage, changes: dict[str, Any]) -> None:
        refused = await stage.start("v", **changes)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_request")
        assert stage.simulator.violations and not stage.service.checks

    async def test_of_a_check_that_is_not_there(self, stage: Stage) -> None:
        assert (await stage.client.get("/v1/checks/chk_1")).status_code == 404
        assert (await stage.client.get("/v2")).status_code == 404


class TestWebhooks:
    async def test_are_signed_and_as_the_document_says(self, stage: Stage) -> None:
        schemas = Schemas(read(DOCUMENT), Side.ANSWER, is_closed=True)
        validator = schemas.validator(schemas.resolve("#/components/schemas/Event"))
        async with listening() as (url, got):
            stage.service.webhooks.url = url
            for ending in ("-verified", "-rejected", "-pending"):
                await stage.start(f"v{ending}")
            await stage.service.webhooks.settled()
        assert len(got) == 3
        for headers, body in got:
            event = json.loads(body)
            assert list(validator.iter_errors(event)) == []
            assert is_signed(headers, body) and not is_signed(headers, body + b" ")
            assert headers["webhook-id"] == event["id"]
        assert {json.loads(body)["type"] for _, body in got} == {
            "check.verified",
            "check.rejected",
            "check.in_progress",
        }

    async def test_come_twice_or_late_by_fault(self, stage: Stage) -> None:
        stage.service.faults.late_seconds = 3
        stage.service.faults.plan(Kind.LATE_WEBHOOK, on=r"check\.in_progress")
        stage.service.faults.plan(Kind.DUPLICATE_WEBHOOK, on=r"check\.verified")
        async with listening() as (url, got):
            stage.service.webhooks.url = url
            check = (await stage.start("v-pending")).json()
            await stage.client.post(f"/test/checks/{check['id']}/decision", json={"status": "VERIFIED"})
            await stage.service.webhooks.settled()
        assert [json.loads(body)["type"] for _, body in got] == ["check.verified"] * 2 + ["check.in_progress"]
        assert len({headers["webhook-id"] for headers, _ in got}) == 2


def test_is_served_with_the_others() -> None:
    assert "kyc" in known()
    made = make("kyc", seed=5)
    assert isinstance(made, KycService) and made.document is not None


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    secret = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """An address that takes webhooks, and what came: headers and body of each."""
    got: list[tuple[dict[str, str], bytes]] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
        got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", got
