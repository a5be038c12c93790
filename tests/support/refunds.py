"""Refunds as tests ask for them: a shop that sold, a desk that gives back, and people who approve."""

from typing import Any

import httpx

from bursar import wiring
from bursar.infra.jobs import Worker
from tests.support.api import Api, json_of, unique
from tests.support.service import Service
from tests.support.transactions import Shop

REFUNDS = "/api/v1/refunds"


class Desk:
    """A service of the platform that sells and gives back; `ann` and `ben` of finance approve."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.api = service.api.as_("service", subject="shop")
        self.ann = service.api.as_("finance", subject="ann")
        self.ben = service.api.as_("finance", subject="ben")
        self.shop = Shop(self.api)

    async def post(self, payment_id: str, *, by: Api | None = None, key: str | None = None, **body: Any) -> Any:
        """The answer to a refund of a payment that somebody asks for."""
        body = {"paymentId": payment_id, "reason": "CUSTOMER_REQUEST", **body}
        body = {name: value for name, value in body.items() if value is not None}
        return await (by or self.api).call("POST", REFUNDS, body, key=key)

    async def asked(self, payment_id: str, amount: int | None = None, **changes: Any) -> dict[str, Any]:
        """A new refund of a payment."""
        return dict(json_of(await self.post(payment_id, amount=amount, **changes), 201))

    async def act(
        self, refund_id: str, action: str, *, by: Api | None = None, key: str | None = None, **options: Any
    ) -> httpx.Response:
        """The answer to one of the actions on a refund."""
        body = {"reason": "so it is"} if action in ("reject", "fail") else {}
        body |= options.pop("body", {})
        return await (by or self.api).call("POST", f"{REFUNDS}/{refund_id}/{action}", body, key=key, **options)

    async def done(self, refund_id: str, action: str, **options: Any) -> dict[str, Any]:
        """The refund after an action that answers 200."""
        return dict(json_of(await self.act(refund_id, action, **options), 200))

    async def show(self, refund_id: str, *, by: Api | None = None) -> dict[str, Any]:
        return dict(json_of(await (by or self.api).get(f"{REFUNDS}/{refund_id}"), 200))

    async def paid(self, amount: int = 100, method: str = "pm_sandbox_visa", **changes: Any) -> dict[str, Any]:
        """A captured payment without vendors."""
        return await self.shop.captured(amount, paymentMethodId=method, **changes)

    async def refunded(self, payment_id: str, amount: int | None = None, **changes: Any) -> dict[str, Any]:
        """A refund that is completed."""
        refund = await self.asked(payment_id, amount, **changes)
        return await self.done(refund["id"], "process")

    async def under_way(self, when: str = "after", amount: int = 40, **changes: Any) -> dict[str, Any]:
        """A refund in PROCESSING whose answer was lost `after` or `before` the provider did it, or that is
        `pending` there.
        """
        method = "pm_sandbox_refund_pending" if when == "pending" else f"pm_sandbox_refund_timeout_{when}_effect"
        payment = await self.paid(method=method, **changes)
        refund = await self.asked(payment["id"], amount)
        return dict(json_of(await self.act(refund["id"], "process"), 202))

    async def run_once(self) -> int:
        """Run the jobs that are due, each once, however long that takes. Returns how many."""
        return await Worker(self.service.app, wiring.JOBS, []).run_due()

    async def attempt_id(self, refund_id: str) -> str:
        """The provider's key of the last step of a refund."""
        return str((await self.service.fetch("select attempt_id from refunds where id = $1", refund_id))[0][0])

    async def balances(self, about: str) -> dict[str, int]:
        """What the ledger says of an object: the sum by account, without those that are even."""
        rows = await self.service.fetch(
            "select account, sum(amount)::bigint from postings where about = $1 group by 1 having sum(amount) <> 0",
            about,
        )
        return {row[0]: row[1] for row in rows}

    async def events(self, refund_id: str) -> list[str]:
        """The types of a refund's events, oldest first."""
        rows = await self.service.fetch("select type from events where stream = $1 order by version", refund_id)
        return [row[0] for row in rows]


def customer_of(service: Service, customer_id: str) -> Api:
    """The customer of that id, signed in."""
    return service.api.as_("customer", customer_id=customer_id)


def vendor() -> str:
    """A vendor that no other test has."""
    return unique("vendor")
