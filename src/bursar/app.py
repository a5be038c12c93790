"""The composition root: settings to pool, provider, keys and batcher; and the two processes, API and worker."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import structlog
from prometheus_client import start_http_server

import bursar
from bursar import assembly, wiring
from bursar.domains.commissions import store as commission_store
from bursar.domains.context import App
from bursar.domains.routing import store as routing_store
from bursar.domains.webhook_endpoints.deliver import Deliverer
from bursar.infra import idempotency, keyfiles, observe
from bursar.infra.auth import Authenticator, KeyRing
from bursar.infra.batch import Batcher
from bursar.infra.bus.connection import Bus
from bursar.infra.db import UNREACHABLE, Database, make_pool
from bursar.infra.entrykeys import EntryKeys
from bursar.infra.events import Relay
from bursar.infra.hot import HotTables
from bursar.infra.http.dispatch import Dispatcher
from bursar.infra.http.limit import RateLimiter
from bursar.infra.http.openapi import Documentation
from bursar.infra.http.route import LeanRoute
from bursar.infra.jobs import Schedule, Worker
from bursar.infra.reads import Reader
from bursar.infra.seal import seal_new
from bursar.infra.sink import Sink
from bursar.infra.vault import Keys, Vault
from bursar.kit.clock import Clock, SystemClock
from bursar.providers.port import PaymentProvider
from bursar.settings import Settings, SettingsError

log = structlog.get_logger()

DOCUMENTATION_PATHS: Final = frozenset({"/docs", "/openapi.json"})
INVARIANTS_EVERY_SECONDS: Final = 3_600
PURGE_EVERY_SECONDS: Final = 600
GC_THRESHOLDS: Final = (50_000, 20, 100)


@asynccontextmanager
async def running(
    settings: Settings, url: str, *, clock: Clock | None = None, providers: Mapping[str, PaymentProvider] | None = None
) -> AsyncIterator[App]:
    """An App on the database at `url`, whose batcher is drained at the end."""
    clock = clock or SystemClock()
    assembly.check_fees(settings)
    async with contextlib.AsyncExitStack() as closing:
        role = settings.database_role or None
        keys = settings.keys_path
        database = Database(await make_pool(url, role=role, size=settings.database_pool_size))
        closing.push_async_callback(database.pool.close)
        reader = Reader(url, role, clock)
        vault = Vault(
            Keys(Path(settings.vault_keys or keys / keyfiles.VAULT_KEYS)),
            keyfiles.secret(keys, keyfiles.FINGERPRINT_KEY),
            Reader(url, settings.vault_role or None, clock),
        )
        routing_rules, commission_rules = routing_store.in_process(), commission_store.in_process()
        app = App(
            settings=settings,
            clock=clock,
            database=database,
            batcher=Batcher(database, reader, clock, url, role),
            reader=reader,
            providers=providers or assembly.payment_providers(settings, clock, database, vault),
            test_methods=assembly.test_methods(settings),
            routing_rules=routing_rules,
            commission_rules=commission_rules,
            refund_policy=assembly.refund_policy(settings),
            on_captured=wiring.ON_CAPTURED,
            vendor_volume=wiring.VENDOR_VOLUME,
            on_bank_return=wiring.ON_BANK_RETURN,
            kyc=assembly.kyc_provider(settings, clock),
            personal_keys=keyfiles.key_encryption_keys(
                Path(settings.key_encryption_keys or keys / keyfiles.KEY_ENCRYPTION_KEYS)
            ),
            vault=vault,
            entry_keys=EntryKeys(keys / keyfiles.ENTRY_KEYS, clock.now()),
            webhook_verifier=assembly.webhook_verifier(settings),
            digest_key=keyfiles.secret(keys, keyfiles.DIGEST_KEY),
        )
        closing.push_async_callback(assembly.close, app)
        closing.push_async_callback(vault.reader.stop)
        closing.push_async_callback(reader.stop)
        await reader.start()
        hot = HotTables(database, (routing_rules, commission_rules))
        closing.push_async_callback(hot.stop)
        await hot.start()
        closing.push_async_callback(app.batcher.stop)
        await app.batcher.start()
        yield app


async def make_asgi(app: App) -> Dispatcher:
    """The ASGI application of the API."""
    settings = app.settings
    jwks = settings.jwks
    if not settings.jwt_key and not jwks:
        keyfiles.token_key(settings.keys_path)
        jwks = str(settings.keys_path / keyfiles.TOKEN_KEY_SET)
    try:
        ring = KeyRing(jwt_key=settings.jwt_key, jwks=jwks)
    except ValueError as error:
        raise SettingsError(f"BURSAR_JWT_KEY cannot be used: {error}") from error
    await ring.start()
    authenticator = Authenticator(
        ring,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithms=frozenset(settings.jwt_algorithms.split(",")),
        clock=app.clock,
    )
    return Dispatcher(
        lean_routes(),
        bursar=app,
        authenticator=authenticator,
        limiter=RateLimiter(staff=settings.rate_limit_per_second, customer=settings.rate_limit_customer_per_second),
        body_size_max=settings.body_size_max,
        fallback=documentation(),
        fallback_paths=DOCUMENTATION_PATHS,
    )


def lean_routes() -> list[LeanRoute]:
    """Every route that the service answers."""
    return [route for router in wiring.ROUTERS for route in router.routes if isinstance(route, LeanRoute)]


def documentation() -> Documentation:
    """The FastAPI application that makes the OpenAPI document and shows it; it serves no other request."""
    return Documentation(wiring.ROUTERS, version=bursar.__version__)


async def run_worker(app: App, stopping: asyncio.Event) -> None:
    """Jobs, schedules, reactions and the sink, until `stopping` is set."""
    worker = Worker(app, wiring.JOBS, [*wiring.SCHEDULES, *_own_schedules(app.settings)])
    relay = Relay(app, wiring.CONSUMERS)
    parts: list[Any] = [worker, relay]
    parts.append(Deliverer(app))
    if app.settings.events_sink_url:
        parts.append(Sink(app, app.settings.events_sink_url))
    if app.settings.nats_url:
        parts.append(Bus(app, app.settings.nats_url, app.settings.nats_stream, wiring.INBOUND))
    if app.settings.worker_metrics_port:
        _show_metrics(app.settings)
    listening = asyncio.create_task(_wake_by_notify(app, worker, stopping))
    running_parts = [asyncio.create_task(part.run()) for part in parts]
    until_stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((until_stopped, listening, *running_parts), return_when=asyncio.FIRST_COMPLETED)
    stopping.set()  # where a part ended by itself, so does the process, which is started again
    for part in parts:
        part.stop()
    await asyncio.gather(*running_parts)
    listening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await listening


def _show_metrics(settings: Settings) -> None:
    try:
        start_http_server(settings.worker_metrics_port, settings.host, observe.REGISTRY)
    except OSError as error:
        raise SettingsError(f"BURSAR_WORKER_METRICS_PORT {settings.worker_metrics_port}: {error.strerror}") from error


async def _wake_by_notify(app: App, worker: Worker, stopping: asyncio.Event) -> None:
    """Wake the worker when a job was put in; polling stands behind it."""

    def wake(*_: object) -> None:
        worker.wake()

    while not stopping.is_set():  # a connection that broke may answer a cancellation with an error of its own
        try:
            async with app.database.pool.acquire() as connection:
                closed = asyncio.Event()
                connection.add_termination_listener(lambda *_, closed=closed: closed.set())
                await connection.add_listener("bursar_jobs", wake)
                try:
                    await closed.wait()
                finally:
                    await connection.remove_listener("bursar_jobs", wake)
        except UNREACHABLE as error:
            log.warning("worker.listen_failed", error=repr(error))
            await asyncio.sleep(1)


def _own_schedules(settings: Settings) -> tuple[Schedule, ...]:
    return (
        Schedule("infra.seal", settings.seal_every_seconds, _seal),
        Schedule("infra.purge_idempotency_keys", PURGE_EVERY_SECONDS, _purge_idempotency_keys),
        Schedule("infra.invariants", INVARIANTS_EVERY_SECONDS, _check_invariants),
    )


async def _seal(app: App) -> None:
    await seal_new(app.database, keyfiles.seal_key(app.settings.keys_path))


async def _purge_idempotency_keys(app: App) -> None:
    before = app.clock.now() - timedelta(hours=max(idempotency.HOURS_MIN, app.settings.idempotency_hours))
    await idempotency.purge(app.database, before=before)


async def _check_invariants(app: App) -> None:
    for check in wiring.INVARIANTS:
        async with app.database.pool.acquire() as connection:
            await connection.execute("set statement_timeout = 0")  # the pool resets it
            for name, faults in (await check(connection)).items():
                observe.INVARIANT_FAULTS.labels(name).set(len(faults))
                if faults:
                    log.critical("invariant.broken", name=name, faults=faults[:10])


def tune_garbage_collector() -> None:
    """What was made at start lives for good: the collector need not look at it again, nor look often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
