"""What is done about other services' events without anybody waiting for it."""

from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.integration import process as work
from bursar.domains.integration import service
from bursar.infra.jobs import JobType


async def process(app: App, args: dict[str, Any]) -> None:
    """Do what an event asks for."""
    await work.process(app, args["integrationEventId"])


async def refund(app: App, args: dict[str, Any]) -> None:
    """See whether a cancelled order's payments were refunded; until then it waits, however long."""
    await work.refund(app, args["integrationEventId"])


TYPES: Final = (
    JobType(service.PROCESS, process, attempts_max=10_000, timeout_seconds=60),
    JobType(work.REFUND, refund, attempts_max=1_000_000, timeout_seconds=60, backoff_seconds=60),
)
