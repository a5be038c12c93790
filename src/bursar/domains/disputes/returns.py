"""Debits that had counted as paid and came back: disputes that nobody can contest."""

from typing import Final

from bursar.domains.context import App
from bursar.domains.disputes import store
from bursar.domains.disputes.book import draft, receive
from bursar.domains.disputes.model import Dispute, Status
from bursar.domains.disputes.notices import once
from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import clearing
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Named
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx
from bursar.kit.errors import RowBusy
from bursar.providers.port import BankNews, DisputeReason

REASONS: Final[dict[str, DisputeReason]] = {
    # the bank's code, of NACHA or ISO 20022
    "R05": DisputeReason.FRAUDULENT,
    "R07": DisputeReason.SUBSCRIPTION_CANCELLED,
    "R08": DisputeReason.SUBSCRIPTION_CANCELLED,
    "R10": DisputeReason.UNRECOGNIZED,
    "R11": DisputeReason.NOT_AS_DESCRIBED,
    "R29": DisputeReason.FRAUDULENT,
    "R51": DisputeReason.FRAUDULENT,
    "AM05": DisputeReason.DUPLICATE,
    "FOCR": DisputeReason.SUBSCRIPTION_CANCELLED,
    "FRAD": DisputeReason.FRAUDULENT,
    "MD01": DisputeReason.UNRECOGNIZED,
}
"""Whatever else a bank says is OTHER: no money, no account."""


async def book_return(app: App, origin: Origin, news: BankNews) -> Dispute | None:
    """See service.on_bank_return."""
    await _refuse_under_way(app, news)
    payment = await payments.find_by_step(app, key=news.key)
    if payment is None:
        return None
    moved = await ledger.movements_about(app.database, clearing(payment.provider), [payment.id])
    debited = sum(each.amount for each in moved if each.reference == f"capture:{news.key}")

    async def decide(tx: Tx) -> Dispute:
        known = await store.find_locked(tx, payment.provider, news.id)
        if known is not None:
            return known
        before = await payments.locked(tx, payment.id)
        new = draft(
            tx.now,
            before,
            reference=news.id,
            amount=debited,
            fee=0,
            reason=REASONS.get(news.code, DisputeReason.OTHER),
            opened_at=tx.now,
            metadata={"code": news.code},
        )
        return await receive(tx, new, as_=Status.LOST)

    return await once(app, Command("dispute.bank_return", payment.id, decide, origin))


async def _refuse_under_way(app: App, news: BankNews) -> None:
    """Raise RowBusy while it is not settled whether the debit is booked: that it came back is told again then."""
    named = Named(key=news.key)
    for provider in app.providers:
        if await payments.find(app, provider=provider, named=named) is not None:
            raise RowBusy("the debit is being booked", retry_after=1)
