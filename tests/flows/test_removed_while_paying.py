"""A customer removes the method with which he is paying: what waits for him at the provider goes on by its
reference.
"""

import pytest

from tests.conftest import Serve
from tests.support.api import Api, json_of, unique
from tests.support.methods import ACTION_NUMBER, add, card, remove
from tests.support.stripe import shop
from tests.support.webhooks import Postman

ASKS = "4000002760003184"


class TestAtStripe:
    @pytest.mark.parametrize("method, status", [("MANUAL", "AUTHORIZED"), ("AUTOMATIC", "CAPTURED")])
    async def test_what_he_confirmed_is_booked(self, serve: Serve, method: str, status: str) -> None:
        async with shop(serve) as at:
            kept = await at.card(ASKS)
            payment = await at.payment(kept, captureMethod=method)
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            json_of(await remove(at.api, kept), 200)
            await at.authenticate(asked["transactionId"])
            done = json_of(await at.api.authorize(payment["id"]), 200)
            assert (done["status"], done["transactionId"]) == (status, asked["transactionId"])
            assert at.total("captured") == done["amountCaptured"]

    async def test_what_he_confirmed_is_booked_when_stripe_tells(self, serve: Serve) -> None:
        async with shop(serve) as at:
            at.listen()
            kept = await at.card(ASKS)
            payment = await at.payment(kept, captureMethod="AUTOMATIC")
            asked = json_of(await at.api.authorize(payment["id"]), 200)
            json_of(await remove(at.api, kept), 200)
            await at.authenticate(asked["transactionId"])
            await at.hear()
            assert (await at.api.show(payment["id"]))["status"] == "CAPTURED"
            postman = Postman(at.service)
            await postman.run(minutes=5, times=3)  # of several notices at once, some come again
            assert {row["status"] for row in await postman.rows()} <= {"PROCESSED", "IGNORED"}


async def test_in_the_sandbox_it_goes_on(api: Api) -> None:
    customer = unique("customer")
    method = await add(api, customer, card(ACTION_NUMBER))
    payment = await api.create_payment(customerId=customer, paymentMethodId=method["id"])
    assert json_of(await api.authorize(payment["id"]), 200)["status"] == "REQUIRES_ACTION"
    json_of(await remove(api, method), 200)
    assert json_of(await api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"
