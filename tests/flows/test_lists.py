"""Lists: newest first, every row once, in pages."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from bursar.domains.payments.model import Status
from bursar.kit.paging import cursor_of
from tests.support.api import CORE, Api, fields_of, json_of, problem_of, unique
from tests.support.drive import drive
from tests.support.service import Service


async def every_page(api: Api, path: str, **params: Any) -> list[list[str]]:
    """The ids of each page."""
    pages, cursor = [], None
    while True:
        given = params if cursor is None else {**params, "cursor": cursor}
        page = json_of(await api.get(f"{CORE}/{path}", **given), 200)
        assert set(page) == {"data", "hasMore", "nextCursor"}
        assert page["hasMore"] is (page["nextCursor"] is not None)
        pages.append([row["id"] for row in page["data"]])
        cursor = page["nextCursor"]
        if cursor is None:
            return pages


class TestPaging:
    @pytest.mark.parametrize("limit, sizes", [(3, [3, 3, 1]), (7, [7]), (6, [6, 1]), (100, [7]), (1, [1] * 7)])
    async def test_shows_every_row_once_newest_first(self, api: Api, limit: int, sizes: list[int]) -> None:
        order = unique("order")
        made = [(await api.create_payment(orderId=order))["id"] for _ in range(7)]

        pages = await every_page(api, f"order/{order}", limit=limit)

        assert [len(page) for page in pages] == sizes
        assert [row for page in pages for row in page] == made[::-1]

    async def test_is_not_upset_by_new_rows(self, api: Api) -> None:
        customer = unique("customer")
        made = [(await api.create_payment(customerId=customer))["id"] for _ in range(4)]
        first = json_of(await api.get(f"{CORE}/customer/{customer}", limit=2), 200)
        await api.create_payment(customerId=customer)

        second = json_of(await api.get(f"{CORE}/customer/{customer}", limit=2, cursor=first["nextCursor"]), 200)

        assert [row["id"] for row in second["data"]] == made[:2][::-1] and second["hasMore"] is False

    async def test_takes_twenty_where_no_limit_is_given(self, api: Api) -> None:
        order = unique("order")
        for _ in range(21):
            await api.create_payment(orderId=order)
        assert [len(page) for page in await every_page(api, f"order/{order}")] == [20, 1]

    async def test_of_nothing_is_empty(self, api: Api) -> None:
        empty = {"data": [], "hasMore": False, "nextCursor": None}
        assert json_of(await api.get(f"{CORE}/order/{unique('none')}"), 200) == empty

    @pytest.mark.parametrize(
        "params, field",
        [
            ({"cursor": "nonsense"}, "cursor"),
            ({"cursor": ""}, "cursor"),
            ({"cursor": "é"}, "cursor"),
            ({"cursor": "\x00"}, "cursor"),
            ({"cursor": "a" * 101}, "cursor"),
            ({"cursor": cursor_of("not-a-uuid")}, "cursor"),
            ({"limit": "0"}, "limit"),
            ({"limit": "101"}, "limit"),
            ({"limit": "ten"}, "limit"),
            ({"limit": ""}, "limit"),
            ({"limit": "1.5"}, "limit"),
            ({"createdFrom": "yesterday"}, "createdFrom"),
            ({"createdFrom": "2026-01-01T00:00:00"}, "createdFrom"),
            ({"createdTo": "2026-13-01T00:00:00Z"}, "createdTo"),
            ({"page": "2"}, "page"),
            ({"created_from": "2026-01-01T00:00:00Z"}, "created_from"),
        ],
    )
    async def test_refuses_what_it_cannot_read(self, api: Api, params: dict[str, str], field: str) -> None:
        assert field in fields_of(await api.get(f"{CORE}/order/some-order", **params))

    async def test_refuses_a_parameter_given_twice(self, api: Api) -> None:
        assert fields_of(await api.get(f"{CORE}/order/x?limit=1&limit=2")) == {"query"}

    async def test_refuses_hundreds_of_parameters(self, api: Api) -> None:
        refused = await api.get(f"{CORE}/order/x?" + "&".join(f"a{number}=1" for number in range(300)))
        assert refused.status_code in (400, 422)

    @pytest.mark.parametrize(
        "moment",
        [
            "9999-12-31T23:59:59-23:59",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59.999999Z",
            "0001-01-01T00:00:00Z",
            "1e20",
            "-1",
            "253402300799",
        ],
    )
    @pytest.mark.parametrize("name", ["createdFrom", "createdTo"])
    async def test_survives_the_ends_of_time(self, api: Api, name: str, moment: str) -> None:
        assert (await api.get(f"{CORE}/order/x", **{name: moment})).status_code in (200, 422)


class TestFilters:
    async def test_by_time_are_half_open(self, api: Api, service: Service) -> None:
        order = unique("order")
        payments = []
        for _ in range(4):
            payments.append(await api.create_payment(orderId=order))
            service.clock.advance(minutes=1)
        times = [payment["createdAt"] for payment in payments]

        async def listed(**params: str) -> list[int]:
            ids = [row for page in await every_page(api, f"order/{order}", limit=1, **params) for row in page]
            return sorted([payment["id"] for payment in payments].index(row) for row in ids)

        assert await listed(createdFrom=times[1]) == [1, 2, 3]
        assert await listed(createdTo=times[2]) == [0, 1]
        assert await listed(createdFrom=times[1], createdTo=times[3]) == [1, 2]
        assert await listed(createdFrom=times[3], createdTo=times[1]) == []
        local = (datetime.fromisoformat(times[2]) + timedelta(hours=2)).replace(tzinfo=None).isoformat() + "+02:00"
        assert await listed(createdFrom=local) == [2, 3]

    async def test_by_status_show_processing_as_one(self, private: Service) -> None:
        made = {status: (await drive(private, status))["id"] for status in Status}
        api = private.api.as_("service")
        processing = [made[status] for status in (Status.AUTHORIZING, Status.CAPTURING, Status.VOIDING)]

        pages = await every_page(api, "status/PROCESSING", limit=2)

        assert [len(page) for page in pages] == [2, 1]
        assert [row for page in pages for row in page] == sorted(processing, reverse=True)
        for status in ("PENDING", "IN_REVIEW", "REQUIRES_ACTION", "COMPLETED", "FAILED", "CANCELLED"):
            assert await every_page(api, f"status/{status}") == [[made[Status(status)]]]

    @pytest.mark.parametrize("status", ["AUTHORIZING", "authorized", "NONSENSE"])
    async def test_by_a_status_that_is_none(self, api: Api, status: str) -> None:
        assert fields_of(await api.get(f"{CORE}/status/{status}")) == {"status"}


class TestLookup:
    async def test_by_number_and_by_the_providers_reference(self, api: Api) -> None:
        payment = await api.authorized()
        assert json_of(await api.get(f"{CORE}/number/{payment['paymentNumber']}"), 200) == payment
        assert json_of(await api.get(f"{CORE}/transaction/{payment['transactionId']}"), 200) == payment

    @pytest.mark.parametrize(
        "path",
        [
            "00000000-0000-7000-8000-000000000000",
            "not-an-id",
            "NOT",
            "00000000-0000-7000-8000-00000000000G",
            "number/PAY-0000000000000",
            "number/%00",
            "transaction/sbx_nothing",
            "00000000-0000-7000-8000-000000000000/timeline",
        ],
    )
    async def test_of_what_is_not_there(self, api: Api, path: str) -> None:
        problem_of(await api.get(f"{CORE}/{path}"), 404, "not_found")

    @pytest.mark.parametrize(
        "path", ["order/a%20b", "order/" + "x" * 65, "customer/%00", "transaction/%00", "order/%ff"]
    )
    async def test_by_what_is_no_id(self, api: Api, path: str) -> None:
        assert fields_of(await api.get(f"{CORE}/{path}"))
