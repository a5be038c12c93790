"""Personal data has one home: one table, each row encrypted under its subject's own key (AES-256-GCM, the row's id as
associated data). That key is wrapped by a versioned key-encryption key which is not in the database. Everything else
carries the row's id only; destroying the subject's key erases the person and leaves history, journals and seals
intact.
"""

import base64
import secrets
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bursar.infra.db import Database, LiveTx, Query, Tx
from bursar.infra.reads import Reader
from bursar.kit import ids
from bursar.kit.errors import Problem

NONCE_LENGTH: Final = 12
KEY_LENGTH: Final = 32

SUBJECT_KEY = Query(
    name="subject_keys",
    sql="""select subject as key, wrapped_key, kek_version from subject_keys
           where subject = any($1::text[]) and $2::timestamptz is not null""",
)

DOCUMENT = Query(
    name="personal_data",
    sql="""select d.id::text as key, d.ciphertext, k.subject, k.wrapped_key, k.kek_version
           from personal_data d join subject_keys k using (subject)
           where d.id = any($1::text[]::uuid[]) and coalesce($2::timestamptz, now()) is not null""",
)


class Erased(Problem):
    status, code, title = 410, "subject_erased", "This person's data was erased on request"


class KeyEncryptionKeys(msgspec.Struct, frozen=True):
    """The keys that wrap, by version; the newest wraps, all unwrap. 32 bytes each, base64."""

    current: int
    keys: dict[int, str]

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise ValueError(f"there is no key of the current version {self.current}")
        for version, key in self.keys.items():
            if len(base64.b64decode(key, validate=True)) != KEY_LENGTH:
                raise ValueError(f"the key of version {version} has not {KEY_LENGTH} bytes")

    @classmethod
    def generate(cls) -> "KeyEncryptionKeys":
        return cls(1, {1: base64.b64encode(secrets.token_bytes(KEY_LENGTH)).decode()})

    def wrap(self, key: bytes, subject: str) -> str:
        return encrypt(base64.b64decode(self.keys[self.current]), key, subject)

    def unwrap(self, wrapped: str, subject: str, version: int) -> bytes:
        return decrypt(base64.b64decode(self.keys[version]), wrapped, subject)


class _SubjectKeyRow(msgspec.Struct, frozen=True):
    subject: str
    wrapped_key: str
    kek_version: int


class _PersonalRow(msgspec.Struct, frozen=True):
    id: str
    subject: str
    kind: str
    ciphertext: str


async def seal(tx: Tx, keys: KeyEncryptionKeys, *, subject: str, kind: str, document: Any) -> str:
    """Store personal data encrypted under its subject's key. Returns the id to refer to it by. Raises Erased."""
    rows = await tx.read(SUBJECT_KEY, subject)
    if not rows:
        key = secrets.token_bytes(32)
        tx.write("subject_keys", _SubjectKeyRow(subject, keys.wrap(key, subject), keys.current))
    elif rows[0]["wrapped_key"] is None:
        raise Erased
    else:
        key = keys.unwrap(rows[0]["wrapped_key"], subject, rows[0]["kek_version"])
    row_id = ids.new(tx.now)
    tx.write("personal_data", _PersonalRow(row_id, subject, kind, encrypt(key, msgspec.json.encode(document), row_id)))
    return row_id


async def refuse_erased(tx: Tx, subject: str) -> None:
    """Raise Erased where a person's data was erased."""
    if _is_destroyed(await tx.read(SUBJECT_KEY, subject)):
        raise Erased


async def is_erased(reader: Reader, subject: str) -> bool:
    """Whether a person's data was erased, as last committed."""
    return _is_destroyed(await reader.query(SUBJECT_KEY, subject))


def _is_destroyed(rows: list[Any]) -> bool:
    return bool(rows) and rows[0]["wrapped_key"] is None


async def unseal_in(tx: Tx, keys: KeyEncryptionKeys, row_id: str) -> dict[str, Any] | None:
    """The same as unseal, within a transaction."""
    rows = await tx.read(DOCUMENT, row_id)
    return _opened(keys, rows[0] if rows else None, row_id)


async def unseal(database: Database, keys: KeyEncryptionKeys, row_id: str) -> dict[str, Any] | None:
    """The document stored under `row_id`; None where its subject was erased."""
    rows = await database.fetch(DOCUMENT.sql, [row_id], None)
    return _opened(keys, rows[0] if rows else None, row_id)


def _opened(keys: KeyEncryptionKeys, record: Any, row_id: str) -> dict[str, Any] | None:
    if record is None or record["wrapped_key"] is None:
        return None
    key = keys.unwrap(record["wrapped_key"], record["subject"], record["kek_version"])
    return msgspec.json.decode(decrypt(key, record["ciphertext"], row_id), type=dict[str, Any])


async def erase(tx: LiveTx, subject: str) -> None:
    """Destroy a person's key, for good: what lies under it can be read no more, and new data is refused (Erased), also
    where there was none yet. Safe to repeat; the first time stays in destroyed_at.
    """
    await tx.connection.execute(
        """insert into subject_keys (subject, wrapped_key, kek_version, destroyed_at) values ($1, null, 0, $2)
           on conflict (subject) do update
           set wrapped_key = null, destroyed_at = coalesce(subject_keys.destroyed_at, excluded.destroyed_at)""",
        subject,
        tx.now,
    )


def encrypt(key: bytes, plaintext: bytes, bound_to: str) -> str:
    """AES-256-GCM with `bound_to` as associated data: nonce and ciphertext in base64."""
    nonce = secrets.token_bytes(NONCE_LENGTH)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plaintext, bound_to.encode())).decode()


def decrypt(key: bytes, text: str, bound_to: str) -> bytes:
    """What `encrypt` was given. Raises InvalidTag where key, text or `bound_to` is another."""
    sealed = base64.b64decode(text)
    return AESGCM(key).decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], bound_to.encode())
