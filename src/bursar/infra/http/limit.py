"""Rate limits: one token bucket for each caller and process, a second's worth deep."""

import time
from typing import Final

from bursar.infra.auth import Caller
from bursar.kit.errors import TooManyRequests

CALLERS_MAX: Final = 10_000


class RateLimiter:
    """Admits up to `staff` or `customer` requests a second; 0 means no limit."""

    def __init__(self, *, staff: int, customer: int) -> None:
        self._staff = staff
        self._customer = customer
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, caller: Caller) -> dict[str, str]:
        """Take one token. Returns the RateLimit headers for customers and vendors; raises TooManyRequests with them."""
        limit = self._staff if caller.is_staff else self._customer
        if limit == 0:
            return {}
        now = time.monotonic()
        left, filled_at = self._buckets.get(caller.subject, (float(limit), now))
        left = min(float(limit), left + (now - filled_at) * limit)
        if left < 1:
            raise TooManyRequests(f"at most {limit} a second", retry_after=1, headers=_headers(limit, 0))
        if len(self._buckets) >= CALLERS_MAX and caller.subject not in self._buckets:
            self._buckets.clear()
        self._buckets[caller.subject] = (left - 1, now)
        return {} if caller.is_staff else _headers(limit, int(left - 1))


def _headers(limit: int, left: int) -> dict[str, str]:
    return {"RateLimit-Policy": f'"caller";q={limit};w=1', "RateLimit": f'"caller";r={left};t=1'}
