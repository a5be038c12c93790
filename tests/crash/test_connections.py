"""A connection that breaks in any way, known or not: nobody waits for good, and the next one gets an answer."""

import asyncio
from typing import Any

import asyncpg
import pytest

from bursar import wiring
from bursar.infra.jobs import Worker
from bursar.kit.errors import DatabaseUnavailable
from tests.support.api import CORE, problem_of
from tests.support.service import Service, eventually

ERRORS = [
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
]


class Broken:
    """A connection that raises `error` whatever is asked of it."""

    def __init__(self, connection: Any, error: Exception) -> None:
        self.connection = connection
        self.error = error

    def is_closed(self) -> bool:
        return bool(self.connection.is_closed())

    def terminate(self) -> None:
        self.connection.terminate()

    async def close(self) -> None:
        await self.connection.close()

    async def fetch(self, *_: object) -> Any:
        raise self.error

    fetchval = execute = fetch


class TestABrokenConnection:
    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    async def test_of_the_reader(self, private: Service, error: Exception) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment()
        reader = private.app.reader
        reader._connection = Broken(reader._connection, error)
        problem_of(await api.get(f"{CORE}/{payment['id']}"), 503, DatabaseUnavailable.code)
        if isinstance(error, asyncpg.PostgresError):  # told by a server that closes the connection itself
            reader._connection.terminate()
        assert (await api.show(payment["id"]))["id"] == payment["id"]

    @pytest.mark.parametrize("error", ERRORS[:-1], ids=lambda error: type(error).__name__)
    async def test_of_the_lane(self, private: Service, error: Exception) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment()
        batcher = private.app.batcher
        batcher._lane = Broken(batcher._lane, error)
        problem_of(await api.authorize(payment["id"], key="k"), 503, DatabaseUnavailable.code)
        assert (await api.authorize(payment["id"], key="k")).json()["status"] == "AUTHORIZED"

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    async def test_of_the_worker(self, private: Service, error: Exception) -> None:
        api = private.api.as_("service")
        payment = await api.create_payment(paymentMethodId="pm_sandbox_timeout_after_effect")
        await api.authorize(payment["id"])
        private.clock.advance(seconds=60)
        worker = Worker(private.app, wiring.JOBS, [])
        real, worker.database = worker.database, Broken(private.app.database, error)  # type: ignore[assignment]
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(0.1)
        worker.database = real

        async def is_settled() -> bool:
            return await private.inner_status(payment["id"]) == "AUTHORIZED"

        await eventually(is_settled)
        worker.stop()
        await running
