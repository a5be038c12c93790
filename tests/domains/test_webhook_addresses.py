"""Where webhooks are never sent: by every spelling of an address, and by every name of one."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bursar.domains.webhook_endpoints import send
from bursar.domains.webhook_endpoints.address import NEVER, PRIVATE, is_allowed, parse
from bursar.domains.webhook_endpoints.send import AddressRefused, check

INSIDE_V4 = [network for network in (*PRIVATE, *NEVER) if network.version == 4]
INSIDE_V6 = [network for network in (*PRIVATE, *NEVER) if network.version == 6]


def within(text: str) -> SearchStrategy[int]:
    network = ip_network(text)
    first = int(network.network_address)
    return st.integers(first, first + network.num_addresses - 1)


inside_v4 = st.sampled_from(INSIDE_V4).flatmap(lambda network: within(str(network)))
any_v4 = st.integers(0, 2**32 - 1)


def spellings(value: int) -> list[str]:
    """The ways to write an IPv4 address that the C library's resolver takes."""
    a, b, c, d = value >> 24, value >> 16 & 255, value >> 8 & 255, value & 255
    return [
        f"{a}.{b}.{c}.{d}",
        str(value),
        hex(value),
        f"0{value:o}",
        f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        f"{a}.{b}.{value & 0xFFFF}",
        f"{a}.{value & 0xFFFFFF}",
        f"0X{a:X}.{b}.0{c:o}.{d}",
    ]


class TestAddresses:
    @pytest.mark.parametrize(
        "text",
        [
            "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1",
            "169.254.169.254", "100.64.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
            "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.88.99.1",
            "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1",
            "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8",
            "64:ff9b:1::1", "2001:db8::1", "2001::1", "2002:7f00:1::1", "100::1", "3fff::1",
        ],
    )  # fmt: skip
    def test_inside_are_refused(self, text: str) -> None:
        assert not is_allowed(text, private=False)

    @pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"])
    def test_outside_are_allowed(self, text: str) -> None:
        assert is_allowed(text, private=False) and is_allowed(text, private=True)

    @pytest.mark.parametrize("text", ["127.0.0.1", "10.1.2.3", "192.168.1.1", "::1", "fd12::1"])
    def test_private_ones_may_be_allowed(self, text: str) -> None:
        assert is_allowed(text, private=True)

    @pytest.mark.parametrize("text", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "::ffff:127.0.0.1", "fe80::1", "::"])
    def test_others_never(self, text: str) -> None:
        assert not is_allowed(text, private=True)

    @given(any_v4)
    def test_what_python_calls_inside_is_refused(self, value: int) -> None:
        address = IPv4Address(value)
        is_inside = not address.is_global or address.is_multicast or address.is_reserved
        assert not (is_inside and is_allowed(str(address), private=False))

    @given(st.integers(0, 2**128 - 1))
    def test_and_so_in_ipv6(self, value: int) -> None:
        address = IPv6Address(value)
        is_inside = not address.is_global or address.is_multicast or address.ipv4_mapped or address.sixtofour
        assert not (is_inside and is_allowed(str(address), private=False))

    @given(any_v4, st.sampled_from(["::ffff:0:0", "::", "64:ff9b::"]))
    def test_none_carries_another(self, value: int, prefix: str) -> None:
        assert not is_allowed(str(IPv6Address(int(IPv6Address(prefix)) + value)), private=False)


class TestSpellings:
    @given(inside_v4, st.integers(0, 8))
    async def test_every_way_to_write_it_is_refused(self, value: int, form: int) -> None:
        target = parse(f"http://{spellings(value)[form]}:8080/hooks")
        try:
            addresses = await check(target.host, target.port, private=False)
        except (AddressRefused, OSError):
            return
        pytest.fail(f"{target.host} led to {addresses}")

    async def test_the_resolver_takes_these_ways(self) -> None:
        """Else the test above would say nothing."""
        for text in spellings(0x7F000001):
            with pytest.raises(AddressRefused):
                await check(text, 80, private=False)

    @given(st.sampled_from(INSIDE_V6).flatmap(lambda network: within(str(network))))
    async def test_ipv6_is_refused(self, value: int) -> None:
        for text in (str(IPv6Address(value)), IPv6Address(value).exploded):
            target = parse(f"https://[{text}]/")
            with pytest.raises(AddressRefused):
                await check(target.host, target.port, private=False)

    @pytest.mark.parametrize("name", ["localhost", "LocalHost"])
    async def test_names_of_this_machine_are_refused(self, name: str) -> None:
        target = parse(f"http://{name}/")
        with pytest.raises(AddressRefused):
            await check(target.host, target.port, private=False)

    @pytest.mark.parametrize(
        "addresses", [["10.0.0.5"], ["8.8.8.8", "127.0.0.1"], ["2606:4700::1", "::1"], ["::ffff:8.8.8.8"]]
    )
    async def test_one_address_inside_refuses_a_name(
        self, addresses: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entries = [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (one, 80)) for one in addresses]
        monkeypatch.setattr(send.socket, "getaddrinfo", lambda *_, **__: entries)
        with pytest.raises(AddressRefused):
            await check("hooks.example.com", 80, private=False)
        assert await send.is_refused("hooks.example.com", 80, private=False)

    async def test_a_name_without_an_address_is_no_refusal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "not known")

        monkeypatch.setattr(send.socket, "getaddrinfo", unknown)
        assert not await send.is_refused("hooks.example.com", 80, private=False)


class TestUrls:
    @pytest.mark.parametrize(
        "url, host, port, path",
        [
            ("https://Shop.Example.com/hooks?a=1", "shop.example.com", 443, "/hooks?a=1"),
            ("http://shop.example.com", "shop.example.com", 80, "/"),
            ("http://[2606:4700::1]:8080/x", "2606:4700::1", 8080, "/x"),
            ("HTTPS://a:65535/", "a", 65535, "/"),
        ],
    )
    def test_are_taken_apart(self, url: str, host: str, port: int, path: str) -> None:
        target = parse(url)
        assert (target.host, target.port, target.path) == (host, port, path)

    @pytest.mark.parametrize(
        "url",
        [
            "", "shop.example.com", "ftp://a/", "file:///etc/passwd", "gopher://a/", "unix:///run/x", "http://",
            "http:///x", "http://u:p@a/", "http://u@a/", "http://@a/", "http://a/#b", "http://a b/", "http://a\\b/",
            "http://a\r\nHost: b/", "http://a/\tb", "http://a:0/", "http://a:65536/", "http://a:x/", "http://[::1",
            "http://[127.0.0.1]/", "http://[fe80::1%25eth0]/", "http://a%00b/", "http://bücher.example/", "http://-/",
            "http://a/" + "x" * 2_048, "javascript:alert(1)", "http://[v1.x]/",
        ],
    )  # fmt: skip
    def test_others_are_refused(self, url: str) -> None:
        with pytest.raises(ValueError):  # noqa: PT011  any words
            parse(url)

    @given(st.text(max_size=80))
    def test_nothing_else_happens(self, text: str) -> None:
        for url in (text, f"http://{text}", f"https://{text}/"):
            try:
                target = parse(url)
            except ValueError:
                continue
            assert target.host and target.scheme in ("http", "https") and "@" not in target.authority
            assert url.isascii() and url.isprintable(), url
