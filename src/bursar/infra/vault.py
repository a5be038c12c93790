"""The vault: card and account numbers under envelope encryption, in a table that the vault's own database role alone
may read.

Each record has a data key of its own (AES-256-GCM, the record's id as associated data), which is wrapped by a versioned
key-encryption key from a file (never in the database), bound to the record as well: so nothing that is moved to another
row decrypts. The service's role can put records in and destroy them, through functions; only the vault's role reads.
"""

import base64
import hashlib
import hmac
import secrets
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bursar.infra import keyfiles
from bursar.infra.db import Query, Tx
from bursar.infra.personal import KeyEncryptionKeys, decrypt, encrypt
from bursar.infra.reads import Reader
from bursar.kit import ids

KEYS_SEEN_SECONDS: Final = 1.0
"""How old a process's knowledge of the key file may be: a rotation waits longer than that."""

RECORDS = Query(
    name="vault_records",
    sql="""select id as key, wrapped_key, kek_version, ciphertext from vault.records
           where id = any($1::text[]::uuid[]) and $2::timestamptz is not null""",
)


class _RecordRow(msgspec.Struct, frozen=True):
    id: str
    wrapped_key: str
    kek_version: int
    ciphertext: str


class _DestroyedRow(msgspec.Struct, frozen=True):
    id: str


class Keys:
    """The vault's key-encryption keys as their file says, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys = keyfiles.key_encryption_keys(path)
        self._changed_at = path.stat().st_mtime_ns
        self._looked_at = time.monotonic()

    def now(self) -> KeyEncryptionKeys:
        """The keys, at most KEYS_SEEN_SECONDS old."""
        if time.monotonic() - self._looked_at >= KEYS_SEEN_SECONDS:
            self._read()
        return self._keys

    def with_version(self, version: int) -> KeyEncryptionKeys:
        """The keys, read again where they do not hold `version` yet."""
        keys = self.now()
        if version not in keys.keys:
            self._read(is_forced=True)
        return self._keys

    def _read(self, *, is_forced: bool = False) -> None:
        self._looked_at = time.monotonic()
        changed_at = self.path.stat().st_mtime_ns
        if is_forced or changed_at != self._changed_at:
            self._keys = keyfiles.key_encryption_keys(self.path)
            self._changed_at = changed_at


class Vault:
    """What puts records in, opens them, and destroys them."""

    def __init__(self, keys: Keys, fingerprint_key: bytes, reader: Reader) -> None:
        self._keys = keys
        self._fingerprint_key = fingerprint_key
        self.reader = reader

    def seal(self, tx: Tx, document: Any) -> str:
        """Keep a document in the caller's transaction. Returns the record's id."""
        keys = self._keys.now()
        record_id = ids.new(tx.now)
        data_key = secrets.token_bytes(32)
        ciphertext = encrypt(data_key, msgspec.json.encode(document), record_id)
        tx.write("vault_records", _RecordRow(record_id, keys.wrap(data_key, record_id), keys.current, ciphertext))
        return record_id

    def destroy(self, tx: Tx, record_id: str) -> None:
        """Destroy a record's data key: what it held is gone for good, in every copy."""
        tx.write("destroyed_vault_records", _DestroyedRow(record_id))

    async def open(self, record_id: str) -> bytes | None:
        """The document as JSON; None where it was destroyed. Raises InvalidTag where the row was tampered with."""
        rows = await self.reader.query(RECORDS, record_id)
        if not rows or rows[0]["wrapped_key"] is None:
            return None
        version = rows[0]["kek_version"]
        data_key = self._keys.with_version(version).unwrap(rows[0]["wrapped_key"], record_id, version)
        return decrypt(data_key, rows[0]["ciphertext"], record_id)

    def fingerprint(self, *parts: str) -> str:
        """The same for the same parts, and useless without the key: HMAC-SHA256, 22 characters."""
        digest = hmac.digest(self._fingerprint_key, "\n".join(parts).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")
