"""Coalesced reads: nobody waits for good, whoever else asks."""

import asyncio

from bursar.infra.db import Query
from tests.support.service import Service

SLOW = "select key, pg_sleep(0.005)::text from unnest($1::text[]) key where $2::timestamptz is not null"
BUSY = Query("test.busy", SLOW)
QUIET = Query("test.quiet", SLOW)


class TestTurns:
    async def test_what_is_asked_for_all_the_time_does_not_starve_the_rest(self, service: Service) -> None:
        reader = service.app.reader

        async def keep_asking() -> None:
            while True:
                await reader.query(BUSY, "busy")

        asking = [asyncio.create_task(keep_asking())]
        await asyncio.sleep(0)
        quiet = asyncio.create_task(reader.query(QUIET, "quiet"))
        await asyncio.sleep(0)
        asking.append(asyncio.create_task(keep_asking()))
        try:
            async with asyncio.timeout(30):
                assert [row["key"] for row in await quiet] == ["quiet"]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
