"""Doing what an event asks for, again and again until it is done, waits for something else, or has failed too often."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import structlog

from bursar.domains.context import App
from bursar.domains.integration import service, store
from bursar.domains.integration.change import change
from bursar.domains.integration.model import ATTEMPTS_MAX, IntegrationEvent, Status
from bursar.domains.kyc import service as kyc
from bursar.domains.kyc.model import News, SubjectType
from bursar.domains.kyc.model import Status as KycStatus
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import service as payments
from bursar.domains.refunds import service as refunds
from bursar.domains.refunds.model import Status as RefundStatus
from bursar.infra import audit, jobs, personal
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.infra.jobs import NotYet

log = structlog.get_logger()

REFUND: Final = "integration.refund"
"""The job of an event that waits for refunds: it ends when they are all completed."""

REFUNDS: Final = "refunds"
APPROVAL: Final = "refund_approval"
REFUSED: Final = "refund_refused"
"""What such an event waits for: refunds; people who have to approve one; somebody who looks, since one came to
nothing.
"""

Handler = Callable[[App, Origin, IntegrationEvent], Awaitable[str | None]]


async def process(app: App, row_id: str) -> None:
    """Do what an event asks for. Safe to repeat: every handler is. Raises NotYet where it has to be tried again.

    Emits integration_event.processed, .waiting, .attempt_failed or .failed, and what the handlers do.
    """
    row = await service.get(app, row_id)
    if row.status is not Status.RECEIVED:
        return
    try:
        waits_for = await HANDLERS[row.type](app, _origin(row), row)
    except NotYet:
        raise
    except Exception as error:  # noted with the event, and tried again unless it was the last time
        log.warning("integration.attempt_failed", event_id=row.id, type=row.type, error=repr(error))
        if await _note(app, row, f"{type(error).__name__}: {error}"[:500]) is Status.RECEIVED:
            raise NotYet("the attempt failed") from error
        return
    await _end(app, row, waits_for)


async def refund(app: App, row_id: str) -> None:
    """See whether all payments of a cancelled order were given back meanwhile. Raises NotYet while one was not.

    Emits integration_event.processed, or .waiting when it waits for something else than before.
    """
    row = await service.get(app, row_id)
    if row.status is not Status.WAITING:
        return
    waits_for = await _order_cancelled(app, _origin(row), row)
    if waits_for is not None and waits_for != row.reason:
        await _wait_on(app, row, waits_for)
    if waits_for is not None:
        raise NotYet("payments of the order are captured and not refunded")
    await _end(app, row, None)


async def _order_cancelled(app: App, origin: Origin, row: IntegrationEvent) -> str | None:
    reason = row.data.get("reason", "the order was cancelled")
    given_back = await payments.on_order_cancelled(app, origin, order_id=row.data["orderId"], reason=reason)
    if given_back.under_way:
        raise NotYet(f"{len(given_back.under_way)} payment(s) are still under way")
    if not given_back.to_refund:
        return None
    asked = await refunds.on_order_cancelled(
        app, origin, payment_ids=given_back.to_refund, reason=reason, source=f"{row.type}:{row.id}"
    )
    return _waits_for({refund.status for refund in await refunds.of_ids(app, asked)})


def _waits_for(statuses: set[RefundStatus]) -> str | None:
    """What an order's refunds that are not completed wait for."""
    if RefundStatus.PENDING_APPROVAL in statuses:
        return APPROVAL
    if statuses & {RefundStatus.APPROVED, RefundStatus.PROCESSING}:
        return REFUNDS
    return REFUSED if statuses - {RefundStatus.COMPLETED} else None


async def _customer_erased(app: App, origin: Origin, row: IntegrationEvent) -> None:
    customer_id = row.data["customerId"]
    async with app.database.transaction(now=app.clock.now(), origin=origin) as tx:
        await personal.erase(tx, customer_id)
        audit.record(tx, "customer.erase", customer_id)
    await payment_methods.remove_all(app, origin, customer_id=customer_id)


async def _customer_verified(app: App, origin: Origin, row: IntegrationEvent) -> None:
    await _verified(app, origin, row, SubjectType.CUSTOMER, row.data["customerId"])


async def _vendor_verified(app: App, origin: Origin, row: IntegrationEvent) -> None:
    await _verified(app, origin, row, SubjectType.VENDOR, row.data["vendorId"])


async def _verified(
    app: App, origin: Origin, row: IntegrationEvent, subject_type: SubjectType, subject_id: str
) -> None:
    expires_at = row.data.get("expiresAt")
    news = News(
        status=KycStatus(row.data["status"]),
        happened_at=row.happened_at,
        reference=row.data.get("reference"),
        rejection_code=row.data.get("rejectionCode"),
        expires_at=None if expires_at is None else datetime.fromisoformat(expires_at),
    )
    await kyc.on_news(app, origin, subject_type, subject_id, news)


HANDLERS: Final[dict[str, Handler]] = {
    "order.cancelled": _order_cancelled,
    "customer.erased": _customer_erased,
    "customer.kyc.updated": _customer_verified,
    "vendor.kyc.updated": _vendor_verified,
}
"""What is done about each type that is not only recorded. An answer names what the event waits for."""


async def _end(app: App, row: IntegrationEvent, waits_for: str | None) -> None:
    async def decide(tx: Tx) -> None:
        before = await store.lock(tx, row.id)
        if before.version != row.version:  # another attempt was faster
            return
        if waits_for is None:
            change(tx, before, "process", reason=None, last_error=None, processed_at=tx.now)
        else:
            change(tx, before, "wait", reason=waits_for, last_error=None)
            jobs.defer(tx, REFUND, {"integrationEventId": row.id}, key=f"{REFUND}:{row.id}")

    await app.batcher.run(Command("integration_event.end", row.id, decide, _origin(row)))


async def _wait_on(app: App, row: IntegrationEvent, waits_for: str) -> None:
    """It waits for something else than before."""

    async def decide(tx: Tx) -> None:
        before = await store.lock(tx, row.id)
        if before.version == row.version:
            change(tx, before, "wait", reason=waits_for)

    await app.batcher.run(Command("integration_event.wait", row.id, decide, _origin(row)))


async def _note(app: App, row: IntegrationEvent, error: str) -> Status:
    async def decide(tx: Tx) -> Status:
        before = await store.lock(tx, row.id)
        if before.status is not Status.RECEIVED:
            return before.status
        attempts = before.attempts + 1
        action = "fail" if attempts >= ATTEMPTS_MAX else "try_again"
        return change(tx, before, action, attempts=attempts, last_error=error).status

    return await app.batcher.run(Command("integration_event.note", row.id, decide, _origin(row)))


def _origin(row: IntegrationEvent) -> Origin:
    return Origin(f"integration:{row.source}", row.id)
