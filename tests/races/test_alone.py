"""Transactions of their own that hold what the other one wants: one is begun anew, and both get done."""

import asyncio
from typing import Any

import msgspec
import pytest

from bursar.domains.payments import store
from bursar.domains.payments.change import emit
from bursar.infra.commands import Command, run_alone
from bursar.infra.db import SYSTEM, Tx
from bursar.kit.errors import RowBusy
from tests.support.api import Api
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


async def describe(tx: Tx, payment_id: str) -> None:
    row = await store.lock(tx, payment_id)
    after = msgspec.structs.replace(row, version=row.version + 1, description="changed", updated_at=tx.now)
    tx.update(store.TABLE, after, was=row.version)
    emit(tx, after, "payment.updated", ("description",))


class TestTwoThatWaitForEachOther:
    async def test_as_commands_are_both_done(self, api: Api, service: Service) -> None:
        payments = [(await api.create_payment())["id"] for _ in range(2)]
        both, met = asyncio.Barrier(2), list[str]()

        def changing(*order: str) -> Command[None]:
            async def decide(tx: Tx) -> None:
                await describe(tx, order[0])
                if len(met) < 2:
                    met.append(order[0])
                    await both.wait()
                await describe(tx, order[1])

            return Command("test", order[0], decide, SYSTEM)

        commands = [changing(*payments), changing(*reversed(payments))]
        await asyncio.gather(*(run_alone(service.app.database, command, service.clock) for command in commands))
        assert [(await api.show(payment_id))["version"] for payment_id in payments] == [3, 3]

    async def test_as_transactions_are_told_that_a_row_is_busy(self, api: Api, service: Service) -> None:
        payments = [(await api.create_payment())["id"] for _ in range(2)]
        both = asyncio.Barrier(2)

        async def change(*order: str) -> Any:
            async with service.app.database.transaction(now=service.clock.now()) as tx:
                await describe(tx, order[0])
                await both.wait()
                await describe(tx, order[1])

        outcomes = await asyncio.gather(change(*payments), change(*reversed(payments)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [RowBusy]
