"""Webhooks: where they go, how they are signed, and PayPal's own check of a signature.

PayPal signs `transmission id|transmission time|webhook id|CRC-32 of the body` by RSA with SHA-256, and serves the
certificate; ours is made anew by each process.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulators.kit.message import Answer, Refusal, Request, Route
from simulators.kit.webhooks import Webhooks
from simulators.paypal.words import error, link, moment

WEBHOOK_ID: Final = "8PT597110X687430LKGECATA"
"""Of the webhook that is there from the start."""
COMMON_NAME: Final = "messageverificationcerts.paypal.com"
CERTIFICATE_PATH: Final = "/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
ALGORITHM: Final = "SHA256withRSA"
KEPT_SECONDS: Final = 30 * 86_400


class Notifications:
    """The one webhook, and what was sent to it. webhooks.secret is the webhook's id. base: where we can be reached."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.webhooks = webhooks
        self.webhooks.secret = WEBHOOK_ID
        self.base = ""
        self._names: list[str] = ["*"]
        self._bodies: dict[str, bytes] = {}

    def routes(self) -> Sequence[Route]:
        """Webhooks v1, as far as one webhook goes."""
        return (
            Route("POST", "/v1/notifications/webhooks", self._create),
            Route("GET", "/v1/notifications/webhooks", self._list),
            Route("GET", "/v1/notifications/webhooks-events", self._events, is_documented=False),
            Route("POST", "/v1/notifications/verify-webhook-signature", self._verify),
            Route("GET", CERTIFICATE_PATH, self._certificate, is_documented=False, has_faults=False),
        )

    def sign(self, body: bytes, event: dict[str, Any], at: int) -> dict[str, str]:
        """The headers of a webhook."""
        self._bodies[event["id"]] = body
        transmission_id, time = f"t-{event['id']}-{at}", moment(at)
        key, _ = _credentials()
        text = _signed_text(transmission_id, time, self.webhooks.secret, body)
        signature = key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return {
            "PAYPAL-AUTH-ALGO": ALGORITHM,
            "PAYPAL-CERT-URL": f"{self.base}{CERTIFICATE_PATH}",
            "PAYPAL-TRANSMISSION-ID": transmission_id,
            "PAYPAL-TRANSMISSION-SIG": base64.b64encode(signature).decode(),
            "PAYPAL-TRANSMISSION-TIME": time,
        }

    def _create(self, request: Request) -> Answer:
        if self.webhooks.url == request.params["url"]:
            message = "Webhook URL already exists"
            raise Refusal(error(400, name="WEBHOOK_URL_ALREADY_EXISTS", message=message))
        self.webhooks.url = request.params["url"]
        self._names = [each["name"] for each in request.params["event_types"]]
        return Answer(201, self._told(request.base_url))

    def _list(self, request: Request) -> Answer:
        return Answer(200, {"webhooks": [self._told(request.base_url)] if self.webhooks.url else []})

    def _events(self, request: Request) -> Answer:
        """A page of what was told, oldest first; the next one is at the link, whose parameters no document names."""
        query = request.query
        start, end = query.get("start_time", ""), query.get("end_time", "9999")
        if start and datetime.fromisoformat(start).timestamp() < request.now - KEPT_SECONDS:
            raise Refusal(error(400, name="INVALID_REQUEST", message="start_time is more than 30 days ago"))
        found = [event for event in self.webhooks.events if start <= event["create_time"] <= end]
        size, place = int(query.get("page_size", 10)), int(query.get("index_id", 0))
        links = [link(request.base_url + request.path, "self")]
        if place + size < len(found):
            further = urlencode({**query, "move_to": "next", "index_id": place + size})
            links.append(link(f"{request.base_url}{request.path}?{further}", "next"))
        shown = found[place : place + size]
        return Answer(200, {"events": shown, "count": len(shown), "links": links})

    def _verify(self, request: Request) -> Answer:
        asked = request.params
        body = self._bodies.get(asked["webhook_event"].get("id", ""), b"null")
        is_good = asked["webhook_id"] == self.webhooks.secret and json.loads(body) == asked["webhook_event"]
        text = _signed_text(asked["transmission_id"], asked["transmission_time"], asked["webhook_id"], body)
        is_good = is_good and asked["auth_algo"] == ALGORITHM and is_signed(text, asked["transmission_sig"])
        return Answer(200, {"verification_status": "SUCCESS" if is_good else "FAILURE"})

    def _certificate(self, request: Request) -> Answer:
        return Answer(200, certificate_pem().decode())

    def _told(self, base: str) -> dict[str, Any]:
        return {
            "id": self.webhooks.secret,
            "url": self.webhooks.url,
            "event_types": [{"name": name} for name in self._names],
            "links": [link(f"{base}/v1/notifications/webhooks/{self.webhooks.secret}", "self")],
        }


def is_signed(text: bytes, signature: str) -> bool:
    """Whether `signature` (base64) is ours of `text`."""
    key, _ = _credentials()
    try:
        key.public_key().verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def certificate_pem() -> bytes:
    """The certificate whose key signs."""
    return _credentials()[1].public_bytes(serialization.Encoding.PEM)


def _signed_text(transmission_id: str, time: str, webhook_id: str, body: bytes) -> bytes:
    return f"{transmission_id}|{time}|{webhook_id}|{zlib.crc32(body)}".encode()


@cache
def _credentials() -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, COMMON_NAME)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=365),
    )
    return key, builder.sign(key, hashes.SHA256())
