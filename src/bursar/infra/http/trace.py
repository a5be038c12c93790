"""The trace of which a request is a part. Source: www.w3.org/TR/trace-context."""

import re
import secrets
from typing import Final, NamedTuple

_TRACEPARENT: Final = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")


class Trace(NamedTuple):
    """id: 32 hexadecimal digits. flags: two."""

    id: bytes
    flags: bytes

    def answered(self) -> bytes:
        """The `traceparent` of the answer: the same trace, our own part of it."""
        return b"00-%s-%s-%s" % (self.id, secrets.token_hex(8).encode(), self.flags)


def trace_of(traceparent: bytes | None) -> Trace | None:
    """The caller's trace, where the header is one of version 00; anything else begins none."""
    found = None if traceparent is None else _TRACEPARENT.fullmatch(traceparent)
    return None if found is None else Trace(*found.groups())
