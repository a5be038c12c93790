"""ReconciliationController: /api/v1/payments/reconciliations."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query

from bursar.domains.reconciliations import service, store
from bursar.domains.reconciliations.schemas import (
    ExplainItem,
    ItemList,
    ItemView,
    ListItems,
    ListReconciliations,
    PullReport,
    ReconciliationList,
    ReconciliationView,
    UploadQuery,
    render,
    render_item,
)
from bursar.infra.answer import Answer, ok
from bursar.infra.http.call import Call
from bursar.infra.http.route import BODY_SETTING, LeanRoute, parsed_body
from bursar.infra.http.types import ResourceId, listing
from bursar.kit.errors import UnsupportedMediaType

router = APIRouter(prefix="/api/v1/payments/reconciliations", route_class=LeanRoute, tags=["Reconciliations"])

BRINGERS: Final = frozenset({"finance", "admin", "service"})
EXPLAINERS: Final = frozenset({"finance", "admin"})
READERS: Final = frozenset({"finance", "admin", "service", "support", "risk"})

FILES: Final = ("text/csv", "application/xml", "text/xml", "application/octet-stream")
FILE: Final = {"schema": {"type": "string", "format": "binary"}}
BODY: Final = {
    "description": "A settlement file as it is; or, as JSON, the period for which the provider is asked itself",
    "content": {
        "application/json": {"schema": PullReport.model_json_schema()},
        **dict.fromkeys(FILES, FILE),
    },
}


@router.post(
    "",
    status_code=202,
    response_model=ReconciliationView,
    responses={200: {"model": ReconciliationView}},
    openapi_extra={BODY_SETTING: "settlement_file_size_max", "requestBody": BODY},
)
async def start_reconciliation(call: Call, query: Annotated[UploadQuery, Query()]) -> Answer:
    """Reconcile a provider's settlement file, or what the provider says when asked; 200 where the file came before."""
    call.allow(BRINGERS)
    media_type = call.raw.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    if media_type == "application/json":
        return await service.pull(call.bursar, call.origin(), call.claim(), parsed_body(call, PullReport))
    if media_type not in FILES:
        raise UnsupportedMediaType(f"a settlement file is {', '.join(FILES)}")
    return await service.upload(call.bursar, call.origin(), call.claim(), query, call.body_bytes)


@router.get("", response_model=ReconciliationList)
async def list_reconciliations(call: Call, query: Annotated[ListReconciliations, Query()]) -> Answer:
    """Every reconciliation."""
    call.allow(READERS)
    page = await store.page(call.bursar.database, query, status=query.status)
    rows: list[dict[str, Any]] = [render(row) for row in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/{id}", response_model=ReconciliationView)
async def get_reconciliation(call: Call, id: ResourceId) -> Answer:
    """How far a reconciliation has come, and what it found: counts and totals."""
    call.allow(READERS)
    row = await service.get(call.bursar, id)
    return ok(render(row), version=row.version)


@router.get("/{id}/items", response_model=ItemList)
async def list_reconciliation_items(call: Call, id: ResourceId, query: Annotated[ListItems, Query()]) -> Answer:
    """What became of each line of theirs and each movement of ours."""
    call.allow(READERS)
    await service.get(call.bursar, id)
    page = await store.page_of_items(
        call.bursar.database, query, reconciliation_id=id, kind=query.kind, status=query.status
    )
    rows: list[dict[str, Any]] = [render_item(item) for item in page.rows]
    return ok(listing(rows, page.next_cursor))


@router.get("/{id}/items/{itemId}", response_model=ItemView)
async def get_reconciliation_item(call: Call, id: ResourceId, itemId: ResourceId) -> Answer:
    """One item, with its explanations."""
    call.allow(READERS)
    item = await service.get_item(call.bursar, id, itemId)
    return ok(render_item(item), version=item.version)


@router.post("/{id}/items/{itemId}/explain", response_model=ItemView)
async def explain_reconciliation_item(call: Call, id: ResourceId, itemId: ResourceId, body: ExplainItem) -> Answer:
    """Explain a difference; whoever brought the file may not. Its money leaves suspense."""
    call.allow(EXPLAINERS)
    return await service.explain(
        call.bursar, call.origin(), call.claim(), id, itemId, body, expected_version=call.expected_version()
    )
