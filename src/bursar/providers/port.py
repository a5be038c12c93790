"""What Bursar asks of a payment provider, and the six outcomes that it can get.

An adapter turns every failure into an outcome and raises nothing. The difference that matters: Unavailable is
certainly not done, Unknown may have been done. Every request carries `key`, the same for every repeat of one step; a
provider that has seen a key answers what it answered before.
"""

import asyncio
import time
from collections.abc import Awaitable
from datetime import datetime
from functools import cache
from typing import Any, Protocol

import msgspec
import structlog
from prometheus_client import Counter, Histogram

from bursar.infra import observe

log = structlog.get_logger()


class Authorization(msgspec.Struct, frozen=True, tag=True):
    """Reserve `amount` (minor units) on the customer's payment method; take it at once where `capture`.

    reference: the provider's id where the customer has been sent to an action for this payment before.
    """

    key: str
    payment_id: str
    amount: int
    currency: str
    method_id: str
    capture: bool
    reference: str | None = None


class Capture(msgspec.Struct, frozen=True, tag=True):
    """Take `amount` of an authorization; give the rest back where `is_final`."""

    key: str
    reference: str
    amount: int
    currency: str
    is_final: bool


class Void(msgspec.Struct, frozen=True, tag=True):
    """Give back what an authorization still reserves."""

    key: str
    reference: str


Request = Authorization | Capture | Void


class Approved(msgspec.Struct, frozen=True):
    """Done. reference: the provider's id of the payment. expires_at: of an authorization, where the provider says."""

    reference: str
    expires_at: datetime | None = None


class Declined(msgspec.Struct, frozen=True):
    """Refused by the provider for good. decline_code: of docs/errors.md's table. is_retryable: another try may
    succeed.
    """

    decline_code: str
    message: str
    is_retryable: bool = False


class ActionRequired(msgspec.Struct, frozen=True):
    """The customer has to do something first; next_action says what (`type`, `url`)."""

    reference: str
    next_action: dict[str, Any]


class Pending(msgspec.Struct, frozen=True):
    """Accepted; the provider itself does not know the outcome yet."""


class Unavailable(msgspec.Struct, frozen=True):
    """Certainly not done, and this key never will be."""

    reason: str


class Unknown(msgspec.Struct, frozen=True):
    """Maybe done: to be asked again, never guessed, never tried a second time."""

    reason: str


Outcome = Approved | Declined | ActionRequired | Pending | Unavailable | Unknown


class PaymentProvider(Protocol):
    """One provider of payments."""

    @property
    def name(self) -> str: ...

    def recognizes(self, method_id: str) -> bool:
        """Whether `method_id` names a payment method of this provider."""
        ...

    async def execute(self, request: Request) -> Outcome:
        """Carry out a step, once for each key."""
        ...

    async def inquire(self, request: Request) -> Outcome:
        """What became of a step. Unavailable only where it is certain that the key was not and never will be carried
        out.
        """
        ...

    async def close(self) -> None: ...


async def ask(provider: PaymentProvider, request: Request, *, timeout_seconds: float) -> Outcome:
    """Carry out a step in bounded time."""
    return await _bounded(provider.execute(request), provider.name, type(request).__name__.lower(), timeout_seconds)


async def inquire(provider: PaymentProvider, request: Request, *, timeout_seconds: float) -> Outcome:
    """Ask for a step's outcome in bounded time."""
    return await _bounded(provider.inquire(request), provider.name, "inquiry", timeout_seconds)


async def _bounded(call: Awaitable[Outcome], provider: str, operation: str, timeout_seconds: float) -> Outcome:
    started = time.perf_counter()
    outcome: Outcome
    try:
        async with asyncio.timeout(timeout_seconds):
            outcome = await call
    except TimeoutError:
        outcome = Unknown("the provider did not answer in time")
    except Exception as error:  # an adapter that raises has a fault: what it did is not known
        log.exception("provider.broken", provider=provider, operation=operation)
        outcome = Unknown(f"the adapter broke: {type(error).__name__}")
    counter, seconds = _metrics(provider, operation, type(outcome).__name__)
    counter.inc()
    seconds.observe(time.perf_counter() - started)
    return outcome


@cache
def _metrics(provider: str, operation: str, outcome: str) -> tuple[Counter, Histogram]:
    counter = observe.PROVIDER_OUTCOMES.labels(provider, operation, outcome)
    return counter, observe.PROVIDER_SECONDS.labels(provider, operation)
