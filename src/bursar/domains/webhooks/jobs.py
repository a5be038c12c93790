"""What webhooks do without being asked: they are processed when they are due, those that never came are fetched, and
their bodies are forgotten after a time.

One job processes all, so that taking one in costs no job of its own. It has at most so many under way, begins new
ones at a steady pace, and waits for none: one that hangs keeps its own place and no other. A burst is worked off
without taking the machine from those who bring it.
"""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.webhooks import missed, process, store
from bursar.domains.webhooks.change import FETCH, PROCESS, defer_processing
from bursar.infra.answer import Answer
from bursar.infra.jobs import JobType, Schedule

UNDER_WAY_MAX: Final = 64
PACE_SECONDS: Final = 0.1
"""Between two looks for what is due: 640 a second are begun at the most."""

RUN_SECONDS: Final = 30.0
AGAIN_SECONDS_MAX: Final = 10.0
"""How long all webhooks wait at the most after the job broke: while it waits, no other one is put in."""

SWEEP_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 60.0
FORGET_SECONDS: Final = 600.0
FORGOTTEN_AT_ONCE: Final = 500
FORGET_ROUNDS_MAX: Final = 20


async def run(app: App, args: dict[str, Any]) -> None:
    """Process what is due, until nothing is, or for RUN_SECONDS; the sweep begins anew. Safe to repeat."""
    until = time.monotonic() + RUN_SECONDS
    under_way: dict[asyncio.Task[Answer], str] = {}
    try:
        while True:
            if time.monotonic() < until and len(under_way) < UNDER_WAY_MAX:
                limit = UNDER_WAY_MAX - len(under_way)
                found = await store.due(app.database, app.clock.now(), apart_from=list(under_way.values()), limit=limit)
                under_way |= {asyncio.create_task(process.process(app, webhook)): webhook.id for webhook in found}
            if not under_way:
                return
            done, _ = await asyncio.wait(under_way, timeout=PACE_SECONDS)
            if len(done) == len(under_way) == UNDER_WAY_MAX:
                await asyncio.sleep(PACE_SECONDS)
            for task in done:
                del under_way[task]
                task.result()  # a database that is gone ends the job, which comes again
    finally:
        for task in under_way:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*under_way, return_exceptions=True)


async def sweep(app: App) -> None:
    """Put the job in where something is due: a next attempt, or what came when the job was at its end."""
    now = app.clock.now()
    if await store.due(app.database, now, apart_from=(), limit=1):
        async with app.database.transaction(now=now) as tx:
            defer_processing(tx)


async def forget_bodies(app: App) -> None:
    """Forget the bodies that were kept for long enough, so many at the most."""
    before = app.clock.now() - timedelta(days=app.settings.webhook_body_days)
    for _ in range(FORGET_ROUNDS_MAX):
        if await store.forget_bodies(app.database, before=before, limit=FORGOTTEN_AT_ONCE) < FORGOTTEN_AT_ONCE:
            return


TIMEOUT_SECONDS: Final = RUN_SECONDS + process.ATTEMPT_SECONDS_MAX + 5

TYPES: Final = (
    JobType(PROCESS, run, attempts_max=100_000, timeout_seconds=TIMEOUT_SECONDS, backoff_max_seconds=AGAIN_SECONDS_MAX),
    JobType(FETCH, missed.fetch, attempts_max=1_000, timeout_seconds=missed.RUN_SECONDS + missed.RANGE_SECONDS),
)
SCHEDULES: Final = (
    Schedule("webhooks.sweep", SWEEP_SECONDS, sweep),
    Schedule("webhooks.missed", LOOK_SECONDS, missed.look),
    Schedule("webhooks.forget_bodies", FORGET_SECONDS, forget_bodies),
)
