"""What every answer has in common: request ids, limits, health, metrics, documentation."""

import asyncio
import re
import secrets
from types import SimpleNamespace
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import Serve
from tests.support.api import CORE, Api, json_of, problem_of, unique
from tests.support.service import Service, eventually


class TestRequestId:
    async def test_given_is_returned_and_kept(self, api: Api, service: Service) -> None:
        request_id = unique("request")
        answer = await api.call("POST", CORE, api.new_payment(), headers={"x-request-id": request_id})
        assert answer.headers["x-request-id"] == request_id
        rows = await service.fetch("select actor, action, outcome from audit where request_id = $1", request_id)
        assert [tuple(row) for row in rows] == [("caller-service", "payment.create", "done")]

    async def test_of_a_refusal_is_in_its_body(self, api: Api) -> None:
        refused = await api.call("GET", f"{CORE}/x", headers={"x-request-id": "mine-1"})
        assert problem_of(refused, 404, "not_found")["requestId"] == refused.headers["x-request-id"] == "mine-1"

    @pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>"])
    async def test_that_cannot_be_used_is_replaced(self, api: Api, given: str) -> None:
        answer = await api.call("GET", f"{CORE}/order/x", headers={"x-request-id": given})
        assert re.fullmatch(r"[0-9a-z-]{10,60}", answer.headers["x-request-id"])


class TestTrace:
    """W3C Trace Context."""

    TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def test_goes_on_in_the_answer_and_names_the_request(self, api: Api, service: Service) -> None:
        trace = secrets.token_hex(16)
        given = f"00-{trace}-00f067aa0ba902b7-01"
        answer = await api.call("POST", CORE, api.new_payment(), headers={"traceparent": given})
        assert answer.headers["x-request-id"] == trace
        own = answer.headers["traceparent"]
        assert re.fullmatch(rf"00-{trace}-[0-9a-f]{{16}}-01", own) and own != given
        rows = await service.fetch("select action from audit where request_id = $1", trace)
        assert [row["action"] for row in rows] == ["payment.create"]

    async def test_leaves_a_request_id_as_it_is(self, api: Api) -> None:
        headers = {"traceparent": f"00-{self.TRACE}-00f067aa0ba902b7-00", "x-request-id": "mine-1"}
        answer = await api.call("GET", f"{CORE}/x", headers=headers)
        assert answer.headers["x-request-id"] == "mine-1"
        assert answer.headers["traceparent"].startswith(f"00-{self.TRACE}-")

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "00",
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
            f"ff-{TRACE}-00f067aa0ba902b7-01",
            f"00-{TRACE}-00f067aa0ba902b7-01-more",
        ],
    )
    async def test_that_is_none_is_left_away(self, api: Api, given: str) -> None:
        answer = await api.call("GET", f"{CORE}/x", headers={"traceparent": given})
        assert "traceparent" not in answer.headers and answer.headers["x-request-id"] != self.TRACE


class TestOperations:
    async def test_are_open_to_everybody(self, service: Service) -> None:
        assert json_of(await service.api.get("/healthz"), 200) == {"status": "ok"}
        assert json_of(await service.api.get("/readyz"), 200) == {"status": "ready"}
        metrics = await service.api.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert "bursar_requests_total" in metrics.text and "bursar_batch_commands" in metrics.text

    async def test_readiness_needs_the_database(self, private: Service, server_url: str) -> None:
        name = urlsplit(private.url).path[1:]
        owner = await asyncpg.connect(server_url)
        await owner.execute(f"alter database {name} allow_connections false")
        await owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
        assert json_of(await private.api.get("/healthz"), 200)
        problem_of(await private.api.get("/readyz"), 503, "database_unavailable")
        await owner.execute(f"alter database {name} allow_connections true")
        await owner.close()

        async def is_ready() -> bool:
            return (await private.api.get("/readyz")).status_code == 200

        await eventually(is_ready, 30)

    async def test_the_document_describes_every_route(self, service: Service) -> None:
        document = json_of(await service.api.get("/openapi.json"), 200)
        assert document["openapi"].startswith("3.")
        assert set(document["paths"][f"{CORE}/{{id}}/capture"]) == {"put"}
        assert (await service.api.get("/docs")).status_code == 200


class TestRateLimit:
    async def test_holds_a_customer_and_tells_when_to_come_back(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursar.infra.http.limit.time", SimpleNamespace(monotonic=lambda: 7.0))  # within a second
        async with serve(rate_limit_customer_per_second=5) as service:
            customer = service.api.as_("customer", customer_id="c-1")
            other = service.api.as_("customer", customer_id="c-2")
            staff = service.api.as_("service")

            answers = await asyncio.gather(*(customer.get(f"{CORE}/customer/c-1") for _ in range(20)))
            limited = [answer for answer in answers if answer.status_code == 429]

            assert len(limited) >= 10
            problem_of(limited[0], 429, "rate_limited")
            assert int(limited[0].headers["retry-after"]) == 1
            served = next(answer for answer in answers if answer.status_code == 200)
            assert served.headers["ratelimit-policy"] and served.headers["ratelimit"]
            assert (await other.get(f"{CORE}/customer/c-2")).status_code == 200
            assert all(
                answer.status_code == 200
                for answer in await asyncio.gather(*(staff.get(f"{CORE}/customer/c-1") for _ in range(20)))
            )


class TestHead:
    async def test_refuses_a_content_length_that_is_none(self, service: Service) -> None:
        host, _, port = service.client.base_url.netloc.decode().partition(":")
        for head in (b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: 99999999999999999999"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST " + CORE.encode() + b" HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
            status = (await reader.readline()).split(b" ")[1]
            assert status in (b"400", b"401", b"413")
            writer.close()
            await writer.wait_closed()

    async def test_a_caller_who_hangs_up_leaves_nothing(self, service: Service, api: Api) -> None:
        before = await service.row_counts()
        host, _, port = service.client.base_url.netloc.decode().partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {CORE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.bearer}\r\nContent-Length: 500\r\n\r\n"
        writer.write(head.encode() + b'{"orderId": ')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await service.api.get("/healthz")).status_code == 200
        assert await service.row_counts() == before
        del reader
