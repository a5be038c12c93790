"""What stands around every provider: a time-out, a retry budget, a circuit breaker, a bulkhead, and its figures.

A provider that is slow or down costs its own callers a quick answer, and nobody else anything. Only what is certainly
not done is tried again, with the same key; what may have been done is asked about, by whoever waits for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import msgspec
import stamina
import structlog
from prometheus_client import Counter, Histogram

from bursar.infra import observe
from bursar.providers.port import (
    BankNews,
    BankRail,
    MethodType,
    Outcome,
    PaymentProvider,
    Request,
    Unavailable,
    Unknown,
)

log = structlog.get_logger()

FAILURES: Final = {"execute": (Unavailable, Unknown), "inquire": (Unknown,)}
"""What tells of a provider that is down. To an inquiry, Unavailable is an answer: it was never done."""

RETRY_PAUSE_SECONDS: Final = 0.1
BUDGET_MAX: Final = 10.0
PAUSE_SECONDS_MAX: Final = 3_600


class Limits(msgspec.Struct, frozen=True):
    """What one provider may cost.

    timeout_seconds: for one call. concurrency_max: calls under way at once; waiting_max: that wait for one of those.
    breaker_failures: in a row, after which the circuit opens (0: never) for breaker_open_seconds; then one call tries.
    retries_max: after the first try. retry_ratio: retries that each call earns, saved up to BUDGET_MAX.
    """

    timeout_seconds: float = 20.0
    concurrency_max: int = 64
    waiting_max: int = 256
    breaker_failures: int = 10
    breaker_open_seconds: float = 10.0
    retries_max: int = 2
    retry_ratio: float = 0.1


class Breaker:
    """Open after so many failures in a row; after a while one call at a time is let through until one succeeds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures = 0
        self._open_until = 0.0
        self._is_trying = False

    @property
    def is_open(self) -> bool:
        return self.seconds_left > 0

    @property
    def seconds_left(self) -> float:
        """Until a call is let through again; 0 where it is at once."""
        if not self._limits.breaker_failures or self._failures < self._limits.breaker_failures:
            return 0.0
        left = self._open_until - time.monotonic()
        return max(left, 1.0 if self._is_trying else 0.0)

    def begin(self) -> bool:
        """A call goes out. Returns whether it is the one that tries, while the others wait."""
        is_trial = bool(self._limits.breaker_failures) and self._failures >= self._limits.breaker_failures
        self._is_trying = self._is_trying or is_trial
        return is_trial

    def end(self, *, is_trial: bool, is_failure: bool | None) -> None:
        """A call came back, or did not; None: its caller left, and nobody knows. is_trial: as `begin` said."""
        if is_trial:
            self._is_trying = False
        if is_failure is None:
            return
        self._failures = self._failures + 1 if is_failure else 0
        if is_failure:
            self._open_until = time.monotonic() + self._limits.breaker_open_seconds


class Guarded:
    """A provider behind its limits; itself a provider. Whatever stops a call before it goes out is Unavailable for a
    step, and Unknown for an inquiry: that nobody asked says nothing of what was done before.
    """

    def __init__(self, adapter: PaymentProvider, limits: Limits) -> None:
        self.adapter = adapter
        self.limits = limits
        self.breaker = Breaker(limits)
        self._free = asyncio.Semaphore(limits.concurrency_max)
        self._waiting = 0
        self._paused_until = 0.0
        self._budget = BUDGET_MAX
        observe.PROVIDER_BREAKER_OPEN.labels(adapter.name).set_function(lambda: float(self.breaker.is_open))

    @property
    def name(self) -> str:
        return self.adapter.name

    @property
    def method_types(self) -> frozenset[MethodType]:
        return self.adapter.method_types

    @property
    def requests(self) -> frozenset[type[Request]]:
        return self.adapter.requests

    def accepts(self, currency: str) -> bool:
        """See PaymentProvider."""
        return self.adapter.accepts(currency)

    async def execute(self, request: Request) -> Outcome:
        """Carry out a step in bounded time; what is certainly not done is tried again while the budget lasts."""
        if type(request) not in self.adapter.requests:
            return Unavailable(f"{self.name} does no {type(request).__name__.lower()}")
        self._budget = min(BUDGET_MAX, self._budget + self.limits.retry_ratio)
        outcome = await self._bounded(request, "execute")
        return await self._retried(request, outcome) if isinstance(outcome, Unavailable) else outcome

    async def _retried(self, request: Request, first: Unavailable) -> Outcome:
        """Try again what the first try certainly did not do; the pauses in between are stamina's."""
        outcome: Outcome = first
        try:
            async for attempt in stamina.retry_context(
                on=self._is_worth_another_try,
                attempts=self.limits.retries_max + 1,
                timeout=None,
                wait_initial=RETRY_PAUSE_SECONDS,
                wait_jitter=RETRY_PAUSE_SECONDS,
            ):
                with attempt:
                    if attempt.num > 1:
                        outcome = await self._bounded(request, "execute")
                    if isinstance(outcome, Unavailable):
                        raise _NotDone(outcome)
        except _NotDone as not_done:
            return not_done.outcome
        return outcome

    def _is_worth_another_try(self, error: Exception) -> bool:
        if not isinstance(error, _NotDone) or error.outcome.retry_after is not None or self._budget < 1:
            return False
        self._budget -= 1
        return True

    async def inquire(self, request: Request) -> Outcome:
        """Ask for a step's outcome in bounded time."""
        return await self._bounded(request, "inquire")

    async def close(self) -> None:
        await self.adapter.close()

    def _pause(self) -> int:
        """Whole seconds for which no call goes out: the circuit is open, or the provider asked for it; 0: none."""
        left = max(self.breaker.seconds_left, self._paused_until - time.monotonic())
        return 0 if left <= 0 else int(left) + 1

    async def _bounded(self, request: Request, asked: str) -> Outcome:
        operation = type(request).__name__.lower() if asked == "execute" else "inquiry"
        started = time.perf_counter()
        outcome: Outcome
        try:
            async with self._admitted():
                outcome = await self._call(request, asked)
        except _HeldBack as held:
            outcome = held.outcome if asked == "execute" else Unknown(held.outcome.reason)
        counter, seconds = _metrics(self.name, operation, type(outcome).__name__)
        counter.inc()
        seconds.observe(time.perf_counter() - started)
        return outcome

    async def _call(self, request: Request, asked: str) -> Outcome:
        outcome: Outcome
        is_trial = self.breaker.begin()
        is_failure: bool | None = True
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                outcome = await getattr(self.adapter, asked)(request)
            is_failure = isinstance(outcome, FAILURES[asked]) and getattr(outcome, "retry_after", None) is None
        except TimeoutError:
            outcome = Unknown("the provider did not answer in time")
        except asyncio.CancelledError:
            is_failure = None
            raise
        except Exception as error:  # an adapter that raises has a fault: what it did is not known
            log.exception("provider.broken", provider=self.name, operation=asked)
            outcome = Unknown(f"the adapter broke: {type(error).__name__}")
        finally:
            self.breaker.end(is_trial=is_trial, is_failure=is_failure)
        if isinstance(outcome, Unavailable) and outcome.retry_after is not None:
            pause = min(outcome.retry_after, PAUSE_SECONDS_MAX)
            self._paused_until = max(self._paused_until, time.monotonic() + pause)
            if asked == "inquire":  # a provider that wants to be left alone did not look
                outcome = Unknown(outcome.reason)
        return outcome

    @asynccontextmanager
    async def _admitted(self) -> AsyncIterator[None]:
        """One of the places. Raises _HeldBack where no call goes out now, or as many wait for a place as may."""
        self._refuse_pause()
        if self._free.locked():
            await self._wait_for_place()
        else:
            await self._free.acquire()
        try:
            self._refuse_pause()  # it may have begun while this call waited
            yield
        finally:
            self._free.release()

    async def _wait_for_place(self) -> None:
        full = _HeldBack(Unavailable(f"too many calls to {self.name} at once", retry_after=1))
        if self._waiting >= self.limits.waiting_max:
            raise full
        self._waiting += 1
        try:
            async with asyncio.timeout(self.limits.timeout_seconds):
                await self._free.acquire()
        except TimeoutError as error:
            raise full from error
        finally:
            self._waiting -= 1

    def _refuse_pause(self) -> None:
        if pause := self._pause():
            raise _HeldBack(Unavailable(f"{self.name} is left alone for now", retry_after=pause))


class GuardedRail(Guarded):
    """A bank rail behind its limits. Exchanging files is no call that somebody waits for: it has no time-out, and what
    goes wrong with it is logged and tried again by the schedule.
    """

    def __init__(self, adapter: PaymentProvider, limits: Limits) -> None:
        super().__init__(adapter, limits)
        assert isinstance(adapter, BankRail)
        self._rail: BankRail = adapter

    async def exchange(self) -> list[BankNews]:
        """See BankRail; nothing where it broke."""
        try:
            return await self._rail.exchange()
        except Exception:  # each step is safe to repeat, and the other rails have to go on
            log.exception("provider.exchange_broken", provider=self.name)
            return []

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """See BankRail."""
        await self._rail.acknowledge(news_ids)


def guarded(adapter: PaymentProvider, limits: Limits) -> Guarded:
    """An adapter behind its guard; one that exchanges files with a bank still does."""
    return (GuardedRail if isinstance(adapter, BankRail) else Guarded)(adapter, limits)


class _NotDone(Exception):  # noqa: N818  a signal within this module
    """A try that certainly did nothing."""

    def __init__(self, outcome: Unavailable) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class _HeldBack(_NotDone):
    """A call that never went out."""


@cache
def _metrics(provider: str, operation: str, outcome: str) -> tuple[Counter, Histogram]:
    counter = observe.PROVIDER_OUTCOMES.labels(provider, operation, outcome)
    return counter, observe.PROVIDER_SECONDS.labels(provider, operation)
