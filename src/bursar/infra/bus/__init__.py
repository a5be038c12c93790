"""The platform's bus, NATS JetStream: our events go out by it, and those of other services come in.

What comes in is handed to a domain; this package knows none.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec


class Message(msgspec.Struct, frozen=True):
    """An event that came in, as a CloudEvents document in JSON. source, place: where it lies in the bus, the same
    however often it comes. tries: this one included.
    """

    body: bytes
    source: str
    place: str
    tries: int


class Poison(Exception):  # noqa: N818  of the message
    """A message that can never be taken in. Its text says why, and nothing of what the message holds."""


class Inbound(msgspec.Struct, frozen=True):
    """Who takes events in. take: returns once it is committed; raises Poison. refuse: keeps that a message was given
    up, and why; safe to repeat, as `take` is.
    """

    take: Callable[[Any, Message], Awaitable[None]]
    refuse: Callable[[Any, Message, str], Awaitable[None]]
