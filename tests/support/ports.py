"""Ports for servers that tests start as processes of their own."""

import random
import socket
from typing import Final

RANGE: Final = range(15_000, 32_000)
"""Below the ports that the kernel gives to clients, so that none takes one between its choice and its use."""


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    while True:
        port = random.choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
