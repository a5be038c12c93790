"""The provider's own memory for idempotency keys. What differs between providers is a parameter."""

from collections.abc import Callable
from enum import Enum

import msgspec

from simulators.kit.message import Answer


class State(Enum):
    """Of a key that is not answered from memory."""

    NEW = "NEW"
    IN_FLIGHT = "IN_FLIGHT"
    REUSED = "REUSED"


class Kept(msgspec.Struct):
    """fingerprint: of what was asked. answer: None while it is in flight."""

    fingerprint: bytes
    at: float
    answer: Answer | None = None


class Store:
    """Answers by key.

    seconds: how long a key is remembered. compares: another request under the same key is refused (Stripe), else it
    gets the first one's answer. keeps: which answers are remembered. replay_headers: go with an answer from memory.
    """

    def __init__(
        self,
        *,
        seconds: float,
        compares: bool = True,
        keeps: Callable[[Answer], bool] = lambda answer: True,
        replay_headers: dict[str, str] | None = None,
    ) -> None:
        self._seconds = seconds
        self._compares = compares
        self._keeps = keeps
        self._replay_headers = replay_headers or {}
        self._kept: dict[str, Kept] = {}

    def begin(self, key: str, fingerprint: bytes, now: float) -> State | Answer:
        """NEW: the caller does the work, and tells `end`. An Answer: from memory."""
        kept = self._kept.get(key)
        if kept is None or now - kept.at >= self._seconds:
            self._kept[key] = Kept(fingerprint, now)
            return State.NEW
        if self._compares and kept.fingerprint != fingerprint:
            return State.REUSED
        if kept.answer is None:
            return State.IN_FLIGHT
        answer = kept.answer
        return Answer(answer.status, answer.body, {**answer.headers, **self._replay_headers})

    def end(self, key: str, answer: Answer | None) -> None:
        """What was answered; None forgets the key, as if it had never come."""
        if answer is not None and self._keeps(answer):
            self._kept[key].answer = answer
        else:
            del self._kept[key]
