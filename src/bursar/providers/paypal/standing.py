"""How an order stands, whoever brought that about: our own steps, PayPal's site, or PayPal itself."""

from collections.abc import Iterable
from typing import Final

from bursar.providers.paypal import amounts, orders
from bursar.providers.paypal.client import Client, Lost
from bursar.providers.paypal.documents import Amount
from bursar.providers.port import Approved, Inspection, Outcome, PaymentState

RESERVING: Final = frozenset({"CREATED", "PENDING", "PARTIALLY_CAPTURED"})
TAKEN: Final = frozenset({"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"})


async def inspect(client: Client, request: Inspection) -> Outcome:
    """See port.Inspection. Raises as Client.get."""
    order = await orders.get(client, request.reference)
    held = orders.payments_of(order)
    captured = _total((each.amount for each in held.captures if each.status in TAKEN), request.currency)
    authorized = _total((each.amount for each in held.authorizations[-1:] if each.status != "DENIED"), request.currency)
    state = PaymentState(
        amount_authorized=max(authorized, captured),
        amount_captured=captured,
        amount_refunded=_total((each.amount for each in held.refunds if each.status == "COMPLETED"), request.currency),
        is_open=any(each.status in RESERVING for each in held.authorizations[-1:]),
    )
    return Approved(order.id, state=state)


def _total(given: Iterable[Amount | None], currency: str) -> int:
    """The sum in minor units. Raises Lost where one is of another currency, or cannot be read."""
    total = 0
    for amount in given:
        minor = amounts.minor(amount)
        if amount is None or minor is None or amount.currency_code != currency:
            raise Lost("an order whose amounts cannot be read")
        total += minor
    return total
