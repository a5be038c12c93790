"""Keys that lie in files of the data directory, made at the first start: for tokens, for personal data, for seals."""

import os
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import ECKey

from bursar.infra.auth import Key, read_key
from bursar.infra.personal import KeyEncryptionKeys

TOKEN_KEY: Final = "token.jwk"  # noqa: S105  a file name
TOKEN_KEY_SET: Final = "token.jwks"  # noqa: S105  a file name
KEY_ENCRYPTION_KEYS: Final = "key-encryption-keys.json"
SEAL_KEY: Final = "seal.pem"


def token_key(keys: Path) -> Key:
    """The private key that signs the tokens of `bursar token`, with its JWKS beside it."""
    path = keys / TOKEN_KEY
    if not path.exists():
        key = ECKey.generate_key("P-256", auto_kid=True)
        _write_once(keys / TOKEN_KEY_SET, msgspec.json.encode({"keys": [key.as_dict(private=False)]}))
        _write_once(path, msgspec.json.encode(key.as_dict(private=True)))
    return read_key(str(path))


def key_encryption_keys(path: Path) -> KeyEncryptionKeys:
    """The keys that wrap the keys of personal data."""
    if not path.exists():
        _write_once(path, msgspec.json.encode(KeyEncryptionKeys.generate()))
    return msgspec.json.decode(path.read_bytes(), type=KeyEncryptionKeys)


def seal_key(keys: Path) -> Ed25519PrivateKey:
    """The key that signs the ledger's checkpoints."""
    path = keys / SEAL_KEY
    if not path.exists():
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        _write_once(path, Ed25519PrivateKey.generate().private_bytes(encoding, form, serialization.NoEncryption()))
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def _write_once(path: Path, content: bytes) -> None:
    """Write a file that nobody else can read, whole or not at all; who comes second keeps the first one's."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
