"""What payments do without being asked: inquire, expire, finish what a crash left open."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog

from bursar.domains.context import App
from bursar.domains.payments import notices, steps, store
from bursar.domains.payments.model import Payment, ProviderDisagrees
from bursar.domains.payments.settle import INQUIRE, defer_inquiry
from bursar.infra import jobs
from bursar.infra.db import SYSTEM
from bursar.infra.jobs import JobType, NotYet, Schedule
from bursar.kit import ids

log = structlog.get_logger()

SWEEP_SIZE: Final = 500
EXPIRE_AGAIN: Final = timedelta(minutes=10)
LOOK_SECONDS: Final = 3_600
LOOK_AFTER: Final = timedelta(days=1)


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
    """Void authorizations that ran out; one that could not be voided is tried again after a while."""
    now = app.clock.now()
    for payment in await store.with_authorization_expired(
        app.database, now, tried_before=now - EXPIRE_AGAIN, limit=SWEEP_SIZE
    ):
        await steps.expire(app, payment.id)


async def look(app: App) -> None:
    """Ask how authorizations stand that have been at rest for a day, each once a day: a notice of what their provider
    did by itself may be lost.
    """
    now, after = app.clock.now(), ids.FIRST
    before, size = now - LOOK_AFTER, SWEEP_SIZE
    while payments := await store.at_rest_since(app.database, before, bucket=now.hour, after=after, limit=size):
        for payment in payments:
            if notices.can_look(app, payment):
                with suppress(NotYet):  # it does not say now: tomorrow
                    await _look(app, payment)
        after = payments[-1].id


async def _look(app: App, payment: Payment) -> None:
    try:
        await notices.look(app, SYSTEM, payment)
    except ProviderDisagrees as error:
        log.critical("payment.provider_disagrees", payment_id=payment.id, says=str(error))


TYPES: Final = (
    JobType(INQUIRE, inquire, attempts_max=10_000, timeout_seconds=60),
    JobType(steps.ASK, ask, attempts_max=50, timeout_seconds=60),
)
SCHEDULES: Final = (
    Schedule("payments.sweep", 2, sweep),
    Schedule("payments.expire", 5, expire),
    Schedule("payments.look", LOOK_SECONDS, look),
)
