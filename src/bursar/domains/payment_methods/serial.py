"""Commands on one customer's methods: one after another in this process, and again where another process was first."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import asyncpg

from bursar.domains.context import App
from bursar.domains.payment_methods.default import mend
from bursar.infra.answer import Answer
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.kit.errors import RowBusy

TRIES: Final = 4


async def serially(
    app: App,
    action: str,
    customer_id: str,
    decide: Callable[[Tx], Coroutine[Any, Any, Answer]],
    origin: Origin,
    claim: Claim | None = None,
) -> Answer:
    """Run a command whose decision rests on all methods of a customer. Should another process have added or changed one
    meanwhile, a unique index refuses (one default, no duplicates), and it is decided again. Raises RowBusy.
    """
    command = Command(action, f"customer:{customer_id}", decide, origin, claim)
    for tries in range(TRIES):
        try:
            answer = await app.batcher.run(command)
        except asyncpg.UniqueViolationError as error:
            if tries == TRIES - 1:
                raise RowBusy(retry_after=1) from error
        else:
            await mend(app, customer_id)
            return answer
    raise AssertionError("the last try returns or raises")
