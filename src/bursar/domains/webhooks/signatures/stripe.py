"""Stripe's scheme: `Stripe-Signature: t=…,v1=…,v1=…`, HMAC-SHA256 over `t.body`.

Source: docs.stripe.com/webhooks/signature. Stripe's own library takes times that lie ahead, this does not.
"""

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

HEADER: Final = "stripe-signature"
HEADERS: Final = (HEADER,)
LENGTH_MAX: Final = 4_096
SIGNATURES_MAX: Final = 16


def refusal(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: float, tolerance_seconds: int
) -> str | None:
    """Why this is not Stripe's; None where it is. now: Unix seconds."""
    header = headers.get(HEADER)
    if header is None:
        return "there is no Stripe-Signature"
    if len(header) > LENGTH_MAX:
        return "the signature's header is too long"
    pairs = [item.strip().partition("=") for item in header.split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    given = [value.encode("utf-8", "replace") for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not is_time(times[0]) or not given:
        return "the signature's header has no time or no v1"
    if abs(now - int(times[0])) > tolerance_seconds:
        return "the signature's time is too far from now"
    expected = [signature(secret, times[0], body).encode() for secret in secrets]
    return None if is_among(expected, given[:SIGNATURES_MAX]) else "the signature is not one of ours"


def signature(secret: str, time: str, body: bytes) -> str:
    """What stands behind `v1=`. time: Unix seconds, as in the header."""
    return hmac.digest(secret.encode(), f"{time}.".encode() + body, "sha256").hex()


def is_time(text: str) -> bool:
    """Whether a text is Unix seconds."""
    return text.isascii() and text.isdigit() and len(text) <= 12


def is_among(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Whether any of `given` is one of `expected`; takes the same time wherever they differ."""
    found = False
    for ours in expected:
        for theirs in given:
            found |= hmac.compare_digest(ours, theirs)
    return found
