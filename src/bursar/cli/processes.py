"""The processes that do the work: the API and the worker. Each lives until SIGTERM and then finishes what it has
begun.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import asyncpg
import uvicorn
import uvloop

from bursar import app as composition
from bursar.cli import fail
from bursar.infra import observe
from bursar.infra.db import UNREACHABLE
from bursar.infra.http.server import server_config
from bursar.settings import Settings


def run_api(settings: Settings) -> None:
    """Serve HTTP until SIGTERM."""
    observe.configure_logging(settings.log_level)
    uvloop.run(_guarded(_serve(settings), settings))


def run_worker(settings: Settings) -> None:
    """Run jobs, reactions and schedules until SIGTERM."""
    observe.configure_logging(settings.log_level)
    uvloop.run(_guarded(_work(settings), settings))


async def _guarded(main: Coroutine[Any, Any, None], settings: Settings) -> None:
    if not settings.database_url:
        fail("BURSAR_DATABASE_URL is not set; `bursar serve` starts a database of its own")
    try:
        await main
    except (*UNREACHABLE, asyncpg.PostgresError) as error:
        fail(f"the database cannot be reached: {error}")


async def _serve(settings: Settings) -> None:
    async with composition.running(settings, settings.database_url) as app:
        asgi = await composition.make_asgi(app)
        server = uvicorn.Server(server_config(asgi, host=settings.host, port=settings.port))
        composition.tune_garbage_collector()
        await server.serve()
        if not server.started:
            sys.exit(1)


async def _work(settings: Settings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with composition.running(settings, settings.database_url) as app:
        await composition.run_worker(app, stopping)
