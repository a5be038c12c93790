"""Replay: the history makes every row again; where a row or an event was tampered with, it names the object."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bursar import wiring
from bursar.cli.replay import SCHEMA, replay
from tests.support.history import History, cloned_history, made_history


@pytest.fixture(scope="module")
async def past(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[str, Path]]:
    data_dir = tmp_path_factory.mktemp("history")
    async with made_history(server_url, template, data_dir) as url:
        yield url, data_dir


@pytest.fixture
async def history(server_url: str, past: tuple[str, Path]) -> AsyncIterator[History]:
    async with cloned_history(server_url, *past) as clone:
        yield clone


async def any_payment(history: History) -> str:
    return str(await history.connection.fetchval("select id from payments where status = 'COMPLETED' limit 1"))


async def replayed(history: History, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = await replay(history.url)
    return code, capsys.readouterr().out


class TestReplay:
    async def test_of_an_honest_history_finds_no_difference(
        self, history: History, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, words = await replayed(history, capsys)
        assert code == 0
        made = {"payments": 6, "fraud_checks": 6}
        lines = [
            f"{table.name}: {made.get(table.name, 0)} rebuilt from their events, 0 differ"
            for table, _ in wiring.AGGREGATES.values()
        ]
        assert words.splitlines() == [*lines, "no difference"]

    async def test_leaves_nothing_behind(self, history: History) -> None:
        await replay(history.url)
        assert not await history.connection.fetchval("select 1 from pg_namespace where nspname = $1", SCHEMA)

    @pytest.mark.parametrize(
        "change",
        [
            "update payments set description = 'something else' where id = $1",
            "update payments set customer_id = 'customer-eve' where id = $1",
            """update payments set amount_captured = amount_captured - 1, amount_unallocated = amount_unallocated - 1
               where id = $1""",
            "update payments set version = version + 1 where id = $1",
            "update payments set updated_at = updated_at + interval '1 microsecond' where id = $1",
            "delete from payments where id = $1",
            "delete from events where stream = $1 and version = 2",
            "delete from events where stream = $1 and version = (select max(version) from events where stream = $1)",
            "delete from events where stream = $1",
            """update events set data = jsonb_set(data, '{amountCaptured}', '1')
               where stream = $1 and data ? 'amountCaptured'""",
        ],
    )
    async def test_finds_a_row_or_an_event_that_was_changed(
        self, history: History, capsys: pytest.CaptureFixture[str], change: str
    ) -> None:
        payment_id = await any_payment(history)
        await history.execute(change, payment_id)
        code, words = await replayed(history, capsys)
        assert code == 1
        assert f"    {payment_id}" in words.splitlines()
        assert words.splitlines()[-1] == "1 objects differ from their history"

    async def test_finds_an_event_of_an_object_that_does_not_exist(
        self, history: History, capsys: pytest.CaptureFixture[str]
    ) -> None:
        payment_id = await any_payment(history)
        await history.execute(
            """insert into events (id, stream, version, type, about, data, occurred_at)
               select gen_random_uuid(), gen_random_uuid(), version, type, about,
                      data || '{"paymentNumber": "PAY-EVE"}', occurred_at
               from events where stream = $1 and type = 'payment.created'""",
            payment_id,
        )
        assert (await replayed(history, capsys))[0] == 1
