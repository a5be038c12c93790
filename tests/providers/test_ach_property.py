"""One payment under any sequence of steps, days and returns: held against the files that a bank got, not our rows."""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bursar.providers.ach.nacha.model import Entry, is_credit
from bursar.providers.port import Approved, Capture, Declined, Pending, Refund, Request
from tests.providers.bank_setting import (
    MONDAY,
    Bank,
    account,
    authorization,
    capture,
    entries_of,
    opened,
    refund,
    returned,
    void,
)

AUTHORIZED: Final = 1000
DAYS_UNTIL_ALL_IS_SETTLED: Final = 14
EXAMPLE_DAYS: Final = 200
_examples = count(1)

Step = tuple[Any, ...]

AMOUNTS: Final = st.sampled_from([1, 200, 400, 600, AUTHORIZED, AUTHORIZED + 1])
CAPTURE: Final = st.tuples(st.just("capture"), AMOUNTS, st.sampled_from([False, False, True]))
REFUND: Final = st.tuples(st.just("refund"), AMOUNTS)
DAYS: Final = st.tuples(st.just("days"), st.sampled_from([1, 3, 8]))
RETURN: Final = st.tuples(st.just("return"), st.integers(0, 3), st.sampled_from(["R01", "R02", "R10"]))
AGAIN: Final = st.tuples(st.just("again"), st.integers(0, 9))
VOID: Final = st.tuples(st.just("void"))

STEPS: Final = st.tuples(
    st.lists(CAPTURE, min_size=1, max_size=3),
    st.lists(st.one_of(CAPTURE, DAYS, RETURN, AGAIN, VOID), max_size=4),
    st.lists(st.one_of(DAYS, REFUND, RETURN), max_size=3),
    st.lists(st.one_of(CAPTURE, REFUND, DAYS, RETURN, AGAIN, VOID), max_size=4),
).map(lambda parts: [step for part in parts for step in part])


class Story:
    """A payment, what was asked for, and what the bank has of it."""

    def __init__(self, bank: Bank, number: str) -> None:
        self.bank = bank
        self.number = number
        self.reference = ""
        self.asked: list[Request] = []
        self.returned: set[str] = set()
        self.has_late_return = False

    async def begin(self) -> None:
        request = authorization(AUTHORIZED, instrument=account(self.number))
        outcome = await self.bank.do(request)
        assert isinstance(outcome, Approved)
        self.reference = outcome.reference

    async def take(self, step: Step) -> None:
        name, *rest = step
        if name == "days":
            await self.bank.pass_days(rest[0])
        elif name == "return":
            await self.send_back(*rest)
        elif name == "again":
            if self.asked:
                request = self.asked[rest[0] % len(self.asked)]
                assert await self.bank.do(request) == await self.bank.ask(request)
        else:
            kind: Any = {"capture": capture, "refund": refund, "void": void}[name]
            request = (
                capture(self.reference, rest[0], is_final=rest[1]) if name == "capture" else kind(self.reference, *rest)
            )
            await self.bank.do(request)
            self.asked.append(request)

    async def send_back(self, index: int, code: str) -> None:
        """The bank returns an entry that it was sent."""
        pairs = [pair for pair in self.sent() if pair[1].trace_number not in self.returned]
        if not pairs:
            return
        content, entry = pairs[index % len(pairs)]
        status = await self.bank.rows("select status from bank_entries where trace_number = $1", entry.trace_number)
        self.has_late_return |= status[0][0] == "SETTLED"
        self.bank.bring(f"{entry.trace_number}.ach", returned(content, entry, code))
        await self.bank.exchange()
        self.returned.add(entry.trace_number)

    def sent(self) -> list[tuple[bytes, Entry]]:
        """What the files have for this account."""
        return [
            (content, entry)
            for content in self.bank.outgoing()
            for entry in entries_of(content)
            if entry.account_number == self.number
        ]

    def moved(self, *, credit: bool) -> int:
        """What the bank took from the account, or gave to it, and did not send back."""
        return sum(
            entry.amount
            for _, entry in self.sent()
            if is_credit(entry.transaction_code) is credit and entry.trace_number not in self.returned
        )

    def check(self) -> None:
        traces = [entry.trace_number for _, entry in self.sent()]
        assert len(traces) == len(set(traces)), "an entry is in one file"
        assert self.moved(credit=False) <= AUTHORIZED
        if not self.has_late_return:
            assert self.moved(credit=True) <= self.moved(credit=False)

    async def end(self) -> None:
        """All is settled: what callers are told is what the bank did."""
        await self.bank.pass_days(DAYS_UNTIL_ALL_IS_SETTLED)
        outcomes = [(request, await self.bank.ask(request)) for request in self.asked]
        assert all(isinstance(outcome, Approved | Declined) for _, outcome in outcomes)
        for kind, credit in ((Capture, False), (Refund, True)):
            told = sum(
                request.amount for request, outcome in outcomes if isinstance(request, kind) and _is_done(outcome)
            )
            assert told == self.moved(credit=credit)


def _is_done(outcome: Any) -> bool:
    assert not isinstance(outcome, Pending)
    return isinstance(outcome, Approved)


@pytest.fixture
async def bank(database_url: str, tmp_path: Path) -> AsyncIterator[Bank]:
    async with opened(database_url, tmp_path) as opened_bank:
        yield opened_bank


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(steps=[("capture", 600, False), ("capture", 600, False), ("days", 3)])
@example(steps=[("capture", 600, True), ("days", 3), ("capture", 400, False), ("days", 3)])
@example(steps=[("capture", AUTHORIZED, True), ("days", 8), ("refund", 600), ("refund", 600), ("days", 3)])
@example(steps=[("capture", 600, False), ("days", 8), ("return", 0, "R10"), ("refund", 400), ("days", 3)])
@example(steps=[("capture", 600, False), ("void",), ("capture", 400, False), ("days", 3)])
@given(steps=STEPS)
async def test_nothing_moves_that_was_not_allowed(bank: Bank, steps: list[Step]) -> None:
    """Examples share a database: each has its own account, and its own part of the calendar."""
    number = next(_examples)
    bank.clock.at = MONDAY + timedelta(days=EXAMPLE_DAYS * number)
    for path in (bank.directory / "outgoing").glob("*.ach"):
        path.unlink()
    story = Story(bank, f"{number:08}")
    await story.begin()
    for step in steps:
        await story.take(step)
        story.check()
    await story.end()
    story.check()
