"""What disputes do without being asked: inquire, keep deadlines, look how they stand, finish what a crash left open."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import structlog

from bursar.domains.context import App
from bursar.domains.disputes import deadlines, notices, steps, store
from bursar.domains.disputes.settle import INQUIRE, LOOK, defer_inquiry
from bursar.domains.payments.model import ProviderDisagrees
from bursar.infra.db import SYSTEM
from bursar.infra.jobs import JobType, NotYet, Schedule
from bursar.kit import ids
from bursar.kit.errors import RowBusy

log = structlog.get_logger()

SWEEP_SIZE: Final = 500
LOOK_SECONDS: Final = 3_600
LOOK_AFTER: Final = timedelta(days=1)


async def inquire(app: App, args: dict[str, Any]) -> None:
    """Ask what became of an attempt, until the provider knows."""
    if not await steps.resolve(app, args["disputeId"], args["attemptId"]):
        raise NotYet("the provider does not know yet")


async def look(app: App, args: dict[str, Any]) -> None:
    """Ask the provider how a dispute stands after what was done about it."""
    await _look(app, args["provider"], args["reference"])


async def submit(app: App, args: dict[str, Any]) -> None:
    """Hand in what was staged, shortly before the deadline."""
    await deadlines.submit_staged(app, args["disputeId"])


async def sweep(app: App) -> None:
    """Find attempts that nobody settled, as a crash leaves them, and have each asked for."""
    now = app.clock.now()
    before = now - timedelta(seconds=app.settings.inquiry_after_seconds)
    left = await store.with_attempt_older_than(app.database, before, limit=SWEEP_SIZE)
    async with app.database.transaction(now=now) as tx:
        for dispute in left:
            if dispute.attempt is not None:
                defer_inquiry(tx, dispute.id, dispute.attempt.id)


async def look_at_all(app: App) -> None:
    """Ask how open disputes stand that have been at rest for a day, each once a day: a provider's notice may be
    lost.
    """
    now, after = app.clock.now(), ids.FIRST
    before, size = now - LOOK_AFTER, SWEEP_SIZE
    while disputes := await store.at_rest_since(app.database, before, bucket=now.hour, after=after, limit=size):
        for dispute in disputes:
            with suppress(NotYet, RowBusy):  # not now: tomorrow
                await _look(app, dispute.provider, dispute.provider_dispute_id)
        after = disputes[-1].id


async def _look(app: App, provider: str, reference: str) -> None:
    if not notices.can_ask(app, provider):
        return
    try:
        await notices.notice(app, SYSTEM, provider=provider, reference=reference)
    except ProviderDisagrees as error:
        log.critical("dispute.provider_disagrees", provider=provider, reference=reference, says=str(error))


TYPES: Final = (
    JobType(INQUIRE, inquire, attempts_max=10_000, timeout_seconds=60),
    JobType(LOOK, look, timeout_seconds=60),
    JobType(deadlines.SUBMIT, submit, attempts_max=5, timeout_seconds=60),
)
SCHEDULES: Final = (
    Schedule("disputes.sweep", 2, sweep),
    Schedule("disputes.deadlines", 30, deadlines.keep),
    Schedule("disputes.look", LOOK_SECONDS, look_at_all),
)
