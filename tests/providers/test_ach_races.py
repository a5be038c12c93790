"""Steps that come at once, through two processes' worth of adapters on one database."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bursar.providers.port import Approved, Declined, Outcome, Pending, Request, Unavailable
from tests.providers.bank_setting import Bank, authorization, capture, entries_of, micro_deposits, opened, refund, void

AFTER_CUTOFF = datetime(2026, 11, 30, 22, tzinfo=UTC)


@pytest.fixture
async def banks(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Bank, Bank]]:
    async with opened(database_url, tmp_path) as first, opened(database_url, tmp_path) as second:
        yield first, second


async def at_once(banks: tuple[Bank, Bank], requests: list[Request]) -> list[Outcome]:
    return list(await asyncio.gather(*(banks[n % 2].do(request) for n, request in enumerate(requests))))


async def reference_of(bank: Bank) -> str:
    outcome = await bank.do(authorization(5000))
    assert isinstance(outcome, Approved)
    return outcome.reference


async def test_captures_take_no_more_than_was_authorized(banks: tuple[Bank, Bank]) -> None:
    reference = await reference_of(banks[0])
    outcomes = await at_once(banks, [capture(reference, 1000, is_final=False) for _ in range(8)])
    assert [type(outcome) for outcome in outcomes].count(Pending) == 5
    assert [type(outcome) for outcome in outcomes].count(Declined) == 3


async def test_refunds_give_no_more_than_arrived(banks: tuple[Bank, Bank]) -> None:
    request = authorization(5000, capture=True)
    await banks[0].do(request)
    await banks[0].pass_days(6)
    outcomes = await at_once(banks, [refund(f"ach_{request.key}", 2000) for _ in range(6)])
    assert [type(outcome) for outcome in outcomes].count(Pending) == 2


@pytest.mark.parametrize("request_of", [lambda: authorization(capture=True), micro_deposits])
async def test_one_key_is_one_entry(banks: tuple[Bank, Bank], request_of) -> None:
    request = request_of()
    outcomes = await at_once(banks, [request] * 8)
    assert outcomes == [Pending()] * 8
    sent = await banks[0].rows("select distinct vault_record_id from bank_entries")
    assert len(sent) == 1
    await banks[0].pass_days(1)
    assert len(entries_of(*banks[0].outgoing())) == len(await banks[0].rows("select id from bank_entries"))


async def test_a_key_is_done_or_dead(banks: tuple[Bank, Bank]) -> None:
    """An inquiry and the step itself come at once: both say the same in the end."""
    for _ in range(10):
        request = authorization(capture=True)
        said = await asyncio.gather(banks[0].do(request), banks[1].ask(request))
        assert set(map(type, said)) in ({Pending}, {Unavailable})
        assert await banks[0].ask(request) == said[0]


async def test_a_void_and_the_file_do_not_both_win(banks: tuple[Bank, Bank]) -> None:
    requests = [authorization(100 + n, capture=True) for n in range(6)]
    for request in requests:
        await banks[0].do(request)
    banks[1].clock.at = AFTER_CUTOFF
    voids = [banks[0].do(void(f"ach_{request.key}")) for request in requests]
    _, *outcomes = await asyncio.gather(banks[1].exchange(), *voids)
    sent = {entry.amount for entry in entries_of(*banks[1].outgoing())}
    for request, outcome in zip(requests, outcomes, strict=True):
        assert isinstance(outcome, Approved | Declined)
        assert (request.amount in sent) is isinstance(outcome, Declined)
