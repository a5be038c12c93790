"""docs/events/README.md: what each service of the platform gets from us, and what we take from it."""

from typing import Final, NamedTuple

from bursar.cli.docs.events import causes
from bursar.cli.docs.source import code, table
from bursar.domains.integration.kinds import KINDS
from bursar.domains.integration.model import ATTEMPTS_MAX


class Service(NamedTuple):
    """A service of the platform. gets: event types, and what it does when it hears of them."""

    name: str
    needs: str
    gets: dict[str, str]


SERVICES: Final = (
    Service(
        "Order service",
        "The state of an order's payment.",
        {
            "payment.created": "Remember which order the payment (`subject`) is of: `data.orderId`.",
            "payment.authorized": "The order can be accepted: `data.amountAuthorized` is reserved.",
            "payment.action_required": "The order waits for its customer: `data.nextAction`.",
            "payment.partially_captured": "A part is paid: `data.amountCaptured` is the total so far.",
            "payment.captured": "The order is paid.",
            "payment.completed": "Nothing more will be captured.",
            "payment.failed": "The order is not paid: `data.failureCode`.",
            "payment.cancelled": "The payment was cancelled, and nothing is reserved any more.",
            "payment.expired": "The authorization ran out: ask for another payment.",
        },
    ),
    Service(
        "Inventory",
        "Until when goods stay reserved.",
        {
            "payment.created": "Remember `data.orderId` of the payment.",
            "payment.captured": "Take the order's goods out of stock.",
            "payment.failed": "Release the order's reservation.",
            "payment.cancelled": "Release the order's reservation.",
            "payment.expired": "Release the order's reservation.",
        },
    ),
    Service(
        "Customer notification",
        "What a customer has to be told. Names and addresses are its own: no event of ours has any.",
        {
            "payment.created": "Remember `data.customerId` of the payment.",
            "payment.action_required": "Ask the customer to act: `data.nextAction`.",
            "payment.captured": "Send the receipt.",
            "payment.failed": "Say that it did not work, and offer another method.",
            "payment_method.expired": "Ask for another card.",
            "payment_method.verification_failed": "Say that the method could not be verified.",
            "kyc.verified": "Say that the verification went well.",
            "kyc.rejected": "Say that it did not. Not every `data.rejectionCode` may be told to the customer.",
        },
    ),
    Service(
        "Vendor settlement",
        "What vendors have earned, and whether they may be paid.",
        {
            "payment.created": "Remember each vendor's share: `data.splits`.",
            "payment.partially_captured": "A part of the shares is earned.",
            "payment.captured": "The shares are earned.",
            "kyc.verified": "The vendor may be paid.",
            "kyc.rejected": "The vendor may be paid no more.",
            "kyc.expired": "The vendor may be paid no more, until it is verified again.",
        },
    ),
    Service(
        "Accounting export",
        "What has moved. The journals themselves are in the ledger, each under the payment that it is about.",
        {
            "payment.created": "Remember `data.currency`, `data.provider`, `data.orderId` of the payment.",
            "payment.partially_captured": "Book the difference to the `data.amountCaptured` that was told before.",
            "payment.captured": "Book that difference; without `data.amountCaptured`, nothing more was captured.",
            "payment.completed": "Close the payment.",
        },
    ),
)

INTRODUCTION = """
# Events between the services

What each service of the platform gets from us, and what we take from it. Each type of ours has a JSON Schema (draft
2020-12) in this folder, of the whole CloudEvents 1.0 document. `docs/events.md` lists all types and says what leads to
them.

Three ways lead to a service, and all bring the same document: NATS JetStream, a webhook endpoint, the HTTP sink. Each
event comes at least once: `id` tells a repeat. Those of one object (`subject`) come in the order of `sequence`. The
first event of an object has all its fields, a later one the status and what changed: so remember from the first what
you need. `GET /api/v1/events?subject=…` tells it again.

On NATS an event is one message in the stream `BURSAR_NATS_STREAM`, under `bursar.` and its type
(`bursar.payment.captured`; `bursar.payment.>` for all of a kind), in structured mode (`application/cloudevents+json`),
with its id as `Nats-Msg-Id`. Nobody else may publish under `bursar.>`. A server of one node writes to the disk a while
after it has acknowledged: use three replicas, or `sync_interval: always`, where a power failure must lose nothing.
""".strip()

TAKEN = f"""
## What we take

By `POST /api/v1/integration-events` (a `service` token, CloudEvents JSON in structured mode), or on NATS under
`platform.>` (structured or binary mode). Both do the same, and an event counts once by its `source` and `id`, whichever
way it came. Of `data` only the fields below are kept; extensions and the attribute `subject` are dropped, since they
may be personal. A type that we do not know is recorded as `IGNORED`, with no data at all.

What cannot be done is tried again, {ATTEMPTS_MAX} times, each time later; then the event is `FAILED`, and taken up once
more when it is sent again. `GET /api/v1/integration-events/{{id}}` says what became of it. On the bus, a message that
is no event is kept as `FAILED` under its place in the stream, and ended.
""".strip()


def page() -> str:
    """The page. Asserts that every type it names is emitted."""
    parts = [INTRODUCTION, "## What each service gets"]
    for service in SERVICES:
        unknown = sorted(set(service.gets) - set(causes()))
        assert not unknown, f"{service.name} is promised {unknown}, which nobody emits"
        rows = [(f"[{code(event_type)}]({event_type}.json)", says) for event_type, says in service.gets.items()]
        parts.append(f"### {service.name}\n\n{service.needs}\n\n{table(('type', 'what to do'), rows)}")
    taken = [
        (code(event_type), ", ".join(_fields(event_type)), kind.says) for event_type, kind in sorted(KINDS.items())
    ]
    return "\n\n".join((*parts, TAKEN, table(("type", "`data`", "what we do"), taken)))


def _fields(event_type: str) -> list[str]:
    """The fields of a type's data that we keep; a trailing `?` marks those that may be absent."""
    fields = KINDS[event_type].data.model_fields.values()
    return [code(f"{field.alias}{'' if field.is_required() else '?'}") for field in fields]
