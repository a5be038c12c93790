"""Taking in what other services tell: from a POST and from the bus, through the same function."""

from typing import Any, Final, TypeVar

import asyncpg
import structlog
from pydantic import ValidationError

from bursar.domains.context import App
from bursar.domains.integration import store
from bursar.domains.integration.change import change, create
from bursar.domains.integration.kinds import Kind, faults_of, kind_of, known
from bursar.domains.integration.model import MACHINE, IntegrationEvent, Status
from bursar.domains.integration.schemas import CloudEvent, render
from bursar.infra import jobs
from bursar.infra.answer import Answer, accepted, ok
from bursar.infra.bus import Message, Poison
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.errors import Fault, Invalid

log = structlog.get_logger()
T = TypeVar("T")

PROCESS: Final = "integration.process"
"""The job that does what an event asks for."""

UNREADABLE: Final = "unreadable"
"""The type under which a message of the bus is kept that is no event."""

RECORDED: Final = "recorded"
UNKNOWN_TYPE: Final = "unknown_type"


async def receive(app: App, origin: Origin, claim: Claim | None, event: CloudEvent) -> Answer:
    """Take in an event: recorded, ignored, or given to a job that does what it asks for. One that FAILED is taken up
    again when it is sent again.

    Emits integration_event.received and .processed or .ignored; .retried. Idempotent by (source, id). Raises Invalid.
    """
    kind = kind_of(event.type)
    data = {} if kind is None else known(kind, event.data)

    async def decide(tx: Tx) -> Answer:
        row = await store.find_locked(tx, event.source, event.id)
        if row is None:
            row = _begin(tx, event, kind, data)
            return accepted(render(row), version=row.version)
        tx.object_id = row.id
        if row.status is Status.FAILED and kind is not None:
            row = change(tx, row, "retry", attempts=0, last_error=None)
            _defer(tx, row)
            return accepted(render(row), version=row.version)
        return ok(render(row), version=row.version)

    return await _once(app, Command("integration_event.receive", _on(event.source, event.id), decide, origin, claim))


def _begin(tx: Tx, event: CloudEvent, kind: Kind | None, data: dict[str, Any]) -> IntegrationEvent:
    row = IntegrationEvent(
        id=ids.new(tx.now),
        version=1,
        source=event.source,
        event_id=event.id,
        type=event.type,
        status=MACHINE.initial,
        data=data,
        attempts=0,
        received_at=tx.now,
        created_at=tx.now,
        updated_at=tx.now,
        subject=None if kind is None else data.get(kind.subject),
        occurred_at=event.time,
    )
    if kind is None:
        return create(tx, row, "ignore", reason=UNKNOWN_TYPE, processed_at=tx.now)
    if kind.is_recorded:
        return create(tx, row, "process", reason=RECORDED, processed_at=tx.now)
    _defer(tx, row)
    return create(tx, row, None)


def _defer(tx: Tx, row: IntegrationEvent) -> None:
    """A job for each time that it is RECEIVED: the one that failed may not have ended yet."""
    jobs.defer(tx, PROCESS, {"integrationEventId": row.id}, key=f"{PROCESS}:{row.id}:{row.version}")


async def take(app: App, message: Message) -> None:
    """Take in a message of the bus. See `receive`. Raises Poison where it is no event, or lacks what its type needs."""
    try:
        event = CloudEvent.model_validate_json(message.body)
    except ValidationError as error:
        raise Poison(_words(faults_of(error))) from error
    try:
        await receive(app, _from_bus(message), None, event)
    except Invalid as error:
        raise Poison(_words(error.errors)) from error


async def refuse(app: App, message: Message, error: str) -> None:
    """Keep that a message of the bus could not be taken in, without anything that it held: FAILED, under its place in
    the bus.

    Emits integration_event.received and .failed. Idempotent by the place.
    """

    async def decide(tx: Tx) -> None:
        if await store.find_locked(tx, message.source, message.place) is not None:
            return
        row = IntegrationEvent(
            id=ids.new(tx.now),
            version=1,
            source=message.source,
            event_id=message.place,
            type=UNREADABLE,
            status=MACHINE.initial,
            data={},
            attempts=0,
            received_at=tx.now,
            created_at=tx.now,
            updated_at=tx.now,
        )
        create(tx, row, "fail", attempts=message.tries, last_error=error)

    log.warning("integration.refused", source=message.source, place=message.place, error=error)
    on = _on(message.source, message.place)
    await _once(app, Command("integration_event.refuse", on, decide, _from_bus(message)))


async def get(app: App, row_id: str) -> IntegrationEvent:
    """The event as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, row_id), "integration event")


async def _once(app: App, command: Command[T]) -> T:
    """Run a command that may write a new row; should another process have written it in between, it is found now."""
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.ONCE:
            raise
        return await app.batcher.run(command)


def _on(source: str, event_id: str) -> str:
    return f"integration:{store.key_of(source, event_id)}"


def _from_bus(message: Message) -> Origin:
    return Origin(message.source, message.place)


def _words(faults: tuple[Fault, ...]) -> str:
    """Which fields are wrong and how, and nothing of what they hold."""
    return "; ".join(f"{fault.field}: {fault.code}" for fault in faults)[:500]
