"""Stripe's own account of our money: its balance transactions, as movements to reconcile with."""

from datetime import UTC, datetime
from math import ceil
from typing import Final

import stripe
import structlog

from bursar.providers.port import Movement, ReportUnavailable
from bursar.providers.stripe.answers import BalanceTransaction, Garbage, Source, read
from bursar.providers.stripe.calls import PAGE_SIZE, Calls
from bursar.providers.stripe.money import NotCountable, from_stripe

log = structlog.get_logger()

KINDS: Final[dict[str, str]] = {
    "charge": "CHARGE",
    "payment": "CHARGE",
    "refund": "REFUND",
    "payment_refund": "REFUND",
    "payment_failure_refund": "REFUND",
    "refund_failure": "REFUND",
    "payout": "PAYOUT",
    "payout_cancel": "PAYOUT",
    "payout_failure": "PAYOUT",
    "transfer": "PAYOUT",
    "transfer_cancel": "PAYOUT",
    "transfer_failure": "PAYOUT",
    "transfer_refund": "PAYOUT",
    "stripe_fee": "FEE",
    "stripe_fx_fee": "FEE",
    "tax_fee": "FEE",
}
"""Our kind by Stripe's type; any other is an ADJUSTMENT."""


async def movements(calls: Calls, *, since: datetime, until: datetime) -> list[Movement]:
    """Every balance transaction of [since, until), oldest first. Raises ReportUnavailable.

    reference: of a charge its PaymentIntent, of anything else its own id at Stripe: what the outcome of the step named.
    """
    params = {
        "created": {"gte": ceil(since.timestamp()), "lt": ceil(until.timestamp())},
        "expand": ["data.source"],
        "limit": PAGE_SIZE,
    }
    try:
        pages = await calls.v1.balance_transactions.list_async(params)
        found = [_movement(read(entry, BalanceTransaction)) async for entry in pages.auto_paging_iter()]
    except (stripe.StripeError, Garbage, NotCountable, AttributeError) as error:
        log.warning("stripe.report_unavailable", error=type(error).__name__)
        raise ReportUnavailable(f"Stripe's balance transactions: {type(error).__name__}") from error
    found.reverse()
    found.sort(key=lambda movement: movement.occurred_at)
    return found


def _movement(entry: BalanceTransaction) -> Movement:
    currency = entry.currency.upper()
    return Movement(
        id=entry.id,
        kind=_kind(entry),
        reference=_reference(entry.source),
        amount=from_stripe(entry.amount, currency),
        fee=from_stripe(entry.fee, currency),
        currency=currency,
        occurred_at=datetime.fromtimestamp(entry.created, UTC),
    )


def _kind(entry: BalanceTransaction) -> str:
    """An adjustment is a dispute's where Stripe reports it as one, or where it comes from one."""
    is_dispute = (entry.reporting_category or "").startswith("dispute")
    if isinstance(entry.source, Source):
        is_dispute = is_dispute or entry.source.object == "dispute"
    return "DISPUTE" if entry.type == "adjustment" and is_dispute else KINDS.get(entry.type, "ADJUSTMENT")


def _reference(source: str | Source | None) -> str | None:
    if isinstance(source, Source):
        return source.payment_intent or source.id if source.object == "charge" else source.id
    return source
