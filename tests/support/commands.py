"""Small commands for the batcher: each leaves one audit line by which a test sees whether it was committed."""

from collections.abc import Awaitable, Callable
from typing import Any

from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from tests.support.service import Service

ORIGIN = Origin("tester", "")


def command(action: str, on: str, decide: Callable[[Tx], Awaitable[Any]] | None = None, **rest: Any) -> Command[Any]:
    """A command that returns its action, or what `decide` does."""

    async def nothing(tx: Tx) -> str:
        return action

    return Command(action, on, decide or nothing, ORIGIN, **rest)  # type: ignore[arg-type]


async def committed(service: Service, prefix: str) -> list[str]:
    """The actions of that prefix that were committed, in order."""
    rows = await service.fetch("select action from audit where action like $1 order by position", f"{prefix}%")
    return [row[0] for row in rows]
