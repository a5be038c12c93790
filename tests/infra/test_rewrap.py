"""Rotating the vault's key while the service runs, stopped in the middle, done twice at once; and retiring old keys."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bursar.infra import keyfiles, rewrap, vault
from bursar.infra.db import connect
from bursar.infra.personal import KeyEncryptionKeys, encrypt
from bursar.infra.vault import Keys
from bursar.kit import ids
from tests.crash.harness import SOURCE
from tests.support.api import json_of, unique
from tests.support.database import VAULT_ROLE
from tests.support.methods import add, card, new_number, remove, rule, us_account
from tests.support.service import Service, eventually

FILLING = 3_000
GATE = 0x67617465
HELD_UP = f"""
create function vault.wait() returns trigger language plpgsql as $$
begin
    if current_user = '{VAULT_ROLE}'
        and (select count(*) from vault.records where kek_version = 2) > {FILLING // 3} then
        perform pg_advisory_xact_lock({GATE});
    end if;
    return null;
end $$;
create trigger wait after update on vault.records for each statement execute function vault.wait();
"""
"""A rotation stops at the gate in its middle. What it holds then are rows of the filling, which nobody else touches."""
WAITING = f"""locktype = 'advisory' and objid = {GATE} and not granted
    and database = (select oid from pg_database where datname = current_database())"""


class Rotation:
    """A service with accounts and cards in its vault, and its keys."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.api = service.api.as_("service")
        self.path = service.app.settings.keys_path / keyfiles.VAULT_KEYS
        self.numbers: dict[str, str] = {}

    def keys(self) -> KeyEncryptionKeys:
        return keyfiles.key_encryption_keys(self.path)

    async def add(self, method: dict[str, Any], number: str) -> dict[str, Any]:
        """A method whose number has to be found again at the end."""
        added = await add(self.api, unique("customer"), method)
        self.numbers[added["id"]] = number
        return added

    async def account(self) -> dict[str, Any]:
        """A verified account: a payment with it opens the vault, since no provider keeps a token for it."""
        number = unique("77").replace("-", "0000")
        account = await self.add(us_account(number), number)
        return dict(json_of(await rule(self.api, account, "VERIFIED"), 200))

    async def fill(self, count: int) -> None:
        """Further records, written as the service writes them."""
        keys, rows = self.keys(), []
        for _ in range(count):
            record_id, data_key = ids.new(self.service.clock.now()), secrets.token_bytes(32)
            rows.append(
                (record_id, keys.wrap(data_key, record_id), keys.current, encrypt(data_key, b"filling", record_id))
            )
        async with self.service.connection() as connection:
            columns = ["id", "wrapped_key", "kek_version", "ciphertext"]
            await connection.executemany(
                f"insert into vault.records ({', '.join(columns)}) values ($1, $2, $3, $4)", rows
            )

    async def rotate(self) -> int:
        async with self.connection() as connection:
            return await rewrap.rotate(connection, self.path, say=lambda _: None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        connection = await connect(self.service.url, role=VAULT_ROLE)
        try:
            yield connection
        finally:
            await connection.close()

    async def versions(self) -> dict[int, int]:
        async with self.connection() as connection:
            return dict(await rewrap.versions(connection))

    async def start(self) -> asyncio.subprocess.Process:
        """`bursar vault rotate` as a process of its own."""
        settings = self.service.app.settings
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bursar", "vault", "rotate", "--data-dir", settings.data_dir),
            env={**clean, "PYTHONPATH": str(SOURCE), "BURSAR_DATABASE_URL": self.service.url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def all_open(self) -> None:
        """Every record opens, and every method holds the number that was added."""
        opened = self.service.app.vault.open
        rows = await self.service.fetch("select id from vault.records where wrapped_key is not null")
        assert None not in await asyncio.gather(*(opened(row[0]) for row in rows))
        rows = await self.service.fetch("select id, vault_record_id from payment_methods where status <> 'REMOVED'")
        found = {}
        for row in rows:
            document = msgspec.json.decode(await opened(row["vault_record_id"]) or b"{}")
            found[row["id"]] = document.get("number") or document.get("account_number")
        assert found == self.numbers


@pytest.fixture
def rotation(private: Service) -> Rotation:
    return Rotation(private)


@pytest.fixture
def is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rotations that need not wait for a process which still wraps under the old key."""
    monkeypatch.setattr(rewrap, "KEYS_SEEN_SECONDS", 0.0)


ROUNDS_MIN = 6


async def load(rotation: Rotation, stopping: asyncio.Event) -> None:
    """Cards and accounts are added, pay and are removed until it stops, but so often at the least."""
    rounds = 0
    while not stopping.is_set() or rounds < ROUNDS_MIN:
        number = new_number()
        gone = await rotation.add(card(number), number)
        account = await rotation.account()
        payment = await rotation.api.authorized(customerId=account["customerId"], paymentMethodId=account["id"])
        json_of(await rotation.api.capture(payment["id"]), 200)
        if rounds % 3 == 0:
            json_of(await remove(rotation.api, gone), 200)
            del rotation.numbers[gone["id"]]
        rounds += 1


class TestRotate:
    async def test_under_load_and_after_a_kill_loses_nothing(self, rotation: Rotation) -> None:
        service, stopping = rotation.service, asyncio.Event()
        await rotation.fill(FILLING)
        loads = [asyncio.create_task(load(rotation, stopping)) for _ in range(2)]

        async with service.connection() as owner:
            await owner.execute(HELD_UP)
            await owner.execute("select pg_advisory_lock($1)", GATE)
            killed = await rotation.start()

            async def is_half_done() -> bool:
                return bool(await owner.fetch(f"select from pg_locks where {WAITING}"))

            await eventually(is_half_done, 90)
            killed.send_signal(signal.SIGKILL)
            await killed.wait()
            assert len(await rotation.versions()) == 2  # some under each

            async def is_gone() -> bool:
                return not await owner.fetch(f"select pg_terminate_backend(pid) from pg_locks where {WAITING}")

            await eventually(is_gone)
            await owner.execute("drop trigger wait on vault.records")

        going_on = await rotation.start()
        said, _ = await going_on.communicate()
        stopping.set()
        await asyncio.gather(*loads)

        assert going_on.returncode == 0 and b"going on with the rotation to version 2" in said, said
        assert set(await rotation.versions()) == {2} and rotation.keys().current == 2
        await rotation.all_open()

    @pytest.mark.usefixtures("is_quick")
    async def test_cancelled_anywhere_goes_on(self, rotation: Rotation) -> None:
        await rotation.fill(1_200)
        for delay in (0.0, 0.02, 0.05, 0.1):
            task = asyncio.create_task(rotation.rotate())
            await asyncio.sleep(delay)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await rotation.all_open()
        await rotation.rotate()
        assert set(await rotation.versions()) == {rotation.keys().current}
        await rotation.all_open()

    @pytest.mark.usefixtures("is_quick")
    async def test_twice_at_once_loses_nothing(self, rotation: Rotation) -> None:
        await rotation.fill(1_200)
        async with rotation.connection() as one, rotation.connection() as other:
            await asyncio.gather(
                *(rewrap.rotate(connection, rotation.path, say=lambda _: None) for connection in (one, other))
            )
        assert set(await rotation.versions()) == {rotation.keys().current}
        await rotation.all_open()

    @pytest.mark.usefixtures("is_quick")
    async def test_waits_for_a_record_that_somebody_holds(self, rotation: Rotation) -> None:
        await rotation.fill(10)
        async with rotation.service.connection() as stranger:
            transaction = stranger.transaction()
            await transaction.start()
            await stranger.execute("select from vault.records limit 1 for update")
            rotating = asyncio.create_task(rotation.rotate())
            await asyncio.sleep(2.5)
            is_early = rotating.done()
            await transaction.rollback()
        assert not is_early
        assert await rotating == 10
        assert await rotation.versions() == {2: 10}

    @pytest.mark.usefixtures("is_quick")
    async def test_of_an_empty_vault_makes_a_new_key(self, rotation: Rotation) -> None:
        assert await rotation.rotate() == 0
        assert rotation.keys().current == 2
        await rotation.account()
        assert await rotation.versions() == {2: 1}
        await rotation.all_open()


@pytest.mark.usefixtures("is_quick")
class TestRetire:
    async def retire(self, rotation: Rotation, **ahead: float) -> list[int]:
        async with rotation.connection() as connection:
            now = rotation.service.clock.now() + timedelta(**ahead)
            return await rewrap.retire(connection, rotation.path, now=now)

    async def test_takes_out_what_wraps_nothing_after_a_while(self, rotation: Rotation) -> None:
        await rotation.account()
        await rotation.rotate()
        with pytest.raises(rewrap.TooEarly):
            await self.retire(rotation)
        assert set(rotation.keys().keys) == {1, 2}

        assert await self.retire(rotation, seconds=rewrap.RETIRE_AFTER_SECONDS + 1) == [1]
        assert set(rotation.keys().keys) == {2}
        await asyncio.sleep(1.1)
        await rotation.account()
        await rotation.all_open()

    async def test_keeps_what_still_wraps_something(self, rotation: Rotation) -> None:
        await rotation.fill(10)
        old = rotation.keys()
        await rotation.rotate()
        record_id, data_key = ids.new(rotation.service.clock.now()), secrets.token_bytes(32)
        await rotation.service.fetch(
            "insert into vault.records (id, wrapped_key, kek_version, ciphertext) values ($1, $2, 1, $3)",
            record_id,
            old.wrap(data_key, record_id),
            encrypt(data_key, b"late", record_id),
        )
        assert await self.retire(rotation, hours=1) == []
        assert await rotation.service.app.vault.open(record_id) == b"late"
        assert await rotation.rotate() == 1 and rotation.keys().current == 2
        assert await self.retire(rotation, hours=1) == [1]
        assert await rotation.service.app.vault.open(record_id) == b"late"

    async def test_counts_no_record_that_was_destroyed(self, rotation: Rotation) -> None:
        account = await rotation.account()
        json_of(await remove(rotation.api, account), 200)
        await rotation.rotate()
        assert await self.retire(rotation, hours=1) == [1]


class TestKeys:
    def test_are_taken_anew_within_a_second_and_at_once_where_a_version_is_missing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(vault, "KEYS_SEEN_SECONDS", 60.0)  # that second is not over yet
        path = tmp_path / "keys.json"
        keys = Keys(path)
        assert path.stat().st_mode & 0o077 == 0
        now = keyfiles.key_encryption_keys(path)
        keyfiles.replace(path, msgspec.json.encode(KeyEncryptionKeys(2, {**now.keys, 2: now.keys[1]})))
        assert keys.now().current == 1
        assert keys.with_version(2).current == 2 and keys.now().current == 2


async def test_a_process_that_has_not_seen_the_key_yet_opens_what_another_sealed(rotation: Rotation) -> None:
    """Who sealed under the new key may be asked for by who knows the old one only."""
    keys = rotation.keys()
    newer = KeyEncryptionKeys(2, {**keys.keys, 2: KeyEncryptionKeys.generate().keys[1]})
    keyfiles.replace(rotation.path, msgspec.json.encode(newer))
    record_id, data_key = ids.new(rotation.service.clock.now()), secrets.token_bytes(32)
    await rotation.service.fetch(
        "insert into vault.records (id, wrapped_key, kek_version, ciphertext) values ($1, $2, 2, $3)",
        record_id,
        newer.wrap(data_key, record_id),
        encrypt(data_key, b"new", record_id),
    )
    assert await rotation.service.app.vault.open(record_id) == b"new"
