"""A commission rule over past charges: what was earned, and what would have been with it in force."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Any, Final

import msgspec

from bursar.domains.commissions import service as commissions
from bursar.domains.commissions.model import Commission, Facts, Rule
from bursar.domains.context import App
from bursar.domains.transactions import store
from bursar.domains.transactions.model import Allocation, Transaction
from bursar.domains.transactions.schemas import Backtest
from bursar.domains.transactions.volumes import Volumes, Window
from bursar.infra.answer import Answer, ok
from bursar.kit import ids

CHARGES_AT_ONCE: Final = 200
ALLOCATIONS_AT_ONCE: Final = 50
"""Allocations after which other requests have their turn."""

ALLOCATIONS_MAX: Final = 200_000
"""How many allocations one run looks at; further ones are for the next run."""

SAMPLES_MAX: Final = 20


class Sums(msgspec.Struct, rename="camel"):
    """Of one currency, minor units. earned: what was charged in fact; without_rule, with_rule: by the rules that are
    active now, without the tried one and with it. changed: for how many allocations another one counts with it.
    """

    currency: str
    allocations: int = 0
    gross: int = 0
    earned: int = 0
    without_rule: int = 0
    with_rule: int = 0
    changed: int = 0


class _Sale(msgspec.Struct, frozen=True):
    """An allocation as rules see it; sold_before: by its vendor, in the same charge."""

    charge: Transaction
    line: int
    facts: Facts
    sold_before: int

    @property
    def allocation(self) -> Allocation:
        return self.charge.allocations[self.line]


class _Run:
    """What was found so far. without, including: the rules, as `commissions.trial` arranges them."""

    def __init__(self, without: Any, including: Any) -> None:
        self.without = without
        self.including = including
        self.volumes = Volumes()
        self.sums: dict[str, Sums] = {}
        self.samples: list[dict[str, Any]] = []
        self.charges = 0
        self.allocations = 0

    def add(self, sale: _Sale, without: Commission, including: Commission) -> None:
        allocation, currency = sale.allocation, sale.charge.currency
        sums = self.sums.setdefault(currency, Sums(currency))
        is_changed = without.rule_id != including.rule_id
        self.allocations += 1
        sums.allocations += 1
        sums.gross += allocation.gross_amount
        sums.earned += allocation.commission_amount
        sums.without_rule += without.amount
        sums.with_rule += including.amount
        sums.changed += is_changed
        if is_changed and len(self.samples) < SAMPLES_MAX:
            self.samples.append(_sample(sale, without, including))


async def run(app: App, rule_id: str, request: Backtest) -> Answer:
    """Try a rule, whatever its status and its dates, on the charges that were completed in [from, to), beside the rules
    that are active now. Nothing is written, and other requests have their turn meanwhile.

    Where there are more than ALLOCATIONS_MAX allocations, those after `through` were not looked at. Raises NotFound.
    """
    rule: Rule = await commissions.get(app, rule_id)
    run = _Run(*await asyncio.to_thread(commissions.trial, app, rule))
    behind, is_complete = (request.since - timedelta(microseconds=1), ids.LAST), False
    while not is_complete and run.allocations < ALLOCATIONS_MAX:
        charges = await store.completed_charges(
            app.database, since=request.since, until=request.until, after=behind, limit=CHARGES_AT_ONCE
        )
        await _look_at(app, run, charges)
        is_complete = len(charges) < CHARGES_AT_ONCE
        if charges:
            last = charges[-1]
            assert last.completed_at is not None
            behind = (last.completed_at, last.id)
    return ok(
        {
            "ruleId": rule.id,
            "ruleVersion": rule.version,
            "from": request.since,
            "to": request.until,
            "through": request.until if is_complete else behind[0].astimezone(UTC),
            "isComplete": is_complete,
            "charges": run.charges,
            "currencies": sorted(run.sums.values(), key=lambda sums: sums.currency),
            "samples": run.samples,
        }
    )


async def _look_at(app: App, run: _Run, charges: Sequence[Transaction]) -> None:
    """Charge the allocations of a page by both sets of rules."""
    chosen: list[tuple[_Sale, list[Rule | None]]] = []
    for number, sale in enumerate(_sales(charges), 1):
        chosen.append((sale, [index.choose(sale.facts, limit=0).winner for index in (run.without, run.including)]))
        if number % ALLOCATIONS_AT_ONCE == 0:
            await asyncio.sleep(0)
    windows = dict.fromkeys(window for sale, rules in chosen for rule in rules if (window := _window(sale, rule)))
    volumes = await run.volumes.read(app, list(windows))
    run.charges += len(charges)
    for number, (sale, rules) in enumerate(chosen, 1):
        without, including = (_charged(sale, rule, volumes) for rule in rules)
        run.add(sale, without, including)
        if number % ALLOCATIONS_AT_ONCE == 0:
            await asyncio.sleep(0)


def _sales(charges: Sequence[Transaction]) -> Iterator[_Sale]:
    for charge in charges:
        before: dict[str, int] = {}
        for line, allocation in enumerate(charge.allocations):
            vendor_id = allocation.vendor_id
            facts = Facts(
                vendor_id=vendor_id,
                amount=allocation.gross_amount,
                currency=charge.currency,
                at=charge.created_at,
                category_id=allocation.category_id,
                customer_id=charge.customer_id,
            )
            yield _Sale(charge, line, facts, before.get(vendor_id, 0))
            before[vendor_id] = before.get(vendor_id, 0) + allocation.gross_amount


def _window(sale: _Sale, rule: Rule | None) -> Window | None:
    """Within what the vendor's sales count for a rule's tiers; None where nothing does."""
    if rule is None or rule.volume_window_days is None:
        return None
    return Window(sale.facts.vendor_id, sale.facts.currency, rule.volume_window_days, sale.facts.at)


def _charged(sale: _Sale, rule: Rule | None, volumes: dict[Window, int]) -> Commission:
    window, facts = _window(sale, rule), sale.facts
    if window is not None:
        facts = msgspec.structs.replace(facts, volume=volumes[window] + sale.sold_before)
    return commissions.charge(rule, facts)


def _sample(sale: _Sale, without: Commission, including: Commission) -> dict[str, Any]:
    allocation = sale.allocation
    return {
        "transactionId": sale.charge.id,
        "line": sale.line,
        "vendorId": allocation.vendor_id,
        "categoryId": allocation.category_id,
        "amount": allocation.gross_amount,
        "currency": sale.charge.currency,
        "at": sale.facts.at,
        "earned": {"ruleId": allocation.commission_rule_id, "commissionAmount": allocation.commission_amount},
        "withoutRule": {"ruleId": without.rule_id, "commissionAmount": without.amount},
        "withRule": {"ruleId": including.rule_id, "commissionAmount": including.amount},
    }
