"""The receiver was away, workers are killed, two work at once: nothing is lost, and each stream keeps its order."""

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar.domains.webhook_endpoints.deliver import Deliverer
from bursar.infra.death import die_with_parent
from tests.conftest import Serve
from tests.support.api import Api, json_of
from tests.support.delivering import delivering
from tests.support.receiver import Message, Receiver, Reply, deliver_until, register, streams_of
from tests.support.service import Service, eventually, serving

EVENTS = 3_000
PAYMENTS = EVENTS // 3
NOISE_SECONDS = 0.005
WAIT_SECONDS_MAX = 120
"""For what is no matter of time: a process starts, a lease of ten seconds runs out, other tests hold the machine."""

STOOD_STILL = """
select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
and state_change < clock_timestamp() - interval '0.3 seconds'
"""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def service(serve: Serve) -> AsyncIterator[Service]:
    """One of the test's own, which may call this machine."""
    async with delivering(serve) as served:
        yield served


async def load(api: Api, payments: int, at_once: int = 40) -> list[float]:
    """Authorize so many payments: three events each. Returns how long each creation took."""
    seconds: list[float] = []

    async def one() -> None:
        started = time.perf_counter()
        payment = await api.create_payment()
        seconds.append(time.perf_counter() - started)
        json_of(await api.authorize(payment["id"]), 200)

    for start in range(0, payments, at_once):
        await asyncio.gather(*(one() for _ in range(min(at_once, payments - start))))
    return seconds


async def is_written(service: Service, count: int) -> bool:
    """Whether so many deliveries are over, and none waits."""
    rows = await service.fetch("select status, count(*) from webhook_deliveries group by 1")
    return {row[0]: row[1] for row in rows} == {"DELIVERED": count}


def assert_whole(messages: list[Message], payments: int) -> None:
    """Every event came, and those of a payment in their order."""
    streams = streams_of(messages)
    assert len(streams) == payments
    wrong = {stream: versions for stream, versions in streams.items() if versions != [1, 2, 3]}
    assert not wrong, wrong


def unevenly(_: Message) -> Reply:
    """Answers that overtake each other: what is sent side by side does not stay in order."""
    return Reply(after=random.uniform(0, 0.02))


class TestReceiverAway:
    async def test_nothing_is_lost_and_it_is_drained_when_it_is_back(self, service: Service) -> None:
        """Sooner than its schedule says; `script/bench --only backlog` holds it to a minute."""
        api = service.api.as_("service")
        async with Receiver() as receiver:
            await register(api, receiver.url, eventTypes=["payment.*"])
            await receiver.close()
            deliverer = Deliverer(service.app)
            running = asyncio.create_task(deliverer.run())
            await load(api, PAYMENTS)
            await asyncio.sleep(1)
            tries = (await service.fetch("select coalesce(sum(attempts), 0) from webhook_deliveries"))[0][0]
            assert tries < 200, "a dead receiver is left alone"

            await receiver.open()
            await eventually(lambda: len({message.id for message in receiver.taken}) == EVENTS, WAIT_SECONDS_MAX)
            deliverer.stop()
            await running
            assert_whole(receiver.taken, PAYMENTS)
            assert await is_written(service, EVENTS)

    async def test_five_minutes_in_which_nobody_delivered(self, service: Service) -> None:
        """The workers were away too: everything is fanned out and sent when one comes."""
        api = service.api.as_("service")
        async with Receiver(unevenly) as receiver:
            await register(api, receiver.url, eventTypes=["payment.*"])
            await load(api, PAYMENTS)
            service.clock.advance(minutes=5)
            await deliver_until(service.app, lambda: len(receiver.taken) == EVENTS, WAIT_SECONDS_MAX)
            assert_whole(receiver.taken, PAYMENTS)
            assert await is_written(service, EVENTS)


class TestTwoWorkers:
    async def test_share_the_work_and_keep_the_order(self, service: Service) -> None:
        api = service.api.as_("service")
        settings = {"delivery_private_networks": True}
        directory = service.app.settings.data_path
        async with (
            Receiver() as one,
            Receiver(unevenly) as other,
            serving(service.url, directory, clock=service.clock, **settings) as second,
        ):
            for receiver in (one, other):
                await register(api, receiver.url, eventTypes=["payment.*"])
            workers = [Deliverer(service.app), Deliverer(second.app)]
            running = [asyncio.create_task(worker.run()) for worker in workers]
            await load(api, 300)
            await eventually(lambda: len(one.taken) >= 900 and len(other.taken) >= 900, WAIT_SECONDS_MAX)
            await is_over(service, 1_800)
            for worker in workers:
                worker.stop()
            await asyncio.gather(*running)
            for receiver in (one, other):
                assert_whole(receiver.taken, 300)
                repeats = [
                    name for name, count in Counter(message.id for message in receiver.came).items() if count > 1
                ]
                assert repeats == [], "nobody died, so nothing came twice"

    async def test_a_lane_that_was_lost_is_left(self, service: Service) -> None:
        """A worker that stood still too long finds another one at work, and writes nothing any more."""
        api = service.api.as_("service")
        async with Receiver(lambda _: Reply(after=0.05)) as receiver:
            endpoint = await register(api, receiver.url, eventTypes=["payment.*"])
            await load(api, 30)
            deliverer = Deliverer(service.app)
            running = asyncio.create_task(deliverer.run())
            await eventually(lambda: len(receiver.came) > 5, WAIT_SECONDS_MAX)
            await service.fetch("update webhook_lanes set fence = fence + 1 where endpoint_id = $1", endpoint["id"])
            came = len(receiver.came)
            await asyncio.sleep(1)
            assert len(receiver.came) <= came + 32, "what was under way, and no more"
            service.clock.advance(seconds=11)
            await is_over(service, 90)
            deliverer.stop()
            await running
            assert_whole(receiver.taken, 30)


class Child:
    """A worker in a process of its own, which does nothing but deliver."""

    def __init__(self, service: Service) -> None:
        directory = str(service.app.settings.data_path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.receiver", service.url, directory],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": "/usr/bin:/bin"},
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - only the main thread gets one
        )

    async def pause(self, service: Service) -> None:
        """Stop it with no transaction open: that would hold up the events of every database of the server."""
        while True:
            self.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.5)
            if not await service.fetch(STOOD_STILL):
                return
            self.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.01)

    def kill(self) -> None:
        assert self.process.poll() is None, "it ended by itself"
        self.process.kill()
        self.process.wait()


class TestKilled:
    async def test_in_the_middle_loses_nothing(self, service: Service) -> None:
        api = service.api.as_("service")
        async with Receiver(unevenly) as receiver:
            await register(api, receiver.url, eventTypes=["payment.*"])
            loading = asyncio.create_task(load(api, 400, at_once=8))
            for share in (100, 500):
                child = Child(service)
                try:
                    await eventually(lambda share=share: len(receiver.taken) >= share, WAIT_SECONDS_MAX)  # type: ignore[misc]
                finally:
                    child.kill()
                under_way = receiver.at_once
                assert under_way <= 32
            await loading
            await deliver_until(service.app, lambda: len({m.id for m in receiver.taken}) == 1_200, WAIT_SECONDS_MAX)
            assert_whole(receiver.taken, 400)
            await is_over(service, 1_200)
            repeated = len(receiver.came) - len({message.id for message in receiver.came})
            assert repeated <= 2 * 32, "only what was under way came twice"


class TestPaused:
    async def test_beyond_its_lease_changes_nothing_when_it_goes_on(self, service: Service) -> None:
        """Another worker has the lane by then, and has sent what was under way."""
        api = service.api.as_("service")
        async with Receiver(unevenly) as receiver:
            await register(api, receiver.url, eventTypes=["payment.*"])
            loading = asyncio.create_task(load(api, 200, at_once=8))
            child = Child(service)
            try:
                await eventually(lambda: len(receiver.taken) >= 100, WAIT_SECONDS_MAX)
                await child.pause(service)
                await loading
                every = lambda: len({m.id for m in receiver.taken}) == 600  # noqa: E731
                await deliver_until(service.app, every, WAIT_SECONDS_MAX)
                await is_over(service, 600)
                child.process.send_signal(signal.SIGCONT)
                late = await api.create_payment()
                has_late = lambda: late["id"] in {message.stream for message in receiver.taken}  # noqa: E731
                await eventually(has_late, WAIT_SECONDS_MAX)
            finally:
                child.kill()
            assert_whole([message for message in receiver.taken if message.stream != late["id"]], 200)
            repeated = len(receiver.came) - len({message.id for message in receiver.came})
            assert repeated <= 2 * 32, "only what was under way came twice"


async def is_over(service: Service, count: int) -> None:
    """Wait until all is written down: what is sent just before a stop is so, too."""
    await eventually(lambda: is_written(service, count), WAIT_SECONDS_MAX)


@pytest.mark.long
class TestPayments:
    async def test_are_as_quick_while_a_receiver_is_away(self, service: Service) -> None:
        """p99 of creating a payment, with a dead endpoint and a worker beside it, is at most 1.2 × of that without, but
        for what other tests cost; `script/bench --only backlog` measures it alone.
        """
        api = service.api.as_("service")
        await load(api, 200)
        async with Receiver() as receiver:
            rounds: list[tuple[float, float]] = []
            endpoint: dict[str, Any] = await register(api, receiver.url)
            await receiver.close()
            path = f"/api/v1/webhook-endpoints/{endpoint['id']}"
            for _ in range(5):
                json_of(await api.call("PATCH", path, {"status": "DISABLED"}), 200)
                quiet = await timed(api)
                json_of(await api.call("PATCH", path, {"status": "ACTIVE"}), 200)
                deliverer = Deliverer(service.app)
                running = asyncio.create_task(deliverer.run())
                busy = await timed(api)
                deliverer.stop()
                await running
                rounds.append((quiet, busy))
        best_quiet, best_busy = (min(one[side] for one in rounds) for side in (0, 1))
        assert best_busy <= max(best_quiet * 1.2, best_quiet + NOISE_SECONDS), rounds


async def timed(api: Api) -> float:
    """The 99th percentile of 600 creations, at some 100 a second."""
    seconds: list[float] = []

    async def one() -> httpx.Response:
        started = time.perf_counter()
        answer = await api.post_payment()
        seconds.append(time.perf_counter() - started)
        return answer

    tasks = []
    for _ in range(600):
        tasks.append(asyncio.create_task(one()))
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    return sorted(seconds)[int(len(seconds) * 0.99)]
