"""A storm of provider events: each up to five times, shuffled, a tenth ahead of the API's own answer, one in twenty
lost, one in fifty forged. In the end all is as if each had come once and in order.
"""

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursar import wiring
from tests.support.api import json_of
from tests.support.database import cloned
from tests.support.refunds import Desk
from tests.support.service import eventually, serving
from tests.support.stripe import Shop, shop
from tests.support.webhooks import Postman, stripe_headers

PAYMENTS_LONG = 100 if os.environ.get("BURSAR_LONG_SAMPLE") else 400
AMOUNT = 1_000
AT_ONCE = 24
COPIES_MAX = 5
EVENTS_EACH = 5
"""Events of each payment, on average, at least."""
AHEAD, LOST, FORGED = 10, 20, 50
"""One in so many."""
SEED = 20_260
MOVED = "select coalesce(sum(amount), 0) as moved from postings where account = 'provider:stripe:clearing'"
COURSES = (
    "captured",
    "part",
    "automatic",
    "cancelled",
    "lost",
    "lost_capture",
    "refunded",
    "lost_refund",
    "dashboard_capture",
    "dashboard_cancel",
)

CAUSED: ContextVar[list[dict[str, Any]]] = ContextVar("caused")
"""The events of the request that is being answered."""

Ends = list[tuple[str, int, int]]
"""Status, captured and refunded amount of each payment."""


class Deck:
    """Cards of which one in `size` is marked; shuffled anew when the last one was drawn. Without dice none is."""

    def __init__(self, dice: random.Random | None, size: int) -> None:
        self._dice, self._size = dice, size
        self._cards: list[bool] = []

    def draw(self) -> bool:
        if self._dice is None:
            return False
        if not self._cards:
            self._cards = [True] + [False] * (self._size - 1)
            self._dice.shuffle(self._cards)
        return self._cards.pop()


class Storm:
    """A shop whose stand-in's events are brought by us. dice: None brings each once, at once, in order."""

    def __init__(self, at: Shop, dice: random.Random | None) -> None:
        self.at, self.dice = at, dice
        self.post, self.desk = Postman(at.service), Desk(at.service)
        self.waiting: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.torn: set[str] = set()
        self.lost, self.forged = Deck(dice, LOST), Deck(dice, FORGED)
        hooks = at.simulator.provider.webhooks
        hooks.emit = self._take  # type: ignore[method-assign]
        self._serve = at.simulator._serve
        at.simulator._serve = self._answer  # type: ignore[method-assign]

    def _take(self, event_id: str, event_type: str, event: dict[str, Any]) -> None:
        """The stand-in sends an event: it is lost, or will be brought so many times."""
        self.counts["events"] += 1
        if self.forged.draw():
            self.counts["forged"] += 1
            self.waiting.append(event | {"id": f"evt_forged_{self.counts['forged']}"})
        if self.lost.draw():
            self.counts["lost"] += 1
            return
        CAUSED.get([]).append(event)
        copies = 1 + self.counts["events"] % COPIES_MAX if self.dice else 1
        self.waiting += [event] * copies
        self.counts["copies"] += copies

    async def _answer(self, route: Any, request: Any, wire: Any) -> Any:
        """Stripe's answer: held back, sometimes, until what it caused has been told and looked at."""
        caused: list[dict[str, Any]] = []
        token = CAUSED.set(caused)
        answer = await self._serve(route, request, wire)
        CAUSED.reset(token)
        if self.dice is not None and caused and self.counts["ahead"] * AHEAD < self.told:
            self.counts["ahead"] += len(caused)
            for event in caused:
                await self._deliver(event)
            await asyncio.sleep(0.05)
        named = {
            request.path_values.get("intent", ""),
            (request.params.get("metadata") or {}).get("bursar_payment", ""),
            request.params.get("payment_intent", ""),
        }
        if request.method == "POST" and named & self.torn:
            self.torn -= named
            await wire.spoil(answer, is_reset=True)
            return None
        return answer

    @property
    def told(self) -> int:
        """Events that are not lost."""
        return self.counts["events"] - self.counts["lost"]

    async def bring(self, stopping: asyncio.Event) -> None:
        """Bring what waits, in any order, until it is over."""
        while not stopping.is_set() or self.waiting:
            if not self.waiting:
                await asyncio.sleep(0.01)
                continue
            place = self.dice.randrange(len(self.waiting)) if self.dice else 0
            event = self.waiting.pop(place)
            await self._deliver(event)

    async def _deliver(self, event: dict[str, Any]) -> None:
        """Bring an event; a forged one is signed with a guess."""
        if not event["id"].startswith("evt_forged"):
            assert (await self.post.bring(event)).status_code in (200, 202)
            self.counts["brought"] += 1
            return
        body = json.dumps(event).encode()
        headers = stripe_headers(body, self.at.service.clock.now().timestamp(), "whsec_guess")
        assert (await self.post.post(body, headers)).status_code == 401
        self.counts["refused"] += 1

    async def work(self, stopping: asyncio.Event) -> None:
        """What a worker does."""
        while not stopping.is_set():
            await self.post.run()
            await asyncio.sleep(0.01)

    async def live(self, number: int, method: dict[str, Any], gate: asyncio.Semaphore) -> str:
        """One payment's course, until its caller has nothing more to ask. Returns its id."""
        course = COURSES[number % len(COURSES)]
        async with gate:
            changes = {"captureMethod": "AUTOMATIC"} if course == "automatic" else {}
            payment = await self.at.payment(method, amount=AMOUNT, **changes)
            if course == "lost":
                self.torn.add(payment["id"])
            authorized = await self.at.api.authorize(payment["id"])
            assert authorized.status_code == (202 if course == "lost" else 200), authorized.text
            if course == "captured":
                json_of(await self.at.api.capture(payment["id"]), 200)
            elif course == "part":
                json_of(await self.at.api.capture(payment["id"], 300), 200)
            elif course == "cancelled":
                json_of(await self.at.api.act(payment["id"], "cancel"), 200)
            elif course.endswith("refund") or course == "refunded":
                await self._refund(payment, is_lost=course == "lost_refund")
            elif course == "lost_capture":
                self.torn.add(await self._intent(payment))
                json_of(await self.at.api.capture(payment["id"]), 202)
            elif course.startswith("dashboard"):
                await self._in_dashboard(await self._intent(payment), course)
        return str(payment["id"])

    async def _intent(self, payment: dict[str, Any]) -> str:
        return str((await self.at.api.show(payment["id"]))["transactionId"])

    async def _refund(self, payment: dict[str, Any], *, is_lost: bool) -> None:
        json_of(await self.at.api.capture(payment["id"]), 200)
        refund = await self.desk.asked(payment["id"], 400)
        if is_lost:
            self.torn.add(await self._intent(payment))
        answer = await self.desk.act(refund["id"], "process")
        assert answer.status_code == (202 if is_lost else 200), answer.text

    async def _in_dashboard(self, intent: str, course: str) -> None:
        action, form = ("capture", {"amount_to_capture": "400"}) if course.endswith("capture") else ("cancel", {})
        async with httpx.AsyncClient(base_url=self.at.address, trust_env=False) as person:
            headers = {"authorization": "Bearer sk_test_bursar"}
            answer = await person.post(f"/v1/payment_intents/{intent}/{action}", headers=headers, data=form)
            assert answer.status_code == 200, answer.text


@asynccontextmanager
async def _shop(server_url: str, template: str, directory: Path) -> AsyncIterator[Shop]:
    """A shop on a database of its own."""
    settings: dict[str, Any] = {"provider_timeout_seconds": 40, "provider_breaker_failures": 0}
    async with (
        cloned(server_url, template) as url,
        shop(lambda **options: serving(url, directory, **options), **settings) as at,
    ):
        yield at


async def _weathered(at: Shop, count: int, dice: random.Random | None) -> tuple[Ends, Storm]:
    """Let so many payments live through a storm, and all that is due be done afterwards."""
    storm = Storm(at, dice)
    method, gate = await at.card(), asyncio.Semaphore(AT_ONCE)
    stopping, over = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(storm.work(over))
    bringing = [asyncio.create_task(storm.bring(stopping)) for _ in range(8 if dice else 1)]
    payments = await asyncio.gather(*(storm.live(number, method, gate) for number in range(count)))
    stopping.set()
    await asyncio.gather(*bringing)
    await eventually(lambda: not working.done())
    over.set()
    await working
    for _ in range(3):
        at.service.clock.advance(minutes=30)
        await at.service.run_schedule("payments.sweep")
        await at.service.run_schedule("refunds.sweep")
        await storm.post.run()
    at.service.clock.advance(minutes=(90 - at.service.clock.now().minute) % 60)  # no hour is passed over
    for _ in range(48):
        at.service.clock.advance(hours=1)
        await at.service.run_schedule("payments.look")
        await storm.post.run()
    rows = await at.service.fetch("select id, status::text, amount_captured, amount_refunded from payments")
    found = {row["id"]: (row["status"], row["amount_captured"], row["amount_refunded"]) for row in rows}
    return [found[payment_id] for payment_id in payments], storm


def _one_in(size: int, count: int) -> range:
    """How many of `count` may be marked where one in `size` is."""
    return range(count // size, count // size + 2)


@pytest.mark.parametrize("count", [40, pytest.param(PAYMENTS_LONG, marks=pytest.mark.long)])
async def test_a_storm_ends_as_if_nothing_had_happened(
    count: int, server_url: str, template: str, tmp_path: Path
) -> None:
    async with _shop(server_url, template, tmp_path / "calm") as at:
        calm, _ = await _weathered(at, count, None)
    async with _shop(server_url, template, tmp_path / "storm") as at:
        ends, storm = await _weathered(at, count, random.Random(SEED))
        assert ends == calm
        assert {status for status, _, _ in ends} == {"AUTHORIZED", "CAPTURED", "CANCELLED"}
        captured, refunded = sum(each[1] for each in ends), sum(each[2] for each in ends)
        assert (captured, refunded) == (at.total("captured"), at.total("refunded")) and refunded
        assert (await at.service.fetch(MOVED))[0]["moved"] == captured - refunded
        statuses = await at.service.fetch("select status::text, count(*) as count from webhooks group by status")
        assert {row["status"] for row in statuses} <= {"PROCESSED", "IGNORED"}, statuses
        forged = await at.service.fetch("select count(*) as count from webhooks where event_id like '%forged%'")
        audit = await at.service.fetch("select count(*) as count from audit where outcome = 'webhook_unverifiable'")
        assert (forged[0]["count"], audit[0]["count"]) == (0, storm.counts["refused"])
        counts = storm.counts
        assert counts["events"] >= EVENTS_EACH * count, counts
        assert counts["lost"] in _one_in(LOST, counts["events"]), counts
        assert counts["forged"] in _one_in(FORGED, counts["events"]), counts
        assert counts["refused"] >= counts["forged"] and counts["ahead"] * AHEAD >= storm.told, counts
        assert counts["copies"] >= 2 * counts["events"], counts
        async with at.service.connection() as connection:
            for check in wiring.INVARIANTS:
                assert not any((await check(connection)).values())
