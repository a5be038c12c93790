"""Settlement files as they are kept: compressed, and encrypted under a key of their own, since they name people."""

import asyncio
import hashlib
import secrets
import zlib
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bursar.domains.context import App
from bursar.domains.reconciliations import store

KEY_LENGTH: Final = 32
NONCE_LENGTH: Final = 12


def digest_of(content: bytes) -> str:
    """What makes two files the same: SHA-256."""
    return hashlib.sha256(content).hexdigest()


async def keep(app: App, digest: str, content: bytes) -> None:
    """Keep a file, unless it is kept already."""
    if await store.has_file(app.database, digest):
        return
    key = secrets.token_bytes(KEY_LENGTH)
    await store.keep_file(
        app.database,
        digest,
        len(content),
        await asyncio.to_thread(_sealed, key, content, digest),
        app.personal_keys.wrap(key, digest),
        app.personal_keys.current,
        app.clock.now(),
    )


async def content_of(app: App, digest: str) -> bytes:
    """A file, byte for byte as it came."""
    kept = await store.file_of(app.database, digest)
    key = app.personal_keys.unwrap(kept["wrapped_key"], digest, kept["kek_version"])
    return await asyncio.to_thread(_opened, key, kept["ciphertext"], digest)


def _sealed(key: bytes, content: bytes, digest: str) -> bytes:
    nonce = secrets.token_bytes(NONCE_LENGTH)
    return nonce + AESGCM(key).encrypt(nonce, zlib.compress(content, 1), digest.encode())


def _opened(key: bytes, sealed: bytes, digest: str) -> bytes:
    return zlib.decompress(AESGCM(key).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], digest.encode()))
