"""Webhooks come in: verified, stored once, processed by a job; over HTTP, with a service of the test's own."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bursar.domains.webhooks import handlers, process, receive
from bursar.domains.webhooks.handlers import Handler
from bursar.providers.port import DisputeStatus
from tests.conftest import Serve
from tests.support.api import json_of, problem_of, unique
from tests.support.truth import verify
from tests.support.webhooks import (
    HOOKS,
    Postman,
    StillClock,
    generic_headers,
    intent_event,
    standard_headers,
    stripe_event,
    stripe_headers,
    tell_secrets,
    unknown_intent,
)


@pytest.fixture
async def post(serve: Serve) -> AsyncIterator[Postman]:
    """A service that nobody has asked for anything, and for which time passes only when a test says so."""
    async with serve(webhook_attempts_max=3, clock=StillClock()) as service:
        yield Postman(service)
        await verify(service)


def ignored_event(**changes: Any) -> dict[str, Any]:
    return stripe_event("invoice.finalized", {"id": "in_1", "object": "invoice"}, **changes)


class TestReceiving:
    async def test_what_is_signed_is_stored_and_acknowledged(self, post: Postman) -> None:
        payment = await post.api.create_payment()
        event = intent_event("payment_intent.succeeded", payment)

        told = await post.brought(event)

        assert (told["provider"], told["eventId"], told["eventType"]) == ("stripe", event["id"], event["type"])
        assert (told["status"], told["attempts"], told["version"]) == ("RECEIVED", 0, 1)
        assert told["occurredAt"] == "2025-10-09T08:53:20Z"
        assert told == await post.show(told["id"])

    async def test_the_body_is_kept_byte_for_byte_and_unreadable(self, post: Postman) -> None:
        event = ignored_event()
        event["data"]["object"]["email"] = "ada@example.org"
        body = json.dumps(event, indent=3).encode() + b"\n "
        at = post.service.clock.now().timestamp()
        told = json_of(await post.post(body, stripe_headers(body, at)), 202)

        (row,) = await post.service.fetch("select row_to_json(webhooks)::text as text from webhooks")
        assert "ada@" not in row["text"] and "invoice.finalized" in row["text"]
        webhook = await process.get(post.service.app, told["id"])
        assert await receive.body_of(post.service.app, webhook) == body

    async def test_a_repeat_answers_with_the_row_that_is_kept(self, post: Postman) -> None:
        event = ignored_event()
        first = await post.brought(event)
        for _ in range(3):
            assert json_of(await post.bring(event), 200) == first
        assert len(await post.rows()) == 1

    async def test_the_same_id_of_another_provider_is_another_event(self, post: Postman) -> None:
        body = json.dumps({"id": "evt_1", "type": "something.unheard_of"}).encode()
        at = post.service.clock.now().timestamp()
        await post.brought(ignored_event(event_id="evt_1"))
        json_of(await post.post(body, standard_headers(body, at, "evt_1"), provider="kyc"), 202)
        json_of(await post.post(body, generic_headers(body), provider="acme"), 202)
        assert sorted(row["provider"] for row in await post.rows()) == ["acme", "kyc", "stripe"]

    async def test_an_unknown_type_is_ignored_at_once(self, post: Postman) -> None:
        told = await post.brought(ignored_event())
        assert (told["status"], told["ignoredBecause"]) == ("IGNORED", "a type that is not known here")
        assert await post.service.run_jobs() == 0

    @pytest.mark.parametrize("event_type", ["payout.failed", "transfer.created", "payment_intent.created"])
    async def test_what_is_not_done_yet_is_ignored_with_a_reason(self, post: Postman, event_type: str) -> None:
        told = await post.brought(stripe_event(event_type, {"id": "x", "object": "x"}))
        assert told["status"] == "IGNORED" and len(told["ignoredBecause"]) > 20

    async def test_a_service_tells_of_the_sandbox_in_any_order(self, post: Postman) -> None:
        api, sandbox = post.api, post.service.sandbox
        payment = await api.authorized(paymentMethodId="pm_sandbox_disputed", amount=1_000)
        json_of(await api.capture(payment["id"]), 200)
        dispute = f"{payment['transactionId']}_dispute_1"
        assert (await self.tell(post, dispute=dispute))["status"] == "PROCESSED"
        assert (await api.show(payment["id"]))["disputeStatus"] == "NEEDS_RESPONSE"
        sandbox.move_dispute(dispute, DisputeStatus.WON)
        refund = sandbox.refund_by_hand(payment["transactionId"], 300)
        early = await self.tell(post, refund=refund)
        assert (early["status"], (await api.show(payment["id"]))["amountRefunded"]) == ("FAILED", 0)
        assert (await self.tell(post, dispute=dispute))["status"] == "PROCESSED"
        await post.run(minutes=1)
        assert (await post.show(early["id"]))["status"] == "PROCESSED"
        shown = await api.show(payment["id"])
        assert (shown["amountRefunded"], shown["disputeStatus"]) == (300, "WON")
        await verify(post.service)

    async def tell(self, post: Postman, **named: str) -> dict[str, Any]:
        """What became of an event that a service tells of a refund or a dispute in the sandbox."""
        (kind,) = named
        body = {"provider": "sandbox", "eventId": unique("evt"), "eventType": f"{kind}.updated"}
        webhook = json_of(await post.api.call("POST", HOOKS, {**body, "payload": {"data": named}}), 202)
        await post.run()
        return await post.show(webhook["id"])

    async def test_what_nobody_signed_leaves_an_audit_line_only(self, post: Postman) -> None:
        before = await post.service.row_counts()
        event = json.dumps(ignored_event()).encode()
        at = post.service.clock.now().timestamp()
        for headers in ({}, {"stripe-signature": "t=1,v1=00"}, stripe_headers(event + b" ", at), {"x-signature": "é"}):
            refused = await post.post(event, {name: value.encode() for name, value in headers.items()})  # type: ignore[arg-type,misc]
            problem_of(refused, 401, "webhook_unverifiable")
        after = await post.service.row_counts()
        assert after == {**before, "audit": before["audit"] + 4}
        assert {line["outcome"] for line in await post.audit()} == {"webhook_unverifiable"}

    async def test_signed_nonsense_is_no_event(self, post: Postman) -> None:
        before = await post.service.row_counts()
        bodies = [b"", b"{", b"[]", b"\xff\xfe", b'{"id": "evt"}', b'{"id": 5, "type": []}', b"[" * 5_000]
        bodies += [b'{"id": "e", "type": "t", "x": "\xff"}', b'{"id": "a b", "type": "t"}', b'{"id": "\\u0000"}']
        for body in bodies:
            refused = await post.post(body, stripe_headers(body, post.service.clock.now().timestamp()))
            problem_of(refused, 400, "webhook_unreadable")
        assert await post.service.row_counts() == {**before, "audit": before["audit"] + len(bodies)}

    async def test_a_body_of_a_megabyte_is_not_read(self, post: Postman) -> None:
        before = await post.service.row_counts()
        body = json.dumps(ignored_event() | {"x": "x" * 1_000_000}).encode()
        problem_of(await post.post(body, stripe_headers(body, 0)), 413, "body_too_large")
        assert await post.service.row_counts() == before

    async def test_a_provider_is_named_where_the_headers_do_not_tell(self, post: Postman) -> None:
        body = b'{"id":"evt_1","type":"something.happened"}'
        problem_of(await post.post(body, generic_headers(body)), 401, "webhook_unverifiable")
        problem_of(await post.post(body, generic_headers(body), provider="nobody"), 401, "webhook_unverifiable")
        problem_of(await post.post(body, generic_headers(body), provider="ACME?"), 422, "validation_failed")
        json_of(await post.post(body, generic_headers(body), provider="acme"), 202)

    async def test_a_service_hands_events_over(self, post: Postman) -> None:
        request = {
            "provider": "acme",
            "eventId": "evt_1",
            "eventType": "something.happened",
            "payload": {"id": "x", "data": {"id": "ref_1"}},
            "headers": {"Webhook-Id": "evt_1", "Cookie": "no"},
        }
        told = json_of(await post.api.call("POST", HOOKS, request), 202)
        assert (told["eventId"], told["reference"]) == ("evt_1", "ref_1")
        assert json_of(await post.api.call("POST", HOOKS, {**request, "payload": "text"}), 200) == told
        (row,) = await post.service.fetch("select headers from webhooks")
        assert row["headers"] == {"webhook-id": "evt_1"}
        problem_of(await post.service.api.as_("admin").call("POST", HOOKS, request), 403, "forbidden")
        problem_of(await post.api.call("POST", HOOKS, {"provider": "acme"}), 422, "validation_failed")
        problem_of(await post.api.with_token("x").call("POST", HOOKS, request), 401, "unauthenticated")


class TestProcessing:
    async def test_an_event_that_names_nothing_known_waits_and_is_given_up(self, post: Postman) -> None:
        held = unknown_intent()
        told = await post.brought(stripe_event("payment_intent.succeeded", held))
        await post.run()
        failed = await post.show(told["id"])
        assert (failed["status"], failed["attempts"]) == ("FAILED", 1) and "no payment" in failed["lastError"]
        assert failed["nextAttemptAt"] > failed["updatedAt"]
        await post.run()
        assert (await post.show(told["id"]))["attempts"] == 1
        await post.run(minutes=30, times=3)
        dead = await post.show(told["id"])
        assert (dead["status"], dead["attempts"], dead["nextAttemptAt"]) == ("DEAD_LETTER", 3, None)
        await post.run(minutes=600)
        assert await post.show(told["id"]) == dead

    async def test_a_poisoned_event_delays_nobody(self, post: Postman, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*_: Any) -> Any:
            raise RuntimeError("poison")

        known = handlers.find
        poisoned = Handler("stripe", "poison.*", broken, broken)
        monkeypatch.setattr(handlers, "find", lambda p, t: poisoned if t.startswith("poison.") else known(p, t))
        bad = [await post.brought(stripe_event("poison.pill", {"id": "x"})) for _ in range(30)]
        payment = await post.api.create_payment()
        good = await post.brought(intent_event("payment_intent.canceled", payment))
        await post.run()
        shown = [await post.show(told["id"]) for told in bad]
        assert {told["status"] for told in shown} <= {"FAILED", "DEAD_LETTER"}
        assert {told["lastError"] for told in shown} == {"the handler broke: RuntimeError"}
        assert (await post.show(good["id"]))["attempts"] >= 1

    async def test_a_dead_letter_is_taken_back(self, post: Postman) -> None:
        held = unknown_intent()
        told = await post.brought(stripe_event("payment_intent.succeeded", held))
        problem_of(await post.api.call("POST", f"{HOOKS}/{told['id']}/retry", {}), 409, "invalid_state_transition")
        await post.run(minutes=30, times=4)
        key = unique("key")
        again = await post.api.call("POST", f"{HOOKS}/{told['id']}/retry", {}, key=key)
        assert (again.json()["status"], again.json()["attempts"]) == ("RECEIVED", 0)
        assert (await post.api.call("POST", f"{HOOKS}/{told['id']}/retry", {}, key=key)).content == again.content
        now = json_of(await post.api.call("POST", f"{HOOKS}/{told['id']}/process", {}), 200)
        assert (now["status"], now["attempts"]) == ("FAILED", 1)
        await post.run()
        assert (await post.show(told["id"]))["attempts"] == 1
        types = await post.service.fetch("select type from events where stream = $1 order by version", told["id"])
        expected = ["failed", "failed", "dead_lettered", "retried", "failed"]
        assert [row["type"] for row in types] == [f"webhook.{word}" for word in expected]

    async def test_many_are_taken_up_at_once_with_progress(self, post: Postman) -> None:
        held = unknown_intent()
        for _ in range(7):
            await post.brought(stripe_event("payment_intent.succeeded", held))
        await post.run()
        before = [tuple(row) for row in await post.rows()]
        dry = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"dryRun": True, "limit": 5}), 200)
        assert (dry["matched"], len(dry["webhooks"])) == (7, 5)
        assert dry["webhooks"][0]["would"] == "it would fail: it names no payment that is known here"
        assert [tuple(row) for row in await post.rows()] == before
        key = unique("key")
        run = await post.api.call("POST", f"{HOOKS}/auto-retry", {"limit": 5, "provider": "stripe"}, key=key)
        assert json_of(run, 202) == {
            "runId": run.json()["runId"], "total": 5, "done": 0, "counts": {"RECEIVED": 5},
        }  # fmt: skip
        again = await post.api.call("POST", f"{HOOKS}/auto-retry", {"limit": 5, "provider": "stripe"}, key=key)
        assert again.content == run.content
        other = json_of(await post.api.call("POST", f"{HOOKS}/auto-retry", {"provider": "acme"}), 202)
        assert (other["total"], other["runId"]) == (0, None)
        await post.run(minutes=30, times=4)
        progress = json_of(await post.api.get(f"{HOOKS}/auto-retry/{run.json()['runId']}"), 200)
        assert (progress["total"], progress["done"], progress["counts"]) == (5, 5, {"DEAD_LETTER": 5})

    async def test_lists_show_what_waits_and_what_failed(self, post: Postman) -> None:
        held = unknown_intent()
        failed = await post.brought(stripe_event("payment_intent.succeeded", held))
        await post.run()
        new = await post.brought(stripe_event("payment_intent.succeeded", held))
        await post.brought(ignored_event())
        waiting = json_of(await post.api.get(f"{HOOKS}/unprocessed"), 200)
        assert [told["id"] for told in waiting["data"]] == [new["id"], failed["id"]]
        first = json_of(await post.api.get(f"{HOOKS}/unprocessed", limit=1), 200)
        rest = json_of(await post.api.get(f"{HOOKS}/unprocessed", limit=1, cursor=first["nextCursor"]), 200)
        assert [told["id"] for told in first["data"] + rest["data"]] == [new["id"], failed["id"]]
        errors = json_of(await post.api.get(f"{HOOKS}/errors"), 200)
        assert [told["id"] for told in errors["data"]] == [failed["id"]]
        assert json_of(await post.api.get(f"{HOOKS}/errors", provider="acme"), 200)["data"] == []
        problem_of(await post.service.api.as_("customer", customer_id="c").get(f"{HOOKS}/errors"), 403, "forbidden")


class TestSignatures:
    async def test_a_signature_is_checked_on_request(self, post: Postman) -> None:
        body, at = '{"id":"evt_1","type":"x","name":"é"}', post.service.clock.now().timestamp()
        good = stripe_headers(body.encode(), at)
        for headers, payload, is_valid in ((good, body, True), (good, body + " ", False), ({}, body, False)):
            shown = {"provider": "stripe", "payload": payload, "headers": {n.upper(): v for n, v in headers.items()}}
            verdict = json_of(await post.api.call("POST", f"{HOOKS}/verify-signature", shown), 200)
            assert (verdict["valid"], verdict["reason"] is None) == (is_valid, is_valid)
        assert await post.rows() == []

    async def test_secrets_rotate_with_an_overlap(self, post: Postman) -> None:
        clock = post.service.clock
        ends = clock.now().isoformat()
        tell_secrets(post.service, {"stripe": [{"secret": "old", "expires_at": None}, {"secret": "new"}]})
        for secret in ("old", "new"):
            body = json.dumps(ignored_event()).encode()
            json_of(await post.post(body, stripe_headers(body, clock.now().timestamp(), secret)), 202)
        tell_secrets(post.service, {"stripe": [{"secret": "old", "expires_at": ends}, {"secret": "new"}]})
        for secret, status in (("old", 401), ("new", 202)):
            body = json.dumps(ignored_event()).encode()
            json_of(await post.post(body, stripe_headers(body, clock.now().timestamp(), secret)), status)
