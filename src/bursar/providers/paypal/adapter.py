"""The adapter: which of PayPal's calls a request is, and what a call that failed means as an outcome."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bursar.kit.clock import Clock
from bursar.providers.declines import declined
from bursar.providers.paypal import amounts, disputes, errors, events, orders, payouts, refunds, search, standing, vault
from bursar.providers.paypal.client import Client, Lost, NotSent, Refused
from bursar.providers.paypal.orders import Terms
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

log = structlog.get_logger()

INEXPRESSIBLE: Final[dict[type[Any], str]] = {Capture: "amount_not_capturable", Refund: "amount_not_refundable"}
"""The decline of an amount that PayPal has no digits for; of the rest, currency_not_supported."""


class PayPal:
    """PayPal as a provider of payments and payouts, which shows its account of them (port.Reporting) and its log of
    events (port.EventLog).

    base_url: https://api-m.paypal.com, its sandbox's, or a simulator's. timeout_seconds: of one HTTP call; a step makes
    up to three. return_url, cancel_url: where PayPal sends a customer after an approval.
    """

    name = "paypal"
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
        client_id: str,
        client_secret: str,
        base_url: str,
        clock: Clock,
        timeout_seconds: float,
        authorization_days: int,
        return_url: str = "",
        cancel_url: str = "",
    ) -> None:
        self._client = Client(
            client_id=client_id,
            client_secret=client_secret,
            base_url=base_url,
            clock=clock,
            timeout_seconds=timeout_seconds,
        )
        self._terms = Terms(authorization_days, return_url, cancel_url)

    def accepts(self, currency: str) -> bool:
        """Whether PayPal's list has `currency`."""
        return currency in amounts.CURRENCIES

    async def execute(self, request: Request) -> Outcome:
        """Carry out a step, once for each key; raises nothing."""
        try:
            return await self._answered(request, self._carry_out)
        except NotSent as error:
            return Unavailable(str(error), error.retry_after)

    async def inquire(self, request: Request) -> Outcome:
        """What became of a step; raises nothing. A call that could not be made tells nothing of the step, and neither
        does one that PayPal does not let us make, or does not find: Unknown.
        """
        try:
            return await self._answered(request, self._look, unsure=(403, 404))
        except NotSent as error:
            return Unknown(str(error))

    async def movements(self, *, since: datetime, until: datetime) -> list[Movement]:
        """Every movement of [since, until), oldest first, by PayPal's own account. Raises ReportUnavailable."""
        return await search.movements(self._client, since=since, until=until)

    @property
    def events_kept(self) -> timedelta:
        """How far back PayPal's log goes."""
        return events.KEPT

    def events(self, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
        """The events from `since` to `until`, page by page. Raises ReportUnavailable."""
        return events.events(self._client, since=since, until=until)

    async def close(self) -> None:
        await self._client.close()

    async def _answered(
        self, request: Request, call: Callable[[Request], Awaitable[Outcome]], *, unsure: tuple[int, ...] = ()
    ) -> Outcome:
        """The outcome of a call; raises NotSent alone. unsure: statuses of refusals that decide nothing."""
        try:
            return await call(request)
        except NotSent:
            raise
        except Refused as refusal:
            return Unknown(str(refusal)) if refusal.status in unsure else errors.outcome_of(refusal)
        except Lost as error:
            return Unknown(str(error))
        except amounts.Inexpressible as error:
            return declined(INEXPRESSIBLE.get(type(request), "currency_not_supported"), str(error))
        except Exception as error:  # a fault of ours, after which nobody knows how far the step got
            log.exception("paypal.adapter_broke", operation=type(request).__name__)
            return Unknown(f"the adapter broke: {type(error).__name__}")

    async def _carry_out(self, request: Request) -> Outcome:
        client, terms = self._client, self._terms
        match request:
            case Authorization():
                return await orders.authorize(client, request, terms)
            case Capture():
                return await orders.capture(client, request)
            case Void():
                return await orders.void(client, request)
            case Refund():
                return await refunds.refund(client, request)
            case Payout():
                return await payouts.pay_out(client, request)
            case Verification():
                return await vault.verify(client, request, terms)
            case Description():
                return await vault.describe(client, request)
            case Forgetting():
                return await vault.forget(client, request)
            case Inspection():
                return await standing.inspect(client, request)
            case RefundInspection():
                return await standing.inspect_refund(client, request)
            case DisputeInspection():
                return await disputes.inspect(client, request)
            case DisputeEvidence():
                return await disputes.contest(client, request)
            case DisputeAcceptance():
                return await disputes.give_in(client, request)
            case _:
                return Unavailable(f"PayPal does no {type(request).__name__}")

    async def _look(self, request: Request) -> Outcome:
        client, terms = self._client, self._terms
        match request:
            case Authorization():
                return await orders.inquire_authorization(client, request, terms)
            case Capture():
                return await orders.inquire_capture(client, request)
            case Refund():
                return await refunds.inquire_refund(client, request)
            case Payout():
                return await payouts.inquire_payout(client, request)
            case Verification():
                return await vault.inquire_verification(client, request, terms)
            case DisputeEvidence():
                return await disputes.inquire_evidence(client, request)
            case DisputeAcceptance():
                return await disputes.inquire_acceptance(client, request)
            case _:  # a void, a look at a token and its removal say the same however often they are asked for
                return await self._carry_out(request)
