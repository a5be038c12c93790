"""The lane of one endpoint: sends what is due to it, so many at once, and writes down what came of it.

One worker at a time holds a lane, by a lease with a fencing token; so one query keeps the order of each stream: a
delivery is due when none before it in its stream waits. No transaction is open while the endpoint is asked. A worker
that is killed loses the lane within LEASE_SECONDS, and what was under way is sent again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import structlog

from bursar.domains.context import App
from bursar.domains.webhook_endpoints import delivery as deliveries
from bursar.domains.webhook_endpoints import secret, service, signature, store
from bursar.domains.webhook_endpoints.delivery import Delivery, Outcome
from bursar.domains.webhook_endpoints.model import DisabledReason, Endpoint, Status
from bursar.domains.webhook_endpoints.send import Sender
from bursar.domains.webhook_endpoints.store import Due, Held
from bursar.infra.db import UNREACHABLE
from bursar.infra.events import envelope
from bursar.kit.errors import Problem

log = structlog.get_logger()

AT_ONCE_MAX: Final = 32
"""Messages that are under way to one endpoint."""

POLL_SECONDS: Final = 0.2
IDLE_ROUNDS_MAX: Final = 10
"""How often nothing was due before the lane is given back: a steady trickle keeps its connections."""


class LaneLost(Exception):  # noqa: N818  not an error: somebody else goes on
    """The lease ran out, and another worker holds the lane."""


class _Begun(NamedTuple):
    """A try under way. endpoint: as it was then."""

    delivery: Delivery
    endpoint: Endpoint
    is_probe: bool


class Lane:
    """Delivers to one endpoint until nothing is due."""

    def __init__(self, app: App, held: Held, stopping: asyncio.Event) -> None:
        self.app = app
        self.held = held
        self.health = held.health
        self._stopping = stopping
        self._under_way: dict[asyncio.Task[Outcome], _Begun] = {}
        self._endpoint: Endpoint | None = None
        self._version = 0
        self._idle_rounds = 0
        self._renewed_at = app.clock.now()

    async def run(self) -> None:
        """Deliver, then give the lane back; or leave it to its lease, where the database cannot be reached."""
        settings, name = self.app.settings, self.held.endpoint_id
        sender = Sender(
            self.app.clock,
            timeout_seconds=settings.delivery_timeout_seconds,
            private=settings.delivery_private_networks,
        )
        try:
            async with sender:
                try:
                    while not await self._turn(sender):
                        pass
                finally:
                    await self._abandon()
        except LaneLost:
            log.warning("webhooks.lane_lost", endpoint=name)
        except (*UNREACHABLE, Problem) as error:
            log.warning("webhooks.lane_interrupted", endpoint=name, error=repr(error))
        except Exception:  # a fault of ours in one lane: the others go on, and this one when its lease has run out
            log.exception("webhooks.lane_broken", endpoint=name)

    async def _turn(self, sender: Sender) -> bool:
        """Write down what has ended, begin what is due, wait for something to happen. Returns whether the lane was
        given back.
        """
        await self._settle()
        endpoint = await self._present()
        is_going_on = endpoint is not None and not self._stopping.is_set()
        if endpoint is not None and is_going_on:
            await self._begin(sender, endpoint)
        if self._under_way:
            self._idle_rounds = 0
            await asyncio.wait(self._under_way, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            return False
        now = self.app.clock.now()
        is_over = not is_going_on or self.health.is_paused(now)
        self._idle_rounds += 1
        if is_over or self._idle_rounds >= IDLE_ROUNDS_MAX:
            return await store.release(self.app.database, self.held, now, soon=is_over or self.health.is_down)
        await asyncio.sleep(POLL_SECONDS)
        return False

    async def _settle(self) -> None:
        """Write down what has ended, all of it at once."""
        ended = [task for task in self._under_way if task.done()]
        if not ended:
            await self._renew()
            return
        outcomes = [(self._under_way.pop(task), task.result()) for task in ended]
        if not all(outcome.is_delivered for _, outcome in outcomes):
            await self._present()
        tried: list[Delivery] = []
        was_down, recovered_since = self.health.is_down, None
        gone: Endpoint | None = None
        for begun, outcome in outcomes:
            if not outcome.is_delivered and begun.endpoint.version != self._version:
                continue  # what it said before it was changed, at another address it may be: it is asked anew
            if outcome.is_gone:
                gone = begun.endpoint
            if outcome.is_delivered and self.health.is_down:
                recovered_since = self.health.failing_since
            self.health = self.health.after(begun.delivery, outcome)
            tried.append(deliveries.after(begun.delivery, outcome, is_probe=begun.is_probe))
        if not tried:
            return
        self._renewed_at = self.app.clock.now()
        if not await store.record(self.app.database, self.held, self.health, tried, recovered_since=recovered_since):
            raise LaneLost
        if was_down != self.health.is_down:
            log.warning("webhooks.endpoint_changed", endpoint=self.held.endpoint_id, is_down=self.health.is_down)
        if gone is not None:
            await service.give_up(self.app, gone, DisabledReason.GONE)
        elif self._endpoint is not None and self.health.is_hopeless(self._renewed_at):
            await service.give_up(self.app, self._endpoint, DisabledReason.FAILING)

    async def _renew(self) -> None:
        now = self.app.clock.now()
        if now - self._renewed_at < timedelta(seconds=store.LEASE_SECONDS / 3):
            return
        self._renewed_at = now
        if not await store.renew(self.app.database, self.held, now):
            raise LaneLost

    async def _present(self) -> Endpoint | None:
        """The endpoint as it is now; None where nothing is sent to it any more."""
        endpoint = await self.app.reader.get(store.TABLE, self.held.endpoint_id)
        self._version = 0 if endpoint is None else endpoint.version
        if endpoint is None or endpoint.status is not Status.ACTIVE:
            return None
        if self._endpoint is not None and endpoint.version != self._endpoint.version:
            self.health = deliveries.Health()  # whoever changed it may have mended it
        self._endpoint = endpoint
        return endpoint

    async def _begin(self, sender: Sender, endpoint: Endpoint) -> None:
        """Send what is due, as much as there is room for; where the endpoint is down, one that asks whether it is
        back.
        """
        now = self.app.clock.now()
        room = (1 if self.health.is_down else AT_ONCE_MAX) - len(self._under_way)
        if room <= 0 or self.health.is_paused(now):
            return
        besides = [begun.delivery.id for begun in self._under_way.values()]
        due = await store.due(self.app.database, self.held, now, besides=besides, limit=room)
        is_probe = not due and self.health.is_down
        if is_probe:
            due = await store.to_probe(self.app.database, self.held, now)
        if not due:
            return
        keys = secret.open_all(self.app.personal_keys, endpoint, now)
        for one in due:
            task = asyncio.create_task(_send(sender, endpoint, keys, one, now))
            self._under_way[task] = _Begun(one.delivery, endpoint, is_probe)

    async def _abandon(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)


async def _send(sender: Sender, endpoint: Endpoint, keys: Sequence[bytes], due: Due, now: datetime) -> Outcome:
    document = due.delivery.content if due.event is None else envelope(due.event)
    body = msgspec.json.encode(document)
    headers = signature.headers(keys, message_id=due.delivery.event_id, timestamp=int(now.timestamp()), body=body)
    return await sender.post(endpoint.url, headers, body)
