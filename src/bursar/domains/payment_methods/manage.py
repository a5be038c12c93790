"""Changing and removing payment methods: default, expiry, address, status, verification by people."""

from typing import Any, Final

import msgspec

from bursar.domains.context import App
from bursar.domains.payment_methods import change, store
from bursar.domains.payment_methods.default import clear, hand_over, take_over
from bursar.domains.payment_methods.model import (
    MACHINE,
    PaymentMethod,
    PaymentMethodUnusable,
    Status,
    first_of_next_month,
    refuse_removed,
)
from bursar.domains.payment_methods.schemas import UpdatePaymentMethod, UpdateVerification, render
from bursar.domains.payment_methods.serial import serially
from bursar.infra import jobs, personal
from bursar.infra.answer import Answer, ok
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.http.call import require
from bursar.infra.http.types import with_metadata
from bursar.infra.idempotency import Claim
from bursar.kit.machine import match_version

FORGET: Final = "payment_method.forget"
"""The job that gives up a provider's token of a method that was removed."""


async def set_default(
    app: App, origin: Origin, claim: Claim | None, method: PaymentMethod, *, expected_version: int | None
) -> Answer:
    """Make a method its customer's default. Emits payment_method.default_set, and .default_taken of the one before.
    Raises PaymentMethodUnusable where it is not active.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        if before.status is not Status.ACTIVE:
            raise PaymentMethodUnusable(f"it is {before.status}", methodStatus=before.status)
        if before.is_default:
            return ok(render(before), version=before.version)
        await clear(tx, await store.of_customer(tx, before.customer_id), heir_id=before.id)
        after = change.update(tx, before, change.EVENT_DEFAULT_SET, is_default=True)
        return ok(render(after), version=after.version)

    return await serially(app, "payment_method.set_default", method.customer_id, decide, origin, claim)


async def update(
    app: App,
    origin: Origin,
    claim: Claim | None,
    method: PaymentMethod,
    request: UpdatePaymentMethod,
    *,
    expected_version: int | None,
) -> Answer:
    """Change expiry, billing address, metadata, and whether the method is active. Emits payment_method.updated and what
    the status does. Raises Invalid, InvalidTransition, Erased.
    """

    address = request.billing_address
    document = await _personal_data(app, method) if address is not None else {}

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        refuse_removed(before)
        changes = _changes(tx, before, request)
        if address is not None:
            document["billingAddress"] = address.model_dump(by_alias=True, exclude_none=True)
            changes["personal_data_id"] = await personal.seal(
                tx, app.personal_keys, subject=before.customer_id, kind="payment_method", document=document
            )
        action = _status_action(before, request)
        if action is None:
            after = change.update(tx, before, change.EVENT_UPDATED, **changes)
            return ok(render(after), version=after.version)
        changes |= await (hand_over if action == "deactivate" else take_over)(tx, before)
        after = change.change(tx, before, action, **changes)
        return ok(render(after), version=after.version)

    return await serially(app, "payment_method.update", method.customer_id, decide, origin, claim)


async def remove(
    app: App, origin: Origin, claim: Claim | None, method: PaymentMethod, *, expected_version: int | None
) -> Answer:
    """Remove a method: its data key is destroyed, its provider told to forget it, and its place as the default handed
    over. Emits payment_method.removed, and .default_set of the heir.
    """

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        if before.vault_record_id is not None:
            app.vault.destroy(tx, before.vault_record_id)
        changes = await hand_over(tx, before)
        after = change.change(
            tx,
            before,
            "remove",
            removed_at=tx.now,
            vault_record_id=None,
            provider_tokens={},
            verification=None,
            next_action=None,
            **changes,
        )
        for provider, token in before.provider_tokens.items():
            jobs.defer(tx, FORGET, {"provider": provider, "token": token, "key": f"{after.id}-{provider}"})
        return ok(render(after), version=after.version)

    return await serially(app, "payment_method.remove", method.customer_id, decide, origin, claim)


async def set_verification(
    app: App,
    origin: Origin,
    claim: Claim | None,
    method: PaymentMethod,
    request: UpdateVerification,
    *,
    expected_version: int | None,
) -> Answer:
    """Record what a person or another service found out. Emits the event of the verification's table."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        refuse_removed(before)
        after = change.verify(
            tx,
            before,
            request.verification_status,
            failure_code=request.reason,
            next_action=None,
            verification=None,  # what was under way counts no more
        )
        return ok(render(after), version=after.version)

    return await serially(app, "payment_method.set_verification", method.customer_id, decide, origin, claim)


async def expire(app: App, method: PaymentMethod) -> None:
    """Mark a card as expired, and hand its place as the default over. Emits payment_method.expired."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        is_due = before.expires_on is not None and before.expires_on <= tx.now.date()
        if not is_due or not MACHINE.allows(before.status, "expire"):
            return ok(render(before))
        after = change.change(tx, before, "expire", **await hand_over(tx, before))
        return ok(render(after))

    await serially(app, "payment_method.expire", method.customer_id, decide, SYSTEM)


async def _personal_data(app: App, method: PaymentMethod) -> dict[str, Any]:
    if method.personal_data_id is None:
        return {}
    return await personal.unseal(app.database, app.personal_keys, method.personal_data_id) or {}


def _status_action(method: PaymentMethod, request: UpdatePaymentMethod) -> str | None:
    """The action of the machine that a request comes to; None where the status stays."""
    if method.status is Status.EXPIRED and request.exp_year is not None and request.status is not Status.INACTIVE:
        return "renew"
    if request.status is not None and request.status is not method.status:
        return "activate" if request.status is Status.ACTIVE else "deactivate"
    return None


def _changes(tx: Tx, method: PaymentMethod, request: UpdatePaymentMethod) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if request.exp_month is not None and request.exp_year is not None:
        require(method.card is not None, "expYear", "not_a_card", "only a card expires")
        expires_on = first_of_next_month(request.exp_month, request.exp_year)
        require(expires_on > tx.now.date(), "expYear", "card_expired", "the card has expired")
        assert method.card is not None
        card = msgspec.structs.replace(method.card, exp_month=request.exp_month, exp_year=request.exp_year)
        changes |= {"card": card, "expires_on": expires_on}
    if "metadata" in request.model_fields_set:
        changes["metadata"] = with_metadata(method.metadata, request.metadata)
    return changes
