"""PayPal's scheme: RSA with SHA-256 over `transmission id|time|webhook id|CRC-32 of the body`, by the key of the
certificate that a header names (`certificates` says whether that is PayPal's).

Source: developer.paypal.com/api/rest/webhooks/rest, "Self verification method". The secret is the webhook's id.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bursar.domains.webhooks.signatures.stripe import LENGTH_MAX

ALGORITHM, CERTIFICATE = "paypal-auth-algo", "paypal-cert-url"
ID, SIGNATURE, TIME = "paypal-transmission-id", "paypal-transmission-sig", "paypal-transmission-time"
HEADERS: Final = (ALGORITHM, CERTIFICATE, ID, SIGNATURE, TIME)

REPEATED_FOR: Final = timedelta(days=3)
"""PayPal repeats for three days, and does not say whether under a new time. A repeat is known by the event's id."""


def doubt(headers: Mapping[str, str], *, now: datetime, tolerance_seconds: int) -> str | None:
    """Why the headers cannot be PayPal's, before its certificate is looked at; None where they may be."""
    if any(not headers.get(name) for name in HEADERS):
        return "one of the PAYPAL- headers is missing"
    if sum(len(headers[name]) for name in HEADERS) > LENGTH_MAX:
        return "the signature's headers are too long"
    if headers[ALGORITHM] != "SHA256withRSA":
        return "the signature's algorithm is not SHA256withRSA"
    try:
        sent_at = datetime.fromisoformat(headers[TIME])
    except ValueError:
        return "the transmission's time is no time"
    if sent_at.tzinfo is None:
        return "the transmission's time is no time"
    tolerance = timedelta(seconds=tolerance_seconds)
    if not -tolerance <= now - sent_at <= REPEATED_FOR + tolerance:
        return "the transmission's time is too far from now"
    return None


def refusal(
    headers: Mapping[str, str], body: bytes, webhook_ids: Sequence[str], *, key: rsa.RSAPublicKey
) -> str | None:
    """Why this is not PayPal's for one of our webhooks; None where it is. key: PayPal's. For headers without doubt."""
    try:
        given = base64.b64decode(headers[SIGNATURE], validate=True)
    except (binascii.Error, ValueError):
        return "the signature is no base64"
    for webhook_id in webhook_ids:
        try:
            key.verify(given, signed_text(headers, body, webhook_id), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            continue
        return None
    return "the signature is not PayPal's for one of our webhooks"


def signed_text(headers: Mapping[str, str], body: bytes, webhook_id: str) -> bytes:
    """What PayPal signs."""
    return f"{headers[ID]}|{headers[TIME]}|{webhook_id}|{zlib.crc32(body)}".encode("utf-8", "replace")
