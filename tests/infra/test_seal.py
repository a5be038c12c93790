"""Seals: what is sealed, nothing too early, and neither rows nor seals can be exchanged afterwards."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bursar.infra import keyfiles, seal
from bursar.infra.db import connect
from tests.support.api import Api, json_of
from tests.support.database import ROLE
from tests.support.history import History, cloned_history, made_history
from tests.support.service import Service, eventually

LEAF = st.binary(min_size=32, max_size=32)


class TestMerkleRoot:
    def test_of_nothing_is_the_genesis(self) -> None:
        assert seal.merkle_root([]) == seal.GENESIS

    def test_of_three_is_as_written_in_rfc_6962(self) -> None:
        a, b, c = (hashlib.sha256(bytes([number])).digest() for number in range(3))
        inner = hashlib.sha256(b"\x01" + a + b).digest()
        assert seal.merkle_root([a, b, c]) == hashlib.sha256(b"\x01" + inner + c).hexdigest()

    @given(leaves=st.lists(LEAF, min_size=1, max_size=40), data=st.data())
    def test_changes_with_every_leaf_and_with_their_number(self, leaves: list[bytes], data: st.DataObject) -> None:
        root = seal.merkle_root(leaves)
        index = data.draw(st.integers(0, len(leaves) - 1))
        flipped = bytes([leaves[index][0] ^ 1]) + leaves[index][1:]
        assert seal.merkle_root([*leaves[:index], flipped, *leaves[index + 1 :]]) != root
        assert seal.merkle_root([*leaves, leaves[-1]]) != root
        assert len(leaves) == 1 or seal.merkle_root(leaves[:-1]) != root

    @given(leaves=st.lists(LEAF, min_size=2, max_size=40, unique=True), data=st.data())
    def test_changes_with_their_order(self, leaves: list[bytes], data: st.DataObject) -> None:
        order = data.draw(st.permutations(leaves))
        assert (seal.merkle_root(order) == seal.merkle_root(leaves)) == (order == leaves)


class TestSealing:
    async def test_takes_what_is_new_once(self, private: Service) -> None:
        key = keyfiles.seal_key(private.app.settings.keys_path)
        api = private.api.as_("service")
        await capture(api)
        await eventually(lambda: seals(private, key, 1))
        await capture(api)
        await eventually(lambda: seals(private, key, 2))
        assert await seal.seal_new(private.app.database, key) == 0
        rows = await private.fetch("select chain, number, previous, signature from seals order by chain, number")
        by_chain = {chain: [row for row in rows if row["chain"] == chain] for chain in seal.LEAVES}
        for chain in by_chain.values():
            assert [row["number"] for row in chain] == list(range(1, len(chain) + 1))
            assert [row["previous"] for row in chain] == [seal.GENESIS, *(row["signature"] for row in chain[:-1])]

    async def test_leaves_out_what_a_running_transaction_may_still_add_to(self, private: Service) -> None:
        key = keyfiles.seal_key(private.app.settings.keys_path)
        async with private.connection() as connection, connection.transaction():
            await connection.fetchval("select pg_current_xact_id()")
            await capture(private.api.as_("service"))
            assert await seal.seal_new(private.app.database, key) == 0
        await eventually(lambda: seals(private, key, 1))

    async def test_by_many_at_once_makes_one_chain(self, private: Service) -> None:
        key = keyfiles.seal_key(private.app.settings.keys_path)
        await capture(private.api.as_("service"))
        await asyncio.gather(*(seal.seal_new(private.app.database, key) for _ in range(5)))
        await eventually(lambda: seals(private, key, 1))
        async with private.connection() as connection:
            assert await seal.faults(connection, key.public_key()) == []

    async def test_may_be_done_by_the_services_role_but_not_undone(self, private: Service) -> None:
        key = keyfiles.seal_key(private.app.settings.keys_path)
        await capture(private.api.as_("service"))
        await eventually(lambda: seals(private, key, 1))
        connection = await connect(private.url, role=ROLE)
        for change in ("update seals set row_count = 1", "delete from seals", "truncate seals"):
            with pytest.raises(Exception, match="permission denied"):
                await connection.execute(change)
        await connection.close()


async def capture(api: Api) -> None:
    json_of(await api.capture((await api.authorized())["id"]), 200)


async def seals(service: Service, key: Ed25519PrivateKey, count: int) -> bool:
    """Seal, and tell whether so many journals are sealed."""
    await seal.seal_new(service.app.database, key)
    rows = await service.fetch("select coalesce(sum(row_count), 0) from seals where chain = 'journals'")
    return bool(rows[0][0] == count)


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


class TestFaults:
    async def test_name_the_seal_whose_rows_were_changed(self, history: History) -> None:
        first, *_ = await history.journals()
        await history.execute("update journals set digest = repeat('0', 64) where id = $1", first)
        assert await self.found(history) == ["journals seal 1: the sealed rows were changed (1 sealed, 1 there)"]

    async def test_name_rows_that_were_removed_and_put_in(self, history: History) -> None:
        await history.execute("delete from audit where position = (select min(position) from audit)")
        first, *_ = await history.journals()
        await history.execute(
            """insert into journals (tx, id, type, reference, line_count, digest, occurred_at)
               select tx, gen_random_uuid(), type, 'x', line_count, digest, occurred_at from journals where id = $1""",
            first,
        )
        found = await self.found(history)
        assert "journals seal 1: the sealed rows were changed (1 sealed, 2 there)" in found
        assert any(fault.startswith("audit seal 1: the sealed rows were changed") for fault in found)

    async def test_name_a_broken_chain(self, history: History) -> None:
        await history.execute("delete from seals where chain = 'journals' and number = 1")
        assert "journals seal 2: the chain of seals is broken" in await self.found(history)

    async def test_name_a_seal_that_was_forged_with_another_key(self, history: History) -> None:
        """The forger made a seal that fits his rows, but has not got the key."""
        first, *_ = await history.journals()
        await history.execute("update journals set digest = repeat('0', 64) where id = $1", first)
        await history.execute("update seals set merkle_root = repeat('0', 64) where chain = 'journals' and number = 1")
        assert await self.found(history) == ["journals seal 1: the signature is not ours"]

    async def found(self, history: History) -> list[str]:
        key = keyfiles.seal_key(history.settings.keys_path)
        return await seal.faults(history.connection, key.public_key())
