"""What one webhook may cost the others, and what a replay reads anew."""

import asyncio
import json
from typing import Any, Final

import pytest

from bursar.domains.webhooks import handlers, process
from bursar.domains.webhooks.handlers import Done, Handler
from bursar.infra import keyfiles
from bursar.kit.errors import DatabaseUnavailable
from tests.conftest import Serve
from tests.support.api import json_of, problem_of
from tests.support.service import Service
from tests.support.webhooks import (
    HOOKS,
    Postman,
    generic_headers,
    stripe_event,
    stripe_headers,
    tell_secrets,
    unknown_intent,
)

STRANGE = unknown_intent()


def handling(monkeypatch: pytest.MonkeyPatch, event_type: str, handle: Any) -> None:
    """Events of one type are handled as a test says."""
    known, own = handlers.find, Handler("stripe", event_type, handle, handle)
    monkeypatch.setattr(handlers, "find", lambda p, t: own if t == event_type else known(p, t))


async def hang(*_: Any) -> Any:
    """A handler whose provider never answers."""
    await asyncio.sleep(60)


class TestOneThatHangs:
    async def test_costs_its_own_attempt_and_nobody_elses(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post = Postman(private)
        monkeypatch.setattr(process, "ATTEMPT_SECONDS_MAX", 0.2)
        handling(monkeypatch, "poison.hangs", hang)
        bad = await post.brought(stripe_event("poison.hangs", {"id": "x"}))
        await post.run()
        shown = await post.show(bad["id"])
        assert (shown["status"], shown["attempts"], shown["lastError"]) == ("FAILED", 1, "it took too long")

    async def test_is_told_who_asks_for_an_attempt(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        post = Postman(private)
        monkeypatch.setattr(process, "ATTEMPT_SECONDS_MAX", 0.2)
        handling(monkeypatch, "poison.hangs", hang)
        bad = await post.brought(stripe_event("poison.hangs", {"id": "x"}))
        shown = json_of(await post.api.call("POST", f"{HOOKS}/{bad['id']}/process", {}), 200)
        assert (shown["status"], shown["attempts"]) == ("FAILED", 1)


class TestOneThatCannotBeRead:
    async def test_delays_nobody_else(self, private: Service) -> None:
        post = Postman(private)
        bad = await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        await post.run()
        await private.fetch("update webhooks set kek_version = 9")
        json_of(await post.api.call("POST", f"{HOOKS}/{bad['id']}/retry", {}), 202)
        good = await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        await post.run()
        assert [(await post.show(told["id"]))["attempts"] for told in (bad, good)] == [1, 1]


class TestAJobThatBroke:
    async def test_does_not_have_all_wait_for_long(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def overloaded(*_: Any) -> Any:
            raise DatabaseUnavailable(retry_after=1)

        post = Postman(private)
        with monkeypatch.context() as patch:
            handling(patch, "payment_intent.succeeded", overloaded)
            told = await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
            await private.fetch("update jobs set attempts = 11 where kind = 'webhook.process'")
            await post.run()
        assert (await post.show(told["id"]))["attempts"] == 0
        private.clock.advance(seconds=15)
        await post.run()
        assert (await post.show(told["id"]))["attempts"] == 1


class TestReadingAnew:
    async def test_holds_for_every_attempt_after_a_retry(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []

        async def look(app: Any, webhook: Any) -> Any:
            seen.append(webhook.named.get("reference"))
            raise handlers.NotYet("not yet")

        post = Postman(private)
        handling(monkeypatch, "payment_intent.succeeded", look)
        told = await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        await private.fetch("update webhooks set named = '{}'")
        await post.run()
        json_of(await post.api.call("POST", f"{HOOKS}/{told['id']}/retry", {}), 202)
        await post.run(times=2, minutes=10)
        assert seen == [None, "pi_unheard_of", "pi_unheard_of"]

    async def test_is_what_a_dry_run_looks_at(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def look(app: Any, webhook: Any) -> Any:
            return Done(f"saw {webhook.named.get('reference')}")

        async def fail(app: Any, webhook: Any) -> Any:
            raise handlers.NotYet("not yet")

        post = Postman(private)
        handling(monkeypatch, "payment_intent.succeeded", fail)
        await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        await private.fetch("update webhooks set named = '{}'")
        await post.run()
        handling(monkeypatch, "payment_intent.succeeded", look)
        dry = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"dryRun": True}), 200)
        assert dry["webhooks"][0]["would"] == "saw pi_unheard_of"


class TestBulkRetry:
    async def test_dry_run_tells_of_what_breaks(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: Any) -> Any:
            raise RuntimeError("poison")

        post = Postman(private)
        handling(monkeypatch, "poison.pill", broken)
        await post.brought(stripe_event("poison.pill", {"id": "x"}))
        await post.run()
        dry = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"dryRun": True}), 200)
        assert dry["webhooks"][0]["would"] == "it would fail: the handler broke: RuntimeError"

    async def test_dry_run_takes_no_longer_than_one_attempt(
        self, private: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post = Postman(private)
        for _ in range(10):
            await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        await post.run()
        monkeypatch.setattr(process, "ATTEMPT_SECONDS_MAX", 2.0)
        handling(monkeypatch, "payment_intent.succeeded", hang)
        async with asyncio.timeout(15):  # one after the other they would take twenty
            dry = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"dryRun": True}), 200)
        assert [told["would"] for told in dry["webhooks"]] == ["it would fail: it took too long"] * 10

    async def test_reaches_all_in_turn(self, private: Service) -> None:
        post = Postman(private)
        told = [await post.brought(stripe_event("payment_intent.succeeded", STRANGE)) for _ in range(5)]
        await post.run()
        for _ in range(3):
            json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"limit": 2}), 202)
            await post.run()
        retried = await private.fetch("select distinct stream from events where type = 'webhook.retried'")
        assert {row["stream"] for row in retried} == {each["id"] for each in told}

    async def test_of_two_processes_at_once(self, serve: Serve) -> None:
        async with serve() as one, serve() as other:
            post = Postman(one)
            for _ in range(60):
                await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
            await post.run()
            apis = [service.api.as_("service") for service in (one, other)]
            for _ in range(5):
                answers = await asyncio.gather(
                    *(apis[n % 2].call("POST", f"{HOOKS}/auto-retry", {"limit": 50}) for n in range(6))
                )
                assert [answer.status_code for answer in answers] == [202] * 6
                await post.run(times=2, minutes=1)

    async def test_of_as_many_as_may_be(self, private: Service) -> None:
        post = Postman(private)
        for _ in range(50):
            await asyncio.gather(*(post.brought(stripe_event("payment_intent.succeeded", STRANGE)) for _ in range(10)))
        await post.run()
        run = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"limit": 500}), 202)
        assert run["total"] == 500


class TestWhatAServiceHandsOver:
    REQUEST: Final = {"provider": "acme", "eventId": "evt_1", "eventType": "x", "payload": {}}

    @pytest.mark.parametrize(
        "changes, status",
        [
            ({"headers": {"Webhook-Id": "a\u0000b"}}, 422),
            ({"headers": {"Webhook-Id": "😀"}}, 202),
            ({"payload": {"x": 2**70}}, 202),
            ({"payload": {"x": -(2**70)}}, 202),
            ({"payload": "\u0000"}, 202),
            ({"payload": {"x": "\u0000"}}, 202),
        ],
    )
    async def test_breaks_nothing(self, private: Service, changes: dict[str, Any], status: int) -> None:
        post = Postman(private)
        answer = await post.api.call("POST", HOOKS, {**self.REQUEST, **changes})
        assert answer.status_code == status, answer.text

    async def test_keeps_its_answer_for_a_key(self, private: Service) -> None:
        post = Postman(private)
        first = await post.api.call("POST", HOOKS, self.REQUEST, key="key-1")
        again = await post.api.call("POST", HOOKS, self.REQUEST, key="key-1")
        assert (again.status_code, again.content) == (202, first.content)
        other = await post.api.call("POST", HOOKS, {**self.REQUEST, "eventId": "evt_2"}, key="key-1")
        problem_of(other, 422, "idempotency_key_reused")


class TestProcessingByHand:
    async def test_keeps_its_answer_for_a_key(self, private: Service) -> None:
        post = Postman(private)
        told = await post.brought(stripe_event("payment_intent.succeeded", STRANGE))
        path = f"{HOOKS}/{told['id']}/process"
        first = await post.api.call("POST", path, {}, key="key-1")
        again = await post.api.call("POST", path, {}, key="key-1")
        assert (again.status_code, again.content) == (200, first.content)
        assert (await post.show(told["id"]))["attempts"] == 1


class TestWhoSigned:
    async def test_a_header_that_nobody_signed_names_no_event(self, private: Service) -> None:
        post = Postman(private)
        body = b'{"id":"evt_1","type":"something.happened"}'
        json_of(await post.post(body, generic_headers(body), provider="acme"), 202)
        forged = {**generic_headers(body), "webhook-id": "evt_2"}
        json_of(await post.post(body, forged, provider="acme"), 200)
        assert [row["event_id"] for row in await post.rows()] == ["evt_1"]

    async def test_a_file_that_is_no_text_changes_nothing(self, private: Service) -> None:
        post = Postman(private)
        body = json.dumps(stripe_event("payment_intent.succeeded", STRANGE)).encode()
        headers = stripe_headers(body, private.clock.now().timestamp())
        json_of(await post.post(body, headers), 202)
        path = private.app.settings.keys_path / keyfiles.WEBHOOK_SECRETS
        keyfiles.replace(path, b'{"stripe": [{"secret": "\xff"}]}')
        json_of(await post.post(body, headers), 200)

    @pytest.mark.parametrize(
        "secret", [{"secret": ""}, {"secret": "new", "expires_at": "2999-01-01T00:00:00"}], ids=["empty", "naive"]
    )
    async def test_a_file_with_a_fault_changes_nothing(self, private: Service, secret: dict[str, Any]) -> None:
        post = Postman(private)
        body = json.dumps(stripe_event("payment_intent.succeeded", STRANGE)).encode()
        at = private.clock.now().timestamp()
        problem_of(await post.post(body, stripe_headers(body, at, "no")), 401, "webhook_unverifiable")
        tell_secrets(private, {"stripe": [secret]})
        forged = stripe_headers(body, at, secret["secret"])
        problem_of(await post.post(body, forged), 401, "webhook_unverifiable")
        json_of(await post.post(body, stripe_headers(body, at)), 202)
