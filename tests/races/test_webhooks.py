"""The same event many times at once, at two processes' Apps: one row, one effect."""

import asyncio
import json
from typing import Any

import httpx

from bursar import wiring
from bursar.infra.jobs import Worker
from tests.conftest import Serve
from tests.support.api import json_of
from tests.support.races import at_once
from tests.support.stripe import shop
from tests.support.truth import verify
from tests.support.webhooks import HOOKS, Postman, stripe_event, stripe_headers, unknown_intent

TIMES = 20


async def _post_often(postman: Postman, body: bytes, headers: dict[str, str]) -> list[httpx.Response]:
    return await at_once(postman.api, TIMES, lambda _: postman.post(body, headers))


class TestOneEvent:
    async def test_is_stored_once_by_two_apps(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            postmen = [Postman(one), Postman(other)]
            for number in range(5):
                event = stripe_event(
                    "payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"}, f"evt_{number}"
                )
                body = json.dumps(event).encode()
                headers = stripe_headers(body, one.clock.now().timestamp())
                answers = await asyncio.gather(*(_post_often(postman, body, headers) for postman in postmen))
                statuses = [answer.status_code for some in answers for answer in some]
                assert sorted(set(statuses)) == [200, 202] and statuses.count(202) == 1
                assert len({answer.json()["id"] for some in answers for answer in some}) == 1
            counts = await one.row_counts()
            assert counts["webhooks"] == 5 and counts["jobs"] <= 1
            await verify(one)

    async def test_has_one_effect_however_many_process_it(self, serve: Serve) -> None:
        async with shop(serve) as at:
            post = Postman(at.service)
            payment = await at.payment(await at.card())
            intent = json_of(await at.api.authorize(payment["id"]), 200)["transactionId"]
            world = at.simulator.provider.world
            stored = world.objects[intent]
            charge = world.objects[stored["latest_charge"]]
            stored |= {"status": "succeeded", "amount_received": 700, "amount_capturable": 0}
            charge |= {"amount_captured": 700, "captured": True}
            at.simulator.provider.books.record("captured", intent, 700, "EUR", at=0, key=None)
            events = [
                stripe_event(event_type, stored) for event_type in ("payment_intent.succeeded", "charge.captured") * 10
            ]
            for event in events:
                event["data"]["object"] = {"id": intent, "object": "payment_intent"}
                await post.brought(event)
            await at.service.run_schedule("webhooks.sweep")
            workers = [Worker(at.service.app, wiring.JOBS, []) for _ in range(3)]
            await asyncio.gather(*(worker.run_due() for worker in workers))
            await post.run(minutes=5, times=5)
            shown = await at.api.show(payment["id"])
            assert (shown["status"], shown["amountCaptured"]) == ("CAPTURED", 700)
            moved = "select sum(amount) as moved from postings where account = 'provider:stripe:clearing'"
            assert (await at.service.fetch(moved))[0]["moved"] == 700
            listed: Any = json_of(await at.api.get(f"{HOOKS}/payment/{payment['id']}", limit=100), 200)
            assert {told["status"] for told in listed["data"]} == {"PROCESSED"} and len(listed["data"]) == 20

    async def test_a_hand_and_a_job_make_one_attempt(self, serve: Serve) -> None:
        async with serve() as service:
            post = Postman(service)
            held = unknown_intent()
            told = await post.brought(stripe_event("payment_intent.succeeded", held))
            path = f"{HOOKS}/{told['id']}/process"
            await asyncio.gather(post.run(), *(post.api.call("POST", path, {}) for _ in range(8)))
            shown = await post.show(told["id"])
            attempts = await service.fetch("select count(*) as count from events where stream = $1", told["id"])
            assert shown["attempts"] == attempts[0]["count"] >= 1
            await verify(service)
