"""What an adapter is: a provider of payments; it may show its account of our money and its log of events, or exchange
files with a bank.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import msgspec

from bursar.providers.port.instruments import MethodType, Secret
from bursar.providers.port.outcomes import Outcome
from bursar.providers.port.requests import Request


class PaymentProvider(Protocol):
    """One provider of payments, of payouts, or of both."""

    @property
    def name(self) -> str: ...

    @property
    def method_types(self) -> frozenset[MethodType]:
        """The payment methods that it can take."""
        ...

    @property
    def requests(self) -> frozenset[type[Request]]:
        """What it can be asked for."""
        ...

    def accepts(self, currency: str) -> bool:
        """Whether it takes payments in `currency`."""
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


class Movement(msgspec.Struct, frozen=True):
    """A line of a provider's own account of our money. amount, fee: minor units; amount is positive where the provider
    owes us more after it. kind: CHARGE, REFUND, DISPUTE, PAYOUT, FEE, ADJUSTMENT.
    """

    id: str
    kind: str
    reference: str | None
    amount: int
    fee: int
    currency: str
    occurred_at: datetime


@runtime_checkable
class Reporting(Protocol):
    """A provider that shows its own account of our money, to reconcile with."""

    async def movements(self, *, since: datetime, until: datetime) -> list[Movement]:
        """Every movement of [since, until), oldest first. Raises ReportUnavailable."""
        ...


class Logged(msgspec.Struct, frozen=True):
    """An event in a provider's own log. body: as a webhook brings it."""

    id: str
    type: str
    body: bytes


@runtime_checkable
class EventLog(Protocol):
    """A provider that shows what it has told us, so that what did not arrive can be had."""

    @property
    def events_kept(self) -> timedelta:
        """How far back the log goes."""
        ...

    def events(self, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
        """The events from `since` to `until`, page by page. Raises ReportUnavailable."""
        ...


class AccountCorrection(Secret, msgspec.Struct, frozen=True, omit_defaults=True):
    """What a bank tells to be wrong of an account; None where it stays. account_type: CHECKING or SAVINGS."""

    routing_number: str | None = None
    account_number: str | None = None
    account_type: str | None = None
    holder_name: str | None = None


class BankNews(msgspec.Struct, frozen=True):
    """What a bank said of an entry days after it was sent.

    method_id: our payment method's. key: of the request that the entry was sent for. code: the bank's (R02, C01, AC04).
    failure_code: of docs/errors.md, where the entry came back. correction: what to put right before the next entry.
    is_late: it had counted as paid. is_verification: the entry was a micro-deposit.
    """

    id: str
    method_id: str
    key: str
    code: str
    failure_code: str | None = None
    correction: AccountCorrection | None = None
    is_late: bool = False
    is_verification: bool = False


@runtime_checkable
class BankRail(Protocol):
    """A provider that exchanges files with a bank instead of being asked."""

    async def exchange(self) -> list[BankNews]:
        """Send what is due, read what came, and tell what nobody has acknowledged yet. Safe to repeat at any time."""
        ...

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """These have been applied; they are not told again."""
        ...


class ReportUnavailable(Exception):  # noqa: N818  the provider's state, not a fault of ours
    """The provider did not show its account or its log; nothing is lost by asking again."""


def adapter_of(provider: PaymentProvider) -> object:
    """The adapter behind its guard, for what it may show beside: that is no step of a payment, and takes none of the
    places and none of the retries of those.
    """
    adapter: object = getattr(provider, "adapter", provider)
    return adapter
