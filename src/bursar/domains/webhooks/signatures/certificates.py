"""PayPal's certificates: fetched from PayPal's own hosts only, their chain verified, kept by address."""

import asyncio
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import msgspec
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import verification

log = structlog.get_logger()

ORIGINS: Final = frozenset(
    f"https://{host}"
    for host in ("api.paypal.com", "api.sandbox.paypal.com", "api-m.paypal.com", "api-m.sandbox.paypal.com")
)
PATH: Final = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,100}")
NAMES: Final = ("messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com")
"""Whose certificates sign: any other, though the chain be good, is somebody else's."""

FETCH_SECONDS: Final = 3.0
SIZE_MAX: Final = 65_536
CHAIN_MAX: Final = 8
KEPT: Final = timedelta(hours=12)
KEPT_MAX: Final = 32
REMEMBERED: Final = timedelta(minutes=1)
"""How long an address that brought nothing of use is not asked again."""
FAILURES_MAX: Final = 10
"""Addresses that bring nothing, within that time, after which no new one is asked: forgers name many."""


class NotTrusted(Exception):  # noqa: N818  a fact about a certificate
    """The certificate cannot be had, or is not PayPal's."""


class _Kept(msgspec.Struct, frozen=True):
    key: rsa.RSAPublicKey
    until: datetime


class Certificates:
    """The keys by address. origins: further places that count as PayPal's, for stand-ins. authorities: a PEM file that
    is trusted instead of the machine's; what is named there itself is trusted as it is.
    """

    def __init__(self, *, origins: Sequence[str] = (), authorities: str = "") -> None:
        self._origins = ORIGINS | frozenset(origins)
        self._authorities_path = authorities
        self._authorities: Sequence[x509.Certificate] = ()
        self._kept: dict[str, _Kept] = {}
        self._failed: dict[str, datetime] = {}
        self._fetching = asyncio.Lock()

    async def key_of(self, address: str, now: datetime) -> rsa.RSAPublicKey:
        """The key of the certificate at `address`. Raises NotTrusted."""
        kept = self._kept.get(address)
        if kept is not None and kept.until > now:
            return kept.key
        if not self._is_paypals(address):
            raise NotTrusted("the certificate's address is not PayPal's")
        async with self._fetching:
            kept = self._kept.get(address)
            if kept is not None and kept.until > now:
                return kept.key
            self._refuse_failed(address, now)
            try:
                kept = await self._learn(address, now)
            except NotTrusted:
                self._failed[address] = now + REMEMBERED
                raise
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[address] = kept
            return kept.key

    def _is_paypals(self, address: str) -> bool:
        try:
            parts = urlsplit(address)
        except ValueError:
            return False
        is_plain = not (parts.query or parts.fragment) and address.isascii() and address.isprintable()
        return is_plain and f"{parts.scheme}://{parts.netloc}" in self._origins and bool(PATH.fullmatch(parts.path))

    def _refuse_failed(self, address: str, now: datetime) -> None:
        self._failed = {failed: until for failed, until in self._failed.items() if until > now}
        if address in self._failed or len(self._failed) >= FAILURES_MAX:
            raise NotTrusted("the certificate could not be had a moment ago")

    async def _learn(self, address: str, now: datetime) -> _Kept:
        content = await _fetched(address)
        try:
            chain = x509.load_pem_x509_certificates(content)
        except ValueError as error:
            raise NotTrusted("there is no certificate at its address") from error
        if len(chain) > CHAIN_MAX:
            raise NotTrusted("the certificate's chain is too long")
        if not self._authorities:
            self._authorities = await asyncio.to_thread(_authorities, self._authorities_path)
        pinned = self._authorities if self._authorities_path else ()
        if chain[0] not in pinned or not chain[0].not_valid_before_utc <= now <= chain[0].not_valid_after_utc:
            _verify_chain(chain, self._authorities, now)
        key = chain[0].public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise NotTrusted("the certificate's key is not RSA")
        return _Kept(key, min(now + KEPT, chain[0].not_valid_after_utc))


def _verify_chain(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate], now: datetime) -> None:
    """Raises NotTrusted unless the chain leads from one of NAMES to an authority."""
    builder = verification.PolicyBuilder().store(verification.Store(list(authorities))).time(now)
    faults = []
    for name in NAMES:
        try:
            builder.build_server_verifier(x509.DNSName(name)).verify(chain[0], list(chain[1:]))
        except (verification.VerificationError, ValueError) as error:
            faults.append(str(error))
        else:
            return
    log.warning("webhooks.certificate_refused", faults=faults)
    raise NotTrusted("the certificate is not PayPal's")


def _authorities(path: str) -> list[x509.Certificate]:
    """The certificates of a PEM file; without one, those that our HTTP client trusts."""
    if path:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    trusted = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        for found in httpx.create_ssl_context().get_ca_certs(binary_form=True):
            with suppress(ValueError, CryptographyDeprecationWarning):  # some old roots are not as RFC 5280 wants them
                trusted.append(x509.load_der_x509_certificate(found))
    return trusted


async def _fetched(address: str) -> bytes:
    content = bytearray()
    try:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as client,
            client.stream("GET", address) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise NotTrusted(f"the certificate's address answers {response.status_code}")
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > SIZE_MAX:
                    raise NotTrusted("there is no certificate at its address")
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise NotTrusted(f"the certificate cannot be had: {type(error).__name__}") from error
    return bytes(content)
