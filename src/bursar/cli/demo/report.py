"""What the demo prints at its end."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from bursar.cli.demo.shop import Day
from bursar.kit import money

Advance = Callable[[], None]
SURPRISES_SHOWN_MAX: Final = 10
_MANY: Final = re.compile(r"^(vendor|escrow|receivable):[^:]+")
OPERATIONS: Final = ("create", "authorize", "capture", "complete", "cancel", "fail", "get")


def show(console: Console, day: Day, nanoseconds: int) -> None:
    """Statuses, money, latencies and surprises of a day that took so long."""
    _show_money(console, day)
    _show_latencies(console, day)
    orders, requests = sum(day.statuses.values()), sum(map(len, day.microseconds.values()))
    by_second = [count * 10**9 // max(1, nanoseconds) for count in (orders, requests)]
    console.print(
        f"{orders} checkouts of {requests} requests in {_decimal(nanoseconds, 9, 2)} s: "
        f"{by_second[0]} checkouts and {by_second[1]} requests a second\n"
    )
    for surprise in day.surprises[:SURPRISES_SHOWN_MAX]:
        console.print(f"[red]surprise[/]: {surprise}")
    if len(day.surprises) > SURPRISES_SHOWN_MAX:
        console.print(f"and {len(day.surprises) - SURPRISES_SHOWN_MAX} more surprises")


def _show_money(console: Console, day: Day) -> None:
    table = _table("Orders by final status", ["status", "orders", "currency", "ordered", "captured"], left=(0, 2))
    before = ""
    for (status, currency), (_, amount, captured) in sorted(day.money.items()):
        head = (status, str(day.statuses[status])) if status != before else ("", "")
        table.add_row(*head, currency, display(amount, currency), display(captured, currency))
        before = status
    console.print(table)


def _show_latencies(console: Console, day: Day) -> None:
    table = _table("Latency in milliseconds", ["operation", "requests", "p50", "p95", "p99", "max"], left=(0,))
    for operation in OPERATIONS:
        if values := sorted(day.microseconds.get(operation, [])):
            shown = [_decimal(percentile(values, share), 3, 1) for share in (50, 95, 99, 100)]
            table.add_row(operation, str(len(values)), *shown)
    console.print(table)


def show_trial_balance(console: Console, balances: Sequence[tuple[str, str, int]]) -> None:
    """The accounts on their sides, those of all vendors (escrows, customers) in one line, and each currency's sums."""
    table = _table("Trial balance", ["account", "currency", "debit", "credit"], left=(0, 1))
    sides: dict[str, dict[str, list[int]]] = {}
    for name, currency, balance in sorted(balances, key=lambda row: (row[1], row[0])):
        for line in (_MANY.sub(r"\1:*", name), "total"):
            entry = sides.setdefault(currency, {}).setdefault(line, [0, 0])
            entry[balance < 0] += abs(balance)
    for currency, lines in sides.items():
        total = lines.pop("total")
        for name, entry in [*lines.items(), ("total", total)]:
            shown = [display(amount, currency) if amount else "" for amount in entry]
            table.add_row(name, currency, *shown, style="bold" if name == "total" else "")
    console.print(table)


def percentile(values: Sequence[int], share: int) -> int:
    """The smallest of the sorted `values` that `share` percent of them do not exceed."""
    return values[max(0, -(-len(values) * share // 100) - 1)]


def display(amount: int, currency: str) -> str:
    """An amount with its decimal point and its thousands apart."""
    whole, point, fraction = money.display(amount, currency).partition(".")
    return f"{int(whole):,}{point}{fraction}"


def _decimal(value: int, digits: int, shown: int) -> str:
    """An integer of 10^-`digits` as a decimal with `shown` digits, rounded down."""
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest // 10 ** (digits - shown):0{shown}d}"


def _table(title: str, columns: Sequence[str], *, left: Sequence[int]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index in left else "right", no_wrap=True)
    return table
