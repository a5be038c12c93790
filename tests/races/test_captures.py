"""Many requests at once for the money of one payment: never more than was authorized, never an error of ours."""

import asyncio
from collections import Counter

import pytest

from tests.support.api import Api, json_of
from tests.support.races import at_once
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


class TestFiftyCaptures:
    @pytest.mark.parametrize("round_", range(3))
    async def test_of_thirty_on_a_hundred_take_three(self, api: Api, service: Service, round_: int) -> None:
        payment = await api.authorized()

        answers = await at_once(api, 50, lambda _: api.capture(payment["id"], 30, finalCapture=False))

        assert Counter(answer.status_code for answer in answers) == {200: 3, 409: 47}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes == {"amount_exceeds_capturable"}
        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("PARTIALLY_CAPTURED", 90)

    async def test_that_are_final_take_one(self, api: Api) -> None:
        payment = await api.authorized()

        answers = await at_once(api, 50, lambda _: api.capture(payment["id"], 30))

        assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 49}
        codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
        assert codes <= {"final_capture_under_way", "invalid_state_transition"}
        assert (await api.show(payment["id"]))["amountCaptured"] == 30

    async def test_while_the_provider_loses_its_answers(self, api: Api, service: Service) -> None:
        payment = await api.authorized(paymentMethodId="pm_sandbox_capture_timeout_after_effect")

        answers = await at_once(api, 30, lambda _: api.capture(payment["id"], 30, finalCapture=False))
        assert Counter(answer.status_code for answer in answers) == {202: 3, 409: 27}
        service.clock.advance(seconds=2)
        await service.run_jobs()

        shown = await api.show(payment["id"])
        assert (shown["status"], shown["amountCaptured"]) == ("PARTIALLY_CAPTURED", 90)


class TestCancelAgainstCapture:
    async def test_one_of_the_two_wins(self, api: Api) -> None:
        outcomes = Counter[tuple[int, int, str]]()
        payments = [await api.authorized() for _ in range(20)]

        async def both(number: int) -> None:
            payment_id = payments[number]["id"]
            acts = [api.capture(payment_id), api.act(payment_id, "cancel")]
            if number % 2:
                acts.reverse()
            answers = await asyncio.gather(*acts)
            capture, cancel = reversed(answers) if number % 2 else answers
            shown = await api.show(payment_id)
            outcomes[capture.status_code, cancel.status_code, shown["status"]] += 1

        await asyncio.gather(*(both(number) for number in range(20)))

        assert set(outcomes) <= {(200, 409, "CAPTURED"), (409, 200, "CANCELLED")}
        assert sum(outcomes.values()) == 20

    async def test_everything_at_once_ends_in_one_story(self, api: Api, service: Service) -> None:
        payment = await api.authorized()
        acts = ["capture", "cancel", "fail", "complete", "authorize"]

        answers = await at_once(api, 50, lambda number: api.act(payment["id"], acts[number % 5]))

        assert all(answer.status_code in (200, 409) for answer in answers)
        shown = await api.show(payment["id"])
        assert shown["status"] in ("CAPTURED", "COMPLETED", "CANCELLED", "FAILED")
        events = await service.fetch(
            "select version from events where stream = $1 order by tx, position", payment["id"]
        )
        assert [row[0] for row in events] == list(range(1, shown["version"] + 1))


class TestLoad:
    async def test_of_many_checkouts_side_by_side_is_booked_to_the_unit(self, api: Api, service: Service) -> None:
        async def checkout(number: int) -> int:
            payment = await api.authorized(amount=1_000 + number)
            json_of(await api.capture(payment["id"], 500, finalCapture=False), 200)
            taken = json_of(await api.act(payment["id"], "complete"), 200)
            return int(taken["amountCaptured"])

        before = await service.fetch("select coalesce(sum(amount), 0) from postings where account = 'unallocated'")
        taken = await asyncio.gather(*(checkout(number) for number in range(60)))
        after = await service.fetch("select coalesce(sum(amount), 0) from postings where account = 'unallocated'")
        assert sum(taken) == 60 * 500 == before[0][0] - after[0][0]
