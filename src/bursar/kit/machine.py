"""State machines as data: one table of edges decides, draws the documentation, and makes the full status × action
test.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec

from bursar.kit.errors import InvalidTransition, StaleVersion

S = TypeVar("S", bound=StrEnum)


class Stateful(Protocol):
    """A frozen struct with a version, the time of its last change, and a status: the field that its machine names."""

    @property
    def version(self) -> int: ...


Row = TypeVar("Row", bound=Stateful)


class Edge(NamedTuple, Generic[S]):
    """In status `source`, `action` leads to `target` and is told to the world as `event`."""

    source: S
    action: str
    target: S
    event: str


class Machine(Generic[S]):
    """The life of one kind of object. Status changes only through `advance`."""

    def __init__(
        self,
        name: str,
        *,
        initial: S,
        edges: Sequence[tuple[S, str, S, str]],
        actions: Collection[str] | None = None,
        shown_as: Mapping[S, StrEnum] | None = None,
        field: str = "status",
    ) -> None:
        """actions: those that callers may ask for, all where absent. shown_as: the public status of an inner one.
        field: of the row, where the status stands.
        """
        self.name = name
        self.field = field
        self.actions = actions
        self.shown_as = shown_as or {}
        self.initial = initial
        self.edges = tuple(Edge(*edge) for edge in edges)
        self._by_source_and_action = {(edge.source, edge.action): edge for edge in self.edges}
        assert len(self._by_source_and_action) == len(self.edges), f"{name}: two edges for one action"

    def advance(self, row: Row, action: str, now: datetime, **changes: Any) -> tuple[Row, str]:
        """Give the row after `action`, one version on, with `changes` applied, and the event's type.

        Raises InvalidTransition (409) that names the present status and what is allowed.
        """
        status = getattr(row, self.field)
        edge = self._by_source_and_action.get((status, action))
        if edge is None:
            raise self.refusal(status, action)
        after: Any = row
        changes[self.field] = edge.target
        return msgspec.structs.replace(after, version=row.version + 1, updated_at=now, **changes), edge.event

    def refusal(self, status: S, action: str) -> InvalidTransition:
        """The problem of an action that is no edge: the status as callers know it, and what they may ask for."""
        shown = self.shown_as.get(status, status)
        return InvalidTransition(
            f"{action} is not allowed in status {shown}", state=str(shown), allowed=self.allowed(status)
        )

    def allows(self, status: S, action: str) -> bool:
        """Whether `action` is an edge out of `status`."""
        return (status, action) in self._by_source_and_action

    def allowed(self, status: S) -> list[str]:
        """What callers may ask for in `status`, sorted."""
        return sorted(
            edge.action
            for edge in self.edges
            if edge.source == status and (self.actions is None or edge.action in self.actions)
        )

    def drawing(self) -> str:
        """The machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial}"]
        lines += [f"    {edge.source} --> {edge.target}: {edge.action}" for edge in self.edges]
        ends = {edge.target for edge in self.edges} - {edge.source for edge in self.edges}
        lines += [f"    {end} --> [*]" for end in sorted(ends)]
        return "\n".join(lines)


def match_version(version: int, expected: int | None) -> None:
    """Raise StaleVersion unless `version` is the one that the caller expects, or expects none."""
    if expected is not None and version != expected:
        raise StaleVersion(f"the present version is {version}", version=version)
