"""An event of another service that failed, and is sent again just then."""

from typing import Any

import msgspec
import pytest

from bursar import wiring
from bursar.domains.integration import process
from bursar.domains.integration.service import PROCESS
from bursar.infra.jobs import Worker
from tests.support.api import json_of, unique
from tests.support.service import Service

EVENTS = "/api/v1/integration-events"


class TestSentAgain:
    async def test_while_the_job_that_failed_ends(self, private: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its source tries again between the last failure and the end of the job that failed."""
        api = private.api.as_("service")
        document: dict[str, Any] = {
            "specversion": "1.0",
            "id": unique("event"),
            "source": "/platform",
            "type": "order.cancelled",
        }
        document["data"] = {"orderId": unique("order")}
        told = json_of(await api.call("POST", EVENTS, document), 202)

        async def break_down(*_: Any) -> None:
            raise LookupError("not this time")

        async def run(app: Any, args: dict[str, Any]) -> None:
            with monkeypatch.context() as patched:
                patched.setitem(process.HANDLERS, "order.cancelled", break_down)
                patched.setattr(process, "ATTEMPTS_MAX", 1)
                await process.process(app, args["integrationEventId"])
            again = json_of(await api.call("POST", EVENTS, document), 202)
            assert again["status"] == "RECEIVED"

        failing = msgspec.structs.replace(wiring.JOBS[PROCESS], run=run)
        await Worker(private.app, {**wiring.JOBS, PROCESS: failing}, []).run_due()

        await private.run_jobs()
        shown = json_of(await api.get(f"{EVENTS}/{told['id']}"), 200)
        assert shown["status"] == "PROCESSED"
