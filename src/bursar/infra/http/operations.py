"""What runs the service: health, readiness, metrics, and the jobs that were given up."""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi import Path as PathParameter
from fastapi.responses import PlainTextResponse
from prometheus_client import generate_latest
from pydantic import AwareDatetime

from bursar.infra import jobs, observe
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import IS_PUBLIC, LeanRoute
from bursar.infra.http.types import Paging, ResponseModel, listing
from bursar.kit.errors import DatabaseUnavailable

router = APIRouter(route_class=LeanRoute, tags=["Operations"])
PUBLIC: Final = {IS_PUBLIC: True}
ADMINS: Final = frozenset({"admin"})
READY_SECONDS: Final = 2

JobId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Health(ResponseModel):
    status: str


class DeadJob(ResponseModel):
    id: str
    kind: str
    args: dict[str, Any]
    attempts: int
    last_error: str | None
    created_at: AwareDatetime


class DeadJobList(ResponseModel):
    data: list[DeadJob]
    has_more: bool
    next_cursor: str | None


class RetriedJob(ResponseModel):
    id: str
    status: str


@router.get("/healthz", openapi_extra=PUBLIC, response_model=Health)
async def is_alive(call: Call) -> Answer:
    """The process runs."""
    return ok({"status": "ok"})


@router.get("/readyz", openapi_extra=PUBLIC, response_model=Health)
async def is_ready(call: Call) -> Answer:
    """The database answers."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            await call.bursar.database.fetchval("select 1")
    except Exception as error:
        raise DatabaseUnavailable(retry_after=1) from error
    return ok({"status": "ready"})


@router.get("/metrics", openapi_extra=PUBLIC, response_class=PlainTextResponse)
async def show_metrics(call: Call) -> Answer:
    """Figures in Prometheus' text form."""
    return Answer(200, generate_latest(observe.REGISTRY), {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


@router.get("/api/v1/jobs/dead", response_model=DeadJobList)
async def list_dead_jobs(call: Call, query: Paging) -> Answer:
    """Jobs that were given up after their last attempt."""
    call.allow(ADMINS)
    page = await jobs.dead(call.bursar.database, query)
    return ok(listing(page.rows, page.next_cursor))


@router.post("/api/v1/jobs/{id}/retry", response_model=RetriedJob)
async def retry_dead_job(call: Call, id: JobId) -> Answer:
    """Give a dead job its attempts back."""
    call.allow(ADMINS)
    return await jobs.retry(call.bursar, call.origin(), call.claim(), id)
