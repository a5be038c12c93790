"""What all steps with a provider share: who asks for one, and booking an outcome that has to be booked."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import asyncpg
import msgspec
import structlog

from bursar.infra import observe
from bursar.infra.batch import Batcher
from bursar.infra.commands import Command
from bursar.infra.db import Origin
from bursar.infra.idempotency import Claim
from bursar.kit.errors import Overloaded, RowBusy

log = structlog.get_logger()

T = TypeVar("T")

UNAVAILABLE_RETRY_SECONDS: Final = 5
"""After which a caller may try again what its provider could not be asked for."""


class Asked(msgspec.Struct, frozen=True):
    """Who asks for a step: origin, key, the version that he expects, and whether he waits for the outcome."""

    origin: Origin
    claim: Claim | None = None
    expected_version: int | None = None
    is_waiting: bool = True


async def settle(batcher: Batcher, command: Command[T], otherwise: Callable[[], Awaitable[T]], **about: str) -> T:
    """Run the command that books an outcome. Should the database refuse it, the provider has acted all the same: the
    attempt and the key stay open, the sweep asks again, and somebody is called.

    otherwise: what the caller is answered then. about: ids for the log.
    """
    try:
        return await batcher.run(command)
    except (RowBusy, Overloaded):  # not the time to book it; the sweep will
        return await otherwise()
    except (asyncpg.PostgresError, AssertionError):
        observe.SETTLE_REFUSED.inc()
        log.critical("step.settle_refused", action=command.action, exc_info=True, **about)
        return await otherwise()
