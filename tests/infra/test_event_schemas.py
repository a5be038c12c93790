"""The schemas of events, and what each service of the platform is promised."""

import json
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from bursar import wiring
from bursar.cli.docs import FOLDER
from bursar.cli.docs.events import causes
from bursar.cli.docs.schemas import BASE, schema, types
from bursar.cli.docs.services import SERVICES
from bursar.infra.events import Event
from tests.support.api import Api, json_of
from tests.support.schemas import faults_of
from tests.support.service import Service

pytestmark = pytest.mark.usefixtures("verified")


async def captured(api: Api, service: Service) -> Event:
    payment = await api.authorized()
    json_of(await api.capture(payment["id"]), 200)
    rows = await service.fetch("select * from events where stream = $1 and type = 'payment.captured'", payment["id"])
    return msgspec.convert(dict(rows[0]), Event)


class TestSchemas:
    @pytest.mark.parametrize("event_type", types())
    def test_each_is_a_schema_and_lies_in_its_file(self, event_type: str) -> None:
        Draft202012Validator.check_schema(schema(event_type))
        kept = json.loads((FOLDER / "events" / f"{event_type}.json").read_text())
        assert kept == schema(event_type) and kept["$id"] == f"{BASE}{event_type}.json"

    def test_every_event_has_one(self) -> None:
        assert set(causes()) == set(types()), "wiring.TOLD lacks an object"
        assert {edge.event for machine in wiring.MACHINES for edge in machine.edges} <= set(types())
        assert {making for _, making in wiring.AGGREGATES.values()} <= set(types())

    def test_every_reference_leads_somewhere(self) -> None:
        for event_type in types():
            document = schema(event_type)
            text = json.dumps(document)
            used = {part.partition('"')[0] for part in text.split('"#/$defs/')[1:]}
            assert used == set(document["$defs"])

    def test_tells_to_which_status_an_event_leads(self) -> None:
        data = schema("payment.captured")["properties"]["data"]
        assert data["properties"]["status"] == {"enum": ["CAPTURED"]} and data["required"] == ["status"]
        assert schema("payment.failed")["properties"]["data"]["properties"]["status"] == {"enum": ["FAILED"]}

    def test_the_first_event_of_an_object_has_all_that_is_never_null(self) -> None:
        data = schema("payment.created")["properties"]["data"]
        assert {"id", "orderId", "customerId", "amount", "currency", "status"} <= set(data["required"])
        assert "failureCode" not in data["required"] and "askedBy" not in data["properties"]

    async def test_finds_what_is_not_promised(self, api: Api, service: Service) -> None:
        event = await captured(api, service)
        assert faults_of(event) == []
        broken: list[dict[str, Any]] = [
            {**event.data, "status": "AUTHORIZED"},
            {**event.data, "amountCaptured": "1999"},
            {**event.data, "billingAddress": {"name": "Ada"}},
            {name: value for name, value in event.data.items() if name != "status"},
        ]
        for data in broken:
            assert len(faults_of(msgspec.structs.replace(event, data=data))) == 1
        assert faults_of(msgspec.structs.replace(event, type="payment.vanished")) == [
            "payment.vanished has no schema: see wiring.MACHINES and wiring.TOLD"
        ]


class TestServices:
    def test_each_gets_types_that_are_emitted(self) -> None:
        assert {event_type for service in SERVICES for event_type in service.gets} <= set(types())

    def test_what_a_service_is_told_to_read_is_there(self) -> None:
        for service in SERVICES:
            for event_type, says in service.gets.items():
                named = [part.partition("`")[0] for part in says.split("`data.")[1:]]
                assert set(named) <= set(schema(event_type)["properties"]["data"]["properties"]), (event_type, named)
