"""Transactions as tests make them: charges to share out, and whole checkouts over HTTP."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import hypothesis.strategies as st
import msgspec

from bursar.domains.transactions.model import Allocation, Status, Transaction, Type
from bursar.domains.transactions.shares import Share, moved
from tests.support.api import Api, json_of

TRANSACTIONS = "/api/v1/payments"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_numbers = count(1)


def charge(*lines: tuple[str, int, int], **changes: Any) -> Transaction:
    """A completed charge of lines: the vendor, the gross, the commission in it."""
    allocations = tuple(
        Allocation(vendor, gross, commission, gross - commission) for vendor, gross, commission in lines
    )
    number = next(_numbers)
    fields = {
        "id": f"00000000-0000-7000-8000-{number:012x}",
        "version": 1,
        "payment_id": "p",
        "order_id": "o",
        "customer_id": "c",
        "type": Type.CHARGE,
        "status": Status.COMPLETED,
        "amount": sum(gross for _, gross, _ in lines),
        "currency": "EUR",
        "allocations": allocations,
        "amount_refunded": 0,
        "commission_total": sum(commission for _, _, commission in lines),
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "completed_at": NOW,
    }
    return Transaction(**{**fields, **changes})


def after(charges: Sequence[Transaction], shares: Sequence[Share], *actions: str) -> list[Transaction]:
    """The charges after these actions on the shares, as the service leaves them."""
    changed = {one.id: list(one.allocations) for one in charges}
    for action in actions:
        for share in shares:
            lines = changed[share.transaction_id]
            lines[share.line] = moved(lines[share.line], share, action)
    return [msgspec.structs.replace(one, allocations=tuple(changed[one.id])) for one in charges]


@st.composite
def charges(draw: st.DrawFn) -> list[Transaction]:
    """One to three charges of one to three lines, whose commissions are anything that can be."""
    made = []
    for _ in range(draw(st.integers(1, 3))):
        lines = []
        for _ in range(draw(st.integers(1, 3))):
            gross = draw(st.integers(1, 60) | st.integers(1, 10**12))
            lines.append((draw(st.sampled_from("abc")), gross, draw(st.integers(0, gross))))
        made.append(charge(*lines))
    return made


class Shop:
    """Somebody who sells for vendors, over HTTP."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def captured(self, amount: int = 100, **changes: Any) -> dict[str, Any]:
        """A payment of so much that is captured whole."""
        payment = await self.api.authorized(amount=amount, **changes)
        return dict(json_of(await self.api.capture(payment["id"]), 200))

    async def sold(self, shares: Mapping[str, int], **changes: Any) -> dict[str, Any]:
        """A captured payment with a split for each vendor; the charge that its capture made."""
        sent = [{"vendorId": vendor, "amount": amount} for vendor, amount in shares.items()]
        payment = await self.captured(sum(shares.values()), splits=sent, **changes)
        return (await self.of_order(payment["orderId"]))[0]

    async def of_order(self, order_id: str) -> list[dict[str, Any]]:
        """The transactions of an order, newest first."""
        return list(json_of(await self.api.get(f"{TRANSACTIONS}/order/{order_id}", limit=100), 200)["data"])

    async def post(self, payment_id: str, shares: Mapping[str, int], *, key: str | None = None, **changes: Any) -> Any:
        """The answer to a transaction that allocates so much to each vendor."""
        sent = [{"vendorId": vendor, "amount": amount} for vendor, amount in shares.items()]
        body = {"paymentId": payment_id, "amount": sum(shares.values()), "allocations": sent, **changes}
        return await self.api.call("POST", TRANSACTIONS, body, key=key)

    async def allocated(self, payment_id: str, shares: Mapping[str, int], **changes: Any) -> dict[str, Any]:
        """A PENDING transaction that allocates so much to each vendor."""
        return dict(json_of(await self.post(payment_id, shares, **changes), 201))

    async def end(self, transaction: Mapping[str, Any], action: str, **options: Any) -> Any:
        """The answer to completing or failing a transaction."""
        body = {"reason": "not shipped"} if action == "fail" else {}
        body |= options.pop("body", {})
        return await self.api.call("PUT", f"{TRANSACTIONS}/{transaction['id']}/{action}", body, **options)

    async def show(self, transaction_id: str) -> dict[str, Any]:
        return dict(json_of(await self.api.get(f"{TRANSACTIONS}/{transaction_id}"), 200))
