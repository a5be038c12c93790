"""Signing secrets: shown once, and kept wrapped by the key-encryption key of personal data."""

import secrets
from datetime import datetime
from typing import Final

import msgspec

from bursar.domains.webhook_endpoints import signature
from bursar.domains.webhook_endpoints.model import Endpoint, Secret
from bursar.infra.answer import Answer
from bursar.infra.personal import KeyEncryptionKeys

FIELD: Final = "secret"


def make(keys: KeyEncryptionKeys, endpoint_id: str) -> Secret:
    """A new secret, which signs until another one takes its place."""
    wrapped = keys.wrap(secrets.token_bytes(signature.SECRET_LENGTH), _bound_to(endpoint_id))
    return Secret(wrapped, keys.current, None)


def open_all(keys: KeyEncryptionKeys, endpoint: Endpoint, now: datetime) -> list[bytes]:
    """The secrets that sign now, newest first."""
    return [_open(keys, endpoint.id, secret) for secret in endpoint.valid_secrets(now)]


def sealed(secret: Secret) -> str:
    """A secret as it stands in a kept answer: wrapped still. See `reveal`."""
    return f"{secret.kek_version}:{secret.wrapped}"


def reveal(keys: KeyEncryptionKeys, answer: Answer) -> Answer:
    """The answer that shows a secret to its owner, of one that keeps it sealed; a refusal as it is.

    What is kept for an idempotency key is the sealed one, so that no secret lies in clear; and whoever lost the first
    answer gets the same again, byte for byte.
    """
    document = msgspec.json.decode(answer.body)
    if answer.status >= 400 or FIELD not in document:
        return answer
    version, _, wrapped = document[FIELD].partition(":")
    document[FIELD] = signature.shown(_open(keys, document["id"], Secret(wrapped, int(version), None)))
    return msgspec.structs.replace(answer, body=msgspec.json.encode(document))


def _open(keys: KeyEncryptionKeys, endpoint_id: str, secret: Secret) -> bytes:
    return keys.unwrap(secret.wrapped, _bound_to(endpoint_id), secret.kek_version)


def _bound_to(endpoint_id: str) -> str:
    return f"webhook_endpoint:{endpoint_id}"
