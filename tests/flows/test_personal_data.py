"""Personal data has one home, and is not readable there."""

import msgspec
import pytest

from tests.support.api import CORE, Api, json_of, unique
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


def document(marker: str) -> dict[str, dict[str, str]]:
    return {
        "device": {"ipAddress": f"ip-{marker}", "userAgent": f"agent-{marker}", "deviceId": f"device-{marker}"},
        "billingAddress": {"name": f"name-{marker}", "line1": f"line-{marker}", "country": "AT"},
        "shippingAddress": {"email": f"{marker}@example.org", "phone": f"phone-{marker}", "postalCode": "1010"},
    }


async def tables_that_hold(service: Service, text: str) -> list[str]:
    async with service.connection() as connection:
        names = [
            row[0] for row in await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
        ]
        return [
            name
            for name in names
            if await connection.fetchval(f"select exists (select from {name} t where t::text like $1)", f"%{text}%")
        ]


class TestPersonalData:
    async def test_is_shown_by_id_and_encrypted_at_rest(self, api: Api, service: Service) -> None:
        marker = unique("secret")
        created = await api.post_payment(key=unique("key"), **document(marker))
        payment = json_of(created, 201)
        json_of(await api.authorize(payment["id"], key=unique("key")), 200)

        shown = await api.show(payment["id"])

        assert {name: shown[name] for name in document(marker)} == document(marker)
        by_number = json_of(await api.get(f"{CORE}/number/{payment['paymentNumber']}"), 200)
        assert by_number == shown
        assert marker not in created.text
        for path in (f"customer/{payment['customerId']}", f"order/{payment['orderId']}", f"{payment['id']}/timeline"):
            assert marker not in (await api.get(f"{CORE}/{path}")).text
        assert await tables_that_hold(service, marker) == []
        assert await tables_that_hold(service, payment["customerId"])  # the search does find what is there

    async def test_of_one_customer_is_under_one_key(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        for _ in range(3):
            await api.create_payment(customerId=customer, **document("x"))
        rows = await service.fetch("select ciphertext from personal_data where subject = $1", customer)
        assert len({row[0] for row in rows}) == 3
        assert len(await service.fetch("select from subject_keys where subject = $1", customer)) == 1

    async def test_is_gone_for_good_when_the_key_is(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(**document("x"))
        customer = payment["customerId"]

        await service.fetch(
            "update subject_keys set wrapped_key = null, destroyed_at = now() where subject = $1", customer
        )

        shown = await api.show(payment["id"])
        assert "billingAddress" not in shown and shown["status"] == "PENDING"
        refused = await api.post_payment(customerId=customer, **document("x"))
        assert (refused.status_code, refused.json()["code"]) == (410, "subject_erased")
        assert json_of(await api.authorize(payment["id"]), 200)["status"] == "AUTHORIZED"

    async def test_moved_to_another_row_does_not_open(self, api: Api, service: Service) -> None:
        customer = unique("customer")
        mine = await api.create_payment(customerId=customer, **document("mine"))
        other = await api.create_payment(customerId=customer, **document("other"))
        sealed = "(select personal_data_id from payments where id = $1)"
        content = (
            "(select ciphertext from personal_data where id = (select personal_data_id from payments where id = $2))"
        )
        before = await service.fetch(f"select ciphertext from personal_data where id = {sealed}", mine["id"])

        await service.fetch(
            f"update personal_data set ciphertext = {content} where id = {sealed}", mine["id"], other["id"]
        )

        bearer = {"authorization": f"Bearer {api.bearer}"}
        broken = await api.client.get(f"{CORE}/{mine['id']}", headers=bearer)
        assert broken.status_code == 500 and "other" not in broken.text
        await service.fetch(
            f"update personal_data set ciphertext = $2 where id = {sealed}", mine["id"], before[0]["ciphertext"]
        )

    async def test_is_not_in_what_events_say(self, api: Api, service: Service) -> None:
        payment = await api.create_payment(**document("x"))
        rows = await service.fetch("select data from events where about = $1", payment["id"])
        assert "example.org" not in msgspec.json.encode([row["data"] for row in rows]).decode()
