"""The adapter: each request by the API that carries it out, and every failure as an outcome."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog

from bursar.kit.clock import Clock
from bursar.providers.declines import declined
from bursar.providers.port import (
    Authorization,
    Capture,
    Description,
    DisputeAcceptance,
    DisputeEvidence,
    DisputeInspection,
    Forgetting,
    Inspection,
    Logged,
    MethodType,
    Movement,
    Outcome,
    Payout,
    Refund,
    RefundInspection,
    Request,
    Unavailable,
    Unknown,
    Verification,
    Void,
)
from bursar.providers.stripe import disputes, events, methods, money, payouts, reports, standing
from bursar.providers.stripe.calls import Calls
from bursar.providers.stripe.errors import NotBegun, outcome_of
from bursar.providers.stripe.payments import Payments

log = structlog.get_logger()

MEMORY: Final = timedelta(hours=24)
"""How long Stripe remembers a key, at least. Source: docs.stripe.com/api/idempotent_requests."""

MARGIN: Final = timedelta(hours=1)
"""How much earlier we stop to send a key, and how much later we believe that what is not to be found is not there."""

Step = Callable[[Any], Awaitable[Outcome]]
Search = Callable[[Any], Awaitable[Outcome | None]]


class Stripe:
    """The adapter.

    api_base: where a stand-in listens; None is Stripe itself. timeout_seconds: for one answer.
    authorization_days: for which an authorization holds where Stripe does not say. return_url: where customers come
    back to from their bank; without one, actions are left to Stripe's own script. multicapture: whether Stripe has
    enabled several captures of one authorization for this account.
    """

    name = "stripe"
    method_types = frozenset({MethodType.CARD, MethodType.DIGITAL_WALLET})
    requests: frozenset[type[Request]] = frozenset(
        {
            Authorization,
            Capture,
            Void,
            Refund,
            Payout,
            Verification,
            Description,
            Forgetting,
            Inspection,
            RefundInspection,
            DisputeInspection,
            DisputeEvidence,
            DisputeAcceptance,
        }
    )

    def __init__(
        self,
        *,
        api_key: str,
        api_base: str | None,
        clock: Clock,
        timeout_seconds: float,
        authorization_days: int,
        return_url: str | None = None,
        multicapture: bool = False,
    ) -> None:
        calls = self._calls = Calls(api_key=api_key, api_base=api_base, timeout_seconds=timeout_seconds)
        self._clock = clock
        payments = Payments(
            calls, clock, authorization_days=authorization_days, return_url=return_url, multicapture=multicapture
        )
        self._steps: dict[type[Request], Step] = {
            Authorization: payments.authorize,
            Capture: payments.capture,
            Void: payments.void,
            Refund: payments.refund,
            Payout: partial(payouts.pay, calls),
            Verification: partial(methods.verify, calls, return_url=return_url),
            Description: partial(methods.describe, calls),
            Forgetting: partial(methods.forget, calls),
            Inspection: partial(standing.inspect, calls),
            RefundInspection: partial(standing.inspect_refund, calls),
            DisputeInspection: partial(disputes.inspect, calls),
            DisputeEvidence: partial(disputes.contest, calls),
            DisputeAcceptance: partial(disputes.accept, calls),
        }
        self._searches: dict[type[Request], Search] = {
            Authorization: payments.find_authorization,
            Capture: payments.find_capture,
            Void: payments.find_void,
            Refund: payments.find_refund,
            Payout: partial(payouts.find, calls),
            Verification: partial(methods.find_verification, calls),
        }

    def accepts(self, currency: str) -> bool:
        """Whether cards can be charged in `currency`."""
        return currency in money.ACCEPTED

    async def execute(self, request: Request) -> Outcome:
        """Carry out a step, once for each key. A key that Stripe may have forgotten is not sent, but inquired about."""
        if type(request) in self._searches and self._age(request) >= MEMORY - MARGIN:
            return await self.inquire(request)
        return await self._carry_out(request)

    async def inquire(self, request: Request) -> Outcome:
        """Look for what the key has done; else ask the same again, while Stripe surely remembers the key.

        An absence is believed only long after the key was sent for the last time. What cannot be looked for can be
        asked for again at any time without harm.
        """
        is_repeatable = type(request) not in self._searches or self._age(request) < MEMORY - MARGIN
        found = await self._search(request)
        if found is not None and not isinstance(found, Unknown):
            return found
        if is_repeatable:
            is_absent = found is None and self._age(request) > MARGIN
            outcome = await self._carry_out(request, may_have_begun=not is_absent)
            return Unknown(outcome.reason) if isinstance(outcome, Unavailable) else outcome
        if found is None and self._age(request) > MEMORY + MARGIN:
            return Unavailable("Stripe never carried this out")
        return found or Unknown("Stripe may have forgotten the key, and nothing is to be found under it yet")

    async def movements(self, *, since: datetime, until: datetime) -> list[Movement]:
        """Every balance transaction of [since, until), oldest first. Raises ReportUnavailable."""
        return await reports.movements(self._calls, since=since, until=until)

    @property
    def events_kept(self) -> timedelta:
        """How far back Stripe's log goes."""
        return events.KEPT

    def events(self, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
        """The events from `since` to `until`, page by page. Raises ReportUnavailable."""
        return events.events(self._calls, since=since, until=until)

    async def close(self) -> None:
        await self._calls.close()

    async def _carry_out(self, request: Request, *, may_have_begun: bool = False) -> Outcome:
        """may_have_begun: by an earlier try, which Stripe's search may not show yet."""
        step = self._steps.get(type(request))
        if step is None:
            return declined("processing_error", f"Stripe is not asked for a {type(request).__name__}")
        try:
            outcome = await step(request)
        except Exception as error:  # whatever it is, money may have moved: it is an outcome
            outcome = outcome_of(error, request)
            if may_have_begun and isinstance(error, NotBegun):
                outcome = Unknown(f"it cannot be asked for again: {type(outcome).__name__}")
        if isinstance(outcome, Unavailable) and isinstance(request, Authorization) and request.reference is not None:
            return Unknown(outcome.reason)  # the customer may have finished it at his bank meanwhile
        return outcome

    async def _search(self, request: Request) -> Outcome | None:
        """What is to be seen of the key; None where nothing is. Unknown where looking failed."""
        search = self._searches.get(type(request))
        if search is None:
            return None
        try:
            return await search(request)
        except Exception as error:  # a failed look says nothing about the step
            log.warning("stripe.search_failed", key=request.key, error=type(error).__name__)
            return Unknown(f"the look at Stripe failed: {type(error).__name__}")

    def _age(self, request: Request) -> timedelta:
        return self._clock.now() - request.asked_at
