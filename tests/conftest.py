"""Fixtures: one PostgreSQL for the whole run, a database and a served App for each worker, private ones on request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from bursar.app import run_worker
from tests.support.api import Api
from tests.support.database import Server, cloned, make_template
from tests.support.service import Service, serving
from tests.support.truth import verify

SLOW = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large]
"""What a busy machine brings about."""
hypothesis.settings.register_profile(
    "bursar", deadline=None, max_examples=60, print_blob=True, suppress_health_check=SLOW
)
hypothesis.settings.load_profile("bursar")
plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.StackInfoRenderer(), plain])

_SERVER: pytest.StashKey[Server] = pytest.StashKey()


def _server_of(config: pytest.Config) -> Server:
    if _SERVER not in config.stash:
        config.stash[_SERVER] = Server()
    return config.stash[_SERVER]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker of the server that the controller has started for all, in its main thread."""
    node.workerinput["server_url"] = _server_of(node.config).url


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVER in config.stash:
        config.stash[_SERVER].stop()


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The server of this run."""
    given = getattr(request.config, "workerinput", {}).get("server_url")
    return given or _server_of(request.config).url


@pytest.fixture(scope="session")
async def template(server_url: str) -> str:
    return await make_template(server_url)


@pytest.fixture(scope="session")
async def service(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The service of this worker: its clock moves ahead only, and no worker runs beside it."""
    async with cloned(server_url, template) as url, serving(url, tmp_path_factory.mktemp("service")) as served:
        yield served


@pytest.fixture
def api(service: Service) -> Api:
    """The worker's service, called by another service of the platform."""
    return service.api.as_("service")


@pytest.fixture
async def verified(service: Service) -> AsyncIterator[None]:
    """After the test every invariant holds, and the provider's books agree."""
    yield
    await verify(service)


@pytest.fixture
async def database_url(server_url: str, template: str) -> AsyncIterator[str]:
    """A migrated database of the test's own."""
    async with cloned(server_url, template) as url:
        yield url


Serve = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def serve(database_url: str, tmp_path: Path) -> Serve:
    """Serves on the test's own database: `async with serve(**settings) as service`; twice makes two."""

    def serve(**settings: Any) -> AbstractAsyncContextManager[Service]:
        return serving(database_url, tmp_path, **settings)

    return serve


@pytest.fixture
async def private(serve: Serve) -> AsyncIterator[Service]:
    """A service of the test's own; verified at its end."""
    async with serve() as served:
        yield served
        await verify(served)


@pytest.fixture
async def worker(private: Service) -> AsyncIterator[None]:
    """A worker beside the test's own service, as `bursar worker` runs it."""
    stopping = asyncio.Event()
    task = asyncio.create_task(run_worker(private.app, stopping))
    yield
    stopping.set()
    await task
