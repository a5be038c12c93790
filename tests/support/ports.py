"""Ports for servers that tests start as processes of their own."""

import random
import socket
from typing import Final

RANGE: Final = range(15_000, 32_000)
"""Below the ports that the kernel gives to clients, so that none takes one between its choice and its use."""

_choice: Final = random.SystemRandom().choice
"""The module's own generator begins anew with each test, in every worker alike: all would choose the same ports."""

_given: Final = set[int]()


def free_port() -> int:
    """A port of this machine on which nobody listens, and which was not given before."""
    while True:
        port = _choice(RANGE)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
