"""docs/events.md: every event type, and the envelope."""

import ast
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Final

import msgspec

from bursar import wiring
from bursar.cli.docs.source import code, first_sentence, functions, table, trees
from bursar.infra.events import Event, envelope

TYPE: Final = re.compile(r"[a-z_]+\.[a-z_]+")
CONSTANT: Final = re.compile(r"EVENT_[A-Z_]+")

INTRODUCTION = """
# Events

Every change emits an event in its own transaction. The first event of an object carries all its fields, a later one
the `status` and the fields that changed. The status is the inner one (`docs/states.md`). Device and addresses never
stand in an event, only the id under which they are kept. Within one object the events come in the order of
`sequence`, each at least once: `id` tells a repeat.

They are read by `GET /api/v1/events` (all, by `subject`, `about`, `type`, time) and as a payment's timeline
(`GET /api/v1/payments/core/{id}/timeline`); sent to webhook endpoints; published to NATS JetStream where
`BURSAR_NATS_URL` is set; and posted to `BURSAR_EVENTS_SINK_URL` as `application/cloudevents-batch+json`. Each type has
a JSON Schema; `docs/events/README.md` says what each service of the platform gets from us, and what we take from it.
""".strip()

ENVELOPE = """
## The envelope

CloudEvents 1.0. `subject` is the object's id, `sequence` its version after the change, `time` when it happened,
`recordedat` when it was written down.
""".strip()


def page() -> str:
    """Every event type with what leads to it and who reacts."""
    rows = [
        (code(event_type), "<br>".join(says), ", ".join(map(code, _consumers(event_type))))
        for event_type, says in causes().items()
    ]
    example = json.dumps(_example(), indent=2)
    head = ("type", "when", "reactions inside")
    return f"{INTRODUCTION}\n\n{table(head, rows)}\n\n{ENVELOPE}\n\n```json\n{example}\n```"


@cache
def causes() -> dict[str, list[str]]:
    """What leads to each event type, the types sorted."""
    by_type: dict[str, list[str]] = {}
    for machine in wiring.MACHINES:
        for edge in machine.edges:
            by_type.setdefault(edge.event, []).append(f"{edge.action}: `{edge.source}` → `{edge.target}`")
    for event_type, says in _emitted_by_code():
        by_type.setdefault(event_type, []).append(says)
    return {event_type: list(dict.fromkeys(says)) for event_type, says in sorted(by_type.items())}


def _consumers(event_type: str) -> list[str]:
    return [consumer.name for consumer in wiring.CONSUMERS if event_type in consumer.types]


def _emitted_by_code() -> Iterator[tuple[str, str]]:
    """Event types that are no edge's: those assigned to `event_type` or to an EVENT_… constant, and what emits them."""
    for module, tree in trees().items():
        if not module.startswith("bursar.domains."):
            continue
        for event_type in _types_assigned(tree, "event_type"):
            for function in functions(tree):
                if any(event_type == found for found in _types_assigned(function, "event_type")):
                    yield event_type, first_sentence(ast.get_docstring(function))
        for constant in _constants(tree):
            for event_type in _types_assigned(tree, constant):
                yield event_type, _use_of(constant, module)


def _types_assigned(tree: ast.AST, name: str) -> list[str]:
    """The event types in what is assigned, or given as a keyword, to `name`."""
    constants = [
        constant.value
        for node in ast.walk(tree)
        if name in _names_set(node)
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant)
    ]
    return [text for text in constants if isinstance(text, str) and TYPE.fullmatch(text)]


def _names_set(node: ast.AST) -> list[str | None]:
    """The names that an assignment or a keyword argument gives a value."""
    match node:
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.keyword(arg=name):
            return [name]
        case _:
            return []


def _constants(tree: ast.Module) -> list[str]:
    """The EVENT_… constants of a module."""
    return [name for node in tree.body for name in _names_set(node) if name and CONSTANT.fullmatch(name)]


def _use_of(constant: str, module: str) -> str:
    """What the functions do that emit `constant`, in the domain of `module`: their docstrings, or their names."""
    domain = module.rpartition(".")[0]
    says = [
        first_sentence(ast.get_docstring(function)) or _public_twin(function.name, tree)
        for other, tree in trees().items()
        if other.rpartition(".")[0] == domain
        for function in functions(tree)
        if any(isinstance(node, ast.Name) and node.id == constant for node in ast.walk(function))
    ]
    return "; ".join(says)


def _public_twin(name: str, tree: ast.Module) -> str:
    """What the public function says whose work a private one does: `create` for `_create`."""
    twins = [function for function in functions(tree) if function.name == name.lstrip("_")]
    return first_sentence(ast.get_docstring(twins[0])) if twins else name


def _example() -> dict[str, object]:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    event = Event(
        id="019b7966-e200-7000-8000-0000000000e1",
        stream="019b7966-e1ff-7000-8000-00000000000a",
        version=3,
        type="payment.authorized",
        about="019b7966-e1ff-7000-8000-00000000000a",
        data={"status": "AUTHORIZED", "amountAuthorized": 1999, "authorizedAt": "2026-01-01T12:00:00Z"},
        occurred_at=now,
        recorded_at=now,
        tx=1,
        position=1,
    )
    document: dict[str, object] = msgspec.json.decode(msgspec.json.encode(envelope(event)))
    return document
