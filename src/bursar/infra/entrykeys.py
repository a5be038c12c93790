"""Card data encrypted from end to end: the public key that is handed out, and the private keys that open a JWE.

Keys lie in a file, newest first, and rotate with overlap: the newest is handed out, every one of the file opens.
ECDH-ES on P-256 with A256GCM (RFC 7516, 7518), or ECDH-ES+A256KW; nothing else is accepted.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from bursar.infra import keyfiles

ALGORITHMS: Final = ["ECDH-ES", "ECDH-ES+A256KW", "A256GCM"]
JWE_LENGTH_MAX: Final = 4_096


class Unopened(Exception):  # noqa: N818  what came cannot be read
    """No key of ours opens what came. is_key_unknown: it names a key that is not, or no longer, ours."""

    def __init__(self, *, is_key_unknown: bool) -> None:
        super().__init__("the JWE cannot be opened")
        self.is_key_unknown = is_key_unknown


class _Entry(msgspec.Struct, frozen=True):
    """A key of the file. created_at: when it was made."""

    key: dict[str, str]
    created_at: datetime


class EntryKeys:
    """The keys of one file, made where there is none, read again when it changes."""

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path
        if not path.exists():
            keyfiles.write_once(path, msgspec.json.encode([_new(now)]))
        self._changed_at = 0
        self._read()

    def public(self) -> dict[str, Any]:
        """The newest key as a public JWK."""
        self._read()
        return self._newest.as_dict(private=False, use="enc", alg="ECDH-ES")

    def open(self, text: str) -> bytes:
        """What a compact JWE holds. Raises Unopened."""
        self._read()
        if len(text) > JWE_LENGTH_MAX:
            raise Unopened(is_key_unknown=False)
        try:
            return bytes(jwe.decrypt_compact(text, self._key_of, algorithms=ALGORITHMS).plaintext or b"")
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise Unopened(is_key_unknown=isinstance(error, _UnknownKey)) from error

    def _key_of(self, header: Any) -> ECKey:
        headers = header.headers()
        if "zip" in headers:
            raise ValueError("compressed")
        key = self._by_id.get(str(headers.get("kid", "")))
        if key is None:
            raise _UnknownKey
        return key

    def _read(self) -> None:
        changed_at = self._path.stat().st_mtime_ns
        if changed_at == self._changed_at:
            return
        keys = [ECKey.import_key({**entry.key}) for entry in _entries(self._path)]
        self._by_id = {str(key.kid): key for key in keys}
        self._newest = keys[0]
        self._changed_at = changed_at


class _UnknownKey(ValueError):  # noqa: N818  a signal within this module
    """A `kid` that is not in the file."""


def renew(path: Path, now: datetime, *, overlap: timedelta) -> str:
    """Put a new key first; drop those that were superseded longer ago than `overlap`. Returns the new key's id."""
    entries = [_new(now), *_entries(path)]
    kept = entries[:2] + [
        entry
        for entry, successor in zip(entries[2:], entries[1:], strict=False)
        if now - successor.created_at < overlap
    ]
    keyfiles.replace(path, msgspec.json.encode(kept))
    return entries[0].key["kid"]


def _entries(path: Path) -> list[_Entry]:
    return msgspec.json.decode(path.read_bytes(), type=list[_Entry])


def _new(now: datetime) -> _Entry:
    key = ECKey.generate_key("P-256", auto_kid=True)
    return _Entry({name: str(part) for name, part in key.as_dict(private=True).items()}, now)
