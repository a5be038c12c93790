"""Money taken back from transactions by the functions that refunds and disputes call, without either."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from bursar.domains.ledger import service as ledger
from bursar.domains.ledger.model import COMMISSION, REFUNDS, UNALLOCATED, Line, clearing, vendor_pending
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Payment
from bursar.domains.transactions import service as transactions
from bursar.domains.transactions import store
from bursar.domains.transactions.model import Status, Transaction, Type
from bursar.domains.transactions.shares import Share, share_out
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Tx
from bursar.kit import ids
from tests.support.service import Service


class Taken(NamedTuple):
    """A refund that was asked for. counter: its transaction's id."""

    refund_id: str
    payment_id: str
    amount: int
    shares: tuple[Share, ...]
    unallocated: int
    counter: str


class Taker:
    """Asks for refunds and settles them, as the refunds do it."""

    def __init__(self, service: Service) -> None:
        self.app = service.app

    async def run(self, payment_id: str, decide: Callable[[Tx], Coroutine[Any, Any, Any]]) -> Any:
        return await self.app.batcher.run(Command("test.take", payment_id, decide, SYSTEM))

    async def ask(self, payment_id: str, amount: int, *, keeps_commission: bool = False) -> Taken:
        """Set `amount` aside."""

        async def decide(tx: Tx) -> Taken:
            charges = await transactions.charges(tx, payment_id)
            before = await payments.locked(tx, payment_id)
            shares, unallocated = share_out(
                charges, before.amount_unallocated, amount, keeps_commission=keeps_commission
            )
            payment = await payments.reserve_refund(tx, payment_id, amount, unallocated=unallocated)
            transactions.hold(tx, charges, shares)
            refund_id = ids.new(tx.now)
            counter = transactions.counter(
                tx,
                type_=Type.REFUND,
                payment=payment,
                amount=amount,
                shares=shares,
                parent=None,
                metadata={},
                refund_id=refund_id,
            )
            return Taken(refund_id, payment_id, amount, shares, unallocated, counter.id)

        taken: Taken = await self.run(payment_id, decide)
        return taken

    async def settle(self, taken: Taken) -> None:
        """It has gone back."""

        async def decide(tx: Tx) -> None:
            charges = await transactions.charges(tx, taken.payment_id)
            payment = await payments.book_refund(tx, taken.payment_id, taken.amount)
            transactions.settle(tx, charges, taken.shares)
            await transactions.end_counter(tx, taken.counter, "complete", gateway_reference="gw")
            _post(tx, payment, taken, sign=1)

        await self.run(taken.payment_id, decide)

    async def release(self, taken: Taken) -> None:
        """It came to nothing."""

        async def decide(tx: Tx) -> None:
            charges = await transactions.charges(tx, taken.payment_id)
            await payments.release_refund(tx, taken.payment_id, taken.amount, unallocated=taken.unallocated)
            transactions.release(tx, charges, taken.shares)
            await transactions.end_counter(tx, taken.counter, "fail", reason="declined")

        await self.run(taken.payment_id, decide)

    async def reverse(self, taken: Taken) -> None:
        """It came back."""

        async def decide(tx: Tx) -> None:
            charges = await transactions.charges(tx, taken.payment_id)
            payment = await payments.reverse_refund(tx, taken.payment_id, taken.amount, unallocated=taken.unallocated)
            transactions.unsettle(tx, charges, taken.shares)
            await transactions.end_counter(tx, taken.counter, "reverse", reason="account closed")
            _post(tx, payment, taken, sign=-1)

        await self.run(taken.payment_id, decide)

    async def dispute(self, payment_id: str, amount: int) -> tuple[str, Sequence[Share]]:
        """Take `amount` of the shares at once by a chargeback. Returns its transaction's id and the shares."""

        async def decide(tx: Tx) -> tuple[str, Sequence[Share]]:
            charges = await transactions.charges(tx, payment_id)
            shares, _ = share_out(charges, 0, amount, keeps_commission=False)
            payment = await payments.book_dispute(tx, payment_id, amount, unallocated=0, status="NEEDS_RESPONSE")
            transactions.dispute(tx, charges, shares)
            counter = transactions.counter(
                tx,
                type_=Type.CHARGEBACK,
                payment=payment,
                amount=amount,
                shares=shares,
                parent=None,
                metadata={},
                dispute_id=ids.new(tx.now),
                status=Status.COMPLETED,
            )
            taken = Taken(counter.id, payment_id, amount, tuple(shares), 0, counter.id)
            _post(tx, payment, taken, sign=1)
            return counter.id, shares

        made: tuple[str, Sequence[Share]] = await self.run(payment_id, decide)
        return made

    async def win(self, payment_id: str, amount: int, counter: str, shares: Sequence[Share]) -> None:
        """The chargeback is given back."""

        async def decide(tx: Tx) -> None:
            charges = await transactions.charges(tx, payment_id)
            payment = await payments.end_dispute(tx, payment_id, amount, unallocated=0, status="WON")
            transactions.undispute(tx, charges, shares)
            await transactions.end_counter(tx, counter, "reverse", reason="won")
            _post(tx, payment, Taken(counter, payment_id, amount, tuple(shares), 0, counter), sign=-1)

        await self.run(payment_id, decide)

    async def of_payment(self, payment_id: str) -> list[Transaction]:
        return await store.of_payment(self.app.database, payment_id)


def _post(tx: Tx, payment: Payment, taken: Taken, *, sign: int) -> None:
    lines = [Line(vendor_pending(share.vendor_id), share.net) for share in taken.shares if share.net]
    lines += [Line(COMMISSION, share.commission) for share in taken.shares if share.commission]
    lines += [Line(UNALLOCATED, taken.unallocated, payment.id)] if taken.unallocated else []
    lines += [Line(REFUNDS, -taken.amount), Line(REFUNDS, taken.amount)]
    lines += [Line(clearing(payment.provider), -taken.amount, payment.id)]
    ledger.post(
        tx,
        journal_type="test.taken_back",
        reference=f"test:{taken.refund_id}:{sign}",
        currency=payment.currency,
        about=taken.refund_id,
        lines=[Line(line.account, sign * line.amount, line.about) for line in lines],
    )
