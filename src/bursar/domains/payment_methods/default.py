"""A customer's default: who gives it up, who inherits it, and who takes it up.

All methods of a customer are read without a guard: what is written of one of them is decided on the row itself.
"""

from contextlib import suppress
from typing import Any

import asyncpg

from bursar.domains.context import App
from bursar.domains.payment_methods import change, store
from bursar.domains.payment_methods.model import PaymentMethod, Status, heirs
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Tx
from bursar.kit.errors import RowBusy


async def clear(tx: Tx, others: list[PaymentMethod], *, heir_id: str | None = None) -> None:
    """Take the place from whoever of `others` has it, since another one is to have it. Emits
    payment_method.default_taken.
    """
    for other in others:
        if other.is_default and other.id != heir_id:
            before = await store.lock(tx, other.id)
            if before.is_default:
                change.update(tx, before, change.EVENT_DEFAULT_TAKEN, is_default=False)


async def hand_over(tx: Tx, method: PaymentMethod) -> dict[str, Any]:
    """What changes of a method that can be the default no more; its heir, if there is one, becomes it. Emits
    payment_method.default_set of the heir.
    """
    if not method.is_default:
        return {}
    await give_to_heir(tx, await store.of_customer(tx, method.customer_id), leaving_id=method.id)
    return {"is_default": False}


async def give_to_heir(tx: Tx, methods: list[PaymentMethod], *, leaving_id: str = "") -> None:
    """Make the heir among `methods` the default. Emits payment_method.default_set."""
    for candidate in heirs(methods, leaving_id):
        before = await store.lock(tx, candidate.id)
        if before.status is Status.ACTIVE:  # still
            change.update(tx, before, change.EVENT_DEFAULT_SET, is_default=True)
            return


async def take_over(tx: Tx, method: PaymentMethod) -> dict[str, Any]:
    """What changes of a method that becomes active: it is the default where there is none."""
    others = await store.of_customer(tx, method.customer_id)
    return {} if any(other.is_default for other in others) else {"is_default": True}


async def mend(app: App, customer_id: str) -> None:
    """Give a default to a customer who has none, though a method is active: of two processes, one removed the default
    and saw no heir, while the other added one and saw a default. Asked for after each command, so that whoever commits
    last sees both. Emits payment_method.default_set.
    """

    async def decide(tx: Tx) -> None:
        methods = await store.of_customer(tx, customer_id)
        if _lacks_default(methods):
            await give_to_heir(tx, methods)

    rows = await app.reader.query(store.BY_CUSTOMER, customer_id)
    if _lacks_default([store.TABLE.from_record(row) for row in rows]):
        with suppress(asyncpg.UniqueViolationError, RowBusy):  # the other process mends it
            await app.batcher.run(Command("payment_method.mend_default", f"customer:{customer_id}", decide, SYSTEM))


def _lacks_default(methods: list[PaymentMethod]) -> bool:
    return bool(heirs(methods, "")) and not any(method.is_default for method in methods)
