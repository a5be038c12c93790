"""A connection that breaks in any way, known or not: nobody waits for good, and the next one gets an answer."""

import asyncio
import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from bursar import wiring
from bursar.infra import db
from bursar.infra.jobs import Worker
from bursar.kit.errors import DatabaseUnavailable
from tests.conftest import Serve
from tests.support.api import CORE, problem_of
from tests.support.database import ROLE, VAULT_ROLE
from tests.support.service import Service, eventually, serving

ERRORS = [
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed"),
]


LANE_SECONDS_MAX = 3
"""Shorter than the product's, and longer than a busy server may take for a statement."""


class Broken:
    """A connection that raises `error` whatever is asked of it."""

    def __init__(self, connection: Any, error: Exception) -> None:
        self.connection = connection
        self.error = error
        self.asked = 0

    def is_closed(self) -> bool:
        return bool(self.connection.is_closed())

    def terminate(self) -> None:
        self.connection.terminate()

    async def close(self) -> None:
        await self.connection.close()

    async def fetch(self, *_: object) -> Any:
        self.asked += 1
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

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
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
        broken = Broken(private.app.database, error)
        real, worker.database = worker.database, broken  # type: ignore[assignment]
        running = asyncio.create_task(worker.run())
        await eventually(lambda: broken.asked > 0)
        worker.database = real

        async def is_settled() -> bool:
            return await private.inner_status(payment["id"]) == "AUTHORIZED"

        await eventually(is_settled, 30)
        worker.stop()
        await running


class TestASilentServer:
    """It is there and says nothing: as where the network was cut."""

    async def test_is_given_up_in_time_by_the_lane(self, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
        monkeypatch.setattr(db, "LANE_SECONDS_MAX", LANE_SECONDS_MAX)
        async with serve() as service:
            api = service.api.as_("service")
            payment = await api.create_payment()
            with silent(service.app.batcher._lane):
                problem_of(await api.authorize(payment["id"], key="k"), 503, DatabaseUnavailable.code)
                assert (await api.authorize(payment["id"], key="k")).json()["status"] == "AUTHORIZED"

    async def test_is_given_up_in_time_by_the_reader(self, monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
        monkeypatch.setattr(db, "LANE_SECONDS_MAX", LANE_SECONDS_MAX)
        async with serve() as service:
            api = service.api.as_("service")
            payment = await api.create_payment()
            with silent(service.app.reader._connection):
                problem_of(await api.get(f"{CORE}/{payment['id']}"), 503, DatabaseUnavailable.code)
                assert (await api.show(payment["id"]))["id"] == payment["id"]


@contextmanager
def silent(connection: Any) -> Iterator[None]:
    """The server's process behind a connection stands still."""
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


class TestAFullServer:
    async def test_is_one_that_is_unavailable(self, database_url: str, tmp_path: Path) -> None:
        """It lets nobody of ours in any more."""
        owner = await asyncpg.connect(database_url)
        name = f"crowd_{uuid.uuid4().hex}"
        parts = urlsplit(database_url)
        url = parts._replace(netloc=f"{name}:x@{parts.hostname}:{parts.port}").geturl()
        try:
            await owner.execute(f"create role {name} login password 'x'; grant {ROLE}, {VAULT_ROLE} to {name}")
            async with serving(url, tmp_path) as service:
                await owner.execute(f"alter role {name} connection limit 1")
                admin, path = service.api.as_("admin"), "/api/v1/jobs/dead"
                answers = await asyncio.gather(*(admin.get(path) for _ in range(20)))
                assert {answer.status_code for answer in answers} == {200, 503}
                await owner.execute(f"alter role {name} connection limit 50")
                assert (await admin.get(path)).status_code == 200
        finally:
            await owner.execute(f"drop role if exists {name}")
            await owner.close()
