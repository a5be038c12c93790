"""Disputes as tests make them: rows, what providers say of them, and a shop whose customers dispute, over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from bursar import wiring
from bursar.domains.disputes import service as disputes
from bursar.domains.disputes.model import Dispute, Noticed, Status
from bursar.infra.db import SYSTEM
from bursar.providers.port import DisputeReason, DisputeState, DisputeStatus
from tests.support.api import Api, json_of, unique
from tests.support.schemas import event_faults
from tests.support.service import Service

DISPUTES = "/api/v1/disputes"
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DUE = NOW + timedelta(days=10)


def dispute(status: Status = Status.NEEDS_RESPONSE, **changes: Any) -> Dispute:
    """A dispute of 100 EUR that costs 15, in a status."""
    fields = {
        "id": "00000000-0000-7000-8000-000000000001",
        "version": 3,
        "payment_id": "00000000-0000-7000-8000-000000000002",
        "order_id": "o",
        "customer_id": "c",
        "provider": "sandbox",
        "provider_dispute_id": "d-1",
        "amount": 100,
        "currency": "EUR",
        "fee_amount": 0 if status in (Status.ALERT, Status.CLOSED) else 15,
        "reason": DisputeReason.FRAUDULENT,
        "status": status,
        "evidence_names": (),
        "shares": (),
        "amount_booked": 0,
        "amount_unallocated": 0,
        "amount_lost": 0,
        "is_by_hand": False,
        "metadata": {},
        "opened_at": NOW,
        "created_at": NOW,
        "updated_at": NOW,
        "evidence_due_at": DUE,
    }
    return Dispute(**{**fields, **changes})


def state(status: DisputeStatus = DisputeStatus.NEEDS_RESPONSE, **changes: Any) -> DisputeState:
    """What a provider says of that dispute."""
    is_free = status in (DisputeStatus.ALERT, DisputeStatus.CLOSED)
    fields = {
        "reference": "d-1",
        "payment_reference": "p-1",
        "amount": 100,
        "currency": "EUR",
        "fee": 0 if is_free or status is DisputeStatus.WON else 15,
        "reason": DisputeReason.FRAUDULENT,
        "status": status,
        "opened_at": NOW,
        "evidence_due_at": DUE,
        "takes_money": not is_free,
    }
    return DisputeState(**{**fields, **changes})


async def hold(service: Service) -> None:
    """Fail unless every invariant holds; the sandbox's books know nothing of what people wrote down."""
    async with service.connection() as connection:
        for check in wiring.INVARIANTS:
            found = await check(connection)
            assert not any(found.values()), found
        assert not await event_faults(connection, service.url)


class Quarrel:
    """A shop, its customers' disputes at the sandbox, and those who deal with them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.api: Api = service.api.as_("service")
        self.risk: Api = service.api.as_("risk")
        self.finance: Api = service.api.as_("finance")

    async def captured(self, amount: int = 1_000, **changes: Any) -> dict[str, Any]:
        """A payment of so much, captured whole."""
        payment = await self.api.authorized(amount=amount, **changes)
        return dict(json_of(await self.api.capture(payment["id"]), 200))

    async def sold(self, *parts: tuple[str, int], **changes: Any) -> dict[str, Any]:
        """A payment that is captured for vendors: each with its part."""
        splits = [{"vendorId": vendor, "amount": amount} for vendor, amount in parts]
        return await self.captured(sum(amount for _, amount in parts), splits=splits, **changes)

    def disputed_there(self, payment: dict[str, Any], **changes: Any) -> str:
        """The sandbox opens a dispute. Returns its reference."""
        return str(self.service.sandbox.open_dispute(payment["transactionId"], **changes))

    async def told(self, reference: str) -> Noticed | None:
        """The sandbox's notice comes in."""
        return await disputes.on_provider_notice(self.service.app, SYSTEM, provider="sandbox", reference=reference)

    async def opened(self, payment: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """A dispute that the sandbox has opened and told of."""
        reference = self.disputed_there(payment, **changes)
        assert await self.told(reference) is not None
        return await self.by_reference(reference)

    async def moved(self, dispute: dict[str, Any], status: DisputeStatus, **changes: Any) -> dict[str, Any]:
        """The dispute after the sandbox has decided and told of it."""
        self.service.sandbox.move_dispute(dispute["providerDisputeId"], status, **changes)
        await self.told(dispute["providerDisputeId"])
        return await self.show(dispute["id"])

    async def by_reference(self, reference: str) -> dict[str, Any]:
        """The dispute that the sandbox calls so."""
        rows = await self.service.fetch("select id from disputes where provider_dispute_id = $1", reference)
        assert len(rows) == 1
        return await self.show(rows[0]["id"])

    async def show(self, dispute_id: str) -> dict[str, Any]:
        return dict(json_of(await self.risk.get(f"{DISPUTES}/{dispute_id}"), 200))

    async def by_hand(self, payment: dict[str, Any], **changes: Any) -> httpx.Response:
        """Somebody writes a dispute down."""
        request = {
            "paymentId": payment["id"],
            "providerDisputeId": unique("hand"),
            "amount": payment["amountCaptured"],
            "reason": "FRAUDULENT",
            **changes,
        }
        return await self.risk.call("POST", DISPUTES, request)

    async def stage(self, dispute: dict[str, Any], **evidence: str | None) -> dict[str, Any]:
        """Evidence is put beside what is there."""
        path = f"{DISPUTES}/{dispute['id']}/evidence"
        return dict(json_of(await self.risk.call("PUT", path, {"evidence": evidence}), 200))

    async def act(self, dispute: dict[str, Any], action: str, *, key: str | None = None, **body: Any) -> httpx.Response:
        """Submit, accept or close, asked for by finance."""
        return await self.finance.call("POST", f"{DISPUTES}/{dispute['id']}/{action}", body, key=key)

    async def events(self, dispute: dict[str, Any]) -> list[str]:
        """The types of the dispute's events, oldest first, without their prefix."""
        rows = await self.service.fetch("select type from events where stream = $1 order by version", dispute["id"])
        return [row["type"].partition(".")[2] for row in rows]

    async def posted(self, dispute: dict[str, Any]) -> dict[str, list[tuple[str, int, bool]]]:
        """The dispute's journals by the end of their references: account, amount, whether it is about the payment."""
        rows = await self.service.fetch(
            """select j.reference, p.account, p.amount, p.about::text = $2 as is_payments
               from journals j join postings p on p.journal_id = j.id
               where j.reference like 'dispute:' || $1 || ':%' order by j.position, p.line""",
            dispute["id"],
            dispute["paymentId"],
        )
        found: dict[str, list[tuple[str, int, bool]]] = {}
        for row in rows:
            name = row["reference"].split(":", 2)[2]
            found.setdefault(name, []).append((row["account"], row["amount"], row["is_payments"]))
        return found
