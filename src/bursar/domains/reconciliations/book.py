"""Booking what was found: items and journals, some hundreds in one transaction, so that none is booked twice and a
killed worker's work goes on where it stopped.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from bursar.domains.context import App
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import PROVIDER_FEES, SUSPENSE, Line, bank
from bursar.domains.reconciliations import store
from bursar.domains.reconciliations.change import change, change_item, create_item
from bursar.domains.reconciliations.formats.reading import kept
from bursar.domains.reconciliations.matching import Finding
from bursar.domains.reconciliations.model import (
    AGREED,
    Explanation,
    Item,
    ItemStatus,
    Kind,
    Movement,
    Reconciliation,
    Target,
    Totals,
)
from bursar.domains.reconciliations.ours import OUR_PAYOUT
from bursar.infra.db import Origin, Tx
from bursar.infra.jobs import NotYet
from bursar.kit import ids

CHUNK: Final = 500
"""Findings booked in one transaction."""


async def book(app: App, origin: Origin, seen: Reconciliation, findings: Sequence[Finding]) -> Reconciliation:
    """Write the items of `findings` and post their journals, in one transaction. Returns the reconciliation after.

    Raises NotYet where somebody else goes on with it.
    """
    async with app.database.transaction(now=app.clock.now(), origin=origin) as tx:
        return await _book(tx, seen, findings)


async def _book(tx: Tx, seen: Reconciliation, findings: Sequence[Finding]) -> Reconciliation:
    before = await store.lock(tx, seen.id)
    if before.version != seen.version:
        raise NotYet("another worker goes on with this reconciliation")
    fees = Counter[str]()
    for finding in findings:
        item = _item(tx, before, finding)
        create_item(tx, item)
        _post(tx, before, finding, item)
        if finding.row is not None and finding.kind is not Kind.REPEATED:
            fees[finding.row.currency] += finding.fee
        for earlier_id in _closed_by(finding):
            await _resolve(tx, before, earlier_id)
    for currency, fee in sorted(fees.items()):
        if fee:
            ledger.post(
                tx,
                journal_type="reconciliation.fees",
                reference=f"reconciliation:{before.id}:fees:{before.version}:{currency}",
                currency=currency,
                about=before.id,
                lines=(Line(PROVIDER_FEES, fee), Line(before.account, -fee)),
            )
    counts, totals = _added(before, findings)
    return change(tx, before, "go_on", counts=counts, totals=totals)


def _item(tx: Tx, reconciliation: Reconciliation, finding: Finding) -> Item:
    row, ours = finding.row, finding.ours
    is_earlier = row is not None and row.closes is not None
    closes = _closed_by(finding)
    return Item(
        id=ids.new(tx.now),
        version=1,
        reconciliation_id=reconciliation.id,
        account=reconciliation.account,
        row_key=finding.key,
        kind=finding.kind,
        status=ItemStatus.CLOSED if finding.kind in AGREED else ItemStatus.OPEN,
        movement=row.movement if row is not None else _movement(finding),
        suspense=finding.suspense,
        explanations=(),
        created_at=tx.now,
        updated_at=tx.now,
        line=None if row is None else row.line,
        row_id=None if row is None or is_earlier else row.id,
        their_references=None if row is None else tuple(map(kept, row.references)),
        currency=None if row is None else row.currency,
        gross=None if row is None else row.gross,
        fee=None if row is None else row.fee,
        net=None if row is None else row.net,
        occurred_at=None if row is None else row.occurred_at,
        journal_id=None if ours is None else ours.journal_id,
        payment_id=finding.payment_id if ours is None else ours.payment_id,
        expected_currency=None if ours is None else ours.currency,
        expected_amount=None if ours is None else ours.amount,
        expected_fee=finding.expected_fee,
        expected_at=None if ours is None else ours.occurred_at,
        closes=closes[0] if closes else None,
    )


def _movement(finding: Finding) -> Movement:
    assert finding.ours is not None, "a finding is of a row, of ours, or of both"
    return finding.ours.movement


def _closed_by(finding: Finding) -> list[str]:
    """The earlier item that said that one of the two was missing."""
    told = (finding.row.closes if finding.row else None, finding.ours.missing_item if finding.ours else None)
    return [item_id for item_id in told if item_id is not None]


def _post(tx: Tx, reconciliation: Reconciliation, finding: Finding, item: Item) -> None:
    """Post a payout as arrived at the bank, and what differs as suspense; the rest is of the account."""
    for currency, amount in finding.suspense.items():
        _post_pair(tx, reconciliation, item, SUSPENSE, currency, amount, "reconciliation.difference", "suspense")
    if finding.payout and finding.row is not None:
        named = [kept(name) for name in finding.row.references[:1]]
        ledger.post(
            tx,
            journal_type=OUR_PAYOUT,
            reference=":".join(("payout", reconciliation.provider or "", item.id, finding.row.id, *named)),
            currency=finding.row.currency,
            about=item.id,
            lines=(
                Line(bank(reconciliation.bank), finding.payout),
                Line(reconciliation.account, -finding.payout),
            ),
        )


def _post_pair(
    tx: Tx,
    reconciliation: Reconciliation,
    item: Item,
    account: str,
    currency: str,
    amount: int,
    journal_type: str,
    what: str,
) -> None:
    ledger.post(
        tx,
        journal_type=journal_type,
        reference=f"reconciliation_item:{item.id}:{what}:{currency}",
        currency=currency,
        about=item.id,
        lines=(Line(account, amount), Line(reconciliation.account, -amount)),
    )


async def _resolve(tx: Tx, reconciliation: Reconciliation, item_id: str) -> None:
    """What was missing came: what lay in suspense for it goes back. One that was explained meanwhile stays."""
    earlier = await store.lock_item(tx, item_id)
    if earlier.status is not ItemStatus.OPEN:
        raise NotYet("an item was explained just now that this reconciliation would have resolved")
    for currency, amount in earlier.suspense.items():
        _post_pair(
            tx, reconciliation, earlier, SUSPENSE, currency, -amount, "reconciliation.difference_resolved", "resolved"
        )
    change_item(tx, earlier, "resolve")


def explain(tx: Tx, reconciliation: Reconciliation, item: Item, explanation: Explanation) -> Item:
    """Move a difference out of suspense, to where the explanation says.

    Emits reconciliation_item.explained, or .note_added. Posts where there is anything in suspense.
    """
    explanations = (*item.explanations, explanation)
    if item.status is ItemStatus.EXPLAINED and explanation.account is None:
        return change_item(tx, item, "note", explanations=explanations)
    after = change_item(tx, item, "explain", explanations=explanations)
    assert explanation.account is not None
    target = reconciliation.account if explanation.account is Target.CLEARING else explanation.account
    for currency, amount in item.suspense.items():
        ledger.post(
            tx,
            journal_type="reconciliation.explained",
            reference=f"reconciliation_item:{item.id}:explained:{currency}",
            currency=currency,
            about=item.id,
            lines=(Line(target, amount), Line(SUSPENSE, -amount)),
        )
    return after


def _added(before: Reconciliation, findings: Sequence[Finding]) -> tuple[dict[str, int], dict[str, Totals]]:
    """The counts and totals with these findings."""
    counts = Counter(before.counts)
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for currency, totals in before.totals.items():
        sums[currency].update({name: getattr(totals, name) for name in Totals.__struct_fields__})
    for finding in findings:
        counts[finding.kind.value] += 1
        row = finding.row
        if row is not None and row.closes is None:
            of_row = sums[row.currency]
            of_row["gross"] += row.gross
            of_row["fee"] += row.fee
            of_row["net"] += row.net
            if not finding.suspense and finding.kind is not Kind.REPEATED:
                of_row["matched"] += row.net
        for currency, amount in finding.suspense.items():
            sums[currency]["suspense"] += amount
    return dict(counts), {currency: Totals(**of_currency) for currency, of_currency in sums.items()}
