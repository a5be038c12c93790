"""Which URLs are called and which addresses are connected to: none that lies inside. Pure.

A host is never judged by its name or its spelling (2130706433 and 0x7f.1 are loopback too), but by the addresses that
it resolves to; what was judged is what is connected to (`send.Sender`).
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

import msgspec

URL_LENGTH_MAX: Final = 2_048

PRIVATE: Final = tuple(
    map(
        ip_network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7")
    )
)
"""Reachable where BURSAR_DELIVERY_PRIVATE_NETWORKS says so, and nowhere else."""

NEVER: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host
            "169.254.0.0/16",  # link-local, where clouds keep their credentials
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
            "2001::/23",  # protocols, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4: an IPv4 address inside
            "3fff::/20",
        ),
    )
)
PUBLIC_V6: Final = ip_network("2000::/3")
"""All that was given out of IPv6. Outside lie link-local, multicast, IPv4-mapped and NAT64 addresses."""

_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_.])?")
_VISIBLE: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # no blanks, no controls, no backslash


class Target(msgspec.Struct, frozen=True):
    """Where a URL points to. host: without the brackets of an IPv6 address. authority: host and port as written."""

    scheme: str
    host: str
    port: int
    authority: str
    path: str


def parse(url: str) -> Target:
    """Take a URL apart. Raises ValueError that says what is wrong with it."""
    if len(url) > URL_LENGTH_MAX or not _VISIBLE.fullmatch(url):
        raise ValueError(f"a URL has visible ASCII characters, {URL_LENGTH_MAX} at the most")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("the URL has to be https: or http:")
    if "@" in parts.netloc:
        raise ValueError("the URL may carry no credentials")
    if "#" in url:
        raise ValueError("the URL may have no fragment")
    host = (parts.hostname or "").lower()
    if parts.netloc.startswith("["):
        if not isinstance(ip_address(host), IPv6Address) or "%" in host:
            raise ValueError("the URL's host is no IPv6 address")
    elif not _HOST.fullmatch(host):
        raise ValueError("the URL has no readable host")
    port = parts.port if parts.port is not None else 443 if parts.scheme == "https" else 80
    if port == 0:
        raise ValueError("the URL's port is 0")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, parts.netloc.lower(), path)


def is_allowed(text: str, *, private: bool) -> bool:
    """Whether an address may be connected to. private: whether those of private networks may."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if any(address in network for network in PRIVATE):
        return private
    if any(address in network for network in NEVER):
        return False
    return isinstance(address, IPv4Address) or address in PUBLIC_V6
