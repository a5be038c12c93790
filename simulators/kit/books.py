"""A provider's own books: what it did with money, to hold our ledger against."""

from typing import Any

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One movement or reservation. kind: the provider's word (charge, refund, payout …). reference: of what it belongs
    to (a payment). amount: minor units, signed as the provider would. key: the idempotency key that caused it. at:
    Unix seconds.
    """

    kind: str
    reference: str
    amount: int
    currency: str
    key: str | None
    at: int
    facts: dict[str, Any] = {}


class Books:
    """Entries in the order in which they were made; nothing is ever changed or taken out."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def record(
        self, kind: str, reference: str, amount: int, currency: str, *, at: int, key: str | None = None, **facts: Any
    ) -> Entry:
        """Write an entry down."""
        entry = Entry(kind, reference, amount, currency, key, at, facts)
        self.entries.append(entry)
        return entry

    def of(self, kind: str, reference: str | None = None) -> list[Entry]:
        """The entries of a kind, and of a reference where one is given."""
        return [entry for entry in self.entries if entry.kind == kind and reference in (None, entry.reference)]

    def total(self, kind: str, currency: str) -> int:
        """The sum of a kind in a currency, in minor units."""
        return sum(entry.amount for entry in self.entries if entry.kind == kind and entry.currency == currency)

    def state(self) -> dict[str, Any]:
        """As `GET /_sim/books` shows it: the entries, and totals by kind and currency."""
        totals: dict[str, dict[str, int]] = {}
        for entry in self.entries:
            by_currency = totals.setdefault(entry.kind, {})
            by_currency[entry.currency] = by_currency.get(entry.currency, 0) + entry.amount
        return {"entries": msgspec.to_builtins(self.entries), "totals": totals}
