"""kill -9 of APIs and workers at random moments under load: nothing is lost, nothing is done twice."""

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.harness import Ground, faults, ground, quiet, say
from tests.crash.shoppers import Shopper, crowd

KILLS_LONG = 12 if os.environ.get("BURSAR_LONG_SAMPLE") else 120
SETTLED_SECONDS_MAX = 60


@pytest.mark.parametrize(
    "kills, apis, workers, shoppers", [(6, 2, 1, 16), pytest.param(KILLS_LONG, 3, 2, 24, marks=pytest.mark.long)]
)
async def test_survives_kills_at_random(
    kills: int, apis: int, workers: int, shoppers: int, database_url: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10_000)
    async with ground(tmp_path, database_url) as field:
        bases = [field.new_api() for _ in range(apis)]
        for _ in range(workers):
            field.new_worker()
        await field.ready()
        async with crowd(shoppers, bases, field.token, seed) as people:
            stopping = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for shopper in people:
                    group.create_task(shopper.shop(stopping))
                await _storm(field, kills, random.Random(seed))
                stopping.set()
            await field.ready()
            await _check(field, people, bases[0])
    killed = [process.deaths for process in field.processes]
    checkouts, retries = sum(len(s.answers) for s in people), sum(s.retries for s in people)
    errors = sum((Counter(s.errors) for s in people), Counter[int]())
    say(f"seed {seed}: {sum(killed)} kills {killed}, {checkouts} checkouts, {retries} retries, {dict(errors)}")


async def _storm(field: Ground, kills: int, dice: random.Random) -> None:
    """Kill one process after another, and start each again at once; all are hit in the same measure."""
    for number in range(kills):
        await asyncio.sleep(dice.uniform(0.1, 2.4))
        victim = field.processes[number % len(field.processes)] if number % 2 else dice.choice(field.processes)
        victim.kill()
        victim.start()


async def _check(field: Ground, people: list[Shopper], base: str) -> None:
    began = time.monotonic()
    async with field.connection() as connection:
        await quiet(connection, SETTLED_SECONDS_MAX)
        say(f"quiet after {time.monotonic() - began:.1f} s")
        payments = await connection.fetch("select id, order_id, version, status, amount_captured from payments")
        with field.books() as books:
            assert await faults(connection, books) == []
    believed = {order: answer for shopper in people for order, answer in shopper.answers.items()}
    assert Counter(payment["order_id"] for payment in payments) == Counter(believed.keys())
    for payment in payments:
        answer = believed[payment["order_id"]]
        ours = (payment["id"], payment["version"], payment["status"], payment["amount_captured"])
        assert ours == (answer["id"], answer["version"], answer["status"], answer["amountCaptured"])
    for shopper in people:
        assert await shopper.replays_hold(base) == []
    await field.prove()
