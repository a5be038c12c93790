"""Tokens as an issuer would sign them."""

import base64
import time
from typing import Any

import msgspec

from bursar.infra.auth import Key, sign

YEAR_SECONDS = 365 * 86_400


def claims(*roles: str, **changes: Any) -> dict[str, Any]:
    """Good claims; a change to None takes a claim away."""
    document: dict[str, Any] = {
        "iss": "bursar",
        "aud": "bursar",
        "sub": "caller-" + "-".join(roles),
        "roles": list(roles),
        "exp": int(time.time()) + 10 * YEAR_SECONDS,
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def token(key: Key, *roles: str, **changes: Any) -> str:
    """A token with good claims for `roles`, changed by `changes`."""
    return sign(key, claims(*roles, **changes))


def part(document: Any) -> str:
    """A part of a token: JSON in base64url without padding."""
    content = document if isinstance(document, bytes) else msgspec.json.encode(document)
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
