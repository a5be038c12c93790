"""What payments do without being asked: inquire, expire, finish what a crash left open."""

from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.payments import steps, store
from bursar.domains.payments.settle import INQUIRE, defer_inquiry
from bursar.infra import jobs
from bursar.infra.jobs import JobType, NotYet, Schedule

SWEEP_SIZE: Final = 500


async def inquire(app: App, args: dict[str, Any]) -> None:
    """Ask what became of an attempt, until the provider knows."""
    if not await steps.resolve(app, args["paymentId"], args["attemptId"]):
        raise NotYet("the provider does not know yet")


async def ask(app: App, args: dict[str, Any]) -> None:
    """Ask for what a caller who did not wait wanted."""
    await steps.ask_deferred(app, args["paymentId"], args["attemptId"])


async def sweep(app: App) -> None:
    """Find payments in PROCESSING that nobody settled, as a crash leaves them, and have each asked for."""
    now = app.clock.now()
    before = now - timedelta(seconds=app.settings.inquiry_after_seconds)
    payments = await store.with_attempts_older_than(app.database, before, limit=SWEEP_SIZE)
    asked_for = await jobs.waiting(
        app.database, [steps.ask_key(a.id) for payment in payments for a in payment.attempts]
    )
    async with app.database.transaction(now=now) as tx:
        for payment in payments:
            for attempt in payment.attempts:
                if steps.ask_key(attempt.id) not in asked_for:
                    defer_inquiry(tx, payment.id, attempt.id)


async def expire(app: App) -> None:
    """Void authorizations that ran out."""
    for payment in await store.with_authorization_expired(app.database, app.clock.now(), limit=SWEEP_SIZE):
        await steps.expire(app, payment.id)


TYPES: Final = (
    JobType(INQUIRE, inquire, attempts_max=10_000, timeout_seconds=60),
    JobType(steps.ASK, ask, attempts_max=50, timeout_seconds=60),
)
SCHEDULES: Final = (
    Schedule("payments.sweep", 2, sweep),
    Schedule("payments.expire", 5, expire),
)
