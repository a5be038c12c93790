"""The batcher: who is served when, who is refused, and that nothing is written by half."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from bursar.domains.payments import store
from bursar.infra import batch
from bursar.infra.commands import BatchTx, Cache
from bursar.infra.db import SYSTEM, Load, Tx
from bursar.infra.idempotency import Claim
from bursar.kit.errors import NotFound, Overloaded
from tests.conftest import Serve
from tests.support.api import Api, unique
from tests.support.commands import command, committed
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestFairness:
    async def test_one_hot_key_does_not_starve_others(self, service: Service) -> None:
        name, done = unique("fair"), list[str]()

        async def run(action: str, on: str) -> None:
            await service.app.batcher.run(command(action, on))
            done.append(on)

        hot = [asyncio.create_task(run(f"{name}-hot", f"{name}-hot")) for _ in range(500)]
        await asyncio.sleep(0)
        cold = [asyncio.create_task(run(f"{name}-cold", f"{name}-cold-{number}")) for number in range(20)]
        await asyncio.gather(*cold)
        hot_when_cold_were_done = sum(on.endswith("-hot") for on in done)
        await asyncio.gather(*hot)

        assert hot_when_cold_were_done < 20
        assert len(await committed(service, name)) == 520

    async def test_commands_on_one_key_run_in_order(self, service: Service) -> None:
        name = unique("order")
        ran = await asyncio.gather(
            *(service.app.batcher.run(command(f"{name}-{number:03}", name)) for number in range(100))
        )
        assert await committed(service, name) == list(ran) == sorted(ran)

    async def test_commands_that_arrive_together_share_commits(self, service: Service) -> None:
        name = unique("together")
        await asyncio.gather(*(service.app.batcher.run(command(name, f"{name}-{n}")) for n in range(64)))
        rows = await service.fetch("select count(distinct tx) from audit where action = $1", name)
        assert rows[0][0] <= 4


class TestLimit:
    async def test_refuses_more_than_may_wait(self, serve: Serve) -> None:
        async with serve() as service:
            name = unique("limit")
            over = 50
            outcomes = await asyncio.gather(
                *(service.app.batcher.run(command(name, f"{name}-{n % 200}")) for n in range(batch.WAITING_MAX + over)),
                return_exceptions=True,
            )
            refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
            assert len(refused) == over and refused[0].retry_after == 1
            assert outcomes.count(name) == batch.WAITING_MAX == len(await committed(service, name))
            assert await service.app.batcher.run(command(name, name)) == name


class TestCancelledCaller:
    async def test_in_the_queue_leaves_nothing(self, service: Service) -> None:
        name = unique("cancelled")
        tasks = [asyncio.create_task(service.app.batcher.run(command(f"{name}-{n}", name))) for n in range(20)]
        await asyncio.sleep(0)
        for task in tasks[5:15]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[5:15])
        assert await committed(service, name) == [f"{name}-{n}" for n in (*range(5), *range(15, 20))]

    async def test_under_way_leaves_all_or_nothing(self, private: Service) -> None:
        api, service = private.api.as_("service"), private
        payments = [await api.create_payment() for _ in range(20)]
        before = await service.row_counts()
        from bursar.domains.payments import steps
        from bursar.infra.steps import Asked

        async def authorize(payment_id: str) -> None:
            origin = command("x", "y").origin
            await steps.authorize(service.app, Asked(origin), payment_id, method_id=None)

        tasks = [asyncio.create_task(authorize(payment["id"])) for payment in payments]
        await asyncio.sleep(0.002)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.app.batcher.run(command("after", unique("after")))

        service.clock.advance(seconds=60)
        await service.run_schedule("payments.sweep")
        service.clock.advance(seconds=2)
        await service.run_jobs()
        for payment in payments:
            rows = await service.fetch("select version, attempts from payments where id = $1", payment["id"])
            events = await service.fetch("select from events where stream = $1", payment["id"])
            assert rows[0]["version"] == len(events) and rows[0]["attempts"] == []
        assert (await service.row_counts())["payments"] == before["payments"]


class TestStop:
    async def test_finishes_what_was_handed_in(self, serve: Serve, service: Service) -> None:
        name = unique("stop")
        async with serve() as private:
            tasks = [asyncio.create_task(private.app.batcher.run(command(name, f"{n % 7}"))) for n in range(300)]
            await asyncio.sleep(0)
            stopping = asyncio.create_task(private.app.batcher.stop())
            await asyncio.sleep(0)
            with pytest.raises(Overloaded):
                await private.app.batcher.run(command(name, "late"))
            await stopping
            assert await asyncio.gather(*tasks) == [name] * 300
            assert len(await committed(private, name)) == 300


class TestDecide:
    async def test_that_awaits_the_outside_is_refused(self, service: Service) -> None:
        name = unique("foreign")
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def decide(tx: Tx) -> None:
            await never

        with pytest.raises(AssertionError, match="awaits something other than its tx"):
            await service.app.batcher.run(command(name, name, decide))
        assert await service.app.batcher.run(command(name, name)) == name
        assert await committed(service, name) == [name]

    async def test_that_breaks_harms_nobody_else(self, service: Service) -> None:
        name = unique("broken")

        async def breaks(tx: Tx) -> None:
            tx.write("audit", {"half": "written"})
            raise ZeroDivisionError

        async def cannot_be_written(tx: Tx) -> None:
            tx.write("audit", object())

        outcomes = await asyncio.gather(
            service.app.batcher.run(command(name, f"{name}-1")),
            service.app.batcher.run(command(name, f"{name}-2", breaks)),
            service.app.batcher.run(command(name, f"{name}-3", cannot_be_written)),
            service.app.batcher.run(command(name, f"{name}-4")),
            return_exceptions=True,
        )
        assert [outcomes[0], outcomes[3]] == [name, name]
        assert isinstance(outcomes[1], ZeroDivisionError) and isinstance(outcomes[2], TypeError)
        async with asyncio.timeout(20):
            assert await service.app.batcher.run(command(name, f"{name}-2")) == name
            assert await service.app.batcher.run(command(name, f"{name}-3")) == name
        assert len(await committed(service, name)) == 4

    async def test_of_what_is_not_there_raises(self, service: Service) -> None:
        async def decide(tx: Tx) -> None:
            await store.lock(tx, "00000000-0000-7000-8000-000000000000")

        with pytest.raises(NotFound):
            await service.app.batcher.run(command("x", unique("missing"), decide))

    async def test_sees_what_it_changed_itself(self, api: Api, service: Service) -> None:
        payment = await api.create_payment()

        async def decide(tx: Tx) -> str | None:
            import msgspec

            row = await store.lock(tx, payment["id"])
            changed = msgspec.structs.replace(row, description="mine", version=row.version + 1, updated_at=tx.now)
            tx.update(store.TABLE, changed, was=row.version)
            return (await store.lock(tx, payment["id"])).description

        assert await service.app.batcher.run(command("x", payment["id"], decide)) == "mine"

    def test_sees_a_row_once_whoever_changes_it_meanwhile(self) -> None:
        tx = BatchTx(Cache(), is_fresh=True, now=datetime.now(UTC), origin=SYSTEM)

        async def decide() -> tuple[Any, Any]:
            return await tx.lock(store.TABLE, "one"), await tx.lock(store.TABLE, "one")

        deciding = decide()
        assert isinstance(deciding.send(None), Load)
        row = object()
        with pytest.raises(StopIteration) as end:
            deciding.send(row)
        assert end.value.value == (row, row)


class TestGuilty:
    @pytest.mark.parametrize("kind", ["constraint", "twin"])
    async def test_fails_alone(self, service: Service, api: Api, kind: str) -> None:
        payments = [await api.create_payment() for _ in range(6)]
        name = unique("guilty")

        def decide_for(number: int) -> Any:
            async def decide(tx: Tx) -> str:
                import msgspec

                row = await store.lock(tx, payments[number]["id"])
                changes: dict[str, Any] = {"description": name}
                if number == 3:
                    changes = {"amount_authorized": row.amount + 1} if kind == "constraint" else {"currency": "eur"}
                changed = msgspec.structs.replace(row, version=row.version + 1, updated_at=tx.now, **changes)
                if kind == "twin" and number == 3:
                    tx.insert(store.TABLE, changed)
                else:
                    tx.update(store.TABLE, changed, was=row.version)
                return name

            return decide

        outcomes = await asyncio.gather(
            *(
                service.app.batcher.run(command(name, payment["id"], decide_for(number)))
                for number, payment in enumerate(payments)
            ),
            return_exceptions=True,
        )
        assert isinstance(outcomes[3], asyncpg.IntegrityConstraintViolationError)
        assert [outcome for number, outcome in enumerate(outcomes) if number != 3] == [name] * 5
        assert len(await committed(service, name)) == 5
        assert await api.show(payments[3]["id"]) == payments[3]


class TestClaim:
    async def test_is_looked_at_before_the_state(self, service: Service) -> None:
        name, decided = unique("claim"), list[str]()

        async def decide(tx: Tx) -> Any:
            from bursar.infra.answer import ok

            decided.append(name)
            return ok({"n": len(decided)})

        claim = Claim("tester", name, "digest")
        answers = await asyncio.gather(
            *(service.app.batcher.run(command(name, f"{name}-{n}", decide, claim=claim)) for n in range(10)),
            return_exceptions=True,
        )
        from bursar.infra.answer import Answer, Answered

        assert sum(isinstance(answer, Answer) for answer in answers) == 1
        bodies = {answer.answer.body if isinstance(answer, Answered) else answer.body for answer in answers}  # type: ignore[union-attr]
        assert len(bodies) == 1
        assert await committed(service, name) == [name]
