"""What reconciliations do without anybody waiting for it."""

from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.reconciliations import run as work
from bursar.domains.reconciliations import service
from bursar.infra.jobs import JobType

TIMEOUT_SECONDS: Final = 900


async def run(app: App, args: dict[str, Any]) -> None:
    """Read, match and book a reconciliation, or go on with it."""
    await work.run(app, args["reconciliationId"])


TYPES: Final = (JobType(service.RUN, run, attempts_max=100, timeout_seconds=TIMEOUT_SECONDS, backoff_max_seconds=600),)
