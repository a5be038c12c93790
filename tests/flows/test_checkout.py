"""A checkout from the order to the completed payment, told over HTTP."""

import pytest

from tests.support.api import CORE, Api, json_of
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestCheckout:
    async def test_goes_from_created_to_completed(self, api: Api, service: Service) -> None:
        created = await api.call("POST", CORE, api.new_payment(amount=1999, description="two books"))
        payment = json_of(created, 201)
        assert created.headers["location"] == f"{CORE}/{payment['id']}"
        assert created.headers["etag"] == '"1"'
        assert payment["status"] == "PENDING" and payment["version"] == 1
        assert payment["riskLevel"] == "LOW" and payment["fraudCheckId"]

        authorized = json_of(await api.authorize(payment["id"]), 200)
        assert authorized["status"] == "AUTHORIZED"
        assert (authorized["amountAuthorized"], authorized["amountCaptured"]) == (1999, 0)
        assert authorized["transactionId"] and authorized["authorizedAt"] and authorized["authorizationExpiresAt"]

        captured = json_of(await api.capture(payment["id"]), 200)
        assert captured["status"] == "CAPTURED"
        assert (captured["amountCaptured"], captured["amountRefundable"], captured["refundStatus"]) == (
            1999,
            1999,
            "NONE",
        )

        completed = json_of(await api.act(payment["id"], "complete"), 200)
        assert completed["status"] == "COMPLETED" and completed["completedAt"]
        assert await api.show(payment["id"]) == completed
        postings = await service.fetch(
            "select account, amount, currency from postings where about = $1 order by line", payment["id"]
        )
        assert [tuple(row) for row in postings] == [
            ("provider:sandbox:clearing", 1999, "EUR"),
            ("unallocated", -1999, "EUR"),
        ]
