"""Whether events are what docs/events promises of them."""

from functools import cache
from typing import Any, Final

import msgspec
from jsonschema import Draft202012Validator

from bursar.cli.docs.schemas import schema, types
from bursar.infra.events import SELECT, Event, envelope, from_record

SAMPLE_MAX: Final = 500
OF_TESTS: Final = "test."
"""What the types begin with that tests emit by themselves."""

_seen: dict[str, tuple[int, int]] = {}
"""How far the events of each database were looked at."""


@cache
def with_schema() -> frozenset[str]:
    return frozenset(types())


@cache
def validator(event_type: str) -> Draft202012Validator:
    """Compiled once for each type."""
    return Draft202012Validator(schema(event_type))


async def event_faults(connection: Any, database: str) -> list[str]:
    """Which events break their schema, or have none: of those that are new since the last look, the newest."""
    records = await connection.fetch(
        f"""{SELECT} where (tx, position) > ($1, $2) and not starts_with(type, $3)
            order by tx desc, position desc limit $4""",
        *_seen.get(database, (0, 0)),
        OF_TESTS,
        SAMPLE_MAX,
    )
    events = [from_record(record) for record in records]
    if events:
        _seen[database] = (events[0].tx, events[0].position)
    return [fault for event in events for fault in faults_of(event)]


def faults_of(event: Event) -> list[str]:
    """Where one event breaks its schema."""
    if event.type not in with_schema():
        return [f"{event.type} has no schema: see wiring.MACHINES and wiring.TOLD"]
    document = msgspec.json.decode(msgspec.json.encode(envelope(event)))
    return [
        f"{event.type} {event.id} at {fault.json_path}: {fault.message}"
        for fault in validator(event.type).iter_errors(document)
    ]
