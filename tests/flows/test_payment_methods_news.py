"""What a provider says of a card may be older than what is known of it."""

import asyncio
from typing import Any

import pytest

from bursar.providers import port
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.stripe import METHODS, shop
from tests.support.webhooks import HOOKS, Postman, stripe_event


class TestAnOlderAnswer:
    async def test_does_not_move_a_card_back(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        async with shop(serve) as at:
            post = Postman(at.service)
            method = await at.card()
            world = at.simulator.provider.world
            (stored,) = (held for held in world.objects.values() if held["object"] == "payment_method")
            provider: Any = at.service.app.providers["stripe"]
            execute, asked, go = provider.execute, asyncio.Event(), asyncio.Event()

            async def slow(request: Any) -> Any:
                outcome = await execute(request)
                if isinstance(request, port.Description) and not asked.is_set():
                    asked.set()
                    await go.wait()
                return outcome

            monkeypatch.setattr(provider, "execute", slow)

            async def told(year: int) -> str:
                stored["card"] |= {"exp_year": year}
                event = stripe_event("payment_method.automatically_updated", dict(stored))
                return str((await post.brought(event))["id"])

            first = asyncio.create_task(post.api.call("POST", f"{HOOKS}/{await told(2036)}/process", {}))
            await asked.wait()
            json_of(await post.api.call("POST", f"{HOOKS}/{await told(2039)}/process", {}), 200)
            go.set()
            await first
            await post.run(minutes=5)
            assert json_of(await at.api.get(f"{METHODS}/{method['id']}"), 200)["card"]["expYear"] == 2039
