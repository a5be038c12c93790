"""What Stripe keeps: its objects, complete by the provider's own fixtures, its lists and its events."""

import copy
import random
from collections.abc import Callable
from typing import Any, Final

from simulators.kit.books import Books
from simulators.kit.clock import Clock
from simulators.kit.message import Answer, Request
from simulators.kit.webhooks import Webhooks
from simulators.stripe import words

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
Object = dict[str, Any]


class World:
    """Objects by id, as they are answered; `hidden` holds what the API never shows of one.

    templates: an object with every property that Stripe always sends, by its kind; empty where there are no fixtures.
    """

    def __init__(self, clock: Clock, books: Books, webhooks: Webhooks, templates: dict[str, Object], seed: int) -> None:
        self.clock, self.books, self.webhooks = clock, books, webhooks
        self.objects: dict[str, Object] = {}
        self.hidden: dict[str, Object] = {}
        self._templates = templates
        self._kinds: dict[str, list[Object]] = {}
        self._random = random.Random(seed)  # noqa: S311  ids only have to differ

    def id(self, prefix: str) -> str:
        """A new id: `ch_` and 24 letters."""
        return prefix + "".join(self._random.choices(ALPHABET, k=24))

    def create(self, kind: str, prefix: str, **fields: Any) -> Object:
        """A new object of a kind, filled up with what the fixtures have."""
        made = copy.deepcopy(self._templates.get(kind, {}))
        made |= {"id": self.id(prefix), "object": kind, "created": self.clock.unix(), "livemode": False}
        if kind in ("balance_transaction", "refund", "bank_account"):
            del made["livemode"]  # the document has none for these
        if kind == "bank_account":
            del made["created"]
        made |= fields
        self.objects[made["id"]] = made
        self.hidden[made["id"]] = {}
        self._kinds.setdefault(kind, []).append(made)
        return made

    def find(self, kind: str, object_id: Any) -> Object | None:
        held = self.objects.get(object_id) if isinstance(object_id, str) else None
        return held if held is not None and held["object"] == kind else None

    def get(self, kind: str, object_id: Any, param: str = "id") -> Object:
        """The object, or 404 in Stripe's words."""
        held = self.find(kind, object_id)
        if held is None:
            raise words.missing(kind, str(object_id), param)
        return held

    def all(self, kind: str) -> list[Object]:
        """In the order in which they were made."""
        return self._kinds.get(kind, [])

    def event(
        self, event_type: str, held: Object, request: Request | None = None, *, previous: Object | None = None
    ) -> None:
        """Keep an event with the object as it is now, and send it to the webhook. previous: what was changed of it."""
        cause: Object = {"id": None, "idempotency_key": None}
        if request is not None:
            cause = {"id": request_id(request), "idempotency_key": request.headers.get("idempotency-key")}
        event = self.create(
            "event",
            "evt_",
            type=event_type,
            data={"object": copy.deepcopy(held)} | ({"previous_attributes": previous} if previous else {}),
            request=cause,
            api_version=request.headers.get("stripe-version") if request is not None else None,
            pending_webhooks=1 if self.webhooks.url else 0,
        )
        self.webhooks.emit(event["id"], event_type, copy.deepcopy(event))

    def answer(self, held: Object, request: Request) -> Answer:
        """An object as it is now, with what `expand` asks for in the place of ids."""
        shown = copy.deepcopy(held)
        for path in _expansions(request):
            self._expand(shown, path.split("."))
        return Answer(200, shown)

    def page(self, kind: str, request: Request, **equal: Any) -> Answer:
        """A page of a list: newest first, by `created`, cursors and `limit`. equal: the value of a field, or the set
        of those that it may have; None where any will do.
        """
        query = request.query
        wanted = {
            name: value if isinstance(value, set) else {value} for name, value in equal.items() if value is not None
        }
        found = [held for held in self.all(kind) if all(held.get(name) in values for name, values in wanted.items())]
        is_within = _range(query.get("created"))
        found = [held for held in reversed(found) if is_within(held.get("created", 0))]
        limit, before = query.get("limit", 10), query.get("ending_before")
        if not 1 <= limit <= 100:
            raise words.unchecked("Invalid integer: limit must be between 1 and 100", param="limit")
        if "starting_after" in query:
            found = found[self._place(found, query["starting_after"]) + 1 :]
        if before is not None:
            found = found[: self._place(found, before)]
        part = found[-limit:] if before is not None else found[:limit]
        listing = {"object": "list", "url": request.path, "has_more": len(found) > limit, "data": part}
        return self.answer(listing, request)

    def _place(self, found: list[Object], object_id: str) -> int:
        for place, held in enumerate(found):
            if held["id"] == object_id:
                return place
        raise words.missing("object", object_id, "starting_after")

    def _expand(self, shown: Any, path: list[str]) -> None:
        if isinstance(shown, list):
            for each in shown:
                self._expand(each, path)
            return
        if not isinstance(shown, dict) or path[0] not in shown:
            return
        inner = shown[path[0]]
        if isinstance(inner, str) and inner in self.objects:
            inner = shown[path[0]] = copy.deepcopy(self.objects[inner])
        if len(path) > 1:
            self._expand(inner, path[1:])


def request_id(request: Request) -> str:
    """As in the header Request-Id and in the events that the request causes."""
    return f"req_{request.number:014d}"


def _expansions(request: Request) -> list[str]:
    expand = request.query.get("expand") or request.params.get("expand") or []
    return [path for path in expand if isinstance(path, str)]


def _range(created: Any) -> Callable[[int], bool]:
    """The filter `created`: an instant, or gt, gte, lt, lte."""
    if created is None:
        return lambda at: True
    if isinstance(created, int):
        return lambda at: at == created
    low = max(created.get("gte", 0), created.get("gt", -1) + 1)
    high = min(created.get("lte", 1 << 62), created.get("lt", (1 << 62) + 1) - 1)
    return lambda at: low <= at <= high
