"""The scheme of many others: `X-Signature: sha256=…`, HMAC-SHA256 over the body, in hexadecimal. It carries no time: a
repeat is known by the event's id.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from bursar.domains.webhooks.signatures.stripe import LENGTH_MAX, is_among

HEADER: Final = "x-signature"
HEADERS: Final = (HEADER,)
PREFIX: Final = "sha256="


def refusal(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> str | None:
    """Why this was not signed with one of the secrets; None where it was."""
    header = headers.get(HEADER)
    if header is None or not header.startswith(PREFIX) or len(header) > LENGTH_MAX:
        return "there is no X-Signature with sha256="
    given = header.removeprefix(PREFIX).lower().encode("utf-8", "replace")
    expected = [signature(secret, body).encode() for secret in secrets]
    return None if is_among(expected, [given]) else "the signature is not one of ours"


def signature(secret: str, body: bytes) -> str:
    """What stands behind `sha256=`."""
    return hmac.digest(secret.encode(), body, "sha256").hex()
