"""PayPal's simulator, asked directly: what it remembers, what it refuses, what it signs, and that its document is held
against whoever asks.
"""

import base64
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from simulators import paypal
from simulators.kit.faults import Kind
from simulators.kit.server import Application, build, running
from simulators.paypal.methods import HOLDERS, TOKENS
from simulators.paypal.words import distorted

ORDERS = "/v2/checkout/orders"
needs_documents = pytest.mark.skipif(paypal.document() is None, reason="PayPal's OpenAPI documents are absent")


class Caller:
    """A client with a token."""

    def __init__(self, app: Application, simulator: paypal.PayPal, http: httpx.AsyncClient) -> None:
        self.app = app
        self.simulator = simulator
        self.http = http

    async def ask(self, method: str, path: str, *, key: str = "", body: Any = None, is_whole: bool = True) -> Any:
        headers = {"PayPal-Request-Id": key} if key else {}
        headers |= {"Prefer": "return=representation"} if is_whole else {}
        return await self.http.request(method, path, headers=headers, json=body)

    async def pay(self, source: dict[str, Any], *, intent: str = "AUTHORIZE", key: str = "", **unit: Any) -> Any:
        amount = {"currency_code": "USD", "value": "50.00"}
        body = {"intent": intent, "purchase_units": [{"amount": amount, **unit}], "payment_source": source}
        return await self.ask("POST", ORDERS, key=key, body=body)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    """Its end checks that neither side said anything that the document does not allow."""
    simulator = paypal.provider()
    app = build(simulator)
    async with running(app) as base_url, httpx.AsyncClient(base_url=base_url, timeout=60, trust_env=False) as http:
        given = await http.post(
            "/v1/oauth2/token",
            auth=(paypal.CLIENT_ID, paypal.CLIENT_SECRET),
            data={"grant_type": "client_credentials"},
        )
        http.headers["Authorization"] = f"Bearer {given.json()['access_token']}"
        yield Caller(app, simulator, http)
    assert app.simulator.violations == []


def wallet(token: str = "paypal-approved") -> dict[str, Any]:
    return {"paypal": {"vault_id": token}}


def issue(answer: httpx.Response) -> str:
    found: str = answer.json()["details"][0]["issue"]
    return found


class TestCallers:
    async def test_need_a_token(self, caller: Caller) -> None:
        stranger = {"Authorization": "Bearer nobody"}
        assert (await caller.http.get(f"{ORDERS}/O1", headers=stranger)).status_code == 401
        caller.simulator.clock.advance(10 * 3600)
        assert (await caller.ask("GET", f"{ORDERS}/O1")).status_code == 401

    async def test_need_to_know_the_secret(self, caller: Caller) -> None:
        form = {"grant_type": "client_credentials"}
        given = await caller.http.post("/v1/oauth2/token", auth=("somebody", "else"), data=form)
        assert given.status_code == 401 and given.json()["error"] == "invalid_client"

    @needs_documents
    @pytest.mark.parametrize(
        "body",
        [
            {"purchase_units": [{"amount": {"currency_code": "USD", "value": "1.00"}}]},
            {"intent": "STEAL", "purchase_units": [{"amount": {"currency_code": "USD", "value": "1.00"}}]},
            {"intent": "CAPTURE", "purchase_units": [{"amount": {"currency_code": "USD", "value": 1}}]},
            {"intent": "CAPTURE", "purchase_units": []},
        ],
    )
    async def test_are_held_to_the_document(self, caller: Caller, body: dict[str, Any]) -> None:
        answer = await caller.ask("POST", ORDERS, body=body)
        assert answer.status_code == 400 and answer.json()["name"] == "INVALID_REQUEST"
        assert {violation.side for violation in caller.app.simulator.violations} == {"REQUEST"}
        caller.app.simulator.violations.clear()


class TestMethods:
    @pytest.mark.parametrize("token", sorted(TOKENS))
    async def test_do_what_their_table_says(self, caller: Caller, token: str) -> None:
        behaviour = TOKENS[token]
        answer = await caller.pay({behaviour.source: {"vault_id": token}})
        if behaviour.issue:
            assert answer.status_code == 422 and issue(answer) == behaviour.issue
            return
        order = answer.json()
        held = order["purchase_units"][0].get("payments", {}).get("authorizations", [{"status": None}])[0]
        if behaviour.needs_action:
            assert order["status"] == "PAYER_ACTION_REQUIRED" and held["status"] is None
        elif behaviour.response_code:
            assert held["status"] == "DENIED"
            assert held["processor_response"] == {"response_code": behaviour.response_code}
        else:
            assert held["status"] == ("PENDING" if behaviour.is_pending else "CREATED")

    @pytest.mark.parametrize("holder", sorted(HOLDERS))
    async def test_by_the_card_holders_name(self, caller: Caller, holder: str) -> None:
        card = {"number": "4111111111111111", "expiry": "2030-01", "name": holder}
        order = (await caller.pay({"card": card}, intent="CAPTURE")).json()
        taken = order["purchase_units"][0]["payments"]["captures"][0]
        assert taken["status"] == "DECLINED"
        assert taken["processor_response"]["response_code"] == HOLDERS[holder].response_code
        assert not caller.simulator.books.entries

    @pytest.mark.parametrize(
        "currency,value,refused",
        [
            ("JPY", "5.50", "DECIMALS_NOT_SUPPORTED"),
            ("USD", "5.505", "DECIMAL_PRECISION"),
            ("KWD", "5.00", "INVALID_CURRENCY_CODE"),
            ("USD", "0.00", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ],
    )
    async def test_take_amounts_as_paypal_does(self, caller: Caller, currency: str, value: str, refused: str) -> None:
        amount = {"currency_code": currency, "value": value}
        body = {"intent": "CAPTURE", "purchase_units": [{"amount": amount}], "payment_source": wallet()}
        answer = await caller.ask("POST", ORDERS, body=body)
        if refused in ("INVALID_CURRENCY_CODE", "CANNOT_BE_ZERO_OR_NEGATIVE", "DECIMAL_PRECISION"):
            assert issue(answer) == refused
        else:
            assert answer.status_code == 422
            caller.app.simulator.violations.clear()  # the document of Orders has this word for captures only


class TestKeys:
    async def test_are_remembered_for_six_hours(self, caller: Caller) -> None:
        first = await caller.pay(wallet(), key="k-1")
        again = await caller.pay(wallet(), key="k-1")
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.json()["id"] == again.json()["id"] and len(caller.simulator.books.entries) == 1
        caller.simulator.clock.advance(6 * 3600)
        assert (await caller.pay(wallet(), key="k-1")).json()["id"] != first.json()["id"]
        assert len(caller.simulator.books.entries) == 2

    async def test_answer_with_what_was_done_as_it_is_now(self, caller: Caller) -> None:
        first = (await caller.pay(wallet(), key="k-1")).json()
        held = first["purchase_units"][0]["payments"]["authorizations"][0]
        await caller.ask("POST", f"/v2/payments/authorizations/{held['id']}/void")
        again = (await caller.pay(wallet(), key="k-1")).json()
        assert again["purchase_units"][0]["payments"]["authorizations"][0]["status"] == "VOIDED"

    async def test_do_not_keep_refusals(self, caller: Caller) -> None:
        caller.simulator.faults.plan(Kind.DECLINE, on=f"POST {ORDERS}")
        assert issue(await caller.pay(wallet(), key="k-1")) == "INSTRUMENT_DECLINED"
        assert (await caller.pay(wallet(), key="k-1")).status_code == 201

    @pytest.mark.parametrize("kind", ["ERROR_AFTER_EFFECT", "WRONG_AMOUNT"])
    async def test_outlive_a_spoilt_answer(self, caller: Caller, kind: str) -> None:
        caller.simulator.faults.plan(kind, on=f"POST {ORDERS}")
        spoilt = await caller.pay(wallet(), key="k-1")
        assert spoilt.status_code == 500 or spoilt.json()["purchase_units"][0]["amount"]["value"] == "51.00"
        assert (await caller.pay(wallet(), key="k-1")).json()["purchase_units"][0]["amount"]["value"] == "50.00"
        assert len(caller.simulator.books.entries) == 1

    async def test_an_invoice_is_paid_once(self, caller: Caller) -> None:
        await caller.pay(wallet(), invoice_id="i-1")
        assert issue(await caller.pay(wallet(), invoice_id="i-1")) == "DUPLICATE_INVOICE_ID"

    async def test_of_payouts_do_nothing_but_their_batch_does(self, caller: Caller) -> None:
        """PayPal-Java-SDK issue 379."""
        item = {"receiver": "vendor@example.com", "amount": {"currency": "USD", "value": "1.00"}}
        bodies = [{"sender_batch_header": {"sender_batch_id": each}, "items": [item]} for each in ("b-1", "b-2", "b-1")]
        answers = [await caller.ask("POST", "/v1/payments/payouts", key="k-1", body=body) for body in bodies]
        assert [answer.status_code for answer in answers] == [201, 201, 400]
        first = answers[0].json()["batch_header"]["payout_batch_id"]
        refusal = answers[2].json()
        assert refusal["name"] == "USER_BUSINESS_ERROR" and refusal["links"][0]["href"].endswith(first)


class TestPayments:
    async def held(self, caller: Caller) -> str:
        order = (await caller.pay(wallet())).json()
        return f"/v2/payments/authorizations/{order['purchase_units'][0]['payments']['authorizations'][0]['id']}"

    def usd(self, value: str, **more: Any) -> dict[str, Any]:
        return {"amount": {"currency_code": "USD", "value": value}, **more}

    async def test_are_told_in_short_unless_asked_otherwise(self, caller: Caller) -> None:
        path = await self.held(caller)
        captured = await caller.ask("POST", f"{path}/capture", body=self.usd("10.00"), is_whole=False)
        assert captured.json().keys() == {"id", "status", "links"}
        voided = await caller.ask("POST", f"{path}/void", is_whole=False)
        assert voided.status_code == 204

    async def test_may_take_fifteen_percent_more(self, caller: Caller) -> None:
        path = await self.held(caller)
        above = await caller.ask("POST", f"{path}/capture", body=self.usd("57.51"))
        assert issue(above) == "MAX_CAPTURE_AMOUNT_EXCEEDED"
        assert (await caller.ask("POST", f"{path}/capture", body=self.usd("57.50"))).status_code == 201
        assert issue(await caller.ask("POST", f"{path}/capture", body=self.usd("1.00"))) == (
            "AUTHORIZATION_ALREADY_CAPTURED"
        )
        assert issue(await caller.ask("POST", f"{path}/void")) == "PREVIOUSLY_CAPTURED"

    async def test_are_given_back_once(self, caller: Caller) -> None:
        path = await self.held(caller)
        captured = (await caller.ask("POST", f"{path}/capture", body=self.usd("50.00"))).json()
        refund = f"/v2/payments/captures/{captured['id']}/refund"
        assert issue(await caller.ask("POST", refund, body=self.usd("50.01"))) == "REFUND_AMOUNT_EXCEEDED"
        refunded = (await caller.ask("POST", refund, body=self.usd("20.00"), key="r-1")).json()
        assert (await caller.ask("POST", refund, body=self.usd("20.00"), key="r-1")).json()["id"] == refunded["id"]
        rest = (await caller.ask("POST", refund, body={})).json()
        assert rest["amount"]["value"] == "30.00"
        assert issue(await caller.ask("POST", refund, body=self.usd("0.01"))) == "CAPTURE_FULLY_REFUNDED"
        shown = (await caller.ask("GET", f"/v2/payments/refunds/{rest['id']}")).json()
        assert shown["id"] == rest["id"]
        assert caller.simulator.books.total("refund", "USD") == 5000

    async def test_are_void_once(self, caller: Caller) -> None:
        path = await self.held(caller)
        assert (await caller.ask("POST", f"{path}/void")).json()["status"] == "VOIDED"
        assert issue(await caller.ask("POST", f"{path}/void")) == "PREVIOUSLY_VOIDED"
        assert issue(await caller.ask("POST", f"{path}/capture", body=self.usd("1.00"))) == "AUTHORIZATION_VOIDED"


class TestWebhooks:
    async def received(self, caller: Caller) -> tuple[httpx.Headers, bytes]:
        """What our address gets of one payment."""
        got: list[tuple[httpx.Headers, bytes]] = []

        async def take(request: httpx.Request) -> httpx.Response:
            got.append((request.headers, request.content))
            return httpx.Response(200)

        webhooks = caller.simulator.webhooks
        webhooks._client = httpx.AsyncClient(transport=httpx.MockTransport(take))
        body = {"url": "https://bursar.invalid/hooks", "event_types": [{"name": "*"}]}
        assert (await caller.ask("POST", "/v1/notifications/webhooks", body=body)).status_code == 201
        await caller.pay(wallet())
        await webhooks.settled()
        assert len(got) == 1
        return got[0]

    async def test_are_signed_by_the_certificate_that_is_served(self, caller: Caller) -> None:
        headers, body = await self.received(caller)
        served = await caller.http.get(headers["PAYPAL-CERT-URL"])
        key = x509.load_pem_x509_certificate(served.content).public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        signed = "|".join(
            [
                headers["PAYPAL-TRANSMISSION-ID"],
                headers["PAYPAL-TRANSMISSION-TIME"],
                caller.simulator.webhooks.secret,
                str(zlib.crc32(body)),
            ]
        )
        signature = base64.b64decode(headers["PAYPAL-TRANSMISSION-SIG"])
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        with pytest.raises(InvalidSignature):
            key.verify(signature, signed.encode() + b"0", padding.PKCS1v15(), hashes.SHA256())
        assert json.loads(body)["event_type"] == "PAYMENT.AUTHORIZATION.CREATED"

    @pytest.mark.parametrize("spoilt", ["", "event", "time", "webhook", "signature"])
    async def test_are_verified_by_paypal_too(self, caller: Caller, spoilt: str) -> None:
        headers, body = await self.received(caller)
        asked = {
            "auth_algo": headers["PAYPAL-AUTH-ALGO"],
            "cert_url": headers["PAYPAL-CERT-URL"],
            "transmission_id": headers["PAYPAL-TRANSMISSION-ID"],
            "transmission_sig": headers["PAYPAL-TRANSMISSION-SIG"],
            "transmission_time": headers["PAYPAL-TRANSMISSION-TIME"],
            "webhook_id": caller.simulator.webhooks.secret,
            "webhook_event": json.loads(body),
        }
        asked |= {
            "event": {"webhook_event": {**asked["webhook_event"], "summary": "another"}},
            "time": {"transmission_time": "2020-01-01T00:00:00Z"},
            "webhook": {"webhook_id": "1JE4291016473214C"},
            "signature": {"transmission_sig": "AAAA" + str(asked["transmission_sig"])[4:]},
        }.get(spoilt, {})
        answer = await caller.ask("POST", "/v1/notifications/verify-webhook-signature", body=asked)
        assert answer.json() == {"verification_status": "FAILURE" if spoilt else "SUCCESS"}


async def test_disputes_are_listed(caller: Caller) -> None:
    assert "items" not in (await caller.ask("GET", "/v1/customer/disputes")).json()
    order = (await caller.pay(wallet(), intent="CAPTURE")).json()
    capture_id = order["purchase_units"][0]["payments"]["captures"][0]["id"]
    opened = (await caller.ask("POST", "/test/disputes", body={"capture_id": capture_id})).json()
    path = f"/v1/customer/disputes?disputed_transaction_id={capture_id}"
    listed = (await caller.ask("GET", path)).json()["items"]
    assert [each["dispute_id"] for each in listed] == [opened["dispute_id"]]
    decided = {"outcome_code": "RESOLVED_SELLER_FAVOUR"}
    path = f"/test/disputes/{opened['dispute_id']}/decision"
    assert (await caller.ask("POST", path, body=decided)).json()["dispute_outcome"] == decided


def test_a_wrong_amount_is_another_document() -> None:
    told = {"amount": {"currency_code": "USD", "value": "12.34"}, "items": [{"currency": "JPY", "value": "5"}]}
    other = {"amount": {"currency_code": "USD", "value": "13.34"}, "items": [{"currency": "JPY", "value": "6"}]}
    assert distorted(told) == other and told["amount"]["value"] == "12.34"
