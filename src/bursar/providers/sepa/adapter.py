"""The SEPA adapter: payouts in euros as pain.001 files, and what the bank says of them in pain.002 reports."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final

from bursar.infra.db import Database
from bursar.infra.vault import Vault
from bursar.kit.clock import Clock
from bursar.providers.bank.clerk import Clerk
from bursar.providers.bank.courier import Courier
from bursar.providers.bank.model import (
    Entry,
    Notice,
    OutgoingFile,
    Rail,
    Refusal,
    UnreadableError,
    UnwritableError,
    Window,
)
from bursar.providers.port import BankAccount, BankNews, MethodType, Outcome, Payout, Request
from bursar.providers.sepa import calendar
from bursar.providers.sepa.pain import (
    AMOUNT_MAX,
    TRANSFERS_MAX,
    Originator,
    SepaRefused,
    Transfer,
    credit_transfer_file,
    faults,
)
from bursar.providers.sepa.status import ReportUnreadable, Standing, Verdict, read_status_report

CUTOFF: Final = time(15)
"""Frankfurt's time at which the day's file is cut."""

SETTLE_DAYS: Final = 2
"""Banking days after the execution date within which a bank rejects what it will not pay."""

DECLINE_CODES: Final = {
    "amount": "amount_too_large",
    "currency": "currency_not_supported",
    "iban": "invalid_account_number",
    "bic": "invalid_routing_number",
    "name": "payout_declined",
    "remittance": "payout_declined",
    "key": "processing_error",
}
"""By the field of a transfer that is wrong."""


class SepaScheme:
    """See bank.model.Scheme."""

    rail = Rail.SEPA
    zone = calendar.ZONE
    suffix = ".xml"
    entries_max = TRANSFERS_MAX
    total_max = TRANSFERS_MAX * AMOUNT_MAX
    trace_prefix: str | None = None

    def __init__(self, originator: Originator, *, cutoff: time, settle_days: int) -> None:
        self._originator = originator
        self._cutoff = cutoff
        self._settle_days = settle_days

    def refusal(self, entry: Entry, account: BankAccount | None) -> Refusal | None:
        if account is None or account.iban is None:
            return Refusal("invalid_account_number", "no account with an IBAN")
        if entry.amount < 1:
            return Refusal("amount_too_small", "a transfer has one cent at the least")
        fault = next(faults(self._transfer(entry, account), 0), None)
        return None if fault is None else Refusal(DECLINE_CODES[fault.field], f"{fault.field}: {fault.reason}")

    def dressed(self, entry: Entry, before: Sequence[Entry]) -> Entry:
        return entry

    def refuses_again(self, before: Sequence[Entry]) -> Refusal | None:
        return None

    def window(self, now: datetime) -> Window:
        day = now.astimezone(self.zone).date()
        while not calendar.is_banking_day(day) or datetime.combine(day, self._cutoff, self.zone) > now:
            day -= timedelta(days=1)
        return Window(day, datetime.combine(day, self._cutoff, self.zone))

    def effective_on(self, window: Window, now: datetime) -> date:
        return calendar.execution_date(now, cutoff=self._cutoff)

    def settles_on(self, effective_on: date) -> date:
        return calendar.add_banking_days(effective_on, self._settle_days)

    def render(self, file: OutgoingFile, entries: Sequence[tuple[Entry, BankAccount]]) -> bytes:
        try:
            return credit_transfer_file(
                self._originator,
                [self._transfer(entry, account) for entry, account in entries],
                message_id=file.name,
                created_at=file.created_at,
                execution_date=file.effective_on,
            )
        except SepaRefused as error:
            raise UnwritableError(str(error)) from error

    def read(self, content: bytes) -> list[Notice]:
        try:
            report = read_status_report(content)
        except ReportUnreadable as error:
            raise UnreadableError(str(error)) from error
        told = [_notice(verdict, report.original_message_id, key) for key, verdict in report.transfers.items()]
        if report.file is not None and report.file.standing in (Standing.SETTLED, Standing.REJECTED):
            others = frozenset(report.transfers)
            told.append(_notice(report.file, report.original_message_id, None, other_keys=others))
        return told

    def _transfer(self, entry: Entry, account: BankAccount) -> Transfer:
        return Transfer(
            key=entry.key,
            amount=entry.amount,
            name=account.holder_name,
            iban=account.iban or "",
            remittance=entry.statement or self._originator.name,
            bic=account.bic,
            currency=entry.currency,
        )


def _notice(verdict: Verdict, file_name: str, key: str | None, *, other_keys: frozenset[str] = frozenset()) -> Notice:
    is_rejected = verdict.standing is Standing.REJECTED
    return Notice(
        code=verdict.reason_code or verdict.code,
        meaning=verdict.reason or verdict.standing.lower(),
        file_name=file_name,
        key=key,
        other_keys=other_keys,
        decline_code=verdict.declined().decline_code if is_rejected else None,
        is_settled=verdict.standing is Standing.SETTLED,
    )


class Sepa:
    """A payout is Pending until the bank says that it is paid, or `settle_days` TARGET2 days after its execution date
    have passed without a rejection. directory: has `outgoing` and `incoming`.
    """

    name = "sepa"
    method_types = frozenset({MethodType.BANK_ACCOUNT})
    requests: frozenset[type[Request]] = frozenset({Payout})

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        clock: Clock,
        originator: Originator,
        directory: Path,
        cutoff: time = CUTOFF,
        settle_days: int = SETTLE_DAYS,
    ) -> None:
        scheme = SepaScheme(originator, cutoff=cutoff, settle_days=settle_days)
        self.courier = Courier(scheme, database=database, vault=vault, clock=clock, directory=directory)
        self._clerk = Clerk(scheme, database=database, vault=vault, clock=clock, authorization_days=0)

    def accepts(self, currency: str) -> bool:
        """Euros."""
        return currency == "EUR"

    async def execute(self, request: Request) -> Outcome:
        """Queue a payout, once for each key."""
        return await self._clerk.execute(request)

    async def inquire(self, request: Request) -> Outcome:
        """What became of a key; one that is not known is dead from now on."""
        return await self._clerk.inquire(request)

    async def exchange(self) -> list[BankNews]:
        """Send the file that is due, read the bank's reports, settle what was not rejected."""
        return await self.courier.exchange()

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """These news have been applied."""
        await self.courier.acknowledge(news_ids)

    async def close(self) -> None:
        """It holds no connection of its own."""
