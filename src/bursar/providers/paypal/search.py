"""PayPal's report of transactions (Transaction Search v1): what was done under one of our keys, when PayPal itself no
longer remembers the key; and every movement of our money.

A transaction shows up within three hours, authorizations too; the report says up to when it is complete.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

from bursar.providers.paypal import amounts
from bursar.providers.paypal.client import Client, Lost, NotSent, Refused, part
from bursar.providers.paypal.documents import Belonging, Report, TransactionInfo
from bursar.providers.port import Movement, ReportUnavailable

TRANSACTIONS: Final = "/v1/reporting/transactions"
RANGE_MAX: Final = timedelta(days=31)
PAGE_SIZE: Final = 500
PAGES_MAX: Final = 20
"""PayPal shows 10 000 transactions of a range at the most."""
AROUND: Final = timedelta(hours=1)
"""How far from our own time a transaction of ours may lie."""

KINDS: Final[dict[str, str]] = {
    "T0001": "PAYOUT",
    "T00": "CHARGE",
    "T01": "FEE",
    "T04": "PAYOUT",
    "T1106": "DISPUTE",
    "T1107": "REFUND",
    "T1110": "DISPUTE",
    "T1111": "DISPUTE",
    "T12": "DISPUTE",
}
"""Movement kinds by transaction event code, the longest beginning first; the rest is ADJUSTMENT. Source: PayPal's table
of transaction event codes.
"""


async def order_of(client: Client, key: str, *, asked_at: datetime) -> str | None:
    """The id of the order that was made under `key` at about `asked_at`; None where there certainly is none.

    Raises Lost while the report is not complete that far, and where what it has leads to no order.
    """
    found = None
    refreshed_at: datetime | None = None
    async for page in _pages(client, asked_at - AROUND, asked_at + AROUND, is_balance_only=False):
        refreshed_at = _time(page.last_refreshed_datetime)
        for line in page.transaction_details:
            if line.transaction_info.invoice_id == key:
                found = line.transaction_info
    if found is None:
        if refreshed_at is None or refreshed_at < asked_at + AROUND:
            raise Lost("PayPal's report is not complete yet")
        return None
    kind = "authorizations" if found.transaction_event_code.startswith("T13") else "captures"
    belonging = await client.get(f"/v2/payments/{kind}/{part(found.transaction_id)}", Belonging)
    if not belonging.supplementary_data.related_ids.order_id:
        raise Lost(f"{found.transaction_id} does not name its order")
    return belonging.supplementary_data.related_ids.order_id


async def movements(client: Client, *, since: datetime, until: datetime) -> list[Movement]:
    """Every movement of [since, until), oldest first. Raises ReportUnavailable."""
    result: list[Movement] = []
    start = since
    try:
        while start < until:
            end = min(start + RANGE_MAX, until)
            async for page in _pages(client, start, end, is_balance_only=True):
                if (_time(page.last_refreshed_datetime) or since) < end:
                    raise ReportUnavailable("PayPal's report is not complete yet")
                result += [_movement(line.transaction_info) for line in page.transaction_details]
            start = end
    except (NotSent, Lost, Refused) as error:
        raise ReportUnavailable(str(error)) from error
    within = {line.id: line for line in result if since <= line.occurred_at < until}
    return sorted(within.values(), key=lambda line: (line.occurred_at, line.id))


async def _pages(client: Client, start: datetime, end: datetime, *, is_balance_only: bool) -> AsyncIterator[Report]:
    number = pages = 1
    while number <= pages:
        params = {
            "start_date": _text(start),
            "end_date": _text(end),
            "fields": "transaction_info",
            "balance_affecting_records_only": "Y" if is_balance_only else "N",
            "page_size": str(PAGE_SIZE),
            "page": str(number),
        }
        page = await client.get(TRANSACTIONS, Report, params=params)
        pages = page.total_pages
        if pages > PAGES_MAX:
            raise Lost("more transactions than PayPal shows")
        yield page
        number += 1


def _movement(info: TransactionInfo) -> Movement:
    amount = amounts.minor(info.transaction_amount)
    fee = 0 if info.fee_amount is None else amounts.minor(info.fee_amount)
    occurred_at = _time(info.transaction_initiation_date)
    if amount is None or fee is None or occurred_at is None or info.transaction_amount is None:
        raise Lost("a transaction that cannot be read")
    code = info.transaction_event_code
    kind = next((KINDS[start] for start in (code, code[:3]) if start in KINDS), "ADJUSTMENT")
    currency = info.transaction_amount.currency_code
    reference = info.paypal_reference_id or None
    return Movement(info.transaction_id, kind, reference, amount, -fee, currency, occurred_at)


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime | None:
    """PayPal's `2026-01-02T03:04:05+0000`; nothing where it is something else."""
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        return None
