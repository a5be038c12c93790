"""Payouts to vendors: one batch of one item for each, named by our key.

PayPal does not hold to PayPal-Request-Id here (PayPal-Java-SDK issue 379); it does refuse a `sender_batch_id` that it
had within 30 days, and names the batch that has it. So a repeat finds the first one.
"""

import re
from datetime import timedelta
from typing import Any, Final

from bursar.providers.declines import declined
from bursar.providers.paypal import amounts, errors, orders
from bursar.providers.paypal.client import Client, Lost, Refused, part
from bursar.providers.paypal.documents import Amount, Batch, Item
from bursar.providers.port import Approved, Instrument, MethodType, Outcome, Payout, Pending, Unknown

PAYOUTS: Final = "/v1/payments/payouts"
PAYOUT_ITEMS: Final = "/v1/payments/payouts-item"
BATCH_MEMORY: Final = timedelta(days=29)
"""PayPal refuses a sender_batch_id again for 30 days."""

PAYER_ID: Final = re.compile(r"[2-9A-HJ-NP-Z]{13}")
RETURNED: Final = ("FAILED", "RETURNED", "BLOCKED", "REFUNDED", "REVERSED")
"""Ends of an item after which the money is ours again."""


async def pay_out(client: Client, request: Payout) -> Outcome:
    """Send the money on its way. Pending: only a look at the batch tells whether it came."""
    receiver = _receiver(request.destination)
    if receiver is None:
        return declined("account_not_found", "the destination is no PayPal account")
    try:
        batch = await client.post(PAYOUTS, Batch, key=request.key, body=_body(request, receiver))
    except Refused as refusal:
        return Pending() if _first_batch(refusal) else errors.outcome_of(refusal)
    return _batch_refused(batch) or Pending()


async def inquire_payout(client: Client, request: Payout) -> Outcome:
    """Look at the batch of this key, making it where it was never made. An item that nobody claims is called back: its
    receiver has no account, and PayPal would keep the money for 30 days.
    """
    receiver = _receiver(request.destination)
    if receiver is None:
        return declined("account_not_found", "the destination is no PayPal account")
    if client.clock.now() - request.asked_at >= BATCH_MEMORY:
        orders.log.critical("paypal.payout_too_old", key=request.key)
        return Unknown("PayPal has forgotten which batch this payout was")
    try:
        made = await client.post(PAYOUTS, Batch, key=request.key, body=_body(request, receiver))
        found = made.batch_header.payout_batch_id
    except Refused as refusal:
        first = _first_batch(refusal)
        if first is None:
            return errors.outcome_of(refusal)
        found = first
    batch = await orders.surely(client.get(f"{PAYOUTS}/{part(found)}", Batch))
    if not batch.items:
        return _batch_refused(batch) or Pending()
    item = batch.items[0]
    if item.transaction_status == "UNCLAIMED":
        try:
            path = f"{PAYOUT_ITEMS}/{part(item.payout_item_id)}/cancel"
            item = await client.post(path, Item, key=f"{request.key}-cancel")
        except Refused:  # its receiver may have claimed it meanwhile: the next look tells
            return Pending()
    return _item_outcome(item, request, found)


def _body(request: Payout, receiver: tuple[str, str]) -> dict[str, Any]:
    kind, name = receiver
    value = amounts.write(request.amount, request.currency)
    item = {
        "recipient_type": kind,
        "receiver": name,
        "amount": {"currency": request.currency, "value": value},
        "note": request.statement,
        "sender_item_id": request.key,
    }
    return {"sender_batch_header": {"sender_batch_id": request.key}, "items": [item]}


def _item_outcome(item: Item, request: Payout, batch_id: str) -> Outcome:
    answered = Amount(item.payout_item.amount.currency, item.payout_item.amount.value)
    if not amounts.is_same(answered, request.amount, request.currency):
        return orders.differs("payout", request.key, answered)
    if item.transaction_status == "SUCCESS":
        return Approved(batch_id, step_reference=item.transaction_id or item.payout_item_id)
    if item.transaction_status in RETURNED:
        name = item.errors.name if item.errors else ""
        code = errors.CODES.get(name, "account_not_found" if item.transaction_status == "RETURNED" else "")
        return declined(code or "payout_declined", f"the payout is {item.transaction_status}: {name or 'no reason'}")
    return Pending()


def _batch_refused(batch: Batch) -> Outcome | None:
    status = batch.batch_header.batch_status
    return declined("payout_declined", f"the batch is {status}") if status in ("DENIED", "CANCELED") else None


def _first_batch(refusal: Refused) -> str | None:
    """The id of the batch that has our sender_batch_id already, where that is why PayPal refused."""
    if refusal.fault.name != "USER_BUSINESS_ERROR":
        return None
    links = [link.href for link in refusal.fault.links if f"{PAYOUTS}/" in link.href]
    if not links:
        raise Lost("a batch that was made before, and is not named")
    return links[0].partition("?")[0].rstrip("/").rpartition("/")[2]


def _receiver(destination: Instrument) -> tuple[str, str] | None:
    """PayPal's kind and name of a receiver: an e-mail address, or a PayPal account's id."""
    if destination.type is not MethodType.DIGITAL_WALLET:
        return None
    token = destination.token or (destination.wallet.token if destination.wallet else "")
    if "@" in token:
        return "EMAIL", token
    return ("PAYPAL_ID", token) if PAYER_ID.fullmatch(token) else None
