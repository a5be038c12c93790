"""What becomes of an order's payments when the order is cancelled."""

from collections.abc import AsyncIterator

import msgspec

from bursar.domains.context import App
from bursar.domains.payments import steps, store
from bursar.domains.payments.model import MACHINE, PROCESSING, Payment, Status
from bursar.infra.db import Origin
from bursar.infra.http.types import PageQuery
from bursar.infra.steps import Asked
from bursar.kit.errors import InvalidTransition
from bursar.kit.paging import LIMIT_MAX

HTTP_OK = 200


class GivenBack(msgspec.Struct, frozen=True):
    """What is left of an order's payments, by their ids. under_way: their outcome is not known yet, or nothing was
    done; ask again. to_refund: captured, and not all of it refunded.
    """

    under_way: tuple[str, ...]
    to_refund: tuple[str, ...]


async def cancel(app: App, origin: Origin, *, order_id: str, reason: str) -> GivenBack:
    """Cancel what was not captured of an order's payments: authorizations are voided, of one captured in part the rest.

    Emits what `steps.end` and `steps.complete` do. Safe to repeat: what has ended stays as it is.
    """
    under_way, to_refund = [], []
    async for found in of_order(app, order_id):
        payment = await steps.repair(app, found)
        if not await _release(app, origin, payment, reason):
            under_way.append(payment.id)
        elif payment.amount_captured > payment.amount_refunded + payment.amount_disputed:
            to_refund.append(payment.id)
    return GivenBack(tuple(under_way), tuple(to_refund))


async def _release(app: App, origin: Origin, payment: Payment, reason: str) -> bool:
    """Give back what is reserved for a payment. Returns whether nothing is any more."""
    if payment.status in PROCESSING:
        return False
    try:
        if MACHINE.allows(payment.status, "cancel"):
            answer = await steps.end(app, Asked(origin), payment.id, "cancel", reason=reason)
        elif payment.status is Status.PARTIALLY_CAPTURED:
            answer = await steps.complete(app, Asked(origin), payment.id)
        else:
            return True
    except InvalidTransition:  # it moved on meanwhile: look again
        return False
    return answer.status == HTTP_OK


async def of_order(app: App, order_id: str) -> AsyncIterator[Payment]:
    """The payments of an order, newest first."""
    cursor = None
    while True:
        page = await store.page(app.database, PageQuery(limit=LIMIT_MAX, cursor=cursor), order_id=order_id)
        for payment in page.rows:
            yield payment
        cursor = page.next_cursor
        if cursor is None:
            return
