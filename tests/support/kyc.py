"""A service of ours beside a KYC service, as its tests drive it."""

from typing import Any

from bursar.domains.kyc import service as kyc
from bursar.domains.kyc.model import Status, SubjectType
from bursar.infra.commands import Command
from bursar.infra.db import SYSTEM, Tx
from simulators.kyc import KycService
from tests.support.api import json_of, unique
from tests.support.service import Service

KYC = "/api/v1/kyc"


class Stage:
    """A service of ours beside a KYC service, and how a vendor stands in it."""

    def __init__(self, service: Service, there: KycService) -> None:
        self.service = service
        self.there = there
        self.api = service.api.as_("service")

    async def request(self, vendor: str, **body: Any) -> Any:
        return json_of(await self.api.call("POST", f"{KYC}/VENDOR/{vendor}/checks", body), 202)

    async def shown(self, vendor: str) -> Any:
        return json_of(await self.api.get(f"{KYC}/VENDOR/{vendor}"), 200)

    async def events(self, vendor: str) -> list[str]:
        row_id = (await self.shown(vendor))["id"]
        rows = await self.service.fetch("select type from events where stream = $1 order by version", row_id)
        return [row[0] for row in rows]

    async def until_decided(self, vendor: str) -> Any:
        """Let time pass and jobs run until the check is decided."""
        for _ in range(30):
            await self.service.run_jobs()
            shown = await self.shown(vendor)
            if shown["status"] != "PENDING":
                return shown
            self.service.clock.advance(minutes=20)
        raise AssertionError(f"{vendor} stays PENDING")

    async def decide(self, vendor: str, decision: str, **rest: Any) -> Any:
        """The answer to a person's decision."""
        body = {"decision": decision, "reason": "papers seen", **rest}
        return await self.service.api.as_("risk").call("PUT", f"{KYC}/VENDOR/{vendor}/decision", body)

    async def status_of(self, subject_id: str, kind: SubjectType = SubjectType.VENDOR) -> Status:
        """What another domain is told in its transaction."""

        async def ask(tx: Tx) -> Status:
            return await kyc.status_of(tx, kind, subject_id)

        return await self.service.app.batcher.run(Command("test.kyc", unique("test"), ask, SYSTEM))

    async def require(self, subject_id: str) -> None:
        """As another domain requires it in its transaction."""

        async def ask(tx: Tx) -> None:
            await kyc.require_verified(tx, SubjectType.VENDOR, subject_id)

        await self.service.app.batcher.run(Command("test.kyc", unique("test"), ask, SYSTEM))
