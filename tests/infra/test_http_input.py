"""What comes in malformed is refused with the documented answer, all its faults named, and leaves nothing behind."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.api import CORE, Api, fields_of, json_of, problem_of
from tests.support.service import Service


@pytest.fixture
async def untouched(service: Service) -> AsyncIterator[None]:
    """No table has more or fewer rows after the test."""
    before = await service.row_counts()
    yield
    assert await service.row_counts() == before


pytestmark = pytest.mark.usefixtures("untouched")
TOO_BIG = 10**12 + 1
KEY = "a-key"


def text(api: Api, **changes: Any) -> str:
    return msgspec.json.encode(api.new_payment(**changes)).decode()


class TestJson:
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"nonsense",
            b"",
            b"[]",
            b"null",
            b'"text"',
            b"12",
            b'{"orderId": "a\xff"}',
            b"\xff\xfe{\x00}\x00",
            b'{"orderId": "\\ud800"}',
            b'{"orderId": "\\udc00\\ud800"}',
            b'{"orderId": NaN}',
            b'{"amount": Infinity}',
            b'{"orderId": "a",}',
            b"{'orderId': 'a'}",
            b"[" * 50_000,
            b'{"a":' * 50_000,
            b'{"amount": 1' + b"0" * 5_000 + b"}",
        ],
        ids=lambda body: repr(body[:24]),
    )
    async def test_that_is_none_or_of_another_shape(self, api: Api, body: bytes) -> None:
        headers = {"content-type": "application/json"}
        refused = await api.call("POST", CORE, body, key=KEY, headers=headers)
        assert refused.json()["code"] in ("malformed_json", "validation_failed")
        assert refused.status_code == (400 if refused.json()["code"] == "malformed_json" else 422)

    @pytest.mark.parametrize("body", [b"{", b'{"a": "\\ud800"}', b'{"a": "\xff"}'])
    async def test_that_cannot_be_read_is_400(self, api: Api, body: bytes) -> None:
        problem_of(await api.call("POST", CORE, body), 400, "malformed_json")


class TestPaymentFields:
    @pytest.mark.parametrize(
        "amount",
        ["0", "-1", "1.5", '"10"', str(10**13), str(TOO_BIG), "true", "1.0", "1e3", "null", "[]", "1e400", "9" * 400],
    )
    async def test_amount(self, api: Api, amount: str) -> None:
        body = text(api).replace('"amount":100', f'"amount":{amount}')
        assert fields_of(await api.call("POST", CORE, body.encode(), key=KEY)) == {"amount"}

    @pytest.mark.parametrize(
        "currency", ["eur", "Eur", "EURO", "E", "", "ZZZ", "XBA", "XAU", "€", "EUR ", 978, None, ["EUR"]]
    )
    async def test_currency(self, api: Api, currency: object) -> None:
        body = api.new_payment()
        body["currency"] = currency
        assert fields_of(await api.call("POST", CORE, body, key=KEY)) == {"currency"}

    @pytest.mark.parametrize("value", ["", "a b", "a/b", "x" * 65, "ä", "a\x00", "a\n", 7, None, "<script>"])
    @pytest.mark.parametrize("name", ["orderId", "customerId"])
    async def test_foreign_id(self, api: Api, name: str, value: object) -> None:
        body = api.new_payment()
        body[name] = value
        assert fields_of(await api.call("POST", CORE, body, key=KEY)) == {name}

    @pytest.mark.parametrize("name", ["orderId", "customerId", "amount", "currency"])
    async def test_required(self, api: Api, name: str) -> None:
        assert fields_of(await api.post_payment(**{name: None})) == {name}

    @pytest.mark.parametrize(
        "changes, field",
        [
            ({"captureMethod": "auto"}, "captureMethod"),
            ({"captureMethod": "manual"}, "captureMethod"),
            ({"order_id": "snake"}, "order_id"),
            ({"status": "CAPTURED"}, "status"),
            ({"id": "mine"}, "id"),
            ({"description": ""}, "description"),
            ({"description": "x" * 501}, "description"),
            ({"description": "a\x00b"}, "description"),
            ({"description": 5}, "description"),
            ({"metadata": {"a": 1}}, "metadata.a"),
            ({"metadata": {"a": "x" * 501}}, "metadata.a"),
            ({"metadata": {"a": "\x00"}}, "metadata.a"),
            ({"metadata": {f"k{number}": "" for number in range(51)}}, "metadata"),
            ({"metadata": []}, "metadata"),
            ({"device": {"ipAddress": "1" * 46}}, "device.ipAddress"),
            ({"device": {"ip": "::1"}}, "device.ip"),
            ({"billingAddress": {"country": "Austria"}}, "billingAddress.country"),
            ({"shippingAddress": {"name": "a\x00"}}, "shippingAddress.name"),
            ({"splits": []}, "splits"),
            ({"splits": [{"vendorId": "v"}]}, "splits.0.amount"),
            ({"splits": [{"vendorId": "v v", "amount": 100}]}, "splits.0.vendorId"),
            ({"splits": [{"vendorId": "v", "amount": 100, "share": 1}]}, "splits.0.share"),
            ({"splits": [{"vendorId": "v", "amount": 1}] * 201}, "splits"),
        ],
    )
    async def test_others(self, api: Api, changes: dict[str, Any], field: str) -> None:
        assert field in fields_of(await api.post_payment(key=KEY, **changes))

    @pytest.mark.parametrize("key", ["", "x" * 41, "a\x00"])
    async def test_metadata_keys(self, api: Api, key: str) -> None:
        assert any(field.startswith("metadata") for field in fields_of(await api.post_payment(metadata={key: "x"})))

    @pytest.mark.parametrize("amounts", [[99], [50, 51], [100, 100]])
    async def test_splits_that_do_not_sum(self, api: Api, amounts: list[int]) -> None:
        splits = [{"vendorId": f"v{number}", "amount": amount} for number, amount in enumerate(amounts)]
        problem_of(await api.post_payment(splits=splits, key=KEY), 422, "validation_failed")

    async def test_every_fault_is_named_at_once(self, api: Api) -> None:
        refused = await api.post_payment(
            orderId="a b",
            amount=-1,
            currency="eur",
            captureMethod="x",
            colour="red",
            metadata={"a": 1, "b": 2},
            splits=[],
        )
        expected = {"orderId", "amount", "currency", "captureMethod", "colour", "metadata.a", "metadata.b", "splits"}
        assert fields_of(refused) == expected


class TestActionFields:
    @pytest.mark.parametrize(
        "action, body, fields",
        [
            ("authorize", {"paymentMethodId": "a b"}, {"paymentMethodId"}),
            ("authorize", {"amount": 1}, {"amount"}),
            ("capture", {"amount": 0}, {"amount"}),
            ("capture", {"amount": TOO_BIG}, {"amount"}),
            ("capture", {"amount": "5", "finalCapture": "yes"}, {"amount", "finalCapture"}),
            ("capture", {"finalCapture": 1, "final": True}, {"finalCapture", "final"}),
            ("complete", {"amount": 1}, {"amount"}),
            ("fail", {}, {"reason"}),
            ("fail", {"reason": "", "failureCode": "Bad Code"}, {"reason", "failureCode"}),
            ("cancel", {}, {"reason"}),
            ("cancel", {"reason": "x" * 501}, {"reason"}),
            ("cancel", {"reason": "\x00"}, {"reason"}),
            ("cancel", {"reason": None}, {"reason"}),
        ],
    )
    async def test_of_each_action(self, api: Api, action: str, body: dict[str, Any], fields: set[str]) -> None:
        path = f"{CORE}/00000000-0000-7000-8000-000000000000/{action}"
        assert fields_of(await api.call("PUT", path, body, key=KEY)) == fields


class TestLargeBody:
    @pytest.mark.parametrize("size", [262_145, 1_000_000])
    async def test_is_413(self, api: Api, size: int) -> None:
        problem_of(await api.call("POST", CORE, b" " * size, key=KEY), 413, "body_too_large")

    async def test_in_chunks_is_413_too(self, api: Api) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b" " * 10_000

        problem_of(await api.call("POST", CORE, content=chunks()), 413, "body_too_large")

    async def test_at_the_limit_is_read(self, api: Api) -> None:
        problem_of(await api.call("POST", CORE, b" " * 262_144), 400, "malformed_json")


class TestMediaType:
    @pytest.mark.parametrize(
        "media_type",
        ["text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", "json"],
    )
    async def test_that_is_not_json_is_415(self, api: Api, media_type: str) -> None:
        headers = {"content-type": media_type}
        problem_of(await api.call("POST", CORE, api.new_payment(), headers=headers), 415, "unsupported_media_type")


class TestPath:
    @pytest.mark.parametrize(
        "path", ["/", "/api", "/api/v2/payments", f"{CORE}/a/b/c", "/etc/passwd", "//", "/%00", "/%ff"]
    )
    async def test_that_is_none_is_404(self, api: Api, path: str) -> None:
        problem_of(await api.get(path), 404, "not_found")

    @pytest.mark.parametrize(
        "method, path, allowed",
        [
            ("DELETE", CORE, "POST"),
            ("GET", CORE, "POST"),
            ("POST", f"{CORE}/x", "GET, PATCH"),
            ("GET", f"{CORE}/x/authorize", "PUT"),
            ("POST", f"{CORE}/x/capture", "PUT"),
            ("TRACE", f"{CORE}/x", "GET, PATCH"),
        ],
    )
    async def test_with_another_method_is_405(self, api: Api, method: str, path: str, allowed: str) -> None:
        refused = await api.call(method, path)
        problem_of(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == allowed


class TestIdempotencyKey:
    @pytest.mark.parametrize("key", [b"", b"x" * 256, b"a\tb", "ä".encode()])
    async def test_that_is_none_is_400(self, api: Api, key: bytes) -> None:
        headers: Any = {"idempotency-key": key}
        problem_of(await api.call("POST", CORE, api.new_payment(), headers=headers), 400, "bad_request")


@pytest.mark.usefixtures("untouched")
async def test_a_refused_request_can_be_mended_under_its_key(api: Api, service: Service) -> None:
    problem_of(await api.post_payment(amount=0, key="mended"), 422, "validation_failed")
    path = f"{CORE}/00000000-0000-7000-8000-000000000000/cancel"
    assert (await api.call("PUT", path, {}, key="mended")).status_code == 422
    assert json_of(await api.get("/healthz"), 200) == {"status": "ok"}
