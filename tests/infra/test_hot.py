"""Rows kept in process: only what has changed is read again, and an index is always of the same reading."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bursar.domains.commissions import store
from bursar.infra.hot import HotTables, IndexedRows, Rows
from tests.support.api import json_of
from tests.support.commissions import RULES, Desk
from tests.support.logs import logged
from tests.support.service import Service, eventually


@pytest.fixture
def desk(private: Service) -> Desk:
    return Desk(private)


async def take_out(desk: Desk, rule_id: str) -> None:
    json_of(await desk.ben.call("PUT", f"{RULES}/{rule_id}/deactivate", {}), 200)


class TestRows:
    async def test_read_what_has_changed_and_keep_the_rest(self, desk: Desk) -> None:
        database, rows = desk.service.app.database, store.in_process()
        first, second = [(await desk.active())["id"] for _ in range(2)]
        await rows.read(database)
        before, index = rows.rows, rows.index
        assert [row.id for row in before] == [first, second]

        await rows.read(database)
        assert rows.rows is before and rows.index is index

        await desk.draft()
        await rows.read(database)
        assert rows.rows is before and rows.index is index

        third = (await desk.active())["id"]
        await rows.read(database)
        assert [row.id for row in rows.rows] == [first, second, third]
        assert rows.rows[0] is before[0] and rows.rows[1] is before[1]
        assert rows.index is not index and len(rows.index.rules) == 3

        await take_out(desk, first)
        await rows.read(database)
        assert {row.id for row in rows.rows} == {row.id for row in rows.index.rules} == {second, third}

    async def test_read_a_row_again_that_came_back_as_another_version(self, desk: Desk) -> None:
        database, rows = desk.service.app.database, store.in_process()
        rule = await desk.active()
        await rows.read(database)
        await take_out(desk, rule["id"])
        json_of(await desk.ben.call("PUT", f"{RULES}/{rule['id']}/activate", {}), 200)
        await rows.read(database)
        assert [(row.id, row.version) for row in rows.rows] == [(rule["id"], 4)]

    async def test_say_so_where_there_are_too_many(self, desk: Desk) -> None:
        for _ in range(2):
            await desk.active()
        rows = Rows(store.TABLE, "where status = 'ACTIVE' order by id", rows_max=1)
        with capture_logs() as logs:
            await rows.read(desk.service.app.database)
        assert logged(logs, "hot") == [("hot.too_many_rows", "critical")]

    async def test_are_read_in_pieces(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bursar.infra.hot.CHUNK", 2)
        made = [(await desk.active())["id"] for _ in range(5)]
        rows = store.in_process()
        await rows.read(desk.service.app.database)
        assert [row.id for row in rows.rows] == made


class TestIndexedRows:
    async def test_follow_changes_with_their_index(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bursar.infra.hot.POLL_SECONDS", 300)  # they are told of, not come upon
        rows = IndexedRows(store.TABLE, "where status = 'ACTIVE' order by id", len)
        hot = HotTables(desk.service.app.database, (rows,))
        assert rows.index == 0
        await hot.start()
        try:
            made = await desk.active()
            await eventually(lambda: rows.index == 1, seconds=30)
            await take_out(desk, made["id"])
            await eventually(lambda: rows.index == 0, seconds=30)
        finally:
            await hot.stop()

    async def test_go_on_after_whatever_kept_them_from_reading(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursar.infra.hot.POLL_SECONDS", 0.1)
        rows = IndexedRows(store.TABLE, "where status = 'ACTIVE' order by id", len)
        hot = HotTables(desk.service.app.database, (rows,))
        await hot.start()
        try:
            await desk.service.fetch("alter table commission_rules rename to gone")
            await asyncio.sleep(0.3)
            await desk.service.fetch("alter table gone rename to commission_rules")
            await desk.active()
            await eventually(lambda: rows.index == 1, seconds=30)
        finally:
            await hot.stop()
