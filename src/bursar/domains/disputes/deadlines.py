"""Until when a dispute can be contested: told of in time, met with what was staged, and told of when it has passed."""

from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.disputes import steps, store
from bursar.domains.disputes.change import change
from bursar.domains.disputes.model import (
    MACHINE,
    Dispute,
    DisputeStepUnderWay,
    EvidenceMissing,
    Kind,
)
from bursar.infra import jobs
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Tx
from bursar.infra.steps import Asked
from bursar.kit.errors import InvalidTransition

SUBMIT: Final = "dispute.submit_staged"
"""The job that hands in what was staged and nobody has handed in."""

BEFORE_DEADLINE: Final = timedelta(hours=1)
AGAIN_AFTER: Final = timedelta(minutes=5)
"""Until a step that did not reach the provider is tried again."""

SWEEP_SIZE: Final = 500


async def keep(app: App) -> None:
    """Tell of deadlines that are near, hand in what is staged shortly before, tell of those that were missed."""
    now, size = app.clock.now(), SWEEP_SIZE
    near = timedelta(days=app.settings.dispute_notice_days)
    for dispute in await store.due_within(app.database, now, within=near, limit=size):
        await _tell(app, dispute, "warn", due_soon_at=now)
    staged = await store.to_submit(
        app.database, now, within=BEFORE_DEADLINE, again_before=now - AGAIN_AFTER, limit=size
    )
    async with app.database.transaction(now=now) as tx:
        for dispute in staged:
            if steps.takes(app, dispute, Kind.EVIDENCE):  # else a person hands it in, or nobody
                jobs.defer(tx, SUBMIT, {"disputeId": dispute.id}, key=f"{SUBMIT}:{dispute.id}")
    for dispute in await store.missed(app.database, now, limit=size):
        await _tell(app, dispute, "miss", deadline_missed_at=now)


async def _tell(app: App, dispute: Dispute, action: str, **changes: Any) -> None:
    """Emit the action's event, unless the dispute has moved on."""

    async def decide(tx: Tx) -> None:
        before = await store.lock(tx, dispute.id)
        tx.object_id = before.id
        if before.version == dispute.version and MACHINE.allows(before.status, action):
            change(tx, before, action, **changes)

    await app.batcher.run(Command(f"dispute.{action}", dispute.payment_id, decide, SYSTEM))


async def submit_staged(app: App, dispute_id: str) -> None:
    """Hand in what was staged, unless somebody has, or it was taken away."""
    dispute = await app.reader.get(store.TABLE, dispute_id)
    assert dispute is not None, f"no dispute {dispute_id}"
    try:
        await steps.submit(app, Asked(SYSTEM), dispute)
    except (InvalidTransition, DisputeStepUnderWay, EvidenceMissing):
        return
