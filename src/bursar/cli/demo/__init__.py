"""`bursar demo`: a shop's day. Orders become checkouts over HTTP; then money, latencies and the proven ledger."""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bursar.cli import fail
from bursar.cli.demo import report
from bursar.cli.demo.client import Connection
from bursar.cli.demo.orders import Order, OrdersError, read
from bursar.cli.demo.running import Address, service
from bursar.cli.demo.shop import Day, Shop
from bursar.cli.verify import verify
from bursar.domains.ledger import verify as ledger
from bursar.infra.db import prepare_connection
from bursar.settings import Settings

CONNECTIONS_MAX = 512


def run_demo(settings: Settings, *, orders: Path | None, limit: int | None, connections: int) -> int:
    """Drive the orders and show what became of them. Returns 0 where nothing surprised, else 1.

    Uses the service that runs on this data directory, else starts one for its time. orders: a CSV of orders, or of card
    transactions (see `orders.read`); the one that comes with the project where None.
    """
    console = Console(soft_wrap=True, highlight=False)
    if not 1 <= connections <= CONNECTIONS_MAX:
        fail(f"--connections is 1 to {CONNECTIONS_MAX}")
    try:
        total = sum(1 for _ in read(orders, limit))  # a broken line is told before anything is done
    except OrdersError as error:
        fail(str(error))
    with service(settings) as address:
        console.print(f"{total} orders, {connections} at a time, on {address.base}")
        started = time.perf_counter_ns()
        day = uvloop.run(_drive(read(orders, limit), address, connections, total))
        nanoseconds = time.perf_counter_ns() - started
        report.show(console, day, nanoseconds)
        asyncio.run(_show_trial_balance(console, address.database_url))
        is_sound = asyncio.run(verify(settings, address.database_url, console)) == 0
    return 0 if is_sound and not day.surprises else 1


async def _drive(orders: Iterator[Order], address: Address, connections: int, total: int) -> Day:
    """Share the orders among so many connections, each of which takes one checkout after another."""
    day = Day()
    with _progress(total) as advance:

        async def work() -> None:
            connection = Connection(address.host, address.port, address.token)
            shop = Shop(connection, day)
            for order in orders:
                await shop.check_out(order)
                advance()
            connection.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work())
    return day


@contextmanager
def _progress(total: int) -> Iterator["report.Advance"]:
    columns = (TextColumn("checkouts"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)


async def _show_trial_balance(console: Console, url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await prepare_connection(connection)
        report.show_trial_balance(console, await ledger.trial_balance(connection))
    finally:
        await connection.close()
