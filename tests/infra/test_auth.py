"""Tokens: each algorithm with its own key, and everything that an attacker would try."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from bursar.infra import auth, keyfiles
from bursar.infra.auth import Authenticator, Key, KeyRing, sign
from bursar.kit.clock import SystemClock
from bursar.kit.errors import Unauthenticated
from tests.support.api import CORE, problem_of
from tests.support.service import Service
from tests.support.tokens import claims, part, token

PATH = f"{CORE}/order/o"
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
KEYS: dict[str, Key] = {
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "okp"}),
    "HS256": OctKey.generate_key(256, {"kid": "oct"}),
}


def hs256(header: dict[str, Any], body: dict[str, Any], secret: bytes) -> str:
    """A token signed with HMAC, whatever its header says."""
    signed = f"{part(header)}.{part(body)}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{part(mac.finalize())}"


def public_of(key: Any, form: str) -> bytes:
    return key.as_pem(private=False) if form == "pem" else msgspec.json.encode(key.as_dict(private=False))


def jwks(path: Path, *keys: Key) -> str:
    documents = [key.as_dict(private=isinstance(key, OctKey)) for key in keys]
    path.write_bytes(msgspec.json.encode({"keys": documents}))
    return str(path)


async def authenticator(**source: str) -> Authenticator:
    ring = KeyRing(**{"jwt_key": "", "jwks": "", **source})
    await ring.start()
    algorithms = frozenset({"EdDSA", "ES256", "RS256", "HS256"})
    return Authenticator(ring, issuer="bursar", audience="bursar", algorithms=algorithms, clock=SystemClock())


def header_of(bearer: str) -> bytes:
    return f"Bearer {bearer}".encode()


class TestAccepted:
    @pytest.mark.parametrize("algorithm", KEYS)
    async def test_each_algorithm_with_its_own_key(self, tmp_path: Path, algorithm: str) -> None:
        checks = await authenticator(jwks=jwks(tmp_path / "keys.jwks", *KEYS.values()))
        bearer = token(KEYS[algorithm], "support", "risk", "made-up", sub="ann", vendorId="v-1")
        assert msgspec.json.decode(base64.urlsafe_b64decode(bearer.split(".")[0] + "=="))["alg"] == algorithm

        caller = await checks.verify(header_of(bearer))

        assert (caller.subject, caller.roles, caller.vendor_id) == ("ann", {"support", "risk"}, "v-1")
        assert checks.remembered(header_of(bearer)) == caller

    @pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
    @pytest.mark.parametrize("form", ["pem", "jwk"])
    async def test_one_configured_key_from_a_file(self, tmp_path: Path, algorithm: str, form: str) -> None:
        key, path = KEYS[algorithm], tmp_path / "key"
        path.write_bytes(
            key.as_pem(private=False) if form == "pem" else msgspec.json.encode(key.as_dict(private=False))
        )
        checks = await authenticator(jwt_key=str(path))
        assert (await checks.verify(header_of(token(key, "admin", sub="x")))).roles == {"admin"}

    async def test_a_configured_secret(self) -> None:
        checks = await authenticator(jwt_key="a secret that has 32 bytes or more")
        key = OctKey.import_key("a secret that has 32 bytes or more")
        assert (await checks.verify(header_of(sign(key, claims("admin"))))).roles == {"admin"}
        with pytest.raises(ValueError, match="32 bytes"):
            await authenticator(jwt_key="short")

    async def test_among_several_audiences(self, service: Service) -> None:
        bearer = token(service.api.key, "service", aud=["other", "bursar"])
        assert (await service.api.with_token(bearer).get(PATH)).status_code == 200

    async def test_until_it_expires(self, service: Service) -> None:
        now = int(service.clock.now().timestamp())
        caller = service.api.with_token(token(service.api.key, "service", exp=now + 60))
        assert (await caller.get(PATH)).status_code == 200
        service.clock.advance(seconds=61)
        problem_of(await caller.get(PATH), 401, "unauthenticated")


class TestRotation:
    async def test_reads_the_file_again_for_an_unknown_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "keys.jwks"
        checks = await authenticator(jwks=jwks(path, KEYS["RS256"]))
        jwks(path, KEYS["RS256"], KEYS["ES256"])
        new = header_of(token(KEYS["ES256"], "admin"))
        with pytest.raises(Unauthenticated):  # not so often that strangers could make us read all day
            await checks.verify(new)

        monkeypatch.setattr(auth, "REFRESH_SECONDS", 0)

        assert (await checks.verify(new)).roles == {"admin"}
        assert (await checks.verify(header_of(token(KEYS["RS256"], "risk")))).roles == {"risk"}

    async def test_keeps_the_old_keys_while_the_file_is_unreadable(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(auth, "REFRESH_SECONDS", 0)
        path = tmp_path / "keys.jwks"
        checks = await authenticator(jwks=jwks(path, KEYS["RS256"]))
        path.write_text("{broken")
        with pytest.raises(Unauthenticated):
            await checks.verify(header_of(token(KEYS["ES256"], "admin")))
        assert await checks.verify(header_of(token(KEYS["RS256"], "admin")))


class TestRefusedClaims:
    @pytest.mark.parametrize(
        "changes",
        [
            {"exp": 1_700_000_000},
            {"exp": None},
            {"exp": "tomorrow"},
            {"exp": True},
            {"exp": -1},
            {"nbf": 5_000_000_000},
            {"nbf": "soon"},
            {"iss": "somebody"},
            {"iss": None},
            {"aud": "else"},
            {"aud": None},
            {"aud": []},
            {"aud": ["else"]},
            {"aud": {"bursar": 1}},
            {"sub": None},
            {"sub": ""},
            {"sub": "a b"},
            {"sub": "x" * 129},
            {"sub": "a\x00"},
            {"sub": 7},
            {"roles": None},
            {"roles": "admin"},
            {"roles": [7]},
            {"roles": {"admin": True}},
        ],
        ids=repr,
    )
    async def test_by_claim(self, service: Service, changes: dict[str, Any]) -> None:
        bearer = token(service.api.key, "service", **changes)
        problem_of(await service.api.with_token(bearer).get(PATH), 401, "unauthenticated")


def forgeries(key: Key) -> dict[str, str]:
    """Tokens that somebody without the private key could make."""
    good = token(key, "service")
    head, body, signature = good.split(".")
    kid = {"kid": key.kid}
    public_pem, public_jwk = key.as_pem(private=False), key.as_dict(private=False)
    admin = claims("admin")
    other = ECKey.generate_key("P-256", {"kid": key.kid})
    own = other.as_dict(private=False)
    loose = ECKey.generate_key("P-256", {"kid": "nobody-knows"})
    return {
        "alg none": f"{part({'alg': 'none', **kid})}.{part(admin)}.",
        "alg None": f"{part({'alg': 'None', **kid})}.{part(admin)}.{signature}",
        "no alg": f"{part(kid)}.{part(admin)}.{signature}",
        "alg of a wrong type": f"{part({'alg': ['ES256'], **kid})}.{part(admin)}.{signature}",
        "HS256 with the public PEM": hs256({"alg": "HS256", **kid}, admin, public_pem),
        "HS256 with the stripped PEM": hs256({"alg": "HS256", **kid}, admin, public_pem.strip()),
        "HS256 with the public JWK": hs256({"alg": "HS256", **kid}, admin, msgspec.json.encode(public_jwk)),
        "HS256 with nothing": hs256({"alg": "HS256", **kid}, admin, b""),
        "its own key in the header": f"{part({'alg': 'ES256', 'jwk': own, **kid})}.{body}.{signature}",
        "another key": token(other, "admin"),
        "an unknown kid": token(loose, "admin"),
        "a kid of a wrong type": f"{part({'alg': 'ES256', 'kid': 7})}.{body}.{signature}",
        "a kid that is a path": f"{part({'alg': 'ES256', 'kid': '../../dev/null'})}.{body}.{signature}",
        "an unknown critical header": f"{part({'alg': 'ES256', 'crit': ['exp'], **kid})}.{body}.{signature}",
        "another payload": f"{head}.{part(admin)}.{signature}",
        "another signature": f"{head}.{body}.{part(b'0' * 64)}",
        "an empty signature": f"{head}.{body}.",
        "a short signature": f"{head}.{body}.{signature[:40]}",
        "stray bits at the end": f"{head}.{body}.{stray(signature)}",
        "padding": f"{head}.{body}.{signature}==",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{good}.{signature}.{signature}",
        "garbage": "garbage",
        "dots": "..",
        "no JSON": f"{part(b'nonsense')}.{body}.{signature}",
        "a header that is a list": f"{part([])}.{body}.{signature}",
        "a long one": "x" * 9_000,
        "blanks": f"{head}. {body}.{signature}",
    }


def stray(segment: str) -> str:
    """The segment with bits set behind its last byte: decoders that do not look take it for the same."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(segment) % 4 == 2
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


class TestForgery:
    @pytest.mark.parametrize("name", sorted(forgeries(KEYS["ES256"])))
    async def test_is_refused(self, service: Service, name: str) -> None:
        before = await service.row_counts()
        attacker = service.api.with_token(forgeries(service.api.key)[name])

        problem_of(await attacker.get(PATH), 401, "unauthenticated")
        problem_of(await attacker.post_payment(), 401, "unauthenticated")

        assert await service.row_counts() == before

    @pytest.mark.parametrize("algorithm", ["RS256", "EdDSA"])
    @pytest.mark.parametrize("form", ["pem", "jwk"])
    async def test_of_hmac_over_a_public_key(self, tmp_path: Path, algorithm: str, form: str) -> None:
        key = KEYS[algorithm]
        checks = await authenticator(jwks=jwks(tmp_path / "keys.jwks", key))
        public = public_of(key, form)
        for header in ({"alg": "HS256", "kid": key.kid}, {"alg": "HS256"}):
            with pytest.raises(Unauthenticated):
                await checks.verify(header_of(hs256(header, claims("admin"), public)))

    async def test_of_an_algorithm_that_is_not_on_the_list(self, tmp_path: Path) -> None:
        ring = KeyRing(jwt_key="", jwks=jwks(tmp_path / "keys.jwks", *KEYS.values()))
        await ring.start()
        checks = Authenticator(
            ring, issuer="bursar", audience="bursar", algorithms=frozenset({"ES256"}), clock=SystemClock()
        )
        assert await checks.verify(header_of(token(KEYS["ES256"], "admin")))
        for algorithm in ("RS256", "EdDSA", "HS256"):
            with pytest.raises(Unauthenticated):
                await checks.verify(header_of(token(KEYS[algorithm], "admin")))

    @pytest.mark.parametrize("scheme", ["Basic ", "Token ", "", "Bearer", "bearer\t"])
    async def test_of_another_scheme(self, service: Service, scheme: str) -> None:
        headers = {"authorization": scheme + token(service.api.key, "admin")}
        problem_of(await service.api.call("GET", PATH, headers=headers), 401, "unauthenticated")

    async def test_by_a_key_file_that_others_may_read(self, tmp_path: Path) -> None:
        keyfiles.token_key(tmp_path / "keys")
        assert (tmp_path / "keys" / keyfiles.TOKEN_KEY).stat().st_mode & 0o077 == 0
        public = msgspec.json.decode((tmp_path / "keys" / keyfiles.TOKEN_KEY_SET).read_bytes())["keys"][0]
        assert "d" not in public
