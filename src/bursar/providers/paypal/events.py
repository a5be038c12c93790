"""PayPal's own list of the events of our webhooks: what it has told, or tried to tell, in the last 30 days."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
import structlog

from bursar.providers.paypal.client import Client, Lost, NotSent, Refused
from bursar.providers.paypal.documents import Event, EventList
from bursar.providers.port import Logged, ReportUnavailable

log = structlog.get_logger()

EVENTS: Final = "/v1/notifications/webhooks-events"
KEPT: Final = timedelta(days=30)
"""What is asked for from before that is refused."""

PAGE_SIZE: Final = 20
"""Events of 50 kB each fit into the answer that the client takes."""


async def events(client: Client, *, since: datetime, until: datetime) -> AsyncIterator[list[Logged]]:
    """The events from `since` to `until`, page by page. Raises ReportUnavailable.

    Source: developer.paypal.com/docs/api/webhooks/v1, "List event notifications".
    """
    params = {"page_size": str(PAGE_SIZE), "start_time": _text(since), "end_time": _text(until)}
    try:
        while True:
            page = await client.get(EVENTS, EventList, params=params)
            yield [event for raw in page.events if (event := _logged(raw)) is not None]
            following = _following(page)
            if following in ({}, params) or not page.events:
                return
            params = following
    except (NotSent, Lost, Refused) as error:
        log.warning("paypal.events_unavailable", error=type(error).__name__)
        raise ReportUnavailable(f"PayPal's events: {error}") from error


def _following(page: EventList) -> dict[str, str]:
    """The query of the next page; nothing where this is the last. Only the query is taken from the link."""
    link = next((link.href for link in page.links if link.rel == "next"), "")
    return dict(parse_qsl(urlsplit(link).query))


def _logged(raw: msgspec.Raw) -> Logged | None:
    """An entry; None where it is no event: it must not keep those behind it from us."""
    try:
        event = msgspec.json.decode(raw, type=Event)
    except ValueError as error:  # msgspec's errors and UnicodeDecodeError are ValueErrors
        log.error("paypal.event_unreadable", reason=str(error))
        return None
    return Logged(event.id, event.event_type, bytes(raw))


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
