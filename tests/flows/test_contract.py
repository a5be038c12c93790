"""Promises of the HTTP contract that hold for every resource: keys, rates, paths, pages, and who sees what."""

import asyncio
from typing import Any

import msgspec
import pytest

from bursar.domains.payment_methods import service as payment_methods
from bursar.infra.db import SYSTEM
from bursar.kit import ids
from tests.conftest import Serve
from tests.domains.reconciliations.test_formats import ENTRY, document
from tests.support.api import CORE, Api, fields_of, json_of, problem_of, unique
from tests.support.methods import ACTION_NUMBER, METHODS, add, card, provider_token
from tests.support.reconciliations import PATH as RECONCILIATIONS
from tests.support.service import Service
from tests.support.wire import connected

EVENTS = "/api/v1/integration-events"
JOBS = "/api/v1/jobs"
NOBODY = "00000000-0000-7000-8000-000000000000"
RATE = 2
READ_SECONDS_MAX = 30
FILL_JOBS = """
insert into jobs (id, kind, args, status, run_at, attempts, last_error)
select ('019b7966-e200-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'test.given_up', '{}', 'DEAD', now(), 20, 'broke'
from generate_series(1, 130) n
"""
FILE = document(ENTRY).encode()
FILL_TIMELINE = """
insert into events (id, stream, version, type, about, data, occurred_at)
select ('019b7966-e200-7000-8000-' || lpad(n::text, 12, '0'))::uuid, gen_random_uuid(), 1, 'test.told', $1, '{}', now()
from generate_series(1, 1100) n
"""


class TestIdempotencyKey:
    async def test_is_of_the_query_too(self, private: Service) -> None:
        """A file brought for one bank account is not answered with what became of another."""
        finance = private.api.as_("finance")
        sent: dict[str, Any] = {"key": unique("key"), "headers": {"content-type": "application/xml"}}
        first = await finance.call("POST", RECONCILIATIONS, FILE, params={"account": "main"}, **sent)
        assert json_of(first, 202)["account"] == "bank:main"
        again = await finance.call("POST", RECONCILIATIONS, FILE, params={"account": "main"}, **sent)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        other = await finance.call("POST", RECONCILIATIONS, FILE, params={"account": "other"}, **sent)
        problem_of(other, 422, "idempotency_key_reused")


class TestRateLimit:
    async def test_is_told_where_it_is_reached(self, serve: Serve) -> None:
        async with serve(rate_limit_customer_per_second=RATE, rate_limit_per_second=RATE) as service:
            for caller in (service.api.as_("customer", customer_id="c-1"), service.api.as_("service")):
                answers = await asyncio.gather(*(caller.get(f"{CORE}/customer/c-1") for _ in range(25 * RATE)))
                refused = next(answer for answer in answers if answer.status_code == 429)
                problem_of(refused, 429, "rate_limited")
                assert refused.headers["ratelimit-policy"] == f'"caller";q={RATE};w=1'
                assert refused.headers["ratelimit"] == '"caller";r=0;t=1'


class TestPath:
    async def test_an_escaped_slash_is_part_of_its_segment(self, service: Service, api: Api) -> None:
        reference = unique("INV/2026")
        payment = await api.authorized()
        json_of(await api.capture(payment["id"]), 200)
        body = {
            "paymentId": payment["id"],
            "amount": 100,
            "allocations": [{"vendorId": "v-1", "amount": 100}],
            "transactionId": reference,
        }
        made = json_of(await api.call("POST", "/api/v1/payments", body), 201)
        found = await api.get(f"/api/v1/payments/transaction/{reference.replace('/', '%2F')}")
        assert json_of(found, 200)["id"] == made["id"]

    @pytest.mark.parametrize("path", ["%2e", "%", "%zz", "%ff", "%ed%a0%80", "%00", "a%2Fb", "%2F", "%0d%0aX-A:b"])
    async def test_of_nothing_is_not_found(self, api: Api, path: str) -> None:
        problem_of(await api.get(f"{CORE}/{path}"), 404, "not_found")


async def pour(writer: asyncio.StreamWriter, more: bytes) -> None:
    """Send `more` a thousand times."""
    for _ in range(1_000):
        writer.write(more)
        await writer.drain()
        await asyncio.sleep(0)


class TestHead:
    @pytest.mark.parametrize(
        "begin, more",
        [
            (b"GET /healthz?", b"x" * 10_000),
            (b"GET /healthz HTTP/1.1\r\nX-Endless: ", b"x" * 10_000),
            (b"GET /healthz HTTP/1.1\r\n", b"X-Small: y\r\n" * 1_000),
            (b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ", b"x" * 10_000),
        ],
        ids=["target", "field", "fields", "trailer"],
    )
    async def test_that_does_not_end_is_cut_off(self, service: Service, begin: bytes, more: bytes) -> None:
        async with connected(service) as (_, writer):
            writer.write(begin)
            with pytest.raises(ConnectionError):
                await pour(writer, more)

    @pytest.mark.parametrize("offered", ["h2c", "websocket"])
    @pytest.mark.parametrize("is_split", [False, True])
    async def test_that_offers_an_upgrade_keeps_its_body(
        self, service: Service, api: Api, offered: str, is_split: bool
    ) -> None:
        """As Java's client sends them: a capture of a part is not taken for a capture of all."""
        payment = await api.authorized(amount=1_000)
        body = b'{"amount": 10, "finalCapture": false}'
        head = (
            f"PUT {CORE}/{payment['id']}/capture HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.bearer}\r\n"
            f"Connection: Upgrade, HTTP2-Settings\r\nContent-Length: {len(body)}\r\n"
            f"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: {offered}\r\n\r\n"
        )
        following = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        async with connected(service) as (reader, writer):
            for piece in [head.encode(), body, following] if is_split else [head.encode() + body + following]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.05)
            answers = 0
            while answers < 2 and (line := await asyncio.wait_for(reader.readline(), READ_SECONDS_MAX)):
                answers += b"HTTP/1.1 200 OK" in line
        assert answers == 2
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("PARTIALLY_CAPTURED", 10)

    async def test_that_offers_an_upgrade_a_thousand_times_is_read_each_time(self, service: Service) -> None:
        offer = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
        async with connected(service) as (reader, writer):
            writer.write(offer * 2_000)
            answers = 0
            while answers < 2_000 and (line := await asyncio.wait_for(reader.readline(), READ_SECONDS_MAX)):
                answers += b"HTTP/1.1 200 OK" in line
        assert answers == 2_000

    async def test_ends_before_the_body(self, service: Service, api: Api) -> None:
        """A trailer is no header: nobody is let in by one."""
        body = msgspec.json.encode(api.new_payment())
        async with connected(service) as (reader, writer):
            writer.write(f"POST {CORE} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            writer.write(b"%x\r\n%s\r\n0\r\nAuthorization: Bearer %s\r\n\r\n" % (len(body), body, api.bearer.encode()))
            assert (await asyncio.wait_for(reader.readline(), READ_SECONDS_MAX)).split(b" ")[1] == b"401"

    async def test_as_long_as_it_may_be_is_served_again_and_again(self, service: Service, api: Api) -> None:
        for _ in range(3):
            headers = {"x-padding": "x" * 60_000}
            assert (await api.call("POST", CORE, api.new_payment(), headers=headers)).status_code == 201
        large = b'{"orderId": "' + b"x" * 200_000 + b'"}'
        assert "orderId" in fields_of(await api.call("POST", CORE, large))


class TestDeadJobs:
    async def test_are_listed_in_pages(self, private: Service) -> None:
        await private.fetch(FILL_JOBS)
        admin = private.api.as_("admin")
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = json_of(await admin.get(f"{JOBS}/dead", limit=50, **cursor), 200)
            found += [job["id"] for job in page["data"]]
            assert page["hasMore"] is (page["nextCursor"] is not None)
            if not page["hasMore"]:
                break
            cursor = {"cursor": page["nextCursor"]}
        assert len(found) == 130 and found == sorted(found, reverse=True)
        assert fields_of(await admin.get(f"{JOBS}/dead", limit=0)) == {"limit"}

    async def test_are_retried_once_for_a_key_and_on_the_record(self, private: Service) -> None:
        await private.fetch(FILL_JOBS)
        admin = private.api.as_("admin", subject="ann")
        job_id = json_of(await admin.get(f"{JOBS}/dead", limit=1), 200)["data"][0]["id"]
        path, key = f"{JOBS}/{job_id}/retry", unique("key")
        first = await admin.call("POST", path, {}, key=key)
        again = await admin.call("POST", path, {}, key=key)
        assert json_of(first, 200) == {"id": job_id, "status": "READY"}
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        problem_of(await admin.call("POST", f"{JOBS}/{ids.FIRST}/retry", {}, key=key), 422, "idempotency_key_reused")
        rows = await private.fetch("select actor, action, outcome from audit where object_id = $1", job_id)
        assert [tuple(row) for row in rows] == [("ann", "job.retry", "done")]


class TestTimeline:
    async def test_goes_on_after_a_thousand_events(self, private: Service) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment()
        async with private.connection() as connection:
            await connection.execute(FILL_TIMELINE, payment["id"])
        path = f"{CORE}/{payment['id']}/timeline"
        first = json_of(await api.get(path), 200)
        assert (len(first["data"]), first["hasMore"]) == (1_000, True)
        rest = json_of(await api.get(path, cursor=first["nextCursor"]), 200)
        assert (rest["hasMore"], rest["nextCursor"]) == (False, None)
        shown = [event["id"] for event in (*first["data"], *rest["data"])]
        rows = await private.fetch("select id from events where about = $1 order by tx, position", payment["id"])
        assert shown == [row["id"] for row in rows]
        assert fields_of(await api.get(path, cursor="%%")) == {"cursor"}

    async def test_shows_a_customer_the_payment_and_its_refunds_alone(self, service: Service, api: Api) -> None:
        """Neither how it was scored and by whom reviewed, nor commissions, nor who approved a refund, nor webhooks."""
        customer_id = unique("customer")
        payment = await api.create_payment(
            customerId=customer_id, amount=20_000, splits=[{"vendorId": "v-1", "amount": 20_000}]
        )
        json_of(await api.authorize(payment["id"]), 200)
        json_of(await api.capture(payment["id"]), 200)
        refund = {"paymentId": payment["id"], "amount": 500, "reason": "OTHER", "metadata": {"note": "a secret"}}
        json_of(await api.call("POST", "/api/v1/refunds", refund), 201)
        path = f"{CORE}/{payment['id']}/timeline"

        whole = json_of(await api.get(path), 200)["data"]
        customer = service.api.as_("customer", customer_id=customer_id)
        shown = json_of(await customer.get(path), 200)["data"]

        kinds = {event["type"].partition(".")[0] for event in whole}
        assert {"payment", "fraud_check", "refund", "transaction"} <= kinds
        assert {event["type"].partition(".")[0] for event in shown} == {"payment", "refund"}
        assert [event["id"] for event in shown] == [
            event["id"] for event in whole if event["type"].startswith(("payment.", "refund."))
        ]
        told = {name for event in shown for name in event["data"]}
        assert not told & {"requestedBy", "approvals", "approvalRule", "contentDigest", "shares", "requesterRoles"}
        assert not told & {"attempts", "personalDataId", "attemptId", "source"}
        assert "a secret" not in str(shown)
        assert shown[0]["data"]["amount"] == 20_000
        assert [event["data"]["status"] for event in shown if event["type"] == "refund.created"]


class TestPaymentMethod:
    async def test_is_refreshed_only_in_the_version_that_was_read(self, api: Api) -> None:
        method = json_of(await api.call("POST", METHODS, {"customerId": unique("c"), **provider_token("t")}), 201)
        stale = {"if-match": f'"{method["version"] + 1}"'}
        refused = await api.call("POST", f"{METHODS}/{method['id']}/refresh", {}, headers=stale)
        assert problem_of(refused, 412, "stale_version")["version"] == method["version"]

    @pytest.mark.parametrize("status", ["RUNNING", "DEAD"])
    async def test_news_of_it_is_not_lost_on_a_job_of_before(self, private: Service, status: str) -> None:
        """The job of the first notice has asked the provider already, or was given up, when the second one comes."""
        method = await add(private.api.as_("service"), unique("customer"), card(ACTION_NUMBER))
        row = (await private.fetch("select verification from payment_methods where id = $1", method["id"]))[0]
        notice = {"provider": row[0]["provider"], "reference": row[0]["reference"]}
        assert await payment_methods.on_verification_notice(private.app, SYSTEM, **notice) == 1
        await private.fetch("update jobs set status = $1", status)

        assert await payment_methods.on_verification_notice(private.app, SYSTEM, **notice) == 1

        rows = await private.fetch("select args from jobs where status = 'READY'")
        assert [row["args"] for row in rows] == [{"paymentMethodId": method["id"]}]


class TestDocument:
    async def test_says_that_what_a_body_names_may_not_be_there(self, service: Service) -> None:
        admin, document = service.api.as_("admin"), json_of(await service.api.get("/openapi.json"), 200)
        named = {"paymentId": NOBODY, "amount": 1}
        for path, body in (
            ("/api/v1/payments", {**named, "allocations": [{"vendorId": "v-1", "amount": 1}]}),
            ("/api/v1/refunds", {**named, "reason": "OTHER"}),
            ("/api/v1/commission-rules/check-conflicts", {"ruleId": NOBODY}),
        ):
            problem_of(await admin.call("POST", path, body), 404, "not_found")
            assert "404" in document["paths"][path]["post"]["responses"]

    async def test_says_that_an_event_may_have_come_before(self, service: Service) -> None:
        document, sender = json_of(await service.api.get("/openapi.json"), 200), service.api.as_("service")
        event = {"specversion": "1.0", "id": unique("event"), "source": "/shop", "type": "order.seen", "data": {}}
        for status in (202, 200):
            json_of(await sender.call("POST", EVENTS, event), status)
            assert str(status) in document["paths"][EVENTS]["post"]["responses"]

    async def test_says_that_a_vendor_asks_about_itself(self, service: Service) -> None:
        document, vendor = (
            json_of(await service.api.get("/openapi.json"), 200),
            service.api.as_("vendor", vendorId="v-1"),
        )
        asked = {"vendorId": "v-2", "amount": 100, "currency": "EUR"}
        for path in ("/api/v1/commission-rules/calculate", "/api/v1/commission-rules/best-applicable"):
            problem_of(await vendor.get(path, **asked), 404, "not_found")
            assert "404" in document["paths"][path]["get"]["responses"]

    async def test_says_that_a_key_or_a_query_may_not_be_readable(self, service: Service, api: Api) -> None:
        document = json_of(await service.api.get("/openapi.json"), 200)
        method = await add(api, unique("customer"))
        unreadable = await api.call("DELETE", f"{METHODS}/{method['id']}", headers={"idempotency-key": "k" * 256})
        problem_of(unreadable, 400, "bad_request")
        problem_of(await api.get(f"{CORE}/order/x?{'&'.join(['limit=1'] * 60)}"), 400, "bad_request")
        assert "400" in document["paths"][METHODS + "/{id}"]["delete"]["responses"]
        assert "400" in document["paths"][CORE + "/order/{orderId}"]["get"]["responses"]
