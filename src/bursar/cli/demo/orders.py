"""Orders from a CSV: with columns of our own, or card transactions."""

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import IO, Final

import msgspec

from bursar.kit import money
from bursar.providers.sandbox.methods import METHODS

ORDER_COLUMNS: Final = ("order_id", "customer_id", "vendors", "amount", "currency", "category", "method", "course")
TRANSACTION_COLUMNS: Final = (
    "tx_id",
    "t_seconds",
    "customer_id",
    "terminal_id",
    "amount_cents",
    "fraud",
    "scenario",
)
COURSES: Final = frozenset({"complete", "parts", "less", "automatic", "cancel", "cancel_early", "fail"})
"""What becomes of an order: captured at once, in two parts, in one part only, automatically; called off after or before
the authorization; failed by the shop.
"""

_FOREIGN_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class OrdersError(Exception):
    """The one clear line about a file of orders that cannot be read."""


class Order(msgspec.Struct, frozen=True):
    """What somebody bought. vendors: (vendor, share); amounts in minor units of `currency`. course: one of COURSES."""

    order_id: str
    customer_id: str
    vendors: tuple[tuple[str, int], ...]
    amount: int
    currency: str
    category: str
    method: str
    course: str


def read(path: Path | None, limit: int | None) -> Iterator[Order]:
    """The orders of a file (plain or .gz), `limit` at the most, one after another; those that come with us where None.

    Raises OrdersError that names the line. Card transactions of nothing are passed over.
    """
    return islice(_read(path), limit)


def _read(path: Path | None) -> Iterator[Order]:
    name = "demo_orders.csv" if path is None else str(path)
    line = 1
    try:
        with _open(path) as file:
            rows = csv.reader(file, strict=True)
            header = tuple(next(rows, ()))
            parse = _PARSERS.get(header)
            if parse is None:
                raise OrdersError(f"{name} line 1: the columns have to be {','.join(ORDER_COLUMNS)}")
            for row in rows:
                line = rows.line_num
                if not row:
                    continue
                try:
                    if len(row) != len(header):
                        raise ValueError(f"{len(row)} columns, {len(header)} are needed")
                    order = parse(*row)
                except ValueError as error:
                    raise OrdersError(f"{name} line {line}: {error}") from error
                if order is not None:
                    yield order
    except csv.Error as error:
        raise OrdersError(f"{name} line {line + 1}: {error}") from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise OrdersError(f"{name} cannot be read: {error}") from error


def _open(path: Path | None) -> IO[str]:
    if path is None:
        shipped = resources.files("bursar.data") / "demo_orders.csv"
        return io.TextIOWrapper(shipped.open("rb"), encoding="utf-8", newline="")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _order(
    order_id: str, customer_id: str, vendors: str, amount: str, currency: str, category: str, method: str, course: str
) -> Order:
    _require_ids(order_id=order_id, customer_id=customer_id, category=category)
    if not money.is_currency(currency):
        raise ValueError(f"currency {currency!r} is no code of ISO 4217")
    if method not in METHODS:
        raise ValueError(f"the sandbox knows no method {method!r}")
    if course not in COURSES:
        raise ValueError(f"course {course!r} is none of {', '.join(sorted(COURSES))}")
    total = _amount(amount, "amount")
    if course in ("parts", "less") and total < 2:
        raise ValueError(f"course {course} needs an amount that can be divided")
    return Order(order_id, customer_id, _vendors(vendors, total), total, currency, category, method, course)


def _vendors(text: str, total: int) -> tuple[tuple[str, int], ...]:
    """`vendor` for all of it, or `vendor:amount;vendor:amount` with amounts that sum to `total`."""
    if ";" not in text and not re.search(r":\d+$", text):
        _require_ids(vendors=text)
        return ((text, total),)
    shares = []
    for part in text.split(";"):
        vendor, _, share = part.rpartition(":")
        _require_ids(vendors=vendor)
        shares.append((vendor, _amount(share, f"the share of {vendor}")))
    if sum(share for _, share in shares) != total:
        raise ValueError(f"the shares sum to {sum(share for _, share in shares)}, the amount is {total}")
    return tuple(shares)


def _transaction(
    tx_id: str, t_seconds: str, customer_id: str, terminal_id: str, amount_cents: str, fraud: str, scenario: str
) -> Order | None:
    """A card transaction as an order: the terminal is the vendor, a fraudulent one is paid with a stolen card."""
    _require_ids(tx_id=tx_id, customer_id=customer_id, terminal_id=terminal_id)
    if amount_cents == "0":
        return None
    amount = _amount(amount_cents, "amount_cents")
    method = "pm_sandbox_declined_stolen_card" if fraud == "1" else "pm_sandbox_visa"
    vendors = ((f"terminal-{terminal_id}", amount),)
    return Order(f"tx-{tx_id}", f"customer-{customer_id}", vendors, amount, "EUR", "retail", method, "complete")


_PARSERS: Final[dict[tuple[str, ...], Callable[..., Order | None]]] = {
    ORDER_COLUMNS: _order,
    TRANSACTION_COLUMNS: _transaction,
}


def _amount(text: str, what: str) -> int:
    if not re.fullmatch(r"[0-9]{1,13}", text) or not 1 <= int(text) <= money.AMOUNT_MAX:
        raise ValueError(f"{what} is {text!r}, minor units from 1 to {money.AMOUNT_MAX} are needed")
    return int(text)


def _require_ids(**values: str) -> None:
    for name, value in values.items():
        if not _FOREIGN_ID.fullmatch(value):
            raise ValueError(f"{name} {value!r} is not 1–64 of A-Z a-z 0-9 . _ : -")
