"""Making, changing and removing endpoints; their secrets; sending again."""

from datetime import timedelta
from typing import Any, Final

import msgspec

from bursar.domains.context import App
from bursar.domains.webhook_endpoints import address, change, secret, send, store
from bursar.domains.webhook_endpoints.delivery import Delivery
from bursar.domains.webhook_endpoints.delivery import Status as DeliveryStatus
from bursar.domains.webhook_endpoints.model import (
    ENDPOINTS_MAX,
    SECRETS_MAX,
    DisabledReason,
    Endpoint,
    Status,
    TooManySecrets,
    TooManyWebhookEndpoints,
    WebhookEndpointNotActive,
)
from bursar.domains.webhook_endpoints.schemas import (
    CreateWebhookEndpoint,
    RotateSecret,
    UpdateWebhookEndpoint,
    render,
    render_delivery,
)
from bursar.infra import idempotency
from bursar.infra.answer import Answer, Answered, accepted, created, ok
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Origin, Tx, count_of, found
from bursar.infra.events import Event, envelope
from bursar.infra.http.call import require
from bursar.infra.http.types import with_metadata
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version

LOCATION: Final = "/api/v1/webhook-endpoints/{}"
ALL: Final = "webhook_endpoints"
"""The key on which endpoints are made one after another, since they are counted."""

TEST_TYPE: Final = "webhook_endpoint.test"
"""The type of a test's event. It stands in no history: nothing has happened."""


async def create(app: App, origin: Origin, claim: Claim | None, request: CreateWebhookEndpoint) -> Answer:
    """Make an endpoint, with its secret in the answer. Emits webhook_endpoint.created. Idempotent by the claim. Raises
    Invalid for an address that is not allowed, TooManyWebhookEndpoints.
    """
    await _refuse_inside(app, claim, request.url)

    async def decide(tx: Tx) -> Answer:
        if count_of(await tx.read(store.COUNT, "all")) >= ENDPOINTS_MAX:
            raise TooManyWebhookEndpoints(f"at most {ENDPOINTS_MAX}")
        row_id = ids.new(tx.now)
        values = request.model_dump()
        endpoint = Endpoint(
            id=row_id,
            version=1,
            status=Status.ACTIVE,
            secrets=(secret.make(app.personal_keys, row_id),),
            created_at=tx.now,
            updated_at=tx.now,
            **{**values, "event_types": _tidied(request.event_types)},
        )
        change.create(tx, endpoint)
        shown = {**render(endpoint), secret.FIELD: secret.sealed(endpoint.secrets[0])}
        return created(shown, location=LOCATION.format(row_id), version=1)

    command = Command("webhook_endpoint.create", ALL, decide, origin, claim)
    return await _revealed(app, command)


async def update(
    app: App,
    origin: Origin,
    claim: Claim | None,
    endpoint_id: str,
    request: UpdateWebhookEndpoint,
    *,
    expected_version: int | None,
) -> Answer:
    """Change an endpoint; what waits for it is tried at once. Emits webhook_endpoint.updated, or what the status does.
    Raises Invalid, InvalidTransition.
    """
    if request.url is not None:
        await _refuse_inside(app, claim, request.url)

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, endpoint_id)
        match_version(before.version, expected_version)
        changes = _changes(before, request)
        if request.status is None or request.status is before.status:
            _refuse_removed(before)
            after = change.update(tx, before, change.EVENT_UPDATED, **changes) if changes else before
        elif request.status is Status.ACTIVE:
            after = change.change(tx, before, "enable", disabled_reason=None, disabled_at=None, **changes)
        else:
            reason = DisabledReason.REQUESTED
            after = change.change(tx, before, "disable", disabled_reason=reason, disabled_at=tx.now, **changes)
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("webhook_endpoint.update", endpoint_id, decide, origin, claim))


async def remove(
    app: App, origin: Origin, claim: Claim | None, endpoint_id: str, *, expected_version: int | None
) -> Answer:
    """Remove an endpoint: nothing more is sent to it, its secrets are gone. Emits webhook_endpoint.removed."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, endpoint_id)
        match_version(before.version, expected_version)
        after = change.change(
            tx, before, "remove", secrets=(), removed_at=tx.now, disabled_reason=None, disabled_at=None
        )
        return ok(render(after), version=after.version)

    return await app.batcher.run(Command("webhook_endpoint.remove", endpoint_id, decide, origin, claim))


async def rotate_secret(
    app: App,
    origin: Origin,
    claim: Claim | None,
    endpoint_id: str,
    request: RotateSecret,
    *,
    expected_version: int | None,
) -> Answer:
    """Make a new secret, which the answer shows; those of before sign beside it for a while. Emits
    webhook_endpoint.secret_rotated. Raises TooManySecrets.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, endpoint_id)
        match_version(before.version, expected_version)
        _refuse_removed(before)
        until = tx.now + timedelta(hours=request.overlap_hours)
        older = tuple(
            msgspec.structs.replace(one, expires_at=min(one.expires_at or until, until))
            for one in before.valid_secrets(tx.now)
            if request.overlap_hours
        )
        if len(older) >= SECRETS_MAX:
            raise TooManySecrets(f"at most {SECRETS_MAX}; a shorter overlap lets the older ones go")
        newest = secret.make(app.personal_keys, before.id)
        after = change.update(tx, before, change.EVENT_SECRET_ROTATED, secrets=(newest, *older))
        return ok({**render(after), secret.FIELD: secret.sealed(newest)}, version=after.version)

    return await _revealed(app, Command("webhook_endpoint.rotate_secret", endpoint_id, decide, origin, claim))


async def give_up(app: App, endpoint: Endpoint, reason: DisabledReason) -> None:
    """Disable an endpoint that wants nothing more, or has failed for too long, unless it was changed meanwhile. Emits
    webhook_endpoint.disabled.
    """

    async def decide(tx: Tx) -> None:
        before = await store.lock(tx, endpoint.id)
        if before.version == endpoint.version and before.status is Status.ACTIVE:
            change.change(tx, before, "disable", disabled_reason=reason, disabled_at=tx.now)

    await app.batcher.run(Command("webhook_endpoint.give_up", endpoint.id, decide, SYSTEM))


async def send_test(
    app: App, origin: Origin, claim: Claim | None, endpoint_id: str, *, expected_version: int | None
) -> Answer:
    """Have a test event sent to an endpoint, whatever it asks for. Raises WebhookEndpointNotActive."""

    async def decide(tx: Tx) -> Answer:
        endpoint = await store.lock(tx, endpoint_id)
        match_version(endpoint.version, expected_version)
        _refuse_inactive(endpoint)
        data = {"endpointId": endpoint.id, "message": "If this arrives and its signature is right, all is well."}
        event = Event(
            ids.new(tx.now), endpoint.id, endpoint.version, TEST_TYPE, endpoint.id, data, tx.now, tx.now, 0, 0
        )
        delivery = _out_of_order(tx, endpoint.id, event_id=event.id, event_type=event.type, stream=event.stream)
        delivery = msgspec.structs.replace(delivery, content=envelope(event))
        tx.insert(store.DELIVERIES, delivery)
        return accepted(render_delivery(delivery), version=1)

    return await app.batcher.run(Command("webhook_endpoint.test", endpoint_id, decide, origin, claim))


async def redeliver(
    app: App, origin: Origin, claim: Claim | None, delivery_id: str, *, expected_version: int | None
) -> Answer:
    """Send an event again, under its id, in a delivery of its own that keeps no order; one that still waits is tried
    at once instead, as soon as it is its turn in its stream. Raises WebhookEndpointNotActive.
    """
    endpoint_id = (await get_delivery(app, delivery_id)).endpoint_id

    async def decide(tx: Tx) -> Answer:
        _refuse_inactive(await store.lock(tx, endpoint_id))
        before = await store.lock_delivery(tx, delivery_id)
        match_version(before.version, expected_version)
        if before.status is DeliveryStatus.PENDING:
            after = msgspec.structs.replace(
                before, version=before.version + 1, next_attempt_at=tx.now, updated_at=tx.now
            )
            tx.update(store.DELIVERIES, after, was=before.version)
            return accepted(render_delivery(after), version=after.version)
        again = msgspec.structs.replace(
            _out_of_order(
                tx, endpoint_id, event_id=before.event_id, event_type=before.event_type, stream=before.stream
            ),
            event_tx=before.event_tx,
            event_position=before.event_position,
            content=before.content,
            redelivery_of=before.id,
        )
        tx.insert(store.DELIVERIES, again)
        return accepted(render_delivery(again), version=1)

    return await app.batcher.run(Command("webhook_endpoint.redeliver", endpoint_id, decide, origin, claim))


async def get(app: App, endpoint_id: str) -> Endpoint:
    """An endpoint by its id. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, endpoint_id), "webhook endpoint")


async def get_delivery(app: App, delivery_id: str) -> Delivery:
    """A delivery by its id. Raises NotFound."""
    return found(await app.reader.get(store.DELIVERIES, delivery_id), "delivery")


async def _revealed(app: App, command: Command[Answer]) -> Answer:
    """Run a command whose answer shows a secret; what is kept of it does not."""
    try:
        return secret.reveal(app.personal_keys, await app.batcher.run(command))
    except Answered as known:
        raise Answered(secret.reveal(app.personal_keys, known.answer), is_replay=known.is_replay) from None


async def _refuse_inside(app: App, claim: Claim | None, url: str) -> None:
    """Raise Invalid where a URL's host is inside. A host that does not resolve now may do so later; of a claim that was
    answered nothing is asked again.
    """
    if await idempotency.find_known(app.reader, claim) is not None:
        return
    target = address.parse(url)
    refused = await send.is_refused(target.host, target.port, private=app.settings.delivery_private_networks)
    require(not refused, "url", "address_not_allowed", "the host's address lies in a network that is never called")


def _refuse_removed(endpoint: Endpoint) -> None:
    if endpoint.status is Status.REMOVED:
        raise WebhookEndpointNotActive("it is REMOVED", endpointStatus=endpoint.status)


def _refuse_inactive(endpoint: Endpoint) -> None:
    if endpoint.status is not Status.ACTIVE:
        raise WebhookEndpointNotActive(f"it is {endpoint.status}", endpointStatus=endpoint.status)


def _out_of_order(tx: Tx, endpoint_id: str, *, event_id: str, event_type: str, stream: str) -> Delivery:
    """A delivery that is due now and waits for no other."""
    return Delivery(
        id=ids.new(tx.now),
        version=1,
        endpoint_id=endpoint_id,
        status=DeliveryStatus.PENDING,
        event_id=event_id,
        event_type=event_type,
        stream=stream,
        is_ordered=False,
        attempts=0,
        step=0,
        tries=(),
        created_at=tx.now,
        updated_at=tx.now,
        next_attempt_at=tx.now,
    )


def _changes(endpoint: Endpoint, request: UpdateWebhookEndpoint) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if request.url is not None:
        changes["url"] = request.url
    if "description" in request.model_fields_set:
        changes["description"] = request.description
    if request.event_types is not None:
        changes["event_types"] = _tidied(request.event_types)
    if "metadata" in request.model_fields_set:
        changes["metadata"] = with_metadata(endpoint.metadata, request.metadata)
    return changes


def _tidied(event_types: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(event_types))
