"""A payment as callers see it: every documented member, no other, and what was sent comes back unchanged."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bursar.kit.money import AMOUNT_MAX
from tests.support.api import CORE, Api, json_of
from tests.support.service import Service
from tests.support.truth import verify

MEMBERS = {
    *("id", "version", "createdAt", "updatedAt", "metadata", "paymentNumber", "transactionId", "status", "amount"),
    *("currency", "orderId", "customerId", "captureMethod", "paymentMethodId", "splits", "description"),
    *("amountAuthorized", "amountCaptured", "amountUnallocated", "amountRefunding", "amountRefunded"),
    *("amountRefundable", "amountDisputed", "refundStatus", "disputeStatus"),
    *("failureCode", "failureReason", "fraudCheckId", "riskLevel", "provider", "nextAction", "authorizedAt"),
    *("authorizationExpiresAt", "capturedAt", "completedAt", "failedAt", "cancelledAt"),
}

FULL: dict[str, Any] = {
    "orderId": "A.b_c:1-" + "x" * 56,
    "customerId": "c" * 64,
    "amount": 100,
    "currency": "KWD",
    "captureMethod": "MANUAL",
    "paymentMethodId": "pm_sandbox_mastercard",
    "splits": [{"vendorId": "v-1", "amount": 60, "categoryId": "books"}, {"vendorId": "v-2", "amount": 40}],
    "description": "ünïcode ✓ " + "x" * 490,
    "metadata": {f"key {number:02} " + "k" * 33: "v" * 500 for number in range(50)},
}


class TestShape:
    async def test_has_every_member_and_no_other(self, api: Api) -> None:
        payment = await api.create_payment()
        assert set(payment) == MEMBERS
        listed = json_of(await api.get(f"{CORE}/order/{payment['orderId']}"), 200)["data"]
        assert listed == [payment] == [await api.show(payment["id"])]

    async def test_gives_back_what_was_sent_at_its_longest(self, api: Api) -> None:
        payment = await api.create_payment(**FULL)
        assert {name: payment[name] for name in FULL} == FULL
        assert await api.show(payment["id"]) == payment

    async def test_tells_times_in_utc_with_microseconds(self, api: Api, service: Service) -> None:
        before = service.clock.now()
        payment = await api.authorized()
        for name in ("createdAt", "updatedAt", "authorizedAt", "authorizationExpiresAt"):
            assert payment[name].endswith("Z")
        made = datetime.fromisoformat(payment["createdAt"])
        assert before <= made <= service.clock.now() and made.tzinfo == UTC
        expires = datetime.fromisoformat(payment["authorizationExpiresAt"])
        assert (expires - datetime.fromisoformat(payment["authorizedAt"])).days in (6, 7)

    @pytest.mark.parametrize("amount, status", [(1, "PENDING"), (AMOUNT_MAX, "FAILED")])
    @pytest.mark.parametrize("currency", ["JPY", "USD", "BHD"])
    async def test_takes_amounts_from_the_least_to_the_most(
        self, api: Api, amount: int, status: str, currency: str
    ) -> None:
        payment = await api.create_payment(amount=amount, currency=currency)
        assert (payment["amount"], payment["currency"], payment["status"]) == (amount, currency, status)

    async def test_needs_only_four_fields(self, api: Api) -> None:
        body = {"orderId": "o", "customerId": "c", "amount": 5, "currency": "EUR"}
        payment = json_of(await api.call("POST", CORE, body), 201)
        assert (payment["captureMethod"], payment["metadata"], payment["splits"]) == ("MANUAL", {}, None)


async def test_a_difference_to_the_providers_books_is_found(private: Service) -> None:
    payment = await private.api.as_("service").authorized()
    await verify(private)
    account = private.sandbox.books.account(payment["transactionId"])
    account.captured += 1
    with pytest.raises(AssertionError, match="the provider's"):
        await verify(private)
    account.captured -= 1
