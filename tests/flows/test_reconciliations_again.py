"""A file that is brought again while the job that refused it is about to end: it is read all the same."""

from typing import Any

import pytest

from bursar import wiring
from bursar.domains.reconciliations import service as reconciliations
from bursar.infra.jobs import JobType, Worker
from tests.flows.test_reconciliations_files import FILE
from tests.support.api import json_of
from tests.support.reconciliations import Bookkeeper
from tests.support.service import Service


@pytest.fixture
def ann(private: Service) -> Bookkeeper:
    return Bookkeeper(private)


class TestBroughtAgain:
    async def test_before_the_job_has_ended_it_is_taken_up_again(self, ann: Bookkeeper) -> None:
        brought = json_of(await ann.bring(FILE, format="CAMT_053", provider="", account="main"), 202)
        job = wiring.JOBS[reconciliations.RUN]

        async def run(app: Any, args: dict[str, Any]) -> None:
            await job.run(app, args)
            assert (await ann.show(brought["id"]))["status"] == "FAILED"
            json_of(await ann.bring(FILE, format="CAMT_053", provider=""), 202)

        assert await Worker(ann.service.app, {job.kind: JobType(job.kind, run)}, []).run_due() == 1
        assert (await ann.show(brought["id"]))["status"] == "RECEIVED"
        assert await ann.service.run_jobs() == 1
        assert (await ann.show(brought["id"]))["status"] == "FAILED"
