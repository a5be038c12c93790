"""Stripe's own log of events: what it has told, or tried to tell, in the last 30 days."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from math import ceil
from typing import Final

import msgspec
import stripe
import structlog

from bursar.providers.port import Logged, ReportUnavailable
from bursar.providers.stripe.answers import Garbage, LoggedEvent, read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls

log = structlog.get_logger()

KEPT: Final = timedelta(days=30)


async def events(calls: Calls, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
    """The events of [since, until), newest first, page by page. Raises ReportUnavailable.

    Source: docs.stripe.com/api/events/list.
    """
    params = {"created": {"gte": int(since.timestamp()), "lt": ceil(until.timestamp())}, "limit": PAGE_SIZE}
    try:
        page = await calls.v1.events.list_async(params)
        while page.data:
            yield [event for entry in page.data if (event := _logged(entry)) is not None]
            page = await page.next_page_async()
    except (stripe.StripeError, AttributeError) as error:  # the SDK's word for a list that is none
        log.warning("stripe.events_unavailable", error=type(error).__name__)
        raise ReportUnavailable(f"Stripe's events: {type(error).__name__}") from error


def _logged(entry: stripe.Event) -> Logged | None:
    """An entry; None where it is no event: it must not keep those behind it from us."""
    try:
        event = read(entry, LoggedEvent)
    except Garbage as error:
        log.error("stripe.event_unreadable", reason=str(error))
        return None
    return Logged(event.id, event.type, msgspec.json.encode(entry.to_dict(for_json=True)))
