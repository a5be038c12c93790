"""What KYC does without being asked: asks the service until it has decided, ends verifications that ran out."""

from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.kyc import service, steps, store
from bursar.infra.jobs import JobType, NotYet, Schedule

SWEEP_SIZE: Final = 500


async def ask(app: App, args: dict[str, Any]) -> None:
    """Ask about a check until it is decided: days, where people at the service look at documents."""
    if not await steps.resolve(app, args["subject"], args["attempt"]):
        raise NotYet("the check is not decided yet")


async def expire(app: App) -> None:
    """End the verifications that ran out."""
    for subject in await store.expired(app.database, app.clock.now(), limit=SWEEP_SIZE):
        await service.expire(app, subject)


TYPES: Final = (JobType(steps.ASK, ask, attempts_max=10_000, timeout_seconds=60),)
SCHEDULES: Final = (Schedule("kyc.expire", 5, expire),)
