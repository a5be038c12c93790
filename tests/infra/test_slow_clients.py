"""Clients that begin and do not go on: they are waited for, but not for ever."""

import asyncio

import msgspec
import pytest

from bursar.infra.http import server
from tests.support.api import CORE, Api
from tests.support.service import Service
from tests.support.wire import connected


async def trickle(writer: asyncio.StreamWriter) -> None:
    for _ in range(1_000):
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


class TestRequest:
    @pytest.mark.parametrize(
        "begin",
        [
            b"",
            b"GET /healthz HTTP/1.1\r\nX-Slow: ",
            b"POST %s HTTP/1.1\r\nContent-Length: 100\r\n\r\n{" % CORE.encode(),
            b"POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc" % CORE.encode(),
        ],
        ids=["nothing", "head", "body", "chunk"],
    )
    async def test_whose_rest_never_comes_is_cut_off(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, begin: bytes
    ) -> None:
        monkeypatch.setattr(server, "READ_SECONDS", 0.3)
        async with connected(service) as (reader, writer):
            writer.write(begin)
            assert b"HTTP/1.1 2" not in await asyncio.wait_for(reader.read(), 10)

    async def test_that_trickles_is_cut_off(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server, "READ_SECONDS", 0.3)
        async with connected(service) as (_, writer):
            writer.write(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
            with pytest.raises(ConnectionError):
                await trickle(writer)

    async def test_and_body_may_take_long_as_long_as_they_go_on(
        self, service: Service, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(server, "READ_SECONDS", 2)
        body = msgspec.json.encode(api.new_payment())
        async with connected(service) as (reader, writer):
            head = f"POST {CORE} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.bearer}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            for piece in (body[:10], body[10:20], body[20:30], body[30:]):
                await asyncio.sleep(0.7)
                writer.write(piece)
                await writer.drain()
            assert (await asyncio.wait_for(reader.readline(), 10)).split(b" ")[1] == b"201"
            await asyncio.sleep(2.2)  # an answered connection is kept
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"200 OK"), 10)
