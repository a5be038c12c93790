"""Signatures by the Standard Webhooks specification. Pure.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
SECRET_LENGTH: Final = 32
"""Bytes; the specification asks for 24 to 64."""


def shown(secret: bytes) -> str:
    """A secret as its owner gets it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(secrets: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message: signed with every secret, since its receiver may know only one of them.

    timestamp: seconds since 1970, of this try.
    """
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(secret, message_id, timestamp, body) for secret in secrets),
    }


def _sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    digest = hmac.digest(secret, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()
