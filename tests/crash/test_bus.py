"""Workers and the bus die under load: what happened is in the bus once, in order; and payments do not feel it."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.harness import Ground, ground, say
from tests.crash.shoppers import crowd
from tests.support.api import CORE, unique
from tests.support.nats import NatsServer, nats_server
from tests.support.service import eventually

KILLS = 6
BACKLOG = 3_000
DRAINED_SECONDS_MAX = 60
RATE_PER_SECOND = 40
MEASURED_SECONDS = 20
P99_RATIO_MAX = 1.2
P99_SLACK_SECONDS = 0.015
"""What a p99 of so few requests differs by on a machine that is shared with others."""

ROUNDS_MAX = 3
"""What others do on the machine only adds to a p99: where payments feel the draining, they do so in every round."""


async def count_of_events(field: Ground) -> int:
    async with field.connection() as connection:
        return int(await connection.fetchval("select count(*) from events"))


async def has_all(field: Ground, server: NatsServer) -> bool:
    return await server.last_sequence() >= await count_of_events(field)


async def order_of_events(field: Ground) -> list[str]:
    async with field.connection() as connection:
        return [row["id"] for row in await connection.fetch("select id from events order by tx, position")]


async def test_nothing_is_lost_repeated_or_out_of_order(database_url: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10_000)
    dice = random.Random(seed)
    async with nats_server(tmp_path / "nats") as server, ground(tmp_path, database_url) as field:
        field.env["BURSAR_NATS_URL"] = server.url
        base = field.new_api()
        workers = [field.new_worker() for _ in range(2)]
        await field.ready()
        async with crowd(6, [base], field.token, seed) as people, asyncio.TaskGroup() as group:
            stopping = asyncio.Event()
            for shopper in people:
                group.create_task(shopper.shop(stopping))
            for number in range(KILLS):
                await asyncio.sleep(dice.uniform(0.5, 2))
                victim: Any = server if number % 3 == 2 else dice.choice(workers)
                victim.kill()
                await asyncio.sleep(dice.uniform(0, 0.5))
                victim.start()
            stopping.set()
        await eventually(lambda: has_all(field, server), DRAINED_SECONDS_MAX)
        for worker in workers:
            worker.stop()
        messages = await server.stored()
        assert [headers["Nats-Msg-Id"] for _, headers, _ in messages] == (await order_of_events(field))[: len(messages)]
    say(f"seed {seed}: {KILLS} kills, {len(messages)} events in the bus")


@pytest.mark.long
async def test_a_backlog_is_drained_and_payments_do_not_feel_it(database_url: str, tmp_path: Path) -> None:
    async with nats_server(tmp_path / "nats") as server, ground(tmp_path, database_url) as field:
        server.kill()
        field.env["BURSAR_NATS_URL"] = server.url
        base = field.new_api()
        field.new_worker()
        await field.ready()
        limits = httpx.Limits(max_connections=100, max_keepalive_connections=100)
        headers = {"authorization": f"Bearer {field.token}"}
        async with httpx.AsyncClient(
            base_url=base, headers=headers, timeout=30, trust_env=False, limits=limits
        ) as client:
            rounds: list[tuple[float, float]] = []
            while len(rounds) < ROUNDS_MAX and (not rounds or is_felt(rounds)):
                rounds.append(await drain_round(field, server, client))
    assert not is_felt(rounds), rounds


def is_felt(rounds: list[tuple[float, float]]) -> bool:
    """Whether payments were slower in every round than they are without a backlog."""
    alone, meanwhile = max(alone for alone, _ in rounds), min(meanwhile for _, meanwhile in rounds)
    return meanwhile > max(alone * P99_RATIO_MAX, alone + P99_SLACK_SECONDS)


async def drain_round(field: Ground, server: NatsServer, client: httpx.AsyncClient) -> tuple[float, float]:
    """Let a backlog come about while the bus is away, and be drained. Returns the p99 before and meanwhile."""
    server.kill()
    wanted = await count_of_events(field) + BACKLOG
    while await count_of_events(field) < wanted:
        await asyncio.gather(*(create(client) for _ in range(50)))
    alone = await p99(client)
    waiting, began = await count_of_events(field), time.monotonic()
    server.start()
    draining = asyncio.create_task(drain(server, waiting))
    meanwhile = await p99(client)
    drained = await draining - began
    say(f"p99 {alone * 1000:.1f} ms alone, {meanwhile * 1000:.1f} ms meanwhile, {waiting} drained in {drained:.1f} s")
    assert drained <= DRAINED_SECONDS_MAX
    return alone, meanwhile


async def drain(server: NatsServer, count: int) -> float:
    """The moment at which the bus had so many events; looked at seldom, so as to disturb nobody."""
    await eventually(server.is_ready)
    while True:
        if await server.last_sequence() >= count:
            return time.monotonic()
        await asyncio.sleep(0.5)


async def p99(client: httpx.AsyncClient) -> float:
    """Of creating payments at a fixed rate, in seconds."""
    began, sent = time.monotonic(), []
    for number in range(RATE_PER_SECOND * MEASURED_SECONDS):
        await asyncio.sleep(max(0.0, began + number / RATE_PER_SECOND - time.monotonic()))
        sent.append(asyncio.create_task(create(client)))
    taken = sorted(await asyncio.gather(*sent))
    return taken[int(len(taken) * 0.99)]


async def create(client: httpx.AsyncClient) -> float:
    body = {"orderId": unique("order"), "customerId": unique("customer"), "amount": 1999, "currency": "EUR"}
    began = time.monotonic()
    answer = await client.post(CORE, json=body)
    assert answer.status_code == 201, answer.text
    return time.monotonic() - began
