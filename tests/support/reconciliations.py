"""Settlement files as providers write them, the captures that they tell of, and a colleague who brings them."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import httpx
import msgspec

from bursar import wiring
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import UNALLOCATED, Line, clearing
from bursar.domains.payments import store as payment_store
from bursar.domains.payments.model import EVENT_CREATED, CaptureMethod, Payment, Status
from bursar.domains.reconciliations.model import Kind
from bursar.infra import events
from bursar.infra.db import LiveTx
from bursar.kit import ids
from bursar.kit.money import display
from tests.support.api import Api, json_of, keep_contract
from tests.support.schemas import event_faults
from tests.support.service import Service

PATH = "/api/v1/payments/reconciliations"
RATE, FIXED = "0.029", 30
FEES = msgspec.json.encode(
    {"sandbox": {currency: {"rate": RATE, "fixed": FIXED} for currency in ("EUR", "USD", "KWD")}}
).decode()
AT_ONCE = 500
EACH = 5
INJECTED = tuple(kind for kind in Kind if kind not in (Kind.MATCHED, Kind.REPEATED))
"""The eight differences, and how often each is put in."""

COLUMNS = (
    "balance_transaction_id",
    "created_utc",
    "available_on_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "charge_id",
    "payment_intent_id",
)


class Captured(NamedTuple):
    """A capture of ours: minor units; reference: the provider's."""

    payment_id: str
    reference: str
    amount: int
    currency: str
    at: datetime


class Row(NamedTuple):
    """A line of a provider's report; minor units."""

    id: str
    at: datetime
    currency: str
    gross: int
    fee: int
    net: int
    category: str
    source: str
    intent: str

    def changed(self, **changes: Any) -> "Row":
        """The row with other values; the net follows gross and fee, unless it is given."""
        after = self._replace(**changes)
        return after if "net" in changes else after._replace(net=after.gross - after.fee)


def fee_of(amount: int) -> int:
    return int((amount * Decimal(RATE)).quantize(Decimal(1), ROUND_HALF_UP)) + FIXED


def row_of(capture: Captured) -> Row:
    """The row by which a provider tells of a capture, a second before we booked it."""
    fee = fee_of(capture.amount)
    name = capture.reference.removeprefix("pi_")
    return Row(
        id=f"txn_{name}",
        at=capture.at - timedelta(seconds=1),
        currency=capture.currency,
        gross=capture.amount,
        fee=fee,
        net=capture.amount - fee,
        category="charge",
        source=f"ch_{name}",
        intent=capture.reference,
    )


def payout(number: int, amount: int, at: datetime, currency: str = "EUR") -> Row:
    return Row(f"txn_po_{number}", at, currency, -amount, 0, -amount, "payout", f"po_{number}", "")


def stripe_csv(rows: Iterable[Row]) -> bytes:
    """The rows as Stripe's itemized balance report."""
    lines = [",".join(COLUMNS)]
    for row in rows:
        gross, fee, net = (display(amount, row.currency) for amount in (row.gross, row.fee, row.net))
        at = f"{row.at:%Y-%m-%d %H:%M:%S}"
        lines.append(
            f"{row.id},{at},{at},{row.currency.lower()},{gross},{fee},{net},{row.category},{row.source},,{row.intent}"
        )
    return "\n".join([*lines, ""]).encode()


def injected(captures: list[Captured], draw: random.Random) -> tuple[list[Row], dict[str, str]]:
    """The rows of `captures` with EACH of INJECTED, and the kind that each payment, or unknown row, is to have."""
    rows: list[Row] = []
    wanted: dict[str, str] = {}
    chosen = draw.sample(captures, EACH * len(INJECTED))
    kind_of = {capture.payment_id: INJECTED[number % len(INJECTED)] for number, capture in enumerate(chosen)}
    for capture in captures:
        row = row_of(capture)
        kind = kind_of.get(capture.payment_id)
        if kind is not None:
            wanted[capture.payment_id] = kind.value
        match kind:
            case Kind.MISSING_WITH_THEM:
                continue
            case Kind.MISSING_WITH_US:
                name = f"txn_strange_{len(rows)}"
                rows += [row, row.changed(id=name, intent=f"pi_{name}", source=f"ch_{name}")]
                wanted[name] = wanted.pop(capture.payment_id)
            case Kind.DUPLICATE:
                rows += [row, row.changed(id=draw.choice([row.id, f"{row.id}_again"]))]
            case Kind.AMOUNT:
                rows.append(row.changed(gross=row.gross + draw.choice([-1, 1, 100])))
            case Kind.CURRENCY:
                rows.append(row.changed(currency="USD"))
            case Kind.FEE:
                rows.append(row.changed(fee=row.fee + draw.choice([-3, 3, 50])))
            case Kind.LATE:
                rows.append(row.changed(at=row.at + timedelta(days=draw.randint(4, 9))))
            case Kind.STATUS:
                category = draw.choice(["refund", "charge_failure", "dispute"])
                instead = draw.random() < 0.5
                undone = row.changed(id=f"{row.id}_undone", gross=-row.gross, fee=0, category=category, source="x_1")
                rows += [undone] if instead else [row, undone]
            case _:
                rows.append(row)
    draw.shuffle(rows)
    return rows, wanted


async def captured(
    service: Service, amounts: Sequence[int], *, at: datetime, currency: str = "EUR", step: float = 0.01
) -> list[Captured]:
    """Payments of those amounts, captured one after another from `at` on, as payments book them."""
    made: list[Captured] = []
    for start in range(0, len(amounts), AT_ONCE):
        now = at + timedelta(seconds=step * start)
        async with service.app.database.transaction(now=now) as tx:
            made += [_capture(tx, amount, currency) for amount in amounts[start : start + AT_ONCE]]
    return made


def _capture(tx: LiveTx, amount: int, currency: str) -> Captured:
    payment_id = ids.new(tx.now)
    payment = Payment(
        id=payment_id,
        version=1,
        payment_number=ids.number("PAY", tx.now),
        order_id=f"order-{payment_id}",
        customer_id="customer-1",
        amount=amount,
        currency=currency,
        capture_method=CaptureMethod.AUTOMATIC,
        status=Status.CAPTURED,
        metadata={},
        amount_authorized=amount,
        amount_capturing=0,
        amount_captured=amount,
        amount_unallocated=amount,
        amount_refunding=0,
        amount_refunded=0,
        amount_disputed=0,
        is_capture_final=True,
        provider="sandbox",
        attempts=(),
        asked_by=(),
        created_at=tx.now,
        updated_at=tx.now,
        provider_transaction_id=f"pi_{payment_id}",
        authorized_at=tx.now,
        captured_at=tx.now,
    )
    tx.insert(payment_store.TABLE, payment)
    data = events.public(payment_store.TABLE, payment)
    events.emit(tx, stream=payment_id, version=1, event_type=EVENT_CREATED, about=payment_id, data=data)
    ledger.post(
        tx,
        journal_type="payment.captured",
        reference=f"capture:{ids.new(tx.now)}",
        currency=currency,
        about=payment_id,
        lines=(Line(clearing("sandbox"), amount), Line(UNALLOCATED, -amount)),
    )
    return Captured(payment_id, f"pi_{payment_id}", amount, currency, tx.now)


async def verify_books(service: Service) -> None:
    """Fail unless every invariant holds and the events are what their schemas say. The sandbox's own books know nothing
    of these captures.
    """
    async with service.connection() as connection:
        found: dict[str, list[str]] = {}
        for check in wiring.INVARIANTS:
            found.update(await check(connection))
        found["events are what docs/events says"] = await event_faults(connection, service.url)
    assert not any(found.values()), {name: faults for name, faults in found.items() if faults}


class Bookkeeper:
    """Brings settlement files, and looks at what came of them."""

    def __init__(self, service: Service, subject: str = "ann") -> None:
        self.service = service
        self.api: Api = service.api.as_("finance", subject=subject)

    def colleague(self, subject: str = "ben") -> "Bookkeeper":
        return Bookkeeper(self.service, subject)

    async def bring(self, content: bytes, content_type: str = "text/csv", **query: str) -> httpx.Response:
        """Post a file; the provider is the sandbox unless something else is said."""
        params = {"provider": "sandbox", **query}
        response = await self.service.client.post(
            PATH,
            content=content,
            params={name: value for name, value in params.items() if value},
            headers={"authorization": f"Bearer {self.api.bearer}", "content-type": content_type},
        )
        keep_contract(response)
        return response

    async def reconcile(self, content: bytes, **query: str) -> dict[str, Any]:
        """Bring a file that is new and have it reconciled. Returns how it stands then."""
        begun = json_of(await self.bring(content, **query), 202)
        await self.service.run_jobs()
        return await self.show(begun["id"])

    async def show(self, reconciliation_id: str) -> dict[str, Any]:
        return dict(json_of(await self.api.get(f"{PATH}/{reconciliation_id}"), 200))

    async def items(self, reconciliation_id: str, **query: str) -> list[dict[str, Any]]:
        """All items, page by page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = json_of(await self.api.get(f"{PATH}/{reconciliation_id}/items", limit=100, **query, **cursor), 200)
            found += page["data"]
            if page["nextCursor"] is None:
                return found
            cursor = {"cursor": page["nextCursor"]}

    async def differences(self, reconciliation_id: str) -> dict[str, list[dict[str, Any]]]:
        """The items that somebody has to explain, by kind."""
        by_kind: dict[str, list[dict[str, Any]]] = {}
        for item in await self.items(reconciliation_id, status="OPEN"):
            by_kind.setdefault(item["kind"], []).append(item)
        return by_kind

    async def explain(self, item: dict[str, Any], **body: Any) -> httpx.Response:
        path = f"{PATH}/{item['reconciliationId']}/items/{item['id']}/explain"
        return await self.api.call("POST", path, {"explanation": "seen with the provider", **body})

    async def balances(self) -> dict[tuple[str, str], int]:
        """Every account that is not empty, by name and currency; debit positive."""
        rows = await self.service.fetch("select name, currency, balance from accounts where balance <> 0")
        return {(row["name"], row["currency"]): row["balance"] for row in rows}


def counts(reconciliation: dict[str, Any]) -> dict[str, int]:
    """Items by kind, without those that there are none of."""
    return {kind: count for kind, count in reconciliation["counts"].items() if count}


def net_of(rows: Iterable[Row]) -> dict[str, int]:
    """What the provider says that it owes us, by currency."""
    total = Counter[str]()
    for row in rows:
        total[row.currency] += row.net
    return dict(total)
