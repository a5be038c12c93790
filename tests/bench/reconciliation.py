"""Settlement files of 10,000 rows, with five of each of the eight differences, from the upload to COMPLETED."""

import asyncio
import json
import random
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from tests.bench import machine
from tests.bench.load import Figures
from tests.support.reconciliations import EACH, FEES, INJECTED, PATH, Captured, injected, stripe_csv

ROWS: Final = 10_000
SECONDS_MAX: Final = 120
LOOK_SECONDS: Final = 0.05
SETTINGS: Final = {"PROVIDER_FEES": FEES}

CAPTURES: Final = f"""
with numbers as (
    select n, $1::timestamptz + n * interval '1 millisecond' as at from generate_series(1, {ROWS}) n
), rows as (
    select n, at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as head,
        md5(n || 'p' || $2) as one, md5(n || 'j' || $2) as two, 100 + (hashint8(n)::bigint & 16383) as amount
    from numbers
), facts as (
    select *, (head || '7' || left(one, 3) || '8' || substr(one, 4, 15))::uuid as id,
        (head || '7' || left(two, 3) || '9' || substr(two, 4, 15))::uuid as journal_id
    from rows
), made as (
    insert into payments (id, version, payment_number, order_id, customer_id, amount, currency, capture_method, status,
        metadata, amount_authorized, amount_capturing, amount_captured, amount_unallocated, amount_refunded,
        is_capture_final, provider, provider_transaction_id, attempts, created_at, updated_at, authorized_at,
        captured_at)
    select id, 1, 'PAY-' || upper(left(one, 14)), 'order-' || one, 'customer-1', amount, 'EUR', 'AUTOMATIC', 'CAPTURED',
        '{{}}', amount, 0, amount, amount, 0, true, 'sandbox', 'pi_' || one, '[]', at, at, at, at
    from facts
), posted as (
    insert into journals (id, type, reference, line_count, digest, occurred_at)
    select journal_id, 'payment.captured', 'capture:' || journal_id, 2, '', at from facts
), lines as (
    insert into postings (journal_id, line, account, currency, amount, about)
    select journal_id, 1, 'provider:sandbox:clearing', 'EUR', amount, id from facts
    union all select journal_id, 2, 'unallocated', 'EUR', -amount, id from facts
), balances as (
    insert into accounts (name, currency, kind, can_overdraw, balance)
    select 'provider:sandbox:clearing', 'EUR', 'ASSET'::account_kind, true, sum(amount) from facts
    union all select 'unallocated', 'EUR', 'LIABILITY', false, -sum(amount) from facts
    on conflict (name, currency) do update set balance = accounts.balance + excluded.balance
)
select id::text as id, 'pi_' || one as reference, amount, at from facts order by n
"""
NO_TRIGGERS: Final = "set session_replication_role = replica"


class Files:
    """A service that reconciles one file after another, each of captures of its own."""

    def __init__(self, url: str, base: str, token: str) -> None:
        self._url, self._base, self._token = url, base, token
        self._count = 0

    def reconcile(self, seconds: float) -> Figures:
        """Rows a second, and the longest time that a file took, over so many seconds; at least one file."""
        took: list[float] = []
        while sum(took) < seconds:
            content = self._file()
            began = time.monotonic()
            done = self._done(self._ask(f"{PATH}?provider=sandbox", content)["id"])
            took.append(time.monotonic() - began)
            found = {kind: count for kind, count in done["counts"].items() if kind in INJECTED}
            if done["status"] != "COMPLETED" or found != {kind.value: EACH for kind in INJECTED}:
                machine.fail(f"the reconciliation ended {done['status']} with {done['counts']}")
        return {"per_second": ROWS * len(took) / sum(took), "seconds_max": max(took)}

    def _file(self) -> bytes:
        self._count += 1
        since = datetime.now(UTC) - timedelta(days=20 + 30 * self._count)
        rows = asyncio.run(self._captures(since))
        captures = [Captured(row["id"], row["reference"], row["amount"], "EUR", row["at"]) for row in rows]
        return stripe_csv(injected(captures, random.Random(self._count))[0])

    async def _captures(self, since: datetime) -> list[Any]:
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(NO_TRIGGERS)
            return list(await connection.fetch(CAPTURES, since, str(self._count)))
        finally:
            await connection.close()

    def _done(self, reconciliation_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS_MAX
        while (shown := self._ask(f"{PATH}/{reconciliation_id}"))["status"] not in ("COMPLETED", "FAILED"):
            if time.monotonic() > deadline:
                machine.fail("the reconciliation did not end in time")
            time.sleep(LOOK_SECONDS)
        return shown

    def _ask(self, path: str, content: bytes | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "text/csv"}
        request = urllib.request.Request(self._base + path, data=content, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            shown: dict[str, Any] = json.load(answer)
        return shown


def main() -> None:
    """Print how long files take, by themselves."""
    with machine.started() as started:
        url = started.database("bench_reconciliation")
        figures = Files(url, started.bursar(url, SETTINGS), started.token).reconcile(10)
    print(f"{ROWS} rows a file: {figures['per_second']:,.0f} rows a second, {figures['seconds_max']:.2f} s at the most")


if __name__ == "__main__":
    main()
