"""The service where it tells endpoints on this machine."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from tests.support.service import Service
from tests.support.truth import verify


@asynccontextmanager
async def delivering(
    serve: Callable[..., AbstractAsyncContextManager[Service]], **settings: Any
) -> AsyncIterator[Service]:
    """A service that may call this machine; verified at its end."""
    async with serve(delivery_private_networks=True, **settings) as served:
        yield served
        await verify(served)
