"""kill -9 exactly between two of the three steps: intend, ask, settle.

There is no hook in the service; the test holds what it waits for. The file lock of the sandbox's books holds a process
before its effect at the provider; a lock on the payment's row holds it before it settles; a lock on the table of events
holds it in the middle of settling.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import Ground, faults, ground, quiet
from tests.support.api import CORE, json_of
from tests.support.service import eventually

KINDS = {
    # what is asked for: (the steps before it, its action and body, the status that it leads to)
    "authorize": ([], "authorize", {}, "AUTHORIZED"),
    "capture": (["authorize"], "capture", {"amount": 60}, "CAPTURED"),
    "cancel": (["authorize"], "cancel", {"reason": "gone"}, "CANCELLED"),
}
RECOVERED_SECONDS_MAX = 60
INQUIRED_AFTER = {"BURSAR_INQUIRY_AFTER_SECONDS": "4"}
"""So that no worker asks about what a test is still sending: what is asked about first is never done."""


class Asked:
    """A request that is under way at an API of its own, and the payment that it is about."""

    def __init__(self, field: Ground, client: httpx.AsyncClient, base: str, kind: str) -> None:
        self.field = field
        self.client = client
        self.base = base
        self.kind = kind
        self.payment_id = ""
        self.sending: asyncio.Task[httpx.Response] | None = None

    async def prepare(self) -> None:
        creation = {
            "orderId": f"order-{self.kind}",
            "customerId": "customer-1",
            "amount": 100,
            "currency": "EUR",
            "paymentMethodId": "pm_sandbox_visa",
        }
        created = await self.client.post(self.base + CORE, json=creation)
        self.payment_id = json_of(created, 201)["id"]
        for action in KINDS[self.kind][0]:
            json_of(await self.client.put(f"{self.base}{CORE}/{self.payment_id}/{action}"), 200)

    async def send(self, base: str = "", **headers: str) -> httpx.Response:
        _, action, body, _ = KINDS[self.kind]
        headers = {"idempotency-key": f"the-{self.kind}", **headers}
        path = f"{base or self.base}{CORE}/{self.payment_id}/{action}"
        return await self.client.put(path, json=body, headers=headers)

    async def send_until_answered(self, base: str) -> httpx.Response:
        """As a client would: again, with the same key, while that is in use or nothing was done."""
        async with asyncio.timeout(RECOVERED_SECONDS_MAX):
            response = await self.send(base)
            while "retry-after" in response.headers:
                await asyncio.sleep(0.1)
                response = await self.send(base)
            return response


@contextmanager
def provider_held(field: Ground) -> Iterator[None]:
    """No process has an effect at the provider meanwhile."""
    descriptor = os.open(field.books_path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def locked(field: Ground, sql: str, *args: Any) -> AsyncIterator[None]:
    """What `sql` locks is locked meanwhile."""
    async with field.connection() as connection, connection.transaction():
        await connection.execute(sql, *args)
        yield


@pytest.fixture
async def asked(database_url: str, tmp_path: Path) -> AsyncIterator[list[Asked]]:
    """A payment for each kind of request, ready for it, each at an API of its own; the worker runs."""
    async with (
        ground(tmp_path, database_url) as field,
        httpx.AsyncClient(timeout=30, trust_env=False, headers={"authorization": f"Bearer {field.token}"}) as client,
    ):
        field.env |= INQUIRED_AFTER
        field.new_worker()
        bases = [field.new_api() for _ in KINDS]
        await field.ready()
        found = [Asked(field, client, base, kind) for base, kind in zip(bases, KINDS, strict=True)]
        for one in found:
            await one.prepare()
        yield found


async def begin(asked: list[Asked]) -> None:
    """Send every request, while the provider is held, and wait until all that was intended is written down."""
    for one in asked:
        one.sending = asyncio.create_task(one.send())
    async with asked[0].field.connection() as connection:

        async def are_intended() -> bool:
            open_attempts = await connection.fetchval("select count(*) from payments where attempts <> '[]'")
            return bool(open_attempts == len(asked))

        await eventually(are_intended, 30)


async def kill_all(asked: list[Asked]) -> None:
    """Kill every API; nobody was answered."""
    for one in asked:
        assert one.sending is not None and not one.sending.done()
        one.field.apis.pop(one.base).kill()
    for one in asked:
        assert one.sending is not None
        with pytest.raises(httpx.TransportError):
            await one.sending


async def check_once(asked: list[Asked]) -> None:
    """A client that sends each request again gets its answer; what it asked for was done once; all agree."""
    field = asked[0].field
    base = field.new_api()
    await field.ready()
    answers = [await one.send_until_answered(base) for one in asked]
    for one, answer in zip(asked, answers, strict=True):
        assert json_of(answer, 200)["status"] == KINDS[one.kind][3]
        again = await one.send(base)
        assert (again.status_code, again.content) == (200, answer.content)
        assert again.headers["idempotency-replayed"] == "true"
    async with field.connection() as connection:
        await quiet(connection, 0.5)
        with field.books() as books:
            assert await faults(connection, books) == []
            done = [entry for entry in books.by_key.values() if entry.kind != "DEAD"]
            assert sorted(entry.kind for entry in done) == ["AUTHORIZED"] * 3 + ["CAPTURED", "VOIDED"]
        assert await connection.fetchval("select count(*) from journals") == 1
        assert await connection.fetchval("select count(*) from idempotency_keys where status is null") == 0
    await field.prove()


class TestKilledApi:
    async def test_after_intending_before_asking(self, asked: list[Asked]) -> None:
        with provider_held(asked[0].field):
            await begin(asked)
            await kill_all(asked)
        await check_once(asked)

    async def test_after_asking_before_settling(self, asked: list[Asked]) -> None:
        field = asked[0].field
        with field.books() as books:
            async with locked_after_begin(asked, "select from payments for update"):
                await eventually(lambda: effects(field) >= len(books.by_key) + len(asked))
                await kill_all(asked)
        await check_once(asked)

    async def test_in_the_middle_of_settling(self, asked: list[Asked]) -> None:
        field = asked[0].field
        async with field.connection() as eye, locked_after_begin(asked, "lock table events in exclusive mode"):
            await eventually(lambda: writers_that_wait(eye, len(asked)))
            await kill_all(asked)
        await check_once(asked)

    async def test_after_settling_before_the_client_hears_of_it(self, asked: list[Asked]) -> None:
        first = [await one.send() for one in asked]
        for one in asked:
            one.field.apis.pop(one.base).kill()
        base = asked[0].field.new_api()
        await asked[0].field.ready()
        for one, answer in zip(asked, first, strict=True):
            again = await one.send(base)
            assert again.headers["idempotency-replayed"] == "true"
            assert (again.status_code, again.content) == (answer.status_code, answer.content)


@asynccontextmanager
async def locked_after_begin(asked: list[Asked], sql: str) -> AsyncIterator[None]:
    """Let the requests go as far as the provider, take a lock, and let them go on until they meet it."""
    field = asked[0].field
    with ExitStack() as held:
        held.enter_context(provider_held(field))
        await begin(asked)
        async with locked(field, sql):
            held.close()
            yield


def effects(field: Ground) -> int:
    with field.books() as books:
        return len(books.by_key)


async def writers_that_wait(eye: Any, count: int, query: str = "select write_batch%") -> bool:
    """Whether so many connections of the service wait for a lock with such a query. eye: a connection of its own."""
    waiting = await eye.fetchval(
        """select count(*) from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock' and query like $1""",
        query,
    )
    return bool(waiting >= count)


async def is_claimed(eye: Any) -> bool:
    """Whether a worker runs a job."""
    return bool(await eye.fetchval("select count(*) from jobs where status = 'RUNNING'"))


class TestKilledWorker:
    async def test_while_it_inquires(self, asked: list[Asked]) -> None:
        """The inquiry has made the key dead at the provider; nobody has booked that yet."""
        one = asked[0]
        worker = one.field.workers[0]

        async def is_before_booking() -> bool:
            return "DEAD" in kinds(one.field) and await writers_that_wait(eye, 1, "%")

        async with one.field.connection() as eye:
            with ExitStack() as held:
                held.enter_context(provider_held(one.field))
                await begin([one])
                await kill_all([one])
                async with locked(one.field, "select from payments for update"):
                    held.close()
                    await eventually(is_before_booking, RECOVERED_SECONDS_MAX)
                    worker.kill()
        worker.start()
        async with one.field.connection() as connection:
            left = await connection.fetchval("select max(lease_until) - now() from jobs where status = 'RUNNING'")
            assert left < timedelta(seconds=11)
            await connection.execute("update jobs set lease_until = now() where status = 'RUNNING'")  # it is over
            await quiet(connection, RECOVERED_SECONDS_MAX)
            status = await connection.fetchval("select status from payments where id = $1", one.payment_id)
        assert status == "PENDING"

    async def test_while_it_asks_for_somebody_who_does_not_wait(self, asked: list[Asked]) -> None:
        one = asked[1]
        worker = one.field.workers[0]
        with provider_held(one.field):
            assert (await one.send(prefer="respond-async")).status_code == 202
            async with one.field.connection() as eye:
                await eventually(lambda: is_claimed(eye), RECOVERED_SECONDS_MAX)
            await asyncio.sleep(0.5)  # it stands before the provider
            worker.kill()
        worker.start()
        async with one.field.connection() as connection:
            await quiet(connection, RECOVERED_SECONDS_MAX)
            with one.field.books() as books:
                assert await faults(connection, books) == []


def kinds(field: Ground) -> list[str]:
    with field.books() as books:
        return [entry.kind for entry in books.by_key.values()]
