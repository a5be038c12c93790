"""The Standard Webhooks scheme: `webhook-signature: v1,… v1,…`, HMAC-SHA256 over `id.timestamp.body`.

Source: github.com/standard-webhooks/standard-webhooks, spec. Secrets are base64 behind `whsec_`.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from bursar.domains.webhooks.signatures.stripe import LENGTH_MAX, SIGNATURES_MAX, is_among, is_time

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
HEADERS: Final = (ID, TIMESTAMP, SIGNATURE)
PREFIX: Final = "whsec_"


def refusal(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: float, tolerance_seconds: int
) -> str | None:
    """Why this was not signed with one of the secrets; None where it was. now: Unix seconds."""
    message_id, time, header = (headers.get(name, "") for name in HEADERS)
    if not (message_id and time and header):
        return "one of the webhook- headers is missing"
    if len(message_id) + len(header) > LENGTH_MAX:
        return "the signature's headers are too long"
    if not is_time(time):
        return "the webhook-timestamp is no time"
    if abs(now - int(time)) > tolerance_seconds:
        return "the webhook-timestamp is too far from now"
    given = [part.encode("utf-8", "replace") for part in header.split(" ") if part.startswith("v1,")]
    keys = [key for secret in secrets if (key := key_of(secret)) is not None]
    expected = [signature(key, message_id, time, body).encode() for key in keys]
    return None if is_among(expected, given[:SIGNATURES_MAX]) else "the signature is not one of ours"


def signature(key: bytes, message_id: str, time: str, body: bytes) -> str:
    """What stands in webhook-signature. time: Unix seconds, as in the header."""
    signed = f"{message_id}.{time}.".encode("utf-8", "replace") + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def key_of(secret: str) -> bytes | None:
    """The bytes of a secret; None where it is no base64, or empty."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True) or None
    except (binascii.Error, ValueError):
        return None
