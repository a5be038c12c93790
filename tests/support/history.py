"""A database with a real history, sealed but for its last journal; every test tampers with a clone of its own."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from bursar.cli.verify import verify
from bursar.domains.ledger.model import digest
from bursar.infra import keyfiles, seal
from bursar.infra.db import prepare_connection
from bursar.settings import Settings
from tests.support.api import Api, json_of
from tests.support.database import cloned
from tests.support.service import Service, eventually, serving

AMOUNTS = (1_000, 2_500, 4_000, 2_500)
SEALED_SECONDS_MAX = 60


class History:
    """A clone of the history: its owner's connection, and what is proven of it."""

    def __init__(self, url: str, settings: Settings, connection: Any) -> None:
        self.url = url
        self.settings = settings
        self.connection = connection

    async def execute(self, sql: str, *args: Any) -> None:
        await self.connection.execute(sql, *args)

    async def journals(self) -> list[str]:
        """Ids, in order; all but the last are sealed."""
        return [row["id"] for row in await self.connection.fetch("select id from journals order by tx, position")]

    async def digest_anew(self, journal_id: str) -> None:
        """Give a journal the digest that fits its lines, as a careful forger would."""
        journal = await self.connection.fetchrow("select * from journals where id = $1", journal_id)
        lines = await self.connection.fetch(
            "select line, account, currency, amount, about from postings where journal_id = $1 order by line",
            journal_id,
        )
        fitting = digest(journal_id, journal["type"], journal["reference"], [tuple(line) for line in lines])
        await self.execute("update journals set digest = $2 where id = $1", journal_id, fitting)

    async def verify(self) -> tuple[int, str]:
        """Exit code and words of `bursar ledger verify`."""
        words = io.StringIO()
        code = await verify(self.settings, self.url, Console(file=words, soft_wrap=True, highlight=False))
        return code, words.getvalue()

    async def faults(self) -> list[str]:
        """The checks that `bursar ledger verify` finds broken."""
        code, words = await self.verify()
        broken = [line.removeprefix("FAULT ") for line in words.splitlines() if line.startswith("FAULT ")]
        assert (code == 0) == (not broken), words
        return broken


@asynccontextmanager
async def made_history(server_url: str, template: str, data_dir: Path) -> AsyncIterator[str]:
    """The address of a database with four completed checkouts and some that failed; nobody is connected to it."""
    async with cloned(server_url, template) as url:
        async with serving(url, data_dir) as service:
            api = service.api.as_("service")
            for amount in AMOUNTS[:-1]:
                await _check_out(api, amount)
                await eventually(lambda: _all_sealed(service), SEALED_SECONDS_MAX)
            json_of(await api.authorize((await api.create_payment(paymentMethodId="pm_sandbox_declined"))["id"]), 402)
            await _check_out(api, 700, currency="JPY")
            await eventually(lambda: _all_sealed(service), SEALED_SECONDS_MAX)
            await _check_out(api, AMOUNTS[-1])
        yield url


async def _check_out(api: Api, amount: int, **changes: Any) -> None:
    payment = await api.authorized(amount=amount, **changes)
    json_of(await api.capture(payment["id"]), 200)
    json_of(await api.act(payment["id"], "complete"), 200)


async def _all_sealed(service: Service) -> bool:
    """Whether every row is sealed: a transaction that runs in another database of the server delays that."""
    await seal.seal_new(service.app.database, keyfiles.seal_key(service.app.settings.keys_path))
    counts = await service.fetch("select (select count(*) from journals) + (select count(*) from audit)")
    sealed = await service.fetch("select coalesce(sum(row_count), 0) from seals")
    return bool(counts[0][0] == sealed[0][0])


@asynccontextmanager
async def cloned_history(server_url: str, original: str, data_dir: Path) -> AsyncIterator[History]:
    """A clone of it, whose triggers and foreign keys are silenced for its owner's connection."""
    await eventually(lambda: _is_left(original), SEALED_SECONDS_MAX)
    async with cloned(server_url, original.rpartition("/")[2]) as url:
        connection = await asyncpg.connect(url)
        try:
            await prepare_connection(connection)
            await connection.execute("set session_replication_role = replica")
            yield History(url, Settings(data_dir=str(data_dir), database_url=url), connection)
        finally:
            await connection.close()


async def _is_left(url: str) -> bool:
    """Whether nobody is connected to a database but who asks."""
    head, _, name = url.rpartition("/")
    connection = await asyncpg.connect(f"{head}/postgres")
    try:
        return not await connection.fetchval("select count(*) from pg_stat_activity where datname = $1", name)
    finally:
        await connection.close()
