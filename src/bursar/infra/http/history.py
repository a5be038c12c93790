"""Everything that happened: /api/v1/events. Served here, beside the operations, since the table belongs to no domain.

Pages go by the event's id: ids carry the time, so one index serves the order, a range of time, a page and the single
event. The events of one object or timeline come in the order in which they were committed. Whoever has to miss nothing
uses the bus, a webhook endpoint or the sink instead: the event of a slow transaction can appear behind a cursor.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, StringConstraints

from bursar.infra import history
from bursar.infra.answer import Answer, ok
from bursar.infra.db import found
from bursar.infra.events import envelope
from bursar.infra.http.call import Call
from bursar.infra.http.route import LeanRoute
from bursar.infra.http.types import PageQuery, ResourceId, ResponseModel, listing
from bursar.infra.pages import id_range
from bursar.kit.paging import id_after, page_of

router = APIRouter(prefix="/api/v1/events", route_class=LeanRoute, tags=["Events"])

READERS: Final = frozenset({"service", "finance", "admin", "support", "risk"})

ObjectId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,50}\.([a-z_]{1,50}|\*)$")]


class ListEvents(PageQuery):
    """Which events. subject: of one object. about: of the timeline of one object. type: `payment.captured`, or all of a
    kind: `payment.*`. createdFrom, createdTo: when they happened.
    """

    subject: ObjectId | None = None
    about: ObjectId | None = None
    type: EventType | None = None


class EventView(ResponseModel):
    """A CloudEvents 1.0 document; docs/events has the schema of each type's data."""

    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: AwareDatetime
    datacontenttype: str
    sequence: int
    recordedat: AwareDatetime
    data: dict[str, Any]


class EventList(ResponseModel):
    data: list[EventView]
    has_more: bool
    next_cursor: str | None


Filter = Annotated[ListEvents, Query()]


@router.get("", response_model=EventList)
async def list_events(call: Call, query: Filter) -> Answer:
    """Events, newest first: all, or those of an object, a timeline, a type, a time."""
    call.allow(READERS)
    lowest, highest = id_range(query)
    wanted = history.Wanted(
        lowest=lowest,
        highest=highest,
        subject=query.subject,
        about=query.about,
        event_type=query.type,
        time_from=query.created_from,
        time_to=query.created_to,
        after=id_after(query.cursor),
    )
    page = page_of(await history.listed(call.bursar.database, wanted, limit=query.limit + 1), query.limit)
    rows: list[dict[str, Any]] = [envelope(event) for event in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/{id}", response_model=EventView)
async def get_event(call: Call, id: ResourceId) -> Answer:
    """One event by its id."""
    call.allow(READERS)
    return ok(envelope(found(await history.find(call.bursar.database, id), "event")))
