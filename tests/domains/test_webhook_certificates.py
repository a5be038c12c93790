"""PayPal's certificates: only from PayPal, only its own, fetched once."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bursar.domains.webhooks.signatures.certificates import FAILURES_MAX, NAMES, Certificates, NotTrusted
from tests.support.service import eventually

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PATH = "/v1/notifications/certs/CERT-1"


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """Signs certificates; one of its own, or one above it, signs its own."""

    def __init__(self, name: str, above: "Authority | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = named(name)
        self.certificate = (above or self).sign(self.name, self.key.public_key(), is_authority=True)

    def sign(
        self,
        name: x509.Name,
        key: Any,
        *,
        hosts: tuple[str, ...] = (),
        is_authority: bool = False,
        since: datetime = NOW - timedelta(days=30),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self.name)
            .subject_name(name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(since + timedelta(days=90))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if is_authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
            builder = builder.add_extension(names, critical=False).add_extension(purpose, critical=False)
        return builder.sign(self.key, hashes.SHA256())


ROOT = Authority("A root")
MIDDLE = Authority("In the middle", ROOT)
KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def leaf(host: str = NAMES[0], **options: Any) -> x509.Certificate:
    return MIDDLE.sign(named(host), KEY.public_key(), hosts=(host,), **options)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


class Place:
    """A server of certificates. served: by path."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.address = origin + PATH
        self.served: dict[str, tuple[int, bytes]] = {}
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        status, body = self.served.get(scope["path"], (404, b""))
        await send({"type": "http.response.start", "status": status, "headers": [(b"location", b"/elsewhere")]})
        await send({"type": "http.response.body", "body": body})

    def serves(self, content: bytes, status: int = 200) -> None:
        self.served[PATH] = (status, content)


@asynccontextmanager
async def serving() -> AsyncIterator[Place]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        place = Place(f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = uvicorn.Server(uvicorn.Config(place, lifespan="off", log_config=None, ws="none"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await eventually(lambda: server.started, 30)
        try:
            yield place
        finally:
            server.should_exit = True
            await task


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with serving() as served:
        yield served


def trusting(place: Place, directory: Path, *authorities: x509.Certificate) -> Certificates:
    path = directory / "authorities.pem"
    path.write_bytes(pem(*authorities))
    return Certificates(origins=[place.origin], authorities=str(path))


class TestCertificates:
    async def test_a_chain_to_an_authority_is_trusted_and_fetched_once(self, place: Place, tmp_path: Path) -> None:
        place.serves(pem(leaf(), MIDDLE.certificate))
        certificates = trusting(place, tmp_path, ROOT.certificate)
        for _ in range(3):
            assert (await certificates.key_of(place.address, NOW)) == KEY.public_key()
        assert place.asked == 1
        await certificates.key_of(place.address, NOW + timedelta(hours=13))
        assert place.asked == 2

    @pytest.mark.parametrize(
        "content",
        [
            pem(leaf()),
            pem(leaf("api.paypal.com"), MIDDLE.certificate),
            pem(leaf("messageverificationcerts.paypal.com.evil.example"), MIDDLE.certificate),
            pem(leaf(since=NOW - timedelta(days=200)), MIDDLE.certificate),
            pem(leaf(since=NOW + timedelta(days=1)), MIDDLE.certificate),
            pem(Authority(NAMES[0]).certificate, MIDDLE.certificate),
            pem(leaf(), *[MIDDLE.certificate] * 10),
            b"nothing",
            b"",
            b"x" * 100_000,
        ],
    )
    async def test_anything_else_is_not(self, place: Place, tmp_path: Path, content: bytes) -> None:
        place.serves(content)
        with pytest.raises(NotTrusted):
            await trusting(place, tmp_path, ROOT.certificate).key_of(place.address, NOW)

    async def test_another_authority_is_not_ours(self, place: Place, tmp_path: Path) -> None:
        place.serves(pem(leaf(), MIDDLE.certificate))
        with pytest.raises(NotTrusted):
            await trusting(place, tmp_path, Authority("Another root").certificate).key_of(place.address, NOW)
        with pytest.raises(NotTrusted):
            await Certificates(origins=[place.origin]).key_of(place.address, NOW)

    async def test_one_that_is_named_itself_is_trusted_while_it_is_valid(self, place: Place, tmp_path: Path) -> None:
        place.serves(pem(leaf := MIDDLE.sign(named("x"), KEY.public_key(), hosts=("x",))))
        certificates = trusting(place, tmp_path, leaf)
        assert await certificates.key_of(place.address, NOW)
        with pytest.raises(NotTrusted):
            await certificates.key_of(place.address, NOW + timedelta(days=100))

    @pytest.mark.parametrize(
        "address",
        [
            "http://api.paypal.com" + PATH,
            "https://api.paypal.com.evil.example" + PATH,
            "https://evil.example/https://api.paypal.com" + PATH,
            "https://api.paypal.com@evil.example" + PATH,
            "https://api.paypal.com:444" + PATH,
            "https://api.paypal.com/v1/notifications/certs/../../../x",
            "https://api.paypal.com" + PATH + "?x",
            "https://api.paypal.com" + PATH + "\n",
            "https://[::1" + PATH,
            "file:///etc/passwd",
            "é",
            "",
        ],
    )
    async def test_nobody_else_is_asked(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        import httpx

        monkeypatch.setattr(httpx.AsyncClient, "stream", None)
        with pytest.raises(NotTrusted, match="address is not PayPal's"):
            await Certificates().key_of(address, NOW)

    async def test_no_redirect_is_followed_and_no_failure_repeated(self, place: Place, tmp_path: Path) -> None:
        certificates = trusting(place, tmp_path, ROOT.certificate)
        place.serves(b"", 302)
        place.served["/elsewhere"] = (200, pem(leaf(), MIDDLE.certificate))
        for _ in range(3):
            with pytest.raises(NotTrusted):
                await certificates.key_of(place.address, NOW)
        assert place.asked == 1
        for number in range(FAILURES_MAX * 2):
            with pytest.raises(NotTrusted):
                await certificates.key_of(f"{place.address}-{number}", NOW)
        assert place.asked == FAILURES_MAX
        place.serves(pem(leaf(), MIDDLE.certificate))
        assert await certificates.key_of(place.address, NOW + timedelta(minutes=2))
