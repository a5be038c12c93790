"""Webhooks as a provider sends them: signed, repeated until they are taken, sometimes twice or late."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final

import httpx
import msgspec

from simulators.kit.clock import Clock
from simulators.kit.faults import Faults, Kind

Sign = Callable[[bytes, dict[str, Any], int], dict[str, str]]
"""(body, event, Unix seconds) → headers."""

ATTEMPTS_MAX: Final = 4
RETRY_SECONDS: Final = 0.2
TIMEOUT_SECONDS: Final = 5.0


class Sending(msgspec.Struct):
    """One attempt. status: None where nobody answered."""

    event_id: str
    event_type: str
    attempt: int
    at: int
    is_duplicate: bool
    is_late: bool
    status: int | None = None


class Webhooks:
    """Sends events to `url`, once one is set; until then events are only kept (in `events`).

    log: every attempt. Late and failed ones go out in the background; `settled` waits for all of them.
    """

    def __init__(self, sign: Sign, faults: Faults, clock: Clock) -> None:
        self.url: str | None = None
        self.secret = "whsec_simulators"
        self.events: list[dict[str, Any]] = []
        self.log: list[Sending] = []
        self._sign = sign
        self._faults = faults
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    def emit(self, event_id: str, event_type: str, event: dict[str, Any]) -> None:
        """Send an event as soon as the handler is through. Awaits nothing."""
        self.events.append(event)
        if self.url is None:
            return
        fault = self._faults.for_webhook(event_type, event_id)
        body = json.dumps(event).encode()
        copies = 2 if fault is Kind.DUPLICATE_WEBHOOK else 1
        for copy in range(copies):
            sending = Sending(event_id, event_type, 1, 0, copy > 0, fault is Kind.LATE_WEBHOOK)
            task = asyncio.get_running_loop().create_task(self._deliver(self.url, body, event, sending))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Wait until nothing is on its way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self.settled()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def state(self) -> dict[str, Any]:
        """As `GET /_sim/webhooks` shows it."""
        return {"url": self.url, "on_the_way": len(self._tasks), "sent": msgspec.to_builtins(self.log)}

    async def _deliver(self, url: str, body: bytes, event: dict[str, Any], sending: Sending) -> None:
        if sending.is_late:
            await asyncio.sleep(self._faults.late_seconds)
        for attempt in range(1, ATTEMPTS_MAX + 1):
            now = self._clock.unix()
            tried = msgspec.structs.replace(sending, attempt=attempt, at=now)
            self.log.append(tried)
            headers = {"Content-Type": "application/json; charset=utf-8", **self._sign(body, event, now)}
            try:
                answer = await self._open().post(url, content=body, headers=headers)
            except httpx.HTTPError:
                tried.status = None
            else:
                tried.status = answer.status_code
                if answer.is_success:
                    return
            await asyncio.sleep(RETRY_SECONDS * attempt)

    def _open(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False)
        return self._client
