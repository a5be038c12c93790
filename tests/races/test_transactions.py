"""Many requests at once for the unallocated money of one payment, and captures of splits in many parts."""

import asyncio
from collections import Counter

import httpx
import pytest

from tests.support.api import Api, json_of
from tests.support.races import at_once
from tests.support.service import Service, serving
from tests.support.transactions import Shop

pytestmark = pytest.mark.usefixtures("verified")


@pytest.fixture
def shop(api: Api) -> Shop:
    return Shop(api)


class TestAllocations:
    @pytest.mark.parametrize("round_", range(3))
    async def test_never_exceed_what_was_captured(self, api: Api, shop: Shop, round_: int) -> None:
        payment = await shop.captured()

        answers = await at_once(api, 50, lambda number: shop.post(payment["id"], {f"v-{number}": 30}))

        assert Counter(answer.status_code for answer in answers) == {201: 3, 409: 47}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes == {"amount_exceeds_unallocated"}
        assert (await api.show(payment["id"]))["amountUnallocated"] == 10

    async def test_of_two_processes_do_not_either(self, private: Service) -> None:
        async with serving(private.url, private.app.settings.data_path, clock=private.clock) as second:
            shops = [Shop(service.api.as_("service")) for service in (private, second)]
            payment = await shops[0].captured()

            async def post(number: int) -> httpx.Response:
                answer: httpx.Response = await shops[number % 2].post(payment["id"], {"a": 30})
                return answer

            answers = await at_once(shops[0].api, 40, post)

            assert Counter(answer.status_code for answer in answers)[201] == 3
            refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
            assert refused <= {"amount_exceeds_unallocated", "row_busy"}
            assert {answer.status_code for answer in answers} == {201, 409}
            assert (await shops[1].api.show(payment["id"]))["amountUnallocated"] == 10

    async def test_end_one_way_only(self, service: Service, shop: Shop) -> None:
        payment = await shop.captured()
        charges = [await shop.allocated(payment["id"], {"a": 5}) for _ in range(20)]
        kept = 0
        for number, charge in enumerate(charges):
            actions = ["complete", "fail"] * 3
            if number % 2:
                actions.reverse()
            answers = await asyncio.gather(*(shop.end(charge, action) for action in actions))
            assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 5}
            done = next(answer.json()["status"] for answer in answers if answer.status_code == 200)
            kept += done == "COMPLETED"
            rows = await service.fetch("select 1 from journals where reference = $1", f"transaction:{charge['id']}")
            assert len(rows) == (done == "COMPLETED")
        assert (await shop.api.show(payment["id"]))["amountUnallocated"] == 100 - 5 * kept


class TestCaptures:
    @pytest.mark.parametrize("amount", [3, 7, 30])
    async def test_in_parts_at_once_add_up_to_the_splits(self, api: Api, shop: Shop, amount: int) -> None:
        splits = {"a": 37, "b": 1, "c": 62}
        sent = [{"vendorId": vendor, "amount": share} for vendor, share in splits.items()]
        payment = await api.authorized(splits=sent)

        await at_once(api, 40, lambda _: api.capture(payment["id"], amount, finalCapture=False))

        captured = 100 // amount * amount
        assert (await api.show(payment["id"]))["amountCaptured"] == captured
        if captured < 100:
            json_of(await api.capture(payment["id"]), 200)
        charges = await shop.of_order(payment["orderId"])
        got = Counter[str]()
        for part in (part for charge in charges for part in charge["allocations"]):
            got[part["vendorId"]] += part["grossAmount"]
        assert got == splits and sum(charge["amount"] for charge in charges) == 100
        assert (await api.show(payment["id"]))["amountUnallocated"] == 0
