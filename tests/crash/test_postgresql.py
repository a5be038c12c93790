"""kill -9 of PostgreSQL and of the supervisor under load: the service comes back with all that it had said."""

import asyncio
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar.infra import embedded
from bursar.infra.embedded.postmaster import read_pid_file
from bursar.infra.keyfiles import token_key
from tests.crash.harness import Process, connected, environment, faults, open_directory, quiet, reading, say
from tests.crash.shoppers import Shopper, crowd
from tests.infra.processes import is_alive
from tests.support.api import CORE, json_of
from tests.support.ports import free_port
from tests.support.service import eventually
from tests.support.tokens import token

GONE_SECONDS_MAX = 30
BACK_SECONDS_MAX = 90


class Served:
    """`bursar serve` on a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.data_dir = directory / "data"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.env = environment(self.data_dir, BURSAR_PORT=str(self.port))
        self.process = Process("serve", env=self.env, log=directory / "serve.log")
        self.token = token(token_key(self.data_dir / "keys"), "service")

    @property
    def postmaster(self) -> int:
        found = read_pid_file(self.data_dir / "postgresql" / "cluster")
        assert found is not None
        return found.pid

    @property
    def database_url(self) -> str:
        url = embedded.running(self.data_dir)
        assert url is not None
        return url

    def family(self) -> list[int]:
        """The supervisor, its children and theirs."""
        found = [self.process.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    found += [int(word) for word in task.read_text().split()]
        return found

    async def ready(self) -> None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:

            async def answers() -> bool:
                assert self.process.returncode is None, self.process.said()
                try:
                    return (await client.get(f"{self.base}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(answers, BACK_SECONDS_MAX)

    async def check(self, people: list[Shopper]) -> None:
        """All that clients believe is there, once; payments, ledger and the provider agree."""
        async with connected(self.database_url) as connection:
            await quiet(connection, BACK_SECONDS_MAX)
            with reading(self.data_dir / "sandbox-books.jsonl") as books:
                assert await faults(connection, books) == []
            rows = await connection.fetch("select order_id, id, version, status from payments")
        believed = {order: answer for shopper in people for order, answer in shopper.answers.items()}
        assert Counter(row["order_id"] for row in rows) == Counter(believed.keys())
        for row in rows:
            answer = believed[row["order_id"]]
            assert (row["id"], row["version"], row["status"]) == (answer["id"], answer["version"], answer["status"])
        for command in (("ledger", "verify"), ("events", "replay")):
            proof = Process(*command, env=self.env, log=self.data_dir / "proof.log")
            proof.start()
            await eventually(lambda proof=proof: proof.returncode is not None, 120)  # type: ignore[misc]
            assert proof.stop() == 0, proof.said()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    directory = open_directory()
    made = Served(directory)
    made.process.start()
    try:
        await made.ready()
        yield made
    finally:
        await asyncio.to_thread(made.process.stop)
        shutil.rmtree(directory, ignore_errors=True)  # a killed PostgreSQL may still be leaving


@asynccontextmanager
async def load(served: Served) -> AsyncIterator[list[Shopper]]:
    """Shoppers at work, who finish what they have begun when this is left."""
    async with crowd(8, [served.base], served.token, seed=1) as people, asyncio.TaskGroup() as group:
        stopping = asyncio.Event()
        for shopper in people:
            group.create_task(shopper.shop(stopping))
        await asyncio.sleep(1)
        yield people
        stopping.set()


async def test_killed_postmaster_is_revived_and_everybody_goes_on(served: Served) -> None:
    async with load(served) as people:
        for _ in range(2):
            before = served.postmaster
            os.kill(before, signal.SIGKILL)
            await eventually(lambda before=before: has_other_postmaster(served, before), BACK_SECONDS_MAX)  # type: ignore[misc]
            await served.ready()
            await asyncio.sleep(1)
    await served.check(people)
    await check_worker_works(served)


def has_other_postmaster(served: Served, before: int) -> bool:
    found = read_pid_file(served.data_dir / "postgresql" / "cluster")
    return found is not None and found.is_ready and found.pid != before


async def check_worker_works(served: Served) -> None:
    """A payment that nobody reads is settled: so the worker has survived, too."""
    headers = {"authorization": f"Bearer {served.token}"}
    creation: dict[str, Any] = {
        "orderId": "last-order",
        "customerId": "customer-1",
        "amount": 100,
        "currency": "EUR",
        "paymentMethodId": "pm_sandbox_timeout_after_effect",
    }
    async with httpx.AsyncClient(base_url=served.base, headers=headers, timeout=30, trust_env=False) as client:
        payment = json_of(await client.post(CORE, json=creation), 201)
        json_of(await client.put(f"{CORE}/{payment['id']}/authorize"), 202)
    async with connected(served.database_url) as connection:
        await quiet(connection, BACK_SECONDS_MAX)
        status = await connection.fetchval("select status from payments where id = $1", payment["id"])
    assert status == "AUTHORIZED"


async def test_killed_supervisor_takes_all_with_it_and_the_next_start_has_the_data(served: Served) -> None:
    async with load(served) as people:
        family = served.family()
        assert len(family) > 6  # the supervisor, API, worker, PostgreSQL and its own children
        served.process.kill()
        began = time.monotonic()
        while left := [shown(pid) for pid in family if is_alive(pid)]:
            assert time.monotonic() - began < GONE_SECONDS_MAX, left
            await asyncio.sleep(0.05)
        say(f"gone {time.monotonic() - began:.1f} s after the supervisor")
        served.process.start()
        await served.ready()
    await served.check(people)


def shown(pid: int) -> str:
    """A process for a person who has to find out why it is left."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        return f"{pid} {command} waits in {Path(f'/proc/{pid}/wchan').read_text()}"
    except (FileNotFoundError, ProcessLookupError):
        return f"{pid} has just ended"
