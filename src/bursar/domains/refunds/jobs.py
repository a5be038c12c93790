"""What is done about refunds without anybody waiting: process, inquire, finish what a crash left open, go through
batches.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.refunds import batches, begin, settle, steps, store
from bursar.domains.refunds.model import PaymentDisputed, Refund, Status
from bursar.infra import jobs
from bursar.infra.db import SYSTEM
from bursar.infra.jobs import JobType, NotYet, Schedule
from bursar.infra.steps import Asked
from bursar.kit import ids
from bursar.kit.errors import InvalidTransition, RowBusy

SWEEP_SIZE: Final = 500
LOOK_SECONDS: Final = 3_600
LOOK_DAYS: Final = 10
"""For how long a bank may send a refund back."""

NOT_DONE: Final = frozenset({409, 503})


async def process(app: App, args: dict[str, Any]) -> None:
    """Process an approved refund that nobody has to ask for. Raises NotYet where nothing was done."""
    refund = await _read(app, args["refundId"])
    if refund.status is not Status.APPROVED:
        return
    try:
        answer = await steps.process(app, Asked(SYSTEM), refund)
    except PaymentDisputed as error:
        raise NotYet("the payment is disputed") from error
    except InvalidTransition:  # somebody else was faster
        return
    if answer.status in NOT_DONE:
        raise NotYet("the provider did nothing")


async def inquire(app: App, args: dict[str, Any]) -> None:
    """Ask what became of a refund, until the provider knows."""
    if not await steps.resolve(app, args["refundId"], args["attemptId"]):
        raise NotYet("the provider does not know yet")


async def ask(app: App, args: dict[str, Any]) -> None:
    """Ask for what a caller who did not wait wanted."""
    await steps.ask_deferred(app, args["refundId"], args["attemptId"])


async def batch(app: App, args: dict[str, Any]) -> None:
    """Go through the items of a batch."""
    await batches.run(app, args["batchId"])


async def sweep(app: App) -> None:
    """Find refunds in PROCESSING that nobody settled, as a crash leaves them, and have each asked for."""
    now = app.clock.now()
    before = now - timedelta(seconds=app.settings.inquiry_after_seconds)
    refunds = await store.processing_since(app.database, before, limit=SWEEP_SIZE)
    asked_for = await jobs.waiting(app.database, [steps.ask_key(refund.attempt_id or "") for refund in refunds])
    async with app.database.transaction(now=now) as tx:
        for refund in refunds:
            if refund.attempt_id is not None and steps.ask_key(refund.attempt_id) not in asked_for:
                settle.defer_inquiry(tx, refund.id, refund.attempt_id)


async def look(app: App) -> None:
    """Ask of refunds that count as done whether they came back, each once a day for some days: the provider's notice
    may be lost.
    """
    now, after = app.clock.now(), ids.FIRST
    since, until = now - timedelta(days=LOOK_DAYS), now - timedelta(hours=12)
    while refunds := await store.completed_between(
        app.database, since, until, bucket=now.hour, after=after, limit=SWEEP_SIZE
    ):
        for refund in refunds:
            with suppress(RowBusy):  # somebody else holds it: tomorrow
                await steps.look(app, SYSTEM, refund)
        after = refunds[-1].id


async def _read(app: App, refund_id: str) -> Refund:
    refund = await app.reader.get(store.TABLE, refund_id)
    assert refund is not None, f"no refund {refund_id}"
    return refund


TYPES: Final = (
    JobType(begin.PROCESS, process, attempts_max=1_000, timeout_seconds=60),
    JobType(settle.INQUIRE, inquire, attempts_max=10_000, timeout_seconds=60),
    JobType(steps.ASK, ask, attempts_max=50, timeout_seconds=60),
    JobType(batches.RUN, batch, attempts_max=1_000, timeout_seconds=600, backoff_max_seconds=60),
)
SCHEDULES: Final = (
    Schedule("refunds.sweep", 2, sweep),
    Schedule("refunds.look", LOOK_SECONDS, look),
)
