"""What other services tell us, and what becomes of it."""

import asyncio
from typing import Any

import pytest

from bursar.cli.replay import replay
from bursar.domains.integration.kinds import KINDS
from bursar.domains.integration.model import ATTEMPTS_MAX
from bursar.domains.integration.process import HANDLERS
from tests.support.api import CORE, Api, fields_of, json_of, problem_of, unique
from tests.support.races import at_once
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")
EVENTS = "/api/v1/integration-events"
METHODS = "/api/v1/payment-methods"
SOURCE = "/platform/orders"
NOBODY = "019b7966-e200-7000-8000-0000000000e1"


def event(event_type: str, data: Any = None, **changes: Any) -> dict[str, Any]:
    document = {
        "specversion": "1.0",
        "id": unique("event"),
        "source": SOURCE,
        "type": event_type,
        "data": data,
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


async def tell(api: Api, document: dict[str, Any], status: int = 202) -> Any:
    return json_of(await api.call("POST", EVENTS, document), status)


async def outcome(service: Service, api: Api, document: dict[str, Any]) -> Any:
    """Tell, let the jobs run, and show what became of it."""
    told = await tell(api, document)
    await service.run_jobs()
    return json_of(await api.get(f"{EVENTS}/{told['id']}"), 200)


def words(document: Any) -> set[str]:
    """Every value of a document, and every word in it; no part of one, since a random id may hold any three letters."""
    if isinstance(document, dict | list):
        return set().union(*map(words, document.values() if isinstance(document, dict) else document))
    return {str(document), *str(document).split()}


class TestReceiving:
    async def test_is_recorded_with_the_fields_that_are_known(self, api: Api, service: Service) -> None:
        data = {"orderId": unique("order"), "deliveredAt": "2026-01-02T03:04:05Z", "recipient": "Ada Byron"}
        document = event("order.delivered", data, time="2026-01-02T03:04:06Z", partitionkey="x", subject="Ada Byron")
        told = await tell(api, document)

        assert (told["status"], told["reason"], told["version"]) == ("PROCESSED", "recorded", 2)
        assert told["data"] == {"orderId": data["orderId"], "deliveredAt": "2026-01-02T03:04:05Z"}
        assert (told["subject"], told["occurredAt"]) == (data["orderId"], "2026-01-02T03:04:06Z")
        rows = await service.fetch(
            "select i::text || e.data::text from integration_events i join events e on e.stream = i.id"
        )
        assert rows and not any("Ada" in row[0] for row in rows)

    async def test_an_unknown_type_is_ignored_and_nothing_of_it_kept(self, api: Api) -> None:
        told = await tell(api, event("parcel.weighed", {"grams": 12, "name": "Ada Byron"}, subject="Ada"))
        assert (told["status"], told["reason"], told["data"], told["subject"]) == ("IGNORED", "unknown_type", {}, None)

    async def test_comes_twice_and_counts_once(self, api: Api, service: Service) -> None:
        document = event("order.cancelled", {"orderId": unique("order")})
        first = await tell(api, document)
        again = await tell(api, document, 200)
        elsewhere = await tell(api, {**document, "source": "/platform/other"})
        assert again == first and elsewhere["id"] != first["id"]
        rows = await service.fetch("select from jobs where args ->> 'integrationEventId' = $1", first["id"])
        assert len(rows) == 1

    async def test_twenty_at_once_make_one(self, api: Api, service: Service) -> None:
        document = event("order.cancelled", {"orderId": unique("order")})
        answers = await at_once(api, 20, lambda _: api.call("POST", EVENTS, document))
        assert {answer.json()["id"] for answer in answers} == {answers[0].json()["id"]}
        assert sorted({answer.status_code for answer in answers}) == [200, 202]
        assert len(await service.fetch("select from integration_events where event_id = $1", document["id"])) == 1

    async def test_names_every_fault(self, api: Api, service: Service) -> None:
        before = (await service.row_counts())["integration_events"]
        refused = await api.call("POST", EVENTS, {"specversion": "0.3", "id": "", "source": "a b"})
        assert fields_of(refused) == {"specversion", "id", "source", "type"}
        refused = await api.call("POST", EVENTS, event("vendor.kyc.updated", {"status": "FINE"}))
        assert fields_of(refused) == {"data.vendorId", "data.status"}
        refused = await api.call("POST", EVENTS, event("order.cancelled"))
        assert fields_of(refused) == {"data.orderId"}
        refused = await api.call("POST", EVENTS, event("order.cancelled", ["what"]))
        assert fields_of(refused) == {"data"}
        refused = await api.call("POST", EVENTS, event("order.delivered", {"orderId": "4242424242424242"}))
        assert fields_of(refused) == {"data.orderId"}
        assert (await service.row_counts())["integration_events"] == before

    async def test_cloudevents_media_type_is_read(self, api: Api) -> None:
        headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
        document = event("inventory.released", {"itemId": "sku-1", "quantity": 3})
        told = json_of(await api.call("POST", EVENTS, document, headers=headers), 202)
        assert (told["subject"], told["data"]) == ("sku-1", {"itemId": "sku-1", "quantity": 3})

    async def test_with_a_key_the_answer_is_kept(self, api: Api) -> None:
        document, key = event("customer.updated", {"customerId": unique("customer")}), unique("key")
        first = await api.call("POST", EVENTS, document, key=key)
        again = await api.call("POST", EVENTS, document, key=key)
        assert (first.status_code, again.status_code) == (202, 202) and first.content == again.content
        assert again.headers["idempotency-replayed"] == "true"

    @pytest.mark.parametrize("role", ["customer", "vendor", "support", "finance", "admin", "risk"])
    async def test_only_services_tell(self, service: Service, role: str) -> None:
        caller = service.api.as_(role, customer_id="c-1")
        problem_of(await caller.call("POST", EVENTS, event("order.delivered", {"orderId": "o-1"})), 403, "forbidden")

    async def test_is_listed_by_status(self, api: Api, service: Service) -> None:
        ids = [(await tell(api, event("parcel.weighed")))["id"] for _ in range(3)]
        support = service.api.as_("support")
        first = json_of(await support.get(EVENTS, status="IGNORED", limit=2), 200)
        assert [row["id"] for row in first["data"]] == [ids[2], ids[1]] and first["hasMore"]
        second = json_of(await support.get(EVENTS, status="IGNORED", limit=1, cursor=first["nextCursor"]), 200)
        assert [row["id"] for row in second["data"]] == [ids[0]]
        everything = json_of(await support.get(EVENTS, limit=1), 200)
        assert everything["data"][0]["id"] == ids[2]
        problem_of(await service.api.as_("customer", customer_id="c-1").get(EVENTS), 403, "forbidden")
        problem_of(await api.get(f"{EVENTS}/{NOBODY}"), 404, "not_found")


class TestOrderCancelled:
    async def test_cancels_what_was_not_captured(self, api: Api, service: Service) -> None:
        order = unique("order")
        pending = await api.create_payment(orderId=order)
        authorized = await api.authorized(orderId=order)
        failed = await api.create_payment(orderId=order, paymentMethodId="pm_sandbox_declined")
        await api.authorize(failed["id"])

        told = await outcome(service, api, event("order.cancelled", {"orderId": order, "reason": "out of stock"}))

        assert (told["status"], told["attempts"], told["reason"]) == ("PROCESSED", 0, None)
        assert [(await api.show(p["id"]))["status"] for p in (pending, authorized, failed)] == [
            "CANCELLED",
            "CANCELLED",
            "FAILED",
        ]
        assert (await api.show(authorized["id"]))["failureReason"] == "out of stock"

    async def test_refunds_what_was_captured(self, api: Api, service: Service) -> None:
        order = unique("order")
        captured = await api.authorized(orderId=order)
        json_of(await api.capture(captured["id"]), 200)
        partly = await api.authorized(orderId=order, amount=100)
        json_of(await api.capture(partly["id"], 60, finalCapture=False), 200)
        open_one = await api.authorized(orderId=order)

        told = await outcome(service, api, event("order.cancelled", {"orderId": order, "reason": "out of stock"}))
        told = await self.later(service, api, told)

        assert (told["status"], told["reason"]) == ("PROCESSED", None)
        assert (await api.show(open_one["id"]))["status"] == "CANCELLED"
        shown = await api.show(partly["id"])
        assert (shown["amountCaptured"], shown["amountRefunded"]) == (60, 60)
        assert (await api.show(captured["id"]))["amountRefunded"] == 100
        made = await self.refunds(service, order)
        assert [(row["amount"], row["status"], row["reason"], row["reason_detail"]) for row in made] == [
            (60, "COMPLETED", "ORDER_CANCELLED", "out of stock"),
            (100, "COMPLETED", "ORDER_CANCELLED", "out of stock"),
        ]

    async def test_refunds_once_however_often_it_is_told(self, api: Api, service: Service) -> None:
        order = unique("order")
        payment = await api.authorized(orderId=order)
        json_of(await api.capture(payment["id"]), 200)
        same = event("order.cancelled", {"orderId": order})
        for told, status in ((same, 202), (same, 200), (event("order.cancelled", {"orderId": order}), 202)):
            answer = json_of(await api.call("POST", EVENTS, told), status)
            assert (await self.later(service, api, answer))["status"] == "PROCESSED"
        assert [row["amount"] for row in await self.refunds(service, order)] == [100]

    async def test_waits_for_an_approval_and_says_so(self, api: Api, service: Service) -> None:
        order = unique("order")
        payment = await api.authorized(orderId=order, amount=50_000)
        json_of(await api.capture(payment["id"]), 200)

        told = await outcome(service, api, event("order.cancelled", {"orderId": order}))
        assert (told["status"], told["reason"]) == ("WAITING", "refund_approval")
        assert (await self.later(service, api, told))["status"] == "WAITING"
        (asked,) = await self.refunds(service, order)
        finance = service.api.as_("finance", subject="frida")
        json_of(await finance.call("POST", f"/api/v1/refunds/{asked['id']}/approve", {}), 200)

        told = await self.later(service, api, told)
        assert (told["status"], told["reason"]) == ("PROCESSED", None)
        assert (await api.show(payment["id"]))["amountRefunded"] == 50_000

    async def test_says_so_when_a_refund_came_to_nothing(self, api: Api, service: Service) -> None:
        order = unique("order")
        payment = await api.authorized(orderId=order, paymentMethodId="pm_sandbox_refund_declined")
        json_of(await api.capture(payment["id"]), 200)

        told = await self.later(service, api, await outcome(service, api, event("order.cancelled", {"orderId": order})))
        assert (told["status"], told["reason"]) == ("WAITING", "refund_refused")
        assert [row["status"] for row in await self.refunds(service, order)] == ["FAILED"]
        assert (await api.show(payment["id"]))["amountRefunded"] == 0

    async def later(self, service: Service, api: Api, told: dict[str, Any]) -> dict[str, Any]:
        """The event after a while in which what is due was done."""
        for _ in range(3):
            service.clock.advance(minutes=20)
            await service.run_jobs()
        return dict(json_of(await api.get(f"{EVENTS}/{told['id']}"), 200))

    async def refunds(self, service: Service, order: str) -> list[Any]:
        return await service.fetch(
            "select id, amount, status::text, reason::text, reason_detail from refunds where order_id = $1 "
            "order by amount",
            order,
        )

    async def test_waits_for_an_outcome_that_is_not_known(self, api: Api, service: Service) -> None:
        order = unique("order")
        payment = await api.create_payment(orderId=order, paymentMethodId="pm_sandbox_timeout_after_effect")
        json_of(await api.authorize(payment["id"]), 202)

        told = await tell(api, event("order.cancelled", {"orderId": order}))
        for _ in range(10):
            service.clock.advance(seconds=30)
            await service.run_jobs()

        assert (await api.get(f"{EVENTS}/{told['id']}")).json()["status"] == "PROCESSED"
        assert (await api.show(payment["id"]))["status"] == "CANCELLED"

    async def test_of_an_order_without_payments_is_done(self, api: Api, service: Service) -> None:
        told = await outcome(service, api, event("order.cancelled", {"orderId": unique("order")}))
        assert told["status"] == "PROCESSED"


class TestCustomerErased:
    async def test_nothing_personal_is_shown_any_more(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        address = {"billingAddress": {"name": "Ada Byron", "country": "AT"}}
        payment = await api.create_payment(customerId=customer, device={"ipAddress": "192.0.2.7"}, **address)
        card = {"number": "4242424242424242", "expMonth": 12, "expYear": 2034, "cvc": "314", "holderName": "Ada Byron"}
        body = {"customerId": customer, "type": "CARD", "card": card, **address}
        method = json_of(await api.call("POST", METHODS, body), 201)
        assert (await api.show(payment["id"]))["billingAddress"]["name"] == "Ada Byron"

        told = await outcome(service, api, event("customer.erased", {"customerId": customer}))

        assert told["status"] == "PROCESSED", told
        for path in (f"{CORE}/{payment['id']}", f"{METHODS}/{method['id']}", f"{METHODS}/customer/{customer}"):
            shown = await api.get(path)
            assert "Byron" not in shown.text and "192.0.2.7" not in shown.text
            assert not words(json_of(shown, 200)) & {"Ada", "314"}
        assert json_of(await api.get(f"{METHODS}/{method['id']}"), 200)["status"] == "REMOVED"
        problem_of(await api.post_payment(customerId=customer, **address), 410, "subject_erased")
        key = (await service.fetch("select * from subject_keys where subject = $1", customer))[0]
        assert key["wrapped_key"] is None and key["destroyed_at"] is not None

        again = await outcome(service, api, event("customer.erased", {"customerId": customer}))
        assert again["status"] == "PROCESSED"
        kept = await service.fetch("select destroyed_at from subject_keys where subject = $1", customer)
        assert kept[0][0] == key["destroyed_at"]

    async def test_of_somebody_unknown_refuses_what_comes_later(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        await outcome(service, api, event("customer.erased", {"customerId": customer}))
        refused = await api.post_payment(customerId=customer, billingAddress={"name": "Ada"})
        problem_of(refused, 410, "subject_erased")
        assert (await api.create_payment(customerId=customer))["status"] == "PENDING"

    async def test_races_with_what_is_being_written(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        told = await tell(api, event("customer.erased", {"customerId": customer}))

        async def pay(_: int) -> Any:
            return await api.post_payment(customerId=customer, billingAddress={"name": "Ada"})

        answers, _ = await asyncio.gather(at_once(api, 10, pay), service.run_jobs())
        service.clock.advance(minutes=20)  # where the person's row was held just then, it is tried again
        await service.run_jobs()
        assert json_of(await api.get(f"{EVENTS}/{told['id']}"), 200)["status"] == "PROCESSED"
        assert {answer.status_code for answer in answers} <= {201, 410}
        for answer in answers:
            if answer.status_code == 201:
                assert "Ada" not in (await api.get(f"{CORE}/{answer.json()['id']}")).text


class TestKyc:
    async def say(self, service: Service, api: Api, vendor: str, status: str, time: str, **more: Any) -> Any:
        data = {"vendorId": vendor, "status": status, **more}
        assert (await outcome(service, api, event("vendor.kyc.updated", data, time=time)))["status"] == "PROCESSED"
        return json_of(await api.get(f"/api/v1/kyc/VENDOR/{vendor}"), 200)

    async def test_a_vendor_is_what_the_last_word_says(self, api: Api, service: Service) -> None:
        vendor = unique("vendor")
        shown = await self.say(service, api, vendor, "VERIFIED", "2026-01-10T00:00:00Z", reference="check-1")
        assert (shown["status"], shown["decidedAt"], shown["decisionReason"]) == (
            "VERIFIED",
            "2026-01-10T00:00:00Z",
            "check-1",
        )
        shown = await self.say(service, api, vendor, "REJECTED", "2026-01-20T00:00:00Z", rejectionCode="underage")
        assert (shown["status"], shown["rejectionCode"]) == ("REJECTED", "underage")
        late = await self.say(service, api, vendor, "VERIFIED", "2026-01-15T00:00:00Z")
        assert late == shown
        shown = await self.say(
            service, api, vendor, "VERIFIED", "2026-01-30T00:00:00Z", expiresAt="2126-01-01T00:00:00Z"
        )
        assert (shown["status"], shown["expiresAt"]) == ("VERIFIED", "2126-01-01T00:00:00Z")
        shown = await self.say(service, api, vendor, "EXPIRED", "2026-02-01T00:00:00Z")
        assert (shown["status"], shown["expiresAt"]) == ("EXPIRED", "2026-02-01T00:00:00Z")
        late = await self.say(service, api, vendor, "VERIFIED", "2026-01-31T00:00:00Z")
        assert late == shown

    async def test_decides_a_check_that_is_under_way(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        json_of(await api.call("POST", f"/api/v1/kyc/CUSTOMER/{customer}/checks", {}), 202)
        data = {"customerId": customer, "status": "REJECTED", "rejectionCode": "no_code_of_ours"}
        told = await outcome(service, api, event("customer.kyc.updated", data))
        assert told["status"] == "PROCESSED"
        shown = json_of(await api.get(f"/api/v1/kyc/CUSTOMER/{customer}"), 200)
        assert (shown["status"], shown["rejectionCode"]) == ("REJECTED", "rejected_by_service")

    async def test_that_a_check_began_elsewhere_changes_nothing(self, api: Api, service: Service) -> None:
        vendor = unique("vendor")
        shown = await self.say(service, api, vendor, "PENDING", "2026-01-10T00:00:00Z")
        assert (shown["status"], shown["version"]) == ("NOT_STARTED", 0)


class TestFailing:
    async def test_fails_after_its_last_attempt_and_is_taken_up_when_sent_again(
        self, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = unique("order")
        calls = []

        async def broken(_: Any, __: Any, row: Any) -> None:
            calls.append(row.data["orderId"])  # events of other tests may come by
            raise LookupError("not now")

        document = event("order.cancelled", {"orderId": order})
        with monkeypatch.context() as patched:
            patched.setitem(HANDLERS, "order.cancelled", broken)
            told = await tell(api, document)
            for _ in range(ATTEMPTS_MAX + 2):
                await service.run_jobs()
                service.clock.advance(minutes=20)
        shown = json_of(await api.get(f"{EVENTS}/{told['id']}"), 200)
        assert (shown["status"], shown["attempts"], calls.count(order)) == ("FAILED", ATTEMPTS_MAX, ATTEMPTS_MAX)
        assert shown["lastError"] == "LookupError: not now"

        assert (await tell(api, document))["status"] == "RECEIVED"
        await service.run_jobs()
        shown = json_of(await api.get(f"{EVENTS}/{told['id']}"), 200)
        assert (shown["status"], shown["attempts"], shown["lastError"]) == ("PROCESSED", 0, None)

    async def test_one_that_fails_delays_no_other(
        self, api: Api, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order = unique("order")
        real = HANDLERS["order.cancelled"]

        async def sometimes(app: Any, origin: Any, row: Any) -> str | None:
            if row.data["orderId"] == order:
                raise LookupError("poison")
            return await real(app, origin, row)

        monkeypatch.setitem(HANDLERS, "order.cancelled", sometimes)
        poison = await tell(api, event("order.cancelled", {"orderId": order}))
        sound = await outcome(service, api, event("order.cancelled", {"orderId": unique("order")}))
        assert sound["status"] == "PROCESSED"
        assert (await api.get(f"{EVENTS}/{poison['id']}")).json()["status"] == "RECEIVED"
        monkeypatch.undo()
        service.clock.advance(minutes=20)
        await service.run_jobs()

    def test_every_kind_is_recorded_or_has_a_handler(self) -> None:
        assert {name for name, kind in KINDS.items() if not kind.is_recorded} == set(HANDLERS)


class TestHistory:
    async def test_is_rebuilt_from_its_events(self, private: Service) -> None:
        api = private.api.as_("service")
        vendor, order = unique("vendor"), unique("order")
        payment = await api.authorized(orderId=order, amount=20_000)  # somebody has to approve that much back
        json_of(await api.capture(payment["id"]), 200)
        for document in (
            event("parcel.weighed"),
            event("order.delivered", {"orderId": order}),
            event("order.cancelled", {"orderId": order}),
            event("vendor.kyc.updated", {"vendorId": vendor, "status": "VERIFIED"}, time="2026-01-10T00:00:00Z"),
            event("vendor.kyc.updated", {"vendorId": vendor, "status": "REJECTED"}, time="2026-01-11T00:00:00Z"),
        ):
            await outcome(private, api, document)
        rows = await private.fetch("select status from integration_events")
        assert {row["status"] for row in rows} == {"IGNORED", "PROCESSED", "WAITING"}
        assert await replay(private.url) == 0
