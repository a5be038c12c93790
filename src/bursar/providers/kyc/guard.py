"""What stands around a KYC service: a circuit breaker, a bulkhead, the pause that it asked for, and its figures.

The time-out of a call is the adapter's. Nothing is tried again here: the job that asks comes back by itself.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from bursar.infra import observe
from bursar.providers.guard import Breaker, Limits
from bursar.providers.kyc.port import Absent, KycProvider, Outcome
from bursar.providers.port import Unavailable, Unknown

log = structlog.get_logger()
Told = TypeVar("Told", bound=Outcome | Absent)


class GuardedKyc:
    """A KYC service behind its limits; itself one. A call that never goes out is Unavailable."""

    def __init__(self, adapter: KycProvider, limits: Limits) -> None:
        self.adapter = adapter
        self.breaker = Breaker(limits)
        self._concurrency_max = limits.concurrency_max
        self._under_way = 0
        self._paused_until = 0.0
        observe.PROVIDER_BREAKER_OPEN.labels(adapter.name).set_function(lambda: float(self.breaker.is_open))

    @property
    def name(self) -> str:
        return self.adapter.name

    async def start(
        self, *, key: str, subject_type: str, subject_id: str, level: str, evidence: Sequence[str]
    ) -> Outcome:
        """See KycProvider."""
        call = partial(
            self.adapter.start,
            key=key,
            subject_type=subject_type,
            subject_id=subject_id,
            level=level,
            evidence=evidence,
        )
        return self._held_back() or await self._run("kyc_start", call)

    async def status(self, reference: str) -> Outcome:
        """See KycProvider."""
        return self._held_back() or await self._run("kyc_status", partial(self.adapter.status, reference))

    async def find(self, key: str) -> Outcome | Absent:
        """See KycProvider."""
        return self._held_back() or await self._run("kyc_find", partial(self.adapter.find, key))

    async def close(self) -> None:
        await self.adapter.close()

    def _held_back(self) -> Unavailable | None:
        """Why no call goes out now; None where one does."""
        left = max(self.breaker.seconds_left, self._paused_until - time.monotonic())
        if left > 0:
            return Unavailable(f"{self.name} is left alone for now", retry_after=int(left) + 1)
        if self._under_way >= self._concurrency_max:
            return Unavailable(f"too many calls to {self.name} at once", retry_after=1)
        return None

    async def _run(self, operation: str, call: Callable[[], Awaitable[Told]]) -> Told | Unknown:
        started = time.perf_counter()
        self._under_way += 1
        is_trial = self.breaker.begin()
        outcome: Told | Unknown | None = None
        try:
            outcome = await call()
        except Exception as error:  # an adapter that raises has a fault: what it did is not known
            log.exception("kyc.adapter_broken", provider=self.name, operation=operation)
            outcome = Unknown(f"the adapter broke: {type(error).__name__}")
        finally:
            self._under_way -= 1
            retry_after = outcome.retry_after if isinstance(outcome, Unavailable) else None
            is_failure = isinstance(outcome, Unavailable | Unknown) and retry_after is None
            self.breaker.end(is_trial=is_trial, is_failure=None if outcome is None else is_failure)
        if retry_after is not None:
            self._paused_until = max(self._paused_until, time.monotonic() + retry_after)
        observe.PROVIDER_OUTCOMES.labels(self.name, operation, type(outcome).__name__).inc()
        observe.PROVIDER_SECONDS.labels(self.name, operation).observe(time.perf_counter() - started)
        return outcome
