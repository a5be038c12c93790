"""The service as a test meets it: on a database of its own, served by uvicorn on a free port of this machine."""

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import uvicorn

from bursar import wiring
from bursar.app import make_asgi, running
from bursar.domains.context import App
from bursar.infra import keyfiles
from bursar.infra.db import prepare_connection
from bursar.infra.events import Relay
from bursar.infra.http.server import server_config
from bursar.infra.jobs import Worker
from bursar.kit.clock import SystemClock
from bursar.providers.sandbox.adapter import Sandbox
from bursar.settings import Settings
from tests.support.api import Api


class MovableClock:
    """The machine's clock, moved ahead by what a test says."""

    def __init__(self) -> None:
        self._ahead = timedelta()
        self._clock = SystemClock()

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def advance(self, **by: float) -> None:
        self._ahead += timedelta(**by)


class Service:
    """An App, its address, and the parts of a worker, run once when a test asks for it."""

    def __init__(self, app: App, url: str, clock: Any, client: httpx.AsyncClient, owner: Any) -> None:
        self.app = app
        self.url = url
        self._owner = owner
        self.clock = clock
        self.client = client
        self.api = Api(client, keyfiles.token_key(app.settings.keys_path))

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox behind its guard."""
        guarded: Any = self.app.providers["sandbox"]
        return guarded.adapter

    async def run_jobs(self) -> int:
        """Run what is due, until nothing is. Returns how many jobs were run."""
        worker, total = Worker(self.app, wiring.JOBS, []), 0
        while count := await worker.run_due():
            total += count
        return total

    async def run_schedule(self, name: str) -> None:
        schedule = next(schedule for schedule in wiring.SCHEDULES if schedule.name == name)
        await schedule.run(self.app)

    async def relay(self) -> int:
        """Hand events to every reaction, until there are no more. Returns how many were handed over."""
        relay, total = Relay(self.app, wiring.CONSUMERS), 0
        for consumer in wiring.CONSUMERS:
            await self.app.database.execute(
                "insert into event_cursors (consumer) values ($1) on conflict do nothing", consumer.name
            )
            while count := await relay.advance(consumer):
                total += count
        return total

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of the database's owner, beside the service."""
        async with self._owner.acquire() as connection:
            yield connection

    async def fetch(self, sql: str, *args: Any) -> list[Any]:
        async with self.connection() as connection:
            return list(await connection.fetch(sql, *args))

    async def row_counts(self) -> dict[str, int]:
        """How many rows each table holds."""
        async with self.connection() as connection:
            names = [
                row[0] for row in await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
            ]
            sql = " union all ".join(f"select '{name}', count(*) from {name}" for name in names)
            return dict(sorted((row[0], row[1]) for row in await connection.fetch(sql)))

    async def inner_status(self, payment_id: str) -> str:
        rows = await self.fetch("select status from payments where id = $1", payment_id)
        return str(rows[0][0])


@asynccontextmanager
async def serving(
    url: str, data_dir: Path, *, clock: Any = None, adapters: Any = None, **settings: Any
) -> AsyncIterator[Service]:
    """The service on the database at `url`. adapters: providers by name, instead of the settings'. settings: over those
    of the tests.
    """
    clock = clock or MovableClock()
    values = {
        "data_dir": str(data_dir),
        "database_pool_size": 5,
        "rate_limit_customer_per_second": 0,
        "sandbox_slow_seconds": 0.3,
        **settings,
    }
    async with running(Settings(**values), url, clock=clock, providers=adapters) as app, _listening(app) as base:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with (
            httpx.AsyncClient(base_url=base, timeout=30, limits=limits, trust_env=False) as client,
            asyncpg.create_pool(url, min_size=0, max_size=4, init=prepare_connection) as owner,
        ):
            yield Service(app, url, clock, client, owner)


class _Server(uvicorn.Server):
    """uvicorn's, without its pauses of a tenth of a second, which thousands of tests would add up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals stay pytest's

    async def main_loop(self) -> None:
        await eventually(lambda: self.should_exit, seconds=math.inf)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await eventually(lambda: not state.connections and not state.tasks)


@asynccontextmanager
async def _listening(app: App) -> AsyncIterator[str]:
    config = server_config(await make_asgi(app))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # with proto 0, asyncio would leave Nagle's algorithm on
        listener.bind(("127.0.0.1", 0))
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def eventually(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 60) -> None:
    """Wait until the condition holds; fail when it does not within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        holds = condition()
        if await holds if isinstance(holds, Awaitable) else holds:
            return
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        await asyncio.sleep(0.01)
