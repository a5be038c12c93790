"""Taking settlement files in, asking providers for their reports, and explaining differences."""

import asyncio
from typing import Any, Final

import asyncpg

from bursar.domains.context import App
from bursar.domains.ledger.model import bank, clearing
from bursar.domains.reconciliations import book, files, report, store
from bursar.domains.reconciliations.change import change, create
from bursar.domains.reconciliations.formats.detect import detect
from bursar.domains.reconciliations.model import (
    MACHINE,
    ExplainedByUploader,
    Explanation,
    FileKnownOtherwise,
    Format,
    Item,
    ItemStatus,
    Kind,
    Reconciliation,
    Status,
    Target,
)
from bursar.domains.reconciliations.schemas import ExplainItem, PullReport, UploadQuery, render, render_item
from bursar.infra import jobs
from bursar.infra.answer import Answer, encode, ok
from bursar.infra.commands import Command
from bursar.infra.db import Origin, Tx, found
from bursar.infra.http.call import require
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.errors import NotFound
from bursar.kit.machine import match_version

RECEIVE: Final = "reconciliation.receive"
RUN: Final = "reconciliation.run"
"""The job that reads, matches and books."""

LOCATION: Final = "/api/v1/payments/reconciliations/{}"

PROVIDERS: Final[dict[Format, str]] = {Format.STRIPE_BALANCE_CSV: "stripe", Format.PAYPAL_CSV: "paypal"}
"""Whose a file is where the caller names nobody."""


async def upload(app: App, origin: Origin, claim: Claim | None, query: UploadQuery, content: bytes) -> Answer:
    """Store a settlement file and have it reconciled: 202; 200 with what became of it where it came before. One that
    could not be read is taken up again.

    Emits reconciliation.received or .retried. Idempotent by the file's SHA-256. Raises FileKnownOtherwise.
    """
    require(bool(content), "body", "missing", "the body is the file")
    form = query.format or detect(content)
    require(form is not None, "format", "unknown", "say format: the file does not show it")
    assert form is not None
    provider, account = _account(app, query, form)
    digest = await asyncio.to_thread(files.digest_of, content)
    await files.keep(app, digest, content)
    sent: dict[str, Any] = {
        "account": account,
        "bank": query.account,
        "format": form,
        "provider": provider,
        "file_digest": digest,
        "file_size": len(content),
        "since": query.since,
        "until": query.until,
    }

    async def decide(tx: Tx) -> Answer:
        known_id = await store.find_by_file(tx, digest)
        return _received(tx, sent) if known_id is None else await _known(tx, known_id, sent)

    command = Command(RECEIVE, digest, decide, origin, claim)
    try:
        return await app.batcher.run(command)
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != store.UNIQUE_FILE:
            raise
        return await app.batcher.run(command)  # another process stored it in between; now it is found


async def pull(app: App, origin: Origin, claim: Claim | None, request: PullReport) -> Answer:
    """Have a provider asked for its own account of a period, and that reconciled: 202.

    Emits reconciliation.received. Idempotent by the claim; rows of an earlier reconciliation are told as REPEATED.
    Raises NoReport.
    """
    require(request.provider in app.providers, "provider", "unknown", "no provider of this service")
    require(request.until <= app.clock.now(), "until", "in_the_future", "until is yet to come")
    report.reporting(app, request.provider)
    sent: dict[str, Any] = {
        "account": clearing(request.provider),
        "bank": request.account,
        "format": Format.PROVIDER_REPORT,
        "provider": request.provider,
        "since": request.since,
        "until": request.until,
    }

    async def decide(tx: Tx) -> Answer:
        return _received(tx, sent)

    return await app.batcher.run(Command(RECEIVE, ids.new(app.clock.now()), decide, origin, claim))


def _account(app: App, query: UploadQuery, form: Format) -> tuple[str | None, str]:
    """The provider, if it is one's file, and the account of the ledger that the file tells of."""
    if form is Format.CAMT_053:
        require(query.provider is None, "provider", "unexpected", "a bank's statement is of an account")
        return None, bank(query.account)
    provider = query.provider or PROVIDERS[form]
    require(provider in app.providers, "provider", "unknown", f"{provider} is no provider of this service")
    return provider, clearing(provider)


def _received(tx: Tx, sent: dict[str, Any]) -> Answer:
    row = Reconciliation(
        id=ids.new(tx.now),
        version=1,
        status=MACHINE.initial,
        requested_by=tx.origin.actor,
        counts={},
        totals={},
        created_at=tx.now,
        updated_at=tx.now,
        **sent,
    )
    create(tx, row)
    return _begun(tx, row)


async def _known(tx: Tx, known_id: str, sent: dict[str, Any]) -> Answer:
    before = await store.lock(tx, known_id)
    tx.object_id = before.id
    if before.account != sent["account"]:
        raise FileKnownOtherwise(f"with {before.account}", reconciliationId=before.id)
    if before.status is not Status.FAILED:
        return ok(render(before), version=before.version)
    changes = {name: sent[name] for name in ("bank", "format", "since", "until")}
    return _begun(tx, change(tx, before, "retry", faults=None, requested_by=tx.origin.actor, **changes))


def _begun(tx: Tx, row: Reconciliation) -> Answer:
    jobs.defer(tx, RUN, {"reconciliationId": row.id}, key=f"{RUN}:{row.id}:{row.version}")
    headers = {"Location": LOCATION.format(row.id), "ETag": f'"{row.version}"'}
    return Answer(202, encode(render(row)), headers)


async def explain(
    app: App,
    origin: Origin,
    claim: Claim | None,
    reconciliation_id: str,
    item_id: str,
    request: ExplainItem,
    *,
    expected_version: int | None,
) -> Answer:
    """Explain a difference: its money leaves suspense. Each explanation is kept with its author and time.

    Emits reconciliation_item.explained or .note_added. Posts where there is anything in suspense. Idempotent by the
    claim. Raises ExplainedByUploader.
    """

    async def decide(tx: Tx) -> Answer:
        item = await store.lock_item(tx, item_id)
        if item.reconciliation_id != reconciliation_id:
            raise NotFound("no such reconciliation item")
        match_version(item.version, expected_version)
        reconciliation = await store.lock(tx, reconciliation_id)
        if tx.origin.actor == reconciliation.requested_by:
            raise ExplainedByUploader("whoever brought the file asks a colleague")
        account = request.account or _usual_account(item)
        explanation = Explanation(request.explanation, tx.origin.actor, tx.now, account)
        after = book.explain(tx, reconciliation, item, explanation)
        return ok(render_item(after), version=after.version)

    return await app.batcher.run(Command("reconciliation_item.explain", item_id, decide, origin, claim))


def _usual_account(item: Item) -> Target | None:
    """Where a difference goes when nobody says; None where it has gone already."""
    if item.status is ItemStatus.EXPLAINED:
        return None
    return Target.PROVIDER_FEES if item.kind is Kind.FEE else Target.CLEARING


async def get(app: App, reconciliation_id: str) -> Reconciliation:
    """The reconciliation as last committed. Raises NotFound."""
    return found(await app.reader.get(store.TABLE, reconciliation_id), "reconciliation")


async def get_item(app: App, reconciliation_id: str, item_id: str) -> Item:
    """An item as last committed. Raises NotFound."""
    return await store.get_item(app.database, reconciliation_id, item_id)
