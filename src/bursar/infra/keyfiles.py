"""Keys that lie in files of the data directory, made at the first start: for tokens, for personal data and the vault,
for seals.
"""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from bursar.infra.auth import Key, read_key
from bursar.infra.personal import KeyEncryptionKeys
from bursar.settings import SettingsError

TOKEN_KEY: Final = "token.jwk"  # noqa: S105  a file name
TOKEN_KEY_SET: Final = "token.jwks"  # noqa: S105  a file name
KEY_ENCRYPTION_KEYS: Final = "key-encryption-keys.json"
SEAL_KEY: Final = "seal.pem"
VAULT_KEYS: Final = "vault-keys.json"
ENTRY_KEYS: Final = "card-entry-keys.json"
FINGERPRINT_KEY: Final = "fingerprint.key"
WEBHOOK_SECRETS: Final = "webhook-secrets.json"
DIGEST_KEY: Final = "digest.key"
SECRET_LENGTH: Final = 32


def token_key(keys: Path) -> Key:
    """The private key that signs the tokens of `bursar token`, with its JWKS beside it."""
    path = keys / TOKEN_KEY
    if not path.exists():
        write_once(path, msgspec.json.encode(ECKey.generate_key("P-256", auto_kid=True).as_dict(private=True)))
    key = read_key(str(path))
    if not (keys / TOKEN_KEY_SET).exists():  # of the key that is there, whoever made it
        write_once(keys / TOKEN_KEY_SET, msgspec.json.encode({"keys": [key.as_dict(private=False)]}))
    return key


def key_encryption_keys(path: Path) -> KeyEncryptionKeys:
    """The keys that wrap the keys of personal data, or of the vault's records. Raises SettingsError."""
    if not path.exists():
        write_once(path, msgspec.json.encode(KeyEncryptionKeys.generate()))
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeyEncryptionKeys)
    except msgspec.DecodeError as error:
        raise SettingsError(f"the keys in {path} cannot be used: {error}") from error


def seal_key(keys: Path) -> Ed25519PrivateKey:
    """The key that signs the ledger's checkpoints."""
    path = keys / SEAL_KEY
    if not path.exists():
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        write_once(path, Ed25519PrivateKey.generate().private_bytes(encoding, form, serialization.NoEncryption()))
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def secret(keys: Path, name: str) -> bytes:
    """A random secret of 32 bytes for one purpose: `name` is its file."""
    path = keys / name
    if not path.exists():
        write_once(path, secrets.token_bytes(SECRET_LENGTH))
    return path.read_bytes()


def changed_at(path: Path) -> float:
    """When a file was written last, in seconds since 1970."""
    return path.stat().st_mtime


def replace(path: Path, content: bytes) -> None:
    """Put a file's new content in its place, whole or not at all."""
    draft = _draft(path, content)
    os.replace(draft, path)


def write_once(path: Path, content: bytes) -> None:
    """Write a file that nobody else can read, whole or not at all; who comes second keeps the first one's."""
    draft = _draft(path, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def _draft(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # for the owner only
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return Path(draft)
