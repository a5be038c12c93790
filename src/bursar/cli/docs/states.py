"""docs/states.md: the state machines."""

from enum import StrEnum
from typing import Any

from bursar import wiring
from bursar.cli.docs.source import code, table
from bursar.kit.machine import Machine

INTRODUCTION = """
# States

A status changes only along an edge of its machine; any other action is refused with `invalid_state_transition` (409),
which names the present status and the actions that callers may ask for. Every edge emits an event (`docs/events.md`).
Actions that no caller may ask for are outcomes: of a provider, of a review, of time.
""".strip()


def states() -> str:
    """All machines as Mermaid diagrams, each with a table of its statuses."""
    return "\n\n".join([INTRODUCTION, *(_section(machine) for machine in wiring.MACHINES)])


def _section(machine: Machine[Any]) -> str:
    kind: type[StrEnum] = type(machine.initial)
    statuses = list(kind)
    drawing = f"## {machine.name}\n\n```mermaid\n{machine.drawing()}\n```"
    actions = [", ".join(map(code, machine.allowed(status))) or "none" for status in statuses]
    if not machine.shown_as:
        rows = zip(map(code, statuses), actions, strict=True)
        return f"{drawing}\n\n{table(('status', 'actions that callers may ask for'), rows)}"
    shown = [code(str(machine.shown_as[status])) for status in statuses]
    head = ("inner status", "public status", "actions that callers may ask for")
    return f"{drawing}\n\n{table(head, zip(map(code, statuses), shown, actions, strict=True))}"
