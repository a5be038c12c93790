"""What the ledger says of an account, as movements to hold a provider's rows against."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from bursar.domains.context import App
from bursar.domains.disputes import service as disputes
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import Moved
from bursar.domains.payments import service as payments
from bursar.domains.reconciliations import store
from bursar.domains.reconciliations.matching import Ours, strangers
from bursar.domains.reconciliations.model import Movement, Reconciliation, Row
from bursar.domains.refunds import service as refunds

MOVEMENTS: Final[dict[str, Movement]] = {
    # first part of the journal's reference; the second is the id of what it is of
    "capture": Movement.CHARGE,
    "refund": Movement.REFUND,
    "dispute": Movement.DISPUTE,
}
FEE: Final = "fee"
"""The third part where a dispute's fee moved."""

OUR_PAYOUT: Final = "reconciliation.payout"
OWN: Final = "reconciliation"
"""What the types of this domain's journals begin with. On a bank's account payouts alone are movements."""

CHUNK: Final = 5_000
"""Ids that one query takes."""

Owners = dict[str, tuple[str, str | None]]


async def expected(app: App, row: Reconciliation, rows: Sequence[Row]) -> list[Ours]:
    """The movements of ours that may belong to `rows`: those of the period and of some days around it, and those of
    payments that rows name beyond it. Due are those of the period that no reconciliation told of yet.
    """
    assert row.since is not None and row.until is not None
    around = timedelta(days=app.settings.reconciliation_late_days + 1)
    moved = await ledger.movements(app.database, row.account, since=row.since - around, until=row.until + around)
    if row.provider is None:
        return await _marked(app, [_of_bank(line) for line in moved if _is_of_bank(line)], row)
    found = await _named(app, _joined(moved))
    further = await _of_known_payments(app, row, strangers(rows, found))
    known = {movement.journal_id for movement in found}
    return await _marked(app, [*found, *(movement for movement in further if movement.journal_id not in known)], row)


async def _of_known_payments(app: App, row: Reconciliation, rows: Sequence[Row]) -> list[Ours]:
    """Everything that moved of the payments that `rows` name."""
    assert row.provider is not None
    names = sorted({reference for stranger in rows for reference in stranger.references})
    payment_ids: set[str] = set()
    for some in _chunks(names):
        payment_ids |= set((await payments.known(app, provider=row.provider, references=some)).values())
    moved: list[Moved] = []
    for some in _chunks(sorted(payment_ids)):
        moved += await ledger.movements_about(app.database, row.account, some)
    return await _named(app, _joined(moved))


def _joined(moved: Iterable[Moved]) -> list[Ours]:
    """The movements of captures, refunds and disputes; what one transaction posted of a dispute is one of them."""
    lines: dict[tuple[str, str, datetime], list[Moved]] = defaultdict(list)
    for line in moved:
        kind, _, rest = line.reference.partition(":")
        if kind in MOVEMENTS:
            lines[kind, rest.partition(":")[0], line.occurred_at].append(line)
    return [_ours(MOVEMENTS[kind], owner, together) for (kind, owner, _), together in lines.items()]


def _ours(movement: Movement, owner: str, lines: Sequence[Moved]) -> Ours:
    """What the lines moved; the first says when, and in which journal. `_named` tells the group and the references."""
    fee = sum(line.amount for line in lines if _is_fee(line))
    first = next((line for line in lines if not _is_fee(line)), lines[0])
    return Ours(
        journal_id=first.journal_id,
        group=first.about,
        movement=movement,
        references=(owner,),
        currency=first.currency,
        amount=sum(line.amount for line in lines) - fee,
        fee=-fee,
        occurred_at=first.occurred_at,
        payment_id=first.about,
    )


def _is_fee(line: Moved) -> bool:
    return line.reference.split(":")[2:3] == [FEE]


async def _named(app: App, found: Sequence[Ours]) -> list[Ours]:
    """The movements with all that the provider may call them, and with their payments."""
    of_refunds = await _owners(app, found, Movement.REFUND)
    of_disputes = await _owners(app, found, Movement.DISPUTE)
    owners = of_refunds | of_disputes
    payment_of = {m.journal_id: owners[m.references[0]][0] if m.references[0] in owners else m.group for m in found}
    of_payments: dict[str, str | None] = {}
    for some in _chunks(sorted(set(payment_of.values()))):
        of_payments |= await payments.references(app, some)
    told = []
    for movement in found:
        payment_id = payment_of[movement.journal_id]
        own = owners[movement.references[0]][1] if movement.references[0] in owners else None
        names = (own, *movement.references, of_payments.get(payment_id))
        told.append(
            msgspec.structs.replace(
                movement,
                group=payment_id,
                payment_id=payment_id if payment_id in of_payments else None,
                references=tuple(name for name in names if name is not None),
            )
        )
    return told


async def _owners(app: App, found: Sequence[Ours], movement: Movement) -> Owners:
    """The payment and the provider's reference of each refund, or dispute."""
    asked = refunds.references if movement is Movement.REFUND else disputes.references
    told: Owners = {}
    for some in _chunks(sorted({m.references[0] for m in found if m.movement is movement})):
        told |= await asked(app, some)
    return told


def _is_of_bank(line: Moved) -> bool:
    return line.type == OUR_PAYOUT or not line.type.startswith(OWN)


def _of_bank(line: Moved) -> Ours:
    """A movement on a bank's account: known by the parts of its journal's reference, but for a provider's name."""
    parts = line.reference.split(":")[2 if line.type == OUR_PAYOUT else 1 :]
    return Ours(
        journal_id=line.journal_id,
        group=line.journal_id,
        movement=Movement.ENTRY,
        references=tuple(part for part in parts if part),
        currency=line.currency,
        amount=line.amount,
        fee=0,
        occurred_at=line.occurred_at,
    )


async def _marked(app: App, found: Sequence[Ours], row: Reconciliation) -> list[Ours]:
    """The movements, marked with what is due and with what other items say of them."""
    assert row.since is not None and row.until is not None
    known: dict[str, store.Known] = {}
    for some in _chunks([movement.journal_id for movement in found]):
        known |= await store.journals_known(app.database, some)
    told = []
    for movement in found:
        of_item = known.get(movement.journal_id)
        told.append(
            msgspec.structs.replace(
                movement,
                is_due=row.since <= movement.occurred_at < row.until and movement.journal_id not in known,
                is_spent=of_item is not None and of_item.is_spent,
                missing_item=None if of_item is None else of_item.missing_item,
            )
        )
    return told


def _chunks(names: Sequence[str]) -> list[Collection[str]]:
    return [names[start : start + CHUNK] for start in range(0, len(names), CHUNK)]
