"""What callers send about reconciliations, and what they see of them."""

from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from bursar.domains.reconciliations.model import (
    Format,
    Item,
    ItemStatus,
    Kind,
    Movement,
    Reconciliation,
    Status,
    Target,
)
from bursar.infra.http.types import Moment, PageQuery, RequestModel, ResponseModel, Text

ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
BankName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
BANK_DEFAULT = "main"


class UploadQuery(BaseModel):
    """How a settlement file is to be read. account: the bank's name: whose statement it is, or where a provider's
    payouts arrive.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True)

    provider: ProviderName | None = None
    format: Format | None = None
    since: Annotated[Moment | None, Field(alias="from")] = None
    until: Moment | None = None
    account: BankName = BANK_DEFAULT

    @model_validator(mode="after")
    def _check(self) -> "UploadQuery":
        _refuse_empty_period(self.since, self.until)
        if self.format is Format.PROVIDER_REPORT:
            raise ValueError("a provider's report is asked for by a JSON body, not sent as a file")
        return self


class PullReport(RequestModel):
    """Ask the provider for its own account of a period: from inclusive, until exclusive."""

    provider: ProviderName
    since: Annotated[Moment, Field(alias="from")]
    until: Moment
    account: BankName = BANK_DEFAULT

    @model_validator(mode="after")
    def _check(self) -> "PullReport":
        _refuse_empty_period(self.since, self.until)
        return self


def _refuse_empty_period(since: Any, until: Any) -> None:
    if since is not None and until is not None and since >= until:
        raise ValueError("until is not after from")


class ExplainItem(RequestModel):
    """Why there is a difference. account: where it goes; where absent, FEE goes to provider_fees and everything else
    back to clearing, as our books had it. Without an account, an item that is EXPLAINED already gets a note.
    """

    explanation: Text
    account: Annotated[Target | None, Field(strict=False)] = None


class ListReconciliations(PageQuery):
    """Which of them to list."""

    status: Status | None = None


class ListItems(PageQuery):
    """Which items to list."""

    kind: Kind | None = None
    status: ItemStatus | None = None


class FaultView(ResponseModel):
    line: int
    reason: str


class TotalsView(ResponseModel):
    """Minor units. matched: the net of what agrees in money. suspense: what went there, debit positive."""

    currency: str
    gross: int
    fee: int
    net: int
    matched: int
    suspense: int


class ReconciliationView(ResponseModel):
    """account: of the ledger. counts: items by kind. errors: what could not be read of a FAILED one's file."""

    id: str
    version: int
    status: Status
    format: Format
    provider: str | None
    account: str
    bank: str
    from_: Annotated[AwareDatetime | None, Field(alias="from")]
    until: AwareDatetime | None
    file_digest: str | None
    file_size: int | None
    row_count: int | None
    counts: dict[Kind, int]
    totals: list[TotalsView]
    errors: list[FaultView]
    requested_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    completed_at: AwareDatetime | None


class ReconciliationList(ResponseModel):
    data: list[ReconciliationView]
    has_more: bool
    next_cursor: str | None


class TheirsView(ResponseModel):
    """A line as the provider tells it."""

    line: int | None
    id: str | None
    references: list[str]
    currency: str
    gross: int
    fee: int
    net: int
    occurred_at: AwareDatetime


class OursView(ResponseModel):
    """A movement of ours. fee: what it should have been, where it is not."""

    journal_id: str
    payment_id: str | None
    currency: str
    amount: int
    fee: int | None
    occurred_at: AwareDatetime


class ExplanationView(ResponseModel):
    explanation: str
    account: Target | None
    author: str
    at: AwareDatetime


class ItemView(ResponseModel):
    """A line of theirs, a movement of ours, or both. suspense: what went there for it, by currency, debit positive."""

    id: str
    version: int
    reconciliation_id: str
    kind: Kind
    status: ItemStatus
    movement: Movement
    payment_id: str | None
    theirs: TheirsView | None
    ours: OursView | None
    suspense: dict[str, int]
    explanations: list[ExplanationView]
    resolves: str | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ItemList(ResponseModel):
    data: list[ItemView]
    has_more: bool
    next_cursor: str | None


def render(row: Reconciliation) -> dict[str, Any]:
    """The row as ReconciliationView."""
    return {
        "id": row.id,
        "version": row.version,
        "status": row.status,
        "format": row.format,
        "provider": row.provider,
        "account": row.account,
        "bank": row.bank,
        "from": row.since,
        "until": row.until,
        "fileDigest": row.file_digest,
        "fileSize": row.file_size,
        "rowCount": row.row_count,
        "counts": {kind: row.counts.get(kind, 0) for kind in Kind},
        "totals": [
            {
                "currency": currency,
                "gross": totals.gross,
                "fee": totals.fee,
                "net": totals.net,
                "matched": totals.matched,
                "suspense": totals.suspense,
            }
            for currency, totals in sorted(row.totals.items())
        ],
        "errors": [{"line": fault.line, "reason": fault.reason} for fault in row.faults or ()],
        "requestedBy": row.requested_by,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "completedAt": row.completed_at,
    }


def render_item(item: Item) -> dict[str, Any]:
    """The item as ItemView."""
    return {
        "id": item.id,
        "version": item.version,
        "reconciliationId": item.reconciliation_id,
        "kind": item.kind,
        "status": item.status,
        "movement": item.movement,
        "paymentId": item.payment_id,
        "theirs": _theirs(item),
        "ours": _ours(item),
        "suspense": item.suspense,
        "explanations": [
            {"explanation": told.text, "account": told.account, "author": told.author, "at": told.at}
            for told in item.explanations
        ],
        "resolves": item.closes,
        "createdAt": item.created_at,
        "updatedAt": item.updated_at,
    }


def _theirs(item: Item) -> dict[str, Any] | None:
    if item.currency is None:
        return None
    return {
        "line": item.line,
        "id": item.row_id,
        "references": item.their_references,
        "currency": item.currency,
        "gross": item.gross,
        "fee": item.fee,
        "net": item.net,
        "occurredAt": item.occurred_at,
    }


def _ours(item: Item) -> dict[str, Any] | None:
    if item.journal_id is None:
        return None
    return {
        "journalId": item.journal_id,
        "paymentId": item.payment_id,
        "currency": item.expected_currency,
        "amount": item.expected_amount,
        "fee": item.expected_fee,
        "occurredAt": item.expected_at,
    }
