"""How Stripe is called: the official SDK, over a connection pool of its own, with our key on every POST."""

import logging
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import httpx
import stripe

from bursar.providers.port import Request
from bursar.providers.stripe.answers import Garbage, read

CONNECT_SECONDS: Final = 3.0
PAGE_SIZE: Final = 100
LOOKUP_ITEMS_MAX: Final = 2_000
"""How many entries of a list are looked through for one key, at most."""

Shape = TypeVar("Shape")


class _Http(stripe.HTTPXClient):
    """The SDK's client, which hands bodies to httpx in a way that httpx has given up."""

    def _get_request_args_kwargs(self, method: str, url: str, headers: Any, post_data: Any) -> Any:
        positional, named = super()._get_request_args_kwargs(method, url, headers, post_data)
        named["content"] = named.pop("data") or None
        return positional, named


class Calls:
    """The SDK's client. Nothing is retried here: that is decided by who wraps the adapter."""

    def __init__(self, *, api_key: str, api_base: str | None, timeout_seconds: float) -> None:
        _silence()
        timeout = httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS)
        self._http = _Http(timeout=timeout)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base} if api_base else {},
            max_network_retries=0,
            http_client=self._http,
        )

    @property
    def v1(self) -> Any:
        """The services of the SDK. What they take is checked by Stripe's document, what they give by `read`."""
        return self._client.v1

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]


def once(key: str) -> Any:
    """The options of a POST: done once for each key."""
    return {"idempotency_key": key, "max_network_retries": 0}


def labels(request: Request) -> dict[str, str]:
    """The metadata by which a later look finds what a request made."""
    found = {"bursar_key": request.key}
    payment_id = getattr(request, "payment_id", None)
    return found | {"bursar_payment": payment_id} if payment_id else found


def made_by(asked_at: datetime) -> dict[str, int]:
    """A filter by creation for whatever a step made, which was asked for at `asked_at` and repeated for a day at most.
    Clocks may differ by some minutes.
    """
    first, last = asked_at - timedelta(minutes=5), asked_at + timedelta(hours=25)
    return {"gte": int(first.timestamp()), "lte": int(last.timestamp())}


async def first_of(pages: Any, shape: type[Shape], key: str) -> Shape | None:
    """The first entry of a list that carries our key in its metadata. Raises Garbage where the list has no end."""
    async for entry in entries_of(pages, shape):
        if (getattr(entry, "metadata", None) or {}).get("bursar_key") == key:
            return entry
    return None


async def entries_of(pages: Any, shape: type[Shape]) -> AsyncIterator[Shape]:
    """The entries of a list and of the pages after it. Raises Garbage after LOOKUP_ITEMS_MAX."""
    count = 0
    async for entry in pages.auto_paging_iter():
        count += 1
        if count > LOOKUP_ITEMS_MAX:
            raise Garbage(f"more than {LOOKUP_ITEMS_MAX} entries to look through")
        yield read(entry, shape)


def _silence() -> None:
    """Keep the SDK from writing requests down: at its debug level they hold card numbers, whatever our own level is."""
    logging.getLogger("stripe").setLevel(logging.WARNING)
    stripe._util.STRIPE_LOG = None
    stripe.log = None
    stripe.enable_telemetry = False
