"""Stripe's own log of events: what it has told, or tried to tell, in the last 30 days."""

from collections.abc import AsyncIterator
from datetime import datetime
from math import ceil

import msgspec
import stripe
import structlog

from bursar.providers.port import Logged, ReportUnavailable
from bursar.providers.stripe.answers import Garbage, LoggedEvent, read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls

log = structlog.get_logger()


async def events(calls: Calls, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
    """The events of [since, until), newest first, page by page. Raises ReportUnavailable.

    Source: docs.stripe.com/api/events/list.
    """
    params = {"created": {"gte": int(since.timestamp()), "lt": ceil(until.timestamp())}, "limit": PAGE_SIZE}
    try:
        page = await calls.v1.events.list_async(params)
        while page.data:
            yield [_logged(entry) for entry in page.data]
            page = await page.next_page_async()
    except (stripe.StripeError, Garbage) as error:
        log.warning("stripe.events_unavailable", error=type(error).__name__)
        raise ReportUnavailable(f"Stripe's events: {type(error).__name__}") from error


def _logged(entry: stripe.Event) -> Logged:
    event = read(entry, LoggedEvent)
    return Logged(event.id, event.type, msgspec.json.encode(entry.to_dict(for_json=True)))
