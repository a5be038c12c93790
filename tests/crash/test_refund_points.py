"""kill -9 between the steps of a refund: intend, ask, settle; and in the middle of a batch.

As in test_points, the test holds what a process waits for: the sandbox's books before its effect at the provider, the
refund's row before it settles, the table of events in the middle of settling.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import Ground, ground
from tests.crash.test_points import (
    INQUIRED_AFTER,
    RECOVERED_SECONDS_MAX,
    is_claimed,
    locked,
    provider_held,
    writers_that_wait,
)
from tests.support.api import CORE, json_of
from tests.support.refunds import REFUNDS
from tests.support.service import eventually

AMOUNT, REFUNDED = 100, 40


class Asked:
    """A refund at an API of its own; the worker runs."""

    def __init__(self, field: Ground, client: httpx.AsyncClient, base: str) -> None:
        self.field = field
        self.client = client
        self.base = base
        self.payment: dict[str, Any] = {}
        self.refund_id = ""
        self.sending: asyncio.Task[httpx.Response] | None = None

    async def paid(self, number: int = 1) -> dict[str, Any]:
        """A captured payment of two vendors."""
        creation = {
            "orderId": f"order-{number}",
            "customerId": "customer-1",
            "amount": AMOUNT,
            "currency": "EUR",
            "paymentMethodId": "pm_sandbox_visa",
            "splits": [{"vendorId": "v-1", "amount": 60}, {"vendorId": "v-2", "amount": 40}],
        }
        payment = json_of(await self.client.post(self.base + CORE, json=creation), 201)
        for action in ("authorize", "capture"):
            payment = json_of(await self.client.put(f"{self.base}{CORE}/{payment['id']}/{action}"), 200)
        return dict(payment)

    async def prepare(self) -> None:
        self.payment = await self.paid()
        body = {"paymentId": self.payment["id"], "amount": REFUNDED, "reason": "OTHER"}
        self.refund_id = json_of(await self.client.post(self.base + REFUNDS, json=body), 201)["id"]

    async def send(self, base: str = "", **headers: str) -> httpx.Response:
        path = f"{base or self.base}{REFUNDS}/{self.refund_id}/process"
        return await self.client.post(path, json={}, headers={"idempotency-key": "the-refund", **headers})

    async def begin(self) -> None:
        """Send it, and wait until what is intended is written down."""
        self.sending = asyncio.create_task(self.send())
        await eventually(self.is_processing, 30)

    async def is_processing(self) -> bool:
        return await self.status() == "PROCESSING"

    async def status(self) -> str:
        async with self.field.connection() as connection:
            return str(await connection.fetchval("select status from refunds where id = $1", self.refund_id))

    async def kill(self) -> None:
        """Kill the API; nobody was answered."""
        assert self.sending is not None and not self.sending.done()
        self.field.apis.pop(self.base).kill()
        with pytest.raises(httpx.TransportError):
            await self.sending

    async def send_until_answered(self) -> httpx.Response:
        """As a client would, at a new API: again, with the same key, while that is in use or nothing was done."""
        self.base = self.field.new_api()
        await self.field.ready()
        async with asyncio.timeout(RECOVERED_SECONDS_MAX):
            response = await self.send()
            while "retry-after" in response.headers:
                await asyncio.sleep(0.1)
                response = await self.send()
            return response

    def refunded(self) -> int:
        """What the provider has given back."""
        with self.field.books() as books:
            return books.account(self.payment["transactionId"]).refunded

    async def check_once(self) -> None:
        """A client that sends it again gets its answer; the money went back once; all agree."""
        answer = await self.send_until_answered()
        assert json_of(answer, 200)["status"] == "COMPLETED"
        again = await self.send()
        assert (again.status_code, again.content) == (200, answer.content)
        assert self.refunded() == REFUNDED
        async with self.field.connection() as connection:
            row = await connection.fetchrow("select * from payments where id = $1", self.payment["id"])
            assert (row["amount_refunding"], row["amount_refunded"]) == (0, REFUNDED)
            assert await connection.fetchval("select count(*) from idempotency_keys where status is null") == 0
            kinds = await connection.fetch("select type from journals where type like 'refund.%' order by position")
            sent = [kind[0] for kind in kinds]
        assert sent[-2:] == ["refund.sent", "refund.settled"]
        assert sent[:-2] == ["refund.sent", "refund.unsent"] * (len(sent[:-2]) // 2)
        await self.field.prove()


@pytest.fixture
async def asked(database_url: str, tmp_path: Path) -> AsyncIterator[Asked]:
    async with (
        ground(tmp_path, database_url) as field,
        httpx.AsyncClient(timeout=30, trust_env=False, headers={"authorization": f"Bearer {field.token}"}) as client,
    ):
        field.env |= INQUIRED_AFTER
        field.new_worker()
        base = field.new_api()
        await field.ready()
        one = Asked(field, client, base)
        await one.prepare()
        yield one


@asynccontextmanager
async def locked_after_begin(asked: Asked, sql: str) -> AsyncIterator[None]:
    """Let the request go as far as the provider, take a lock, and let it go on until it meets it."""
    with ExitStack() as held:
        held.enter_context(provider_held(asked.field))
        await asked.begin()
        async with locked(asked.field, sql):
            held.close()
            yield


class TestKilledApi:
    async def test_after_intending_before_asking(self, asked: Asked) -> None:
        with provider_held(asked.field):
            await asked.begin()
            await asked.kill()
        await asked.check_once()

    async def test_after_asking_before_settling(self, asked: Asked) -> None:
        async with locked_after_begin(asked, "select from refunds for update"):
            await eventually(lambda: asked.refunded() == REFUNDED)
            await asked.kill()
        await asked.check_once()

    async def test_in_the_middle_of_settling(self, asked: Asked) -> None:
        async with (
            asked.field.connection() as eye,
            locked_after_begin(asked, "lock table events in exclusive mode"),
        ):
            await eventually(lambda: writers_that_wait(eye, 1))
            await asked.kill()
        await asked.check_once()


class TestKilledWorker:
    async def test_while_it_asks_for_somebody_who_does_not_wait(self, asked: Asked) -> None:
        worker = asked.field.workers[0]
        with provider_held(asked.field):
            assert (await asked.send(prefer="respond-async")).status_code == 202
            async with asked.field.connection() as eye:
                await eventually(lambda: is_claimed(eye), RECOVERED_SECONDS_MAX)
            await asyncio.sleep(0.5)  # it stands before the provider
            worker.kill()
        worker.start()

        async def is_done() -> bool:
            await asyncio.sleep(0.1)
            return await asked.status() == "COMPLETED"

        await eventually(is_done, RECOVERED_SECONDS_MAX)
        assert asked.refunded() == REFUNDED
        await asked.field.prove()

    async def test_in_the_middle_of_a_batch(self, asked: Asked) -> None:
        count, worker = 60, asked.field.workers[0]
        payments = [await asked.paid(number) for number in range(count)]
        body = {"reason": "OTHER", "items": [{"paymentId": each["id"], "amount": 10} for each in payments]}
        async with asked.field.connection() as connection:
            with provider_held(asked.field):
                answer = await asked.client.post(f"{asked.base}{REFUNDS}/batch", json=body)
                batch_id = json_of(answer, 202)["id"]

                async def are_begun() -> bool:
                    await asyncio.sleep(0.01)
                    begun = await connection.fetchval("select count(*) from refunds where batch_id = $1", batch_id)
                    return bool(begun >= 10)

                await eventually(are_begun, RECOVERED_SECONDS_MAX)
                worker.kill()
            worker.start()

            async def is_over() -> bool:
                await asyncio.sleep(0.1)
                done = "select count(*) from refunds where batch_id = $1 and status = 'COMPLETED'"
                return bool(await connection.fetchval(done, batch_id) == count)

            await eventually(is_over, 2 * RECOVERED_SECONDS_MAX)
            status = await connection.fetchval("select status from refund_batches where id = $1", batch_id)
        assert status == "COMPLETED"
        with asked.field.books() as books:
            assert [books.account(each["transactionId"]).refunded for each in payments] == [10] * count
        await asked.field.prove()
