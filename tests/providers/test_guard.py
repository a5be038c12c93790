"""What stands around every provider: breaker, bulkhead, pauses, retries, time-outs; adapters do as they are told."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bursar.infra import observe
from bursar.providers.declines import declined
from bursar.providers.guard import BUDGET_MAX, PAUSE_SECONDS_MAX, Guarded, Limits
from bursar.providers.port import (
    Approved,
    MethodType,
    Outcome,
    Pending,
    Refund,
    Request,
    Unavailable,
    Unknown,
    Void,
)
from tests.support.api import unique

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DOWN, LOST, GOOD = Unavailable("down"), Unknown("lost"), Approved("r-1")
OPEN_SECONDS = 0.3
LONG = 60  # seconds, which no test waits
Answer = Outcome | Exception | Callable[[], Awaitable[Outcome]]


class Told:
    """An adapter that answers what it is told, in this order, the last one for good."""

    method_types = frozenset(MethodType)
    requests: frozenset[type[Request]] = frozenset({Void})

    def __init__(self, *answers: Answer) -> None:
        self.name = unique("told")
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []
        self.under_way = self.most = 0
        self.is_closed = False

    def accepts(self, currency: str) -> bool:
        return currency == "EUR"

    async def execute(self, request: Request) -> Outcome:
        return await self._answer("execute", request)

    async def inquire(self, request: Request) -> Outcome:
        return await self._answer("inquire", request)

    async def close(self) -> None:
        self.is_closed = True

    async def _answer(self, asked: str, request: Request) -> Outcome:
        self.asked.append((asked, request.key))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if isinstance(answer, Exception):
                raise answer
            return await answer() if callable(answer) else answer
        finally:
            self.under_way -= 1


def void(key: str = "k") -> Void:
    return Void(key, "r", NOW)


def guarded(*answers: Answer, **limits: Any) -> tuple[Guarded, Told]:
    """A guard around such an adapter: no retries unless told."""
    adapter = Told(*answers)
    return Guarded(adapter, Limits(**{"retries_max": 0, "breaker_open_seconds": OPEN_SECONDS, **limits})), adapter


def slowly(outcome: Outcome, seconds: float) -> Callable[[], Awaitable[Outcome]]:
    async def answer() -> Outcome:
        await asyncio.sleep(seconds)
        return outcome

    return answer


class Clock:
    """Breakers and pauses go by it; it moves when it is told to."""

    seconds = 1_000.0
    perf_counter = staticmethod(time.perf_counter)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr("bursar.providers.guard.time", made := Clock())
    return made


class Gate:
    """An answer that comes when the test opens it."""

    def __init__(self, outcome: Outcome = GOOD) -> None:
        self.outcome = outcome
        self.event = asyncio.Event()

    async def __call__(self) -> Outcome:
        await self.event.wait()
        return self.outcome


async def settled() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


class TestThrough:
    @pytest.mark.parametrize("outcome", [GOOD, declined("do_not_honor", "no"), Pending(), LOST, DOWN])
    async def test_an_outcome_comes_as_it_is(self, outcome: Outcome) -> None:
        guard, adapter = guarded(outcome)
        assert await guard.execute(void()) == outcome and await guard.inquire(void()) == outcome
        assert adapter.asked == [("execute", "k"), ("inquire", "k")]

    async def test_it_is_the_provider_that_it_guards(self) -> None:
        guard, adapter = guarded(GOOD)
        assert (guard.name, guard.method_types, guard.requests) == (adapter.name, adapter.method_types, {Void})
        assert guard.accepts("EUR") and not guard.accepts("USD")
        await guard.close()
        assert adapter.is_closed

    async def test_what_it_cannot_do_is_not_asked(self) -> None:
        guard, adapter = guarded(GOOD)
        assert isinstance(await guard.execute(Refund("k", "r", 1, "EUR", NOW)), Unavailable)
        assert adapter.asked == []

    async def test_it_counts_what_comes(self) -> None:
        guard, adapter = guarded(LOST)
        await guard.execute(void())
        await guard.inquire(void())
        for operation in ("void", "inquiry"):
            labels = {"provider": adapter.name, "operation": operation, "outcome": "Unknown"}
            assert observe.REGISTRY.get_sample_value("bursar_provider_outcomes_total", labels) == 1


class TestTimeout:
    async def test_is_unknown(self) -> None:
        guard, _ = guarded(slowly(GOOD, LONG), timeout_seconds=0.05)
        for ask in (guard.execute, guard.inquire):
            started = time.monotonic()
            assert isinstance(await ask(void()), Unknown)
            assert time.monotonic() - started < LONG / 2

    @pytest.mark.parametrize("error", [ValueError("x"), KeyError(), TimeoutError(), ConnectionResetError()])
    async def test_an_adapter_that_raises_is_unknown(self, error: Exception) -> None:
        guard, _ = guarded(error)
        assert isinstance(await guard.execute(void()), Unknown)
        assert isinstance(await guard.inquire(void()), Unknown)

    async def test_what_it_raised_is_told_to_nobody(self) -> None:
        guard, _ = guarded(ValueError("number 4242424242424242"))
        assert "4242" not in str(await guard.execute(void()))

    async def test_a_caller_who_leaves_frees_the_place(self) -> None:
        guard, adapter = guarded(slowly(GOOD, LONG), GOOD, concurrency_max=1, waiting_max=1)
        task = asyncio.create_task(guard.execute(void("a")))
        await settled()
        waiting = asyncio.create_task(guard.execute(void("b")))
        await settled()
        for leaving in (waiting, task):
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert await guard.execute(void("c")) == GOOD
        assert [key for _, key in adapter.asked] == ["a", "c"]


class TestBreaker:
    async def test_opens_after_so_many_failures_in_a_row(self) -> None:
        guard, adapter = guarded(LOST, DOWN, GOOD, LOST, ValueError(), LOST, breaker_failures=3)
        for _ in range(6):
            assert not guard.breaker.is_open
            await guard.execute(void())
        assert guard.breaker.is_open and len(adapter.asked) == 6

        held = await guard.execute(void())
        assert isinstance(held, Unavailable) and held.retry_after == 1
        assert isinstance(await guard.inquire(void()), Unknown)
        assert len(adapter.asked) == 6
        assert observe.REGISTRY.get_sample_value("bursar_provider_breaker_open", {"provider": adapter.name}) == 1

    async def test_lets_one_through_after_a_while(self, clock: Clock) -> None:
        gate = Gate()
        guard, adapter = guarded(LOST, LOST, gate, GOOD, breaker_failures=2)
        for _ in range(2):
            await guard.execute(void())
        clock.seconds += OPEN_SECONDS + 0.05

        first = asyncio.create_task(guard.execute(void("first")))
        await settled()
        others = await asyncio.gather(*(guard.execute(void("other")) for _ in range(5)))
        assert {type(outcome) for outcome in others} == {Unavailable} and len(adapter.asked) == 3
        gate.event.set()
        assert await first == GOOD and not guard.breaker.is_open
        assert await asyncio.gather(*(guard.execute(void()) for _ in range(5))) == [GOOD] * 5

    async def test_opens_again_where_that_one_fails(self, clock: Clock) -> None:
        guard, adapter = guarded(LOST, LOST, DOWN, GOOD, breaker_failures=2)
        for _ in range(2):
            await guard.execute(void())
        clock.seconds += OPEN_SECONDS + 0.05
        assert await guard.execute(void()) == DOWN
        assert isinstance(await guard.execute(void()), Unavailable) and len(adapter.asked) == 3
        clock.seconds += OPEN_SECONDS + 0.05
        assert await guard.execute(void()) == GOOD

    @pytest.mark.parametrize("is_cancelled", [True, False])
    async def test_lets_no_second_one_through_when_a_call_of_before_ends(
        self, clock: Clock, is_cancelled: bool
    ) -> None:
        old, trial = Gate(LOST), Gate()
        guard, adapter = guarded(old, LOST, LOST, trial, GOOD, breaker_failures=2)
        before = asyncio.create_task(guard.execute(void("before")))
        await settled()
        for _ in range(2):
            await guard.execute(void())
        clock.seconds += OPEN_SECONDS + 0.05
        first = asyncio.create_task(guard.execute(void("first")))
        await settled()
        if is_cancelled:
            before.cancel()
        else:
            old.event.set()
        await asyncio.gather(before, return_exceptions=True)
        clock.seconds += OPEN_SECONDS + 0.05
        assert isinstance(await guard.execute(void("second")), Unavailable)
        trial.event.set()
        assert await first == GOOD and len(adapter.asked) == 4

    @pytest.mark.parametrize("outcome", [GOOD, declined("do_not_honor", "no"), Pending(), Unavailable("never done")])
    async def test_stays_closed_while_the_provider_answers(self, outcome: Outcome) -> None:
        guard, adapter = guarded(outcome, breaker_failures=1)
        for _ in range(5):  # that a step was never done is an answer to an inquiry alone
            await (guard.inquire if isinstance(outcome, Unavailable) else guard.execute)(void())
        assert len(adapter.asked) == 5

    async def test_of_none_never_opens(self) -> None:
        guard, adapter = guarded(LOST, breaker_failures=0)
        for _ in range(30):
            await guard.execute(void())
        assert len(adapter.asked) == 30 and not guard.breaker.is_open

    async def test_a_caller_who_left_is_no_failure_of_the_provider(self) -> None:
        guard, _ = guarded(slowly(GOOD, LONG), GOOD, breaker_failures=1)
        task = asyncio.create_task(guard.execute(void()))
        await settled()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await guard.execute(void()) == GOOD


class TestBulkhead:
    async def test_lets_so_many_through_at_once(self) -> None:
        guard, adapter = guarded(slowly(GOOD, 0.02), concurrency_max=3, waiting_max=20)
        assert await asyncio.gather(*(guard.execute(void()) for _ in range(20))) == [GOOD] * 20
        assert adapter.most == 3 and len(adapter.asked) == 20

    async def test_refuses_more_than_may_wait(self) -> None:
        gate = Gate()
        guard, adapter = guarded(gate, concurrency_max=1, waiting_max=2)
        tasks = [asyncio.create_task(guard.execute(void(str(number)))) for number in range(3)]
        await settled()
        refused = await guard.execute(void("late"))
        assert isinstance(refused, Unavailable) and refused.retry_after == 1
        assert isinstance(await guard.inquire(void("late")), Unknown)
        gate.event.set()
        assert await asyncio.gather(*tasks) == [GOOD] * 3
        assert sorted(key for _, key in adapter.asked) == ["0", "1", "2"]

    async def test_lets_nobody_wait_longer_than_a_call_may_take(self) -> None:
        guard, adapter = guarded(slowly(GOOD, 0.5), concurrency_max=1, waiting_max=40, timeout_seconds=2.0)
        started = time.monotonic()
        outcomes = await asyncio.gather(*(guard.execute(void()) for _ in range(40)))
        assert time.monotonic() - started < 15  # all of them one after the other take 20
        assert {type(outcome) for outcome in outcomes} == {Approved, Unavailable}
        assert len(adapter.asked) == outcomes.count(GOOD)

    async def test_of_one_provider_is_no_others(self) -> None:
        gate = Gate()
        full, _ = guarded(gate, concurrency_max=1, waiting_max=0)
        other, _ = guarded(GOOD, concurrency_max=1, waiting_max=0)
        task = asyncio.create_task(full.execute(void()))
        await settled()
        assert isinstance(await full.execute(void()), Unavailable) and await other.execute(void()) == GOOD
        gate.event.set()
        await task


class TestPause:
    async def test_is_obeyed_by_all(self, clock: Clock) -> None:
        guard, adapter = guarded(Unavailable("429", retry_after=1), GOOD, retries_max=3)
        first = await guard.execute(void())
        assert isinstance(first, Unavailable) and first.retry_after == 1
        for _ in range(3):
            held = await guard.execute(void())
            assert isinstance(held, Unavailable) and held.retry_after in (1, 2)
        assert isinstance(await guard.inquire(void()), Unknown) and len(adapter.asked) == 1
        clock.seconds += 1.01
        assert await guard.execute(void()) == GOOD

    async def test_is_obeyed_by_those_that_wait(self) -> None:
        gate = Gate(Unavailable("429", retry_after=30))
        guard, adapter = guarded(gate, GOOD, concurrency_max=1, waiting_max=5)
        tasks = [asyncio.create_task(guard.execute(void())) for _ in range(4)]
        inquiry = asyncio.create_task(guard.inquire(void()))
        await settled()
        gate.event.set()
        outcomes = await asyncio.gather(*tasks)
        assert {type(outcome) for outcome in outcomes} == {Unavailable} and isinstance(await inquiry, Unknown)
        assert len(adapter.asked) == 1

    async def test_that_is_longer_is_not_cut_short(self) -> None:
        long, short = Gate(Unavailable("429", retry_after=60)), Gate(Unavailable("429", retry_after=1))
        guard, _ = guarded(long, short, GOOD)
        tasks = [asyncio.create_task(guard.execute(void())) for _ in range(2)]
        await settled()
        for gate in (long, short):
            gate.event.set()
            await settled()
        await asyncio.gather(*tasks)
        held = await guard.execute(void())
        assert isinstance(held, Unavailable) and (held.retry_after or 0) > 50

    @pytest.mark.parametrize("seconds", [10**6, 10**400])
    async def test_has_an_end(self, seconds: int) -> None:
        guard, _ = guarded(Unavailable("429", retry_after=seconds))
        await guard.execute(void())
        held = await guard.execute(void())
        assert isinstance(held, Unavailable) and held.retry_after in (PAUSE_SECONDS_MAX, PAUSE_SECONDS_MAX + 1)

    async def test_asked_for_at_an_inquiry_says_nothing_of_the_step(self) -> None:
        guard, adapter = guarded(Unavailable("429", retry_after=30), GOOD)
        assert isinstance(await guard.inquire(void()), Unknown)
        assert isinstance(await guard.execute(void()), Unavailable) and len(adapter.asked) == 1

    async def test_is_no_failure(self) -> None:
        guard, _ = guarded(Unavailable("429", retry_after=0), breaker_failures=1)
        for _ in range(3):
            await guard.execute(void())
        assert not guard.breaker.is_open


class TestRetry:
    async def test_is_of_what_was_certainly_not_done(self) -> None:
        guard, adapter = guarded(DOWN, DOWN, GOOD, retries_max=2, breaker_failures=0)
        started = time.monotonic()
        assert await guard.execute(void()) == GOOD
        assert adapter.asked == [("execute", "k")] * 3 and time.monotonic() - started < 10

    @pytest.mark.parametrize("outcome", [LOST, ValueError(), declined("do_not_honor", "no"), Pending(), GOOD])
    async def test_is_never_of_anything_else(self, outcome: Answer) -> None:
        guard, adapter = guarded(outcome, retries_max=5)
        await guard.execute(void())
        assert len(adapter.asked) == 1

    async def test_ends_where_something_may_have_been_done(self) -> None:
        guard, adapter = guarded(DOWN, LOST, GOOD, retries_max=5)
        assert await guard.execute(void()) == LOST and len(adapter.asked) == 2

    async def test_ends_after_so_many(self) -> None:
        guard, adapter = guarded(DOWN, retries_max=2, breaker_failures=0)
        assert await guard.execute(void()) == DOWN and len(adapter.asked) == 3

    async def test_is_never_of_an_inquiry(self) -> None:
        guard, adapter = guarded(DOWN, retries_max=5)
        assert await guard.inquire(void()) == DOWN and len(adapter.asked) == 1

    async def test_ends_with_the_budget_of_all_calls(self) -> None:
        guard, adapter = guarded(DOWN, retries_max=1, breaker_failures=0, retry_ratio=0.1, concurrency_max=200)
        calls = 40
        outcomes = await asyncio.gather(*(guard.execute(void()) for _ in range(calls)))
        assert outcomes == [DOWN] * calls
        assert BUDGET_MAX <= len(adapter.asked) - calls <= BUDGET_MAX + calls * 0.1

    async def test_costs_the_budget_only_where_it_is_made(self) -> None:
        guard, adapter = guarded(DOWN, retries_max=1, breaker_failures=0, retry_ratio=1.0)
        for _ in range(15):
            await guard.execute(void())
        assert len(adapter.asked) == 30  # each call earns its one retry

    async def test_ends_when_the_circuit_opens(self) -> None:
        guard, adapter = guarded(DOWN, retries_max=5, breaker_failures=2)
        held = await guard.execute(void())
        assert isinstance(held, Unavailable) and len(adapter.asked) == 2
