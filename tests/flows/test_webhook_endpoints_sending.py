"""One message on a real socket: where it goes, where it never goes, and what its answer is taken for."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bursar.domains.webhook_endpoints.delivery import Outcome
from bursar.domains.webhook_endpoints.send import Resolve, Sender, resolve
from bursar.kit.clock import SystemClock
from tests.support.receiver import Message, Receiver, Reply
from tests.support.wire import talking

NAME = "hooks.example.test"


@asynccontextmanager
async def sender(*, private: bool = True, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None, seconds=20.0):  # type: ignore[no-untyped-def]
    async with Sender(SystemClock(), timeout_seconds=seconds, private=private, resolve=resolve, tls=tls) as made:
        yield made


async def post(url: str, **options: object) -> Outcome:
    async with sender(**options) as made:  # type: ignore[arg-type]
        outcome: Outcome = await made.post(url, {"webhook-id": "1"}, b'{"a": 1}')
    return outcome


def names(*answers: list[str]) -> Resolve:
    """A resolver that says one thing after the other."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


@asynccontextmanager
async def raw(speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that reads a request's head and then does what `speak` does."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b'{"a": 1}')
        await speak(reader, writer)

    async with talking(talk) as url:
        yield url


def saying(*parts: bytes, pause: float = 0.02) -> Callable[..., Awaitable[None]]:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)

    return speak


class TestAddress:
    async def test_inside_is_never_connected_to(self) -> None:
        async with Receiver() as receiver:
            for host in ("127.0.0.1", "2130706433", "0x7f.1", "localhost"):
                outcome = await post(f"http://{host}:{receiver.port}/", private=False)
                assert outcome.status_code is None and "address refused" in str(outcome.error), outcome
            assert receiver.came == []

    async def test_a_name_that_turns_inside_is_refused(self) -> None:
        """DNS rebinding: public when it was registered, inside when it is called."""
        async with Receiver() as receiver:
            outcome = await post(f"http://{NAME}:{receiver.port}/", private=False, resolve=names(["127.0.0.1"]))
            assert "address refused" in str(outcome.error) and receiver.came == []

    async def test_what_was_checked_is_what_is_connected_to(self) -> None:
        """The name is looked up once: what it resolves to afterwards does not matter."""
        async with Receiver() as receiver:
            flipping = names(["127.0.0.1"], ["127.0.0.9"], ["127.0.0.9"])
            assert (await post(f"http://{NAME}:{receiver.port}/", resolve=flipping)).status_code == 204
            assert receiver.came[0].headers["host"] == f"{NAME}:{receiver.port}"

    async def test_the_next_address_is_tried(self) -> None:
        async with Receiver() as receiver:
            outcome = await post(f"http://{NAME}:{receiver.port}/", resolve=names(["127.0.0.9", "127.0.0.1"]))
            assert outcome.status_code == 204

    async def test_a_redirect_is_not_followed(self) -> None:
        async with Receiver() as inner:
            to = (("location", inner.url),)
            async with Receiver(lambda _: Reply(307, to)) as outer:
                assert (await post(outer.url)).status_code == 307
            assert inner.came == []

    async def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async with Receiver() as proxy, Receiver() as receiver:
            for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            assert (await post(receiver.url)).status_code == 204
            assert proxy.came == [] and len(receiver.came) == 1


class TestAnswers:
    async def test_is_kept_a_little(self) -> None:
        async with Receiver(lambda _: Reply(500, (("retry-after", "7"),), b"x" * 5_000)) as receiver:
            outcome = await post(receiver.url)
            assert (outcome.status_code, outcome.body, outcome.retry_after) == (500, "x" * 1_024, "7")

    @pytest.mark.parametrize("body, text", [
        (b"a\x00b", "a\ufffdb"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"card 4242 4242 4242 4242", "it held a card number"),
        (b"", None),
    ])  # fmt: skip
    async def test_is_text_that_can_be_kept(self, body: bytes, text: str | None) -> None:
        async with Receiver(lambda _: Reply(200, (), body)) as receiver:
            assert (await post(receiver.url)).body == text

    async def test_none_in_time(self) -> None:
        async with Receiver(lambda _: Reply(after=5)) as receiver:
            outcome = await post(receiver.url, seconds=0.2)
            assert outcome.status_code is None and outcome.error == "no answer within 0.2 s"
            assert 150 < outcome.milliseconds < 4_500

    async def test_nobody_there(self) -> None:
        async with Receiver() as receiver:
            url = receiver.url
        assert "ConnectionRefused" in str((await post(url)).error)

    async def test_no_such_name(self) -> None:
        assert (await post("http://no-such-host.invalid/", seconds=1.0)).status_code is None

    @pytest.mark.parametrize(
        "said", [b"", b"HTTP/1.1 2", b"SSH-2.0-OpenSSH\r\n", b"\x00\x01\x02", b"HTTP/1.1 abc\r\n\r\n"]
    )
    async def test_no_answer_of_http(self, said: bytes) -> None:
        async with raw(saying(said)) as url:
            outcome = await post(url)
            assert outcome.status_code is None and outcome.error

    async def test_an_early_hint_is_no_answer(self) -> None:
        hint, done = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
        async with raw(saying(hint, done)) as url:
            assert (await post(url)).status_code == 204

    async def test_what_follows_an_answer_is_none(self) -> None:
        first, second = b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"
        async with raw(saying(first + second)) as url:
            assert (await post(url)).status_code == 500

    @pytest.mark.parametrize("rest", [b"content-length: 99\r\n\r\nshort", b"transfer-encoding: chunked\r\n\r\nzz\r\n"])
    async def test_counts_by_its_status_whatever_its_body(self, rest: bytes) -> None:
        async with raw(saying(b"HTTP/1.1 200 OK\r\n" + rest)) as url:
            assert (await post(url)).is_delivered

    async def test_that_never_ends_is_cut_off(self) -> None:
        async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 10_000)
                await writer.drain()

        async with raw(speak) as url:
            outcome = await post(url)
            assert outcome.is_delivered and outcome.body == "x" * 1_024 and outcome.milliseconds < 15_000

    async def test_that_trickles_is_cut_off(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
        async with raw(saying(head, *[b"x"] * 200, pause=0.1)) as url:
            outcome = await post(url)
            assert outcome.is_delivered and outcome.milliseconds < 15_000

    async def test_a_head_that_never_ends_is_refused(self) -> None:
        lines = [b"x-%d: %s\r\n" % (number, b"y" * 1_000) for number in range(100)]
        async with raw(saying(b"HTTP/1.1 200 OK\r\n", *lines, pause=0)) as url:
            assert (await post(url)).status_code is None


class TestConnections:
    async def test_are_used_again(self) -> None:
        async with Receiver() as receiver, sender() as made:
            for _ in range(5):
                assert (await made.post(receiver.url, {}, b"{}")).status_code == 204
            assert receiver.connections == 1

    async def test_one_that_was_hung_up_is_replaced(self) -> None:
        async with Receiver() as receiver, sender() as made:
            await made.post(receiver.url, {}, b"{}")
            await receiver.close()
            await receiver.open()
            assert (await made.post(receiver.url, {}, b"{}")).status_code == 204

    async def test_one_that_hangs_up_on_the_second_request_is_replaced(self) -> None:
        taken = 0

        def reply(_: Message) -> Reply:
            nonlocal taken
            taken += 1
            return Reply(0) if taken == 2 else Reply()

        async with Receiver(reply) as receiver, sender() as made:
            for _ in range(2):
                assert (await made.post(receiver.url, {}, b"{}")).status_code == 204
            assert len(receiver.came) == 3

    async def test_one_on_which_something_was_said_unasked_is_replaced(self) -> None:
        """As 408 on a connection that was idle: it is no answer to what is asked next."""
        asked, has_said = 0, asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            with suppress(OSError, asyncio.IncompleteReadError):
                while await reader.readuntil(b"{}"):
                    asked += 1
                    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
                    await asyncio.sleep(0.05)
                    writer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
                    has_said.set()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server, sender() as made:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            for count in (1, 2):
                assert (await made.post(url, {}, b"{}")).status_code == 204 and asked == count
                await has_said.wait()
                has_said.clear()
                await asyncio.sleep(0.1)

    async def test_of_another_host_are_not_taken(self) -> None:
        async with Receiver() as one, Receiver() as other, sender() as made:
            for receiver in (one, other, one):
                assert (await made.post(receiver.url, {}, b"{}")).status_code == 204
            assert (len(one.came), len(other.came)) == (2, 1)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, certified for NAME, and a client's that trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), SystemClock().now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(encoding))
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(path)
    trusting = ssl.create_default_context(cafile=str(path))
    return served, trusting


class TestTls:
    async def test_the_name_is_verified_though_an_address_is_connected_to(
        self, certified: tuple[ssl.SSLContext, ssl.SSLContext]
    ) -> None:
        served, trusting = certified
        async with Receiver(tls=served) as receiver:
            right = await post(f"https://{NAME}:{receiver.port}/", resolve=names(["127.0.0.1"]), tls=trusting)
            assert right.status_code == 204 and receiver.came[0].headers["host"] == f"{NAME}:{receiver.port}"
            for url in (f"https://other.example.test:{receiver.port}/", f"https://127.0.0.1:{receiver.port}/"):
                wrong = await post(url, resolve=names(["127.0.0.1"]), tls=trusting)
                assert wrong.status_code is None and "CERTIFICATE_VERIFY_FAILED" in str(wrong.error)

    async def test_a_stranger_is_not_trusted(self, certified: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        async with Receiver(tls=certified[0]) as receiver:
            outcome = await post(f"https://{NAME}:{receiver.port}/", resolve=names(["127.0.0.1"]))
            assert "CERTIFICATE_VERIFY_FAILED" in str(outcome.error) and receiver.came == []
