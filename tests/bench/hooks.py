"""Webhooks as Stripe would bring them: signed beforehand, each once, about payments that there are."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from bursar.domains.webhooks.signatures import stripe
from bursar.infra import keyfiles
from tests.bench import machine
from tests.bench.load import Figures, Wrk

SECRET: Final = "whsec_bench"
PER_SECOND_MAX: Final = 15_000
DRAINED_SECONDS_MAX: Final = 300
PAYMENTS: Final = 10_000
TO_STRIPE: Final = "update payments set provider = 'stripe', provider_transaction_id = 'pi_' || id"
PAID: Final = f"select id::text from payments where status in ('CAPTURED', 'COMPLETED') limit {PAYMENTS}"
CHARGE: Final[dict[str, Any]] = {
    "id": "ch_3QabcDEFghijKLMN0pqrstuv",
    "object": "charge",
    "billing_details": {"address": {"city": "London", "country": "GB", "line1": "12 St James's Square"}, "name": "Ada"},
    "outcome": {"network_status": "approved_by_network", "risk_level": "normal", "seller_message": "Complete."},
    "payment_method_details": {"card": {"brand": "visa", "country": "US", "exp_month": 8, "exp_year": 2034}},
    "receipt_url": "https://pay.stripe.com/receipts/payment/CAcaFwoVYWNjdF8xUWFiY0RFRmdoaWpLTE1OKAkyBkxuZm9vYmFy",
}
NOTHING: Final[dict[str, Any]] = {
    f"field_{number:02}": None if number % 3 else f"a value such as Stripe sends, {number}" for number in range(40)
}
"""What else stands in a PaymentIntent, to the length of a real one."""


class Hooks:
    """A service whose payments went through Stripe, and the webhooks about them."""

    def __init__(self, url: str, base: str, wrk: Wrk, directory: Path) -> None:
        self._url, self._wrk = url, wrk
        self._host = base.removeprefix("http://")
        self._path = directory / "webhooks"
        asyncio.run(machine.run_sql(url, TO_STRIPE))
        rows = asyncio.run(machine.fetch(url, PAID))
        self._payments = [row["id"] for row in rows]
        self._count = 0

    def receive(self, seconds: float) -> Figures:
        """Webhooks acknowledged a second, and how long each took; and how many were processed a second, until none was
        left.
        """
        before = self._count_done()
        self._write(int(PER_SECOND_MAX * seconds))
        began = time.monotonic()
        figures = self._wrk.webhook(seconds, self._path)
        while self._count_waiting():
            if time.monotonic() - began > DRAINED_SECONDS_MAX:
                machine.fail("the webhooks were not processed in time")
            time.sleep(0.2)
        done = self._count_done() - before
        return figures | {"processed_per_second": done / (time.monotonic() - began)}

    def _write(self, count: int) -> None:
        """Sign so many webhooks, as requests behind their lengths."""
        now = str(int(time.time()))
        with self._path.open("wb") as file:
            for _ in range(count):
                self._count += 1
                body = self._body()
                head = (
                    f"POST /api/v1/payment-webhooks HTTP/1.1\r\nHost: {self._host}\r\n"
                    f"Stripe-Signature: t={now},v1={stripe.signature(SECRET, now, body)}\r\n"
                    f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
                ).encode()
                file.write(b"%08d" % (len(head) + len(body)) + head + body)

    def _body(self) -> bytes:
        payment_id = random.choice(self._payments)
        intent = {
            "id": f"pi_{payment_id}",
            "object": "payment_intent",
            "amount": 1999,
            "metadata": {"bursar_key": payment_id, "bursar_payment": payment_id},
            "latest_charge": CHARGE,
            **NOTHING,
        }
        event = {
            "id": f"evt_{self._count:024}",
            "object": "event",
            "api_version": "2025-09-30.clover",
            "created": int(time.time()),
            "data": {"object": intent},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": "payment_intent.succeeded",
        }
        return json.dumps(event, indent=2).encode()

    def _count_waiting(self) -> int:
        return self._count_in("'RECEIVED', 'FAILED'")

    def _count_done(self) -> int:
        return self._count_in("'PROCESSED'")

    def _count_in(self, statuses: str) -> int:
        sql = f"select count(*) as count from webhooks where status in ({statuses})"
        return int(asyncio.run(machine.fetch(self._url, sql))[0]["count"])


def write_secrets(directory: Path) -> Path:
    """The file of secrets by which the service verifies."""
    path = directory / "webhook-secrets.json"
    keyfiles.replace(path, msgspec.json.encode({"stripe": [{"secret": SECRET}]}))
    return path
