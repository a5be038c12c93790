"""Who calls: bearer tokens verified once and remembered by digest until they expire; roles and ownership."""

import asyncio
import base64
import hashlib
import time
import warnings
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import msgspec
import structlog
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, KeySet, OctKey, OKPKey, RSAKey

from bursar.kit.clock import Clock
from bursar.kit.errors import Forbidden, Unauthenticated

log = structlog.get_logger()

# RFC 9864 splits the name EdDSA into one for each curve; tokens of today carry the old one.
warnings.filterwarnings("ignore", message="EdDSA is deprecated")

ROLES: Final = frozenset({"customer", "vendor", "support", "finance", "risk", "admin", "service"})
STAFF: Final = frozenset({"support", "finance", "risk", "admin", "service"})
"""Roles that see everybody's objects."""

ALGORITHM_BY_KEY: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}
"""A key verifies its own algorithm only: a public key never serves as an HMAC secret."""

TOKEN_LENGTH_MAX: Final = 8_192
REMEMBERED_MAX: Final = 20_000
REFRESH_SECONDS: Final = 10
LEEWAY_SECONDS: Final = 5

Key = RSAKey | ECKey | OKPKey | OctKey


class Caller(msgspec.Struct, frozen=True):
    """Whom a verified token names."""

    subject: str
    roles: frozenset[str]
    customer_id: str | None
    vendor_id: str | None
    expires_at: float

    def allow(self, roles: frozenset[str]) -> None:
        """Raise Forbidden unless the caller has one of `roles`."""
        if self.roles.isdisjoint(roles):
            raise Forbidden(f"one of these roles is needed: {', '.join(sorted(roles))}")

    @property
    def is_staff(self) -> bool:
        return not self.roles.isdisjoint(STAFF)


class KeyRing:
    """The verification keys: one configured key, or a JWKS from a file or URL that is read again when a `kid` is
    unknown.
    """

    def __init__(self, *, jwt_key: str, jwks: str) -> None:
        self._jwt_key = jwt_key
        self._jwks = jwks
        self._keys: list[Key] = []
        self._refreshed_at = float("-inf")

    async def start(self) -> None:
        if self._jwt_key:
            self._keys = [read_key(self._jwt_key)]
        await self._refresh()

    async def find(self, key_id: str | None) -> Key | None:
        """The key that a token names, or the only key where it names none."""
        key = self._known(key_id)
        if key is None and self._jwks and time.monotonic() - self._refreshed_at > REFRESH_SECONDS:
            await self._refresh()
            key = self._known(key_id)
        return key

    def _known(self, key_id: str | None) -> Key | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        for key in self._keys:
            if key.kid == key_id:
                return key
        only = self._keys[0] if len(self._keys) == 1 else None
        return only if only is not None and only.kid is None else None

    async def _refresh(self) -> None:
        if not self._jwks:
            return
        self._refreshed_at = time.monotonic()
        try:
            if self._jwks.startswith(("https://", "http://")):
                async with httpx.AsyncClient(timeout=5) as client:
                    document = (await client.get(self._jwks)).raise_for_status().json()
            else:
                document = msgspec.json.decode(await asyncio.to_thread(Path(self._jwks).read_bytes))
            keys: list[Any] = list(KeySet.import_key_set(document).keys)
            self._keys = keys
        except (httpx.HTTPError, OSError, ValueError, msgspec.DecodeError, JoseError) as error:
            log.warning("auth.jwks_unreadable", error=repr(error))


class Authenticator:
    """Turns an Authorization header into a Caller."""

    def __init__(self, ring: KeyRing, *, issuer: str, audience: str, algorithms: frozenset[str], clock: Clock) -> None:
        self._ring = ring
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._remembered: dict[bytes, Caller] = {}

    def remembered(self, header: bytes | None) -> Caller | None:
        """The caller of a token that was verified before and has not expired; None: ask `verify`."""
        if header is None:
            return None
        caller = self._remembered.get(hashlib.sha256(header).digest())
        return caller if caller is not None and caller.expires_at > self._clock.now().timestamp() else None

    async def verify(self, header: bytes | None) -> Caller:
        """Verify the token. Raises Unauthenticated, saying what is wrong without saying what would be right."""
        if header is None or header[:7].lower() != b"bearer " or len(header) > TOKEN_LENGTH_MAX:
            raise Unauthenticated("send Authorization: Bearer <token>")
        claims = await self._claims(header[7:].strip())
        caller = self._caller_of(claims)
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[hashlib.sha256(header).digest()] = caller
        return caller

    async def _claims(self, token: bytes) -> dict[str, Any]:
        parts = token.split(b".")
        if len(parts) != 3 or not all(_is_canonical(part) for part in parts):
            raise Unauthenticated("the token is not a JWT")
        try:
            header = msgspec.json.decode(_unpadded(parts[0]), type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Unauthenticated("the token's header is unreadable") from error
        key_id = header.get("kid")
        key = await self._ring.find(key_id if isinstance(key_id, str) else None)
        algorithm = header.get("alg")
        if key is None or not isinstance(algorithm, str):
            raise Unauthenticated("the token names an unknown key or algorithm")
        if algorithm not in self._algorithms or ALGORITHM_BY_KEY.get(key.key_type) != algorithm or "crit" in header:
            raise Unauthenticated("the token's algorithm is not accepted")
        try:
            signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
            return msgspec.json.decode(signed.payload, type=dict[str, Any])
        except (JoseError, ValueError, msgspec.DecodeError) as error:
            raise Unauthenticated("the token's signature is not valid") from error

    def _caller_of(self, claims: dict[str, Any]) -> Caller:
        now = self._clock.now().timestamp()
        expires_at, not_before = claims.get("exp"), claims.get("nbf", 0)
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        if not isinstance(expires_at, int | float) or isinstance(expires_at, bool) or expires_at <= now:
            raise Unauthenticated("the token has expired")
        if not isinstance(not_before, int | float) or not_before > now + LEEWAY_SECONDS:
            raise Unauthenticated("the token is not valid yet")
        if claims.get("iss") != self._issuer or self._audience not in audiences:
            raise Unauthenticated("the token is for another service")
        subject, roles = claims.get("sub"), claims.get("roles")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 128 or not subject.isprintable() or " " in subject:
            raise Unauthenticated("the token names no subject")
        if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
            raise Unauthenticated("the token names no roles")
        return Caller(
            subject=subject,
            roles=frozenset(roles) & ROLES,
            customer_id=_text_or_none(claims.get("customerId")),
            vendor_id=_text_or_none(claims.get("vendorId")),
            expires_at=float(expires_at),
        )


def sign(key: Key, claims: dict[str, Any]) -> str:
    """A token with `claims`, signed by a private key."""
    algorithm = ALGORITHM_BY_KEY[key.key_type]
    header = {"alg": algorithm, "typ": "JWT", **({"kid": key.kid} if key.kid else {})}
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, algorithms=[algorithm])


def read_key(text: str) -> Key:
    """A key from a PEM or JWK file, or from a secret of 32 bytes or more. Raises ValueError."""
    path = Path(text)
    if len(text) < 1_024 and path.is_file():
        content = path.read_text()
        if content.lstrip().startswith("{"):
            return JWKRegistry.import_key(msgspec.json.decode(content))
        key_types: tuple[Literal["RSA", "EC", "OKP"], ...] = ("RSA", "EC", "OKP")
        for key_type in key_types:
            try:
                return JWKRegistry.import_key(content, key_type)
            except (ValueError, JoseError, TypeError):
                continue
        raise ValueError(f"{text} holds no key in PEM or JWK form")
    if len(text.encode()) < 32:
        raise ValueError("an HS256 secret has 32 bytes or more")
    return OctKey.import_key(text)


def _is_canonical(part: bytes) -> bool:
    """Whether a base64url part is written in the one way that it can be: no padding, no stray bits, no other
    alphabet.
    """
    try:
        return base64.urlsafe_b64encode(_unpadded(part)).rstrip(b"=") == part
    except ValueError:
        return False


def _unpadded(part: bytes) -> bytes:
    return base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4))


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
