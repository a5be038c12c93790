"""Seals: signed checkpoints over journals and audit lines, each chained to the one before.

A hash chain cannot be made inside concurrent batches; so, shortly after commit, a sealing job takes all rows below the
oldest running transaction in order, makes a Merkle root over their digests, and signs it together with the root
before. A row that was changed, removed or put in behind the service's back no longer fits its seal.
"""

import hashlib
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bursar.infra.db import Database

SIZE_MAX: Final = 100_000
GENESIS: Final = "0" * 64

LEAVES: Final = {
    "journals": "select tx, position, decode(digest, 'hex') as leaf from journals",
    "audit": """select tx, position, sha256(convert_to(concat_ws('|', extract(epoch from at), actor, action,
                    coalesce(object_id, ''), coalesce(request_id, ''), outcome), 'UTF8')) as leaf from audit""",
}
"""The digest of each row, by chain."""


async def seal_new(database: Database, key: Ed25519PrivateKey) -> int:
    """Seal what no running transaction can add to any more. Returns how many rows were sealed."""
    return sum([await _seal(database, key, chain) for chain in LEAVES])


async def _seal(database: Database, key: Ed25519PrivateKey, chain: str) -> int:
    async with database.pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval("select pg_try_advisory_xact_lock(hashtext($1))", f"seal:{chain}"):
            return 0
        last = await connection.fetchrow(
            "select number, until_tx, signature from seals where chain = $1 order by number desc limit 1", chain
        )
        number, since, previous = (last["number"] + 1, last["until_tx"], last["signature"]) if last else (1, 0, GENESIS)
        until = await connection.fetchval(
            f"""select coalesce((select tx from {chain} where tx >= $1 order by tx, position offset $2 limit 1),
                    pg_snapshot_xmin(pg_current_snapshot()))""",  # noqa: S608  a constant
            since,
            SIZE_MAX,
        )
        count, root = await _root(connection, chain, since, until)
        if count == 0:
            return 0
        signature = key.sign(_statement(chain, number, until, count, root, previous)).hex()
        await connection.execute(
            """insert into seals (chain, number, until_tx, row_count, merkle_root, previous, signature)
               values ($1, $2, $3, $4, $5, $6, $7)""",
            chain,
            number,
            until,
            count,
            root,
            previous,
            signature,
        )
        return count


async def faults(connection: Any, key: Ed25519PublicKey) -> list[str]:
    """Check every seal against its rows, its signature and its predecessor. Returns what does not fit."""
    found = []
    for chain in LEAVES:
        since, previous, expected = 0, GENESIS, 1
        for seal in await connection.fetch("select * from seals where chain = $1 order by number", chain):
            name = f"{chain} seal {seal['number']}"
            if seal["number"] != expected or seal["previous"] != previous:
                found.append(f"{name}: the chain of seals is broken")
            count, root = await _root(connection, chain, since, seal["until_tx"])
            if (count, root) != (seal["row_count"], seal["merkle_root"]):
                found.append(f"{name}: the sealed rows were changed ({seal['row_count']} sealed, {count} there)")
            statement = _statement(
                chain, seal["number"], seal["until_tx"], seal["row_count"], seal["merkle_root"], seal["previous"]
            )
            try:
                key.verify(bytes.fromhex(seal["signature"]), statement)
            except (InvalidSignature, ValueError):
                found.append(f"{name}: the signature is not ours")
            since, previous, expected = seal["until_tx"], seal["signature"], seal["number"] + 1
    return found


async def _root(connection: Any, chain: str, since: int, until: int) -> tuple[int, str]:
    row = await connection.fetchrow(
        f"""select count(*) as count, string_agg(leaf, ''::bytea order by tx, position) as leaves
            from ({LEAVES[chain]} where tx >= $1 and tx < $2) sealed""",  # noqa: S608  a constant
        since,
        until,
    )
    leaves: bytes = row["leaves"] or b""
    return row["count"], merkle_root([leaves[start : start + 32] for start in range(0, len(leaves), 32)])


def merkle_root(level: list[bytes]) -> str:
    """The root over 32-byte leaves; inner nodes are hashed under a prefix of their own (RFC 6962), a lone one moves
    up.
    """
    if not level:
        return GENESIS
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in pairs]
        level = above if len(level) % 2 == 0 else [*above, level[-1]]
    return level[0].hex()


def _statement(chain: str, number: int, until: int, count: int, root: str, previous: str) -> bytes:
    return f"bursar seal|{chain}|{number}|{until}|{count}|{root}|{previous}".encode()
