"""Requests that start together, over connections that are open already."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx

from tests.support.api import Api


async def at_once(api: Api, count: int, request: Callable[[int], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    """The answers to `count` requests that pass a barrier together. request: makes the n-th."""
    await asyncio.gather(*(api.client.get("/healthz") for _ in range(count)))
    barrier = asyncio.Barrier(count)

    async def one(number: int) -> httpx.Response:
        async with barrier:
            pass
        return await request(number)

    return list(await asyncio.gather(*(one(number) for number in range(count))))
