"""Faults by seed: which request fails, and how, is drawn from the seed and the request itself, not from its turn.

So a run with the same seed meets the same faults, whatever order concurrent requests arrive in: the draw is made from
(seed, operation, idempotency key, how many times this key was seen).
"""

import random
import re
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec


class Kind(StrEnum):
    """What goes wrong. The effect is what the provider's books hold afterwards."""

    DECLINE = "DECLINE"
    """The provider refuses, in its own words; no effect. Only where an operation can be declined."""
    TIMEOUT_BEFORE_EFFECT = "TIMEOUT_BEFORE_EFFECT"
    """Nothing is done, nothing is answered for `timeout_seconds`, then the connection is torn."""
    TIMEOUT_AFTER_EFFECT = "TIMEOUT_AFTER_EFFECT"
    """It is done, and the rest as above."""
    ERROR_AFTER_EFFECT = "ERROR_AFTER_EFFECT"
    """It is done, and 500 is answered (and kept for the key, where the provider keeps errors)."""
    GARBAGE = "GARBAGE"
    """It is done, and half of the answer is sent as if it were all."""
    RESET = "RESET"
    """It is done, and the connection is reset in the middle of the answer."""
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    """429 with Retry-After; no effect."""
    SLOW = "SLOW"
    """It is done and answered after `slow_seconds`; meanwhile its key is in flight."""
    WRONG_AMOUNT = "WRONG_AMOUNT"
    """It is done as asked, and the answer tells another amount."""
    DUPLICATE_WEBHOOK = "DUPLICATE_WEBHOOK"
    """A webhook is sent twice."""
    LATE_WEBHOOK = "LATE_WEBHOOK"
    """A webhook is sent `late_seconds` later, so later ones overtake it."""
    HANG = "HANG"
    """Nothing is done and nothing is answered until the client or the server ends."""


OF_WEBHOOKS: Final = frozenset({Kind.DUPLICATE_WEBHOOK, Kind.LATE_WEBHOOK})


class Plan(msgspec.Struct):
    """The next `times` requests (or webhooks) that match `on` get `kind`. on: a regular expression over the whole of
    `POST /v1/refunds`, or over an event's type.
    """

    kind: Kind
    on: str = ".*"
    times: int = 1


class Setting(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_sim/faults`; what is absent stays. next: plans, added. clear: forget plans and rates first.
    only: which requests the rates apply to.
    """

    seed: int | None = None
    rates: dict[Kind, float] | None = None
    only: str | None = None
    next: list[Plan] = []
    clear: bool = False
    timeout_seconds: float | None = None
    slow_seconds: float | None = None
    retry_after_seconds: int | None = None
    late_seconds: float | None = None


class Faults:
    """Says for each request, and for each webhook, what is to go wrong with it.

    rates: by kind, from 0 to 1; those of requests together at most 1. only: a regular expression over `POST /path`;
    the rates apply to what it matches as a whole. given: how often each kind was.
    """

    def __init__(self, *, seed: int = 0, rates: Mapping[Kind, float] | None = None, only: str = "POST .*") -> None:
        self.given: Counter[Kind] = Counter()
        self.timeout_seconds = 120.0
        self.slow_seconds = 2.0
        self.retry_after_seconds = 1
        self.late_seconds = 1.0
        self._plans: list[Plan] = []
        self._seen: Counter[str] = Counter()
        self._seed, self._rates, self._only = seed, dict(rates or {}), only
        self.set(rates=self._rates)

    def plan(self, kind: Kind | str, *, on: str = ".*", times: int = 1) -> None:
        """The next `times` requests that match `on` get `kind`; before any rate, in the order of the plans."""
        re.compile(on)
        self._plans.append(Plan(Kind(kind), on, times))

    def set(
        self, *, seed: int | None = None, rates: Mapping[Kind, float] | None = None, only: str | None = None
    ) -> None:
        """Change the draw. Raises ValueError for rates that are no probabilities."""
        if seed is not None:
            self._seed = seed
            self._seen.clear()
        if rates is not None:
            total = sum(rate for kind, rate in rates.items() if kind not in OF_WEBHOOKS)
            if total > 1 or any(not 0 <= rate <= 1 for rate in rates.values()):
                raise ValueError(f"rates are between 0 and 1, together at most 1: {dict(rates)}")
            self._rates = dict(rates)
        if only is not None:
            re.compile(only)
            self._only = only

    def apply(self, setting: Setting) -> None:
        """As `POST /_sim/faults` says."""
        if setting.clear:
            self._plans.clear()
            self._rates = {}
        self.set(seed=setting.seed, rates=setting.rates, only=setting.only)
        for plan in setting.next:
            self.plan(plan.kind, on=plan.on, times=plan.times)
        for name in ("timeout_seconds", "slow_seconds", "retry_after_seconds", "late_seconds"):
            value = getattr(setting, name)
            if value is not None:
                setattr(self, name, value)

    def for_request(self, operation: str, key: str | None) -> Kind | None:
        """What goes wrong with this request. operation: `POST /v1/refunds`. key: of idempotency."""
        return self._planned(operation, of_webhooks=False) or self._drawn(operation, key, of_webhooks=False)

    def for_webhook(self, event_type: str, event_id: str) -> Kind | None:
        """What goes wrong with the sending of this event."""
        return self._planned(event_type, of_webhooks=True) or self._drawn(event_type, event_id, of_webhooks=True)

    def state(self) -> dict[str, Any]:
        """As `GET /_sim/faults` shows it."""
        return {
            "seed": self._seed,
            "rates": {str(kind): rate for kind, rate in self._rates.items()},
            "only": self._only,
            "next": msgspec.to_builtins(self._plans),
            "given": {str(kind): count for kind, count in self.given.items()},
        }

    def _planned(self, subject: str, *, of_webhooks: bool) -> Kind | None:
        for plan in self._plans:
            if (plan.kind in OF_WEBHOOKS) is of_webhooks and re.fullmatch(plan.on, subject):
                plan.times -= 1
                if plan.times <= 0:
                    self._plans.remove(plan)
                self.given[plan.kind] += 1
                return plan.kind
        return None

    def _drawn(self, subject: str, key: str | None, *, of_webhooks: bool) -> Kind | None:
        rates = [(kind, rate) for kind, rate in sorted(self._rates.items()) if (kind in OF_WEBHOOKS) is of_webhooks]
        if not rates or not (of_webhooks or re.fullmatch(self._only, subject)):
            return None
        identity = f"{subject}\n{key or ''}"
        self._seen[identity] += 1
        draw = random.Random(f"{self._seed}\n{identity}\n{self._seen[identity]}").random()  # noqa: S311  no secret
        for kind, rate in rates:
            if draw < rate:
                self.given[kind] += 1
                return kind
            draw -= rate
        return None
