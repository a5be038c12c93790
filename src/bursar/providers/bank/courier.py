"""Exchanges files with a bank: cut, write, read, settle; each step safe to repeat after a crash at any point.

Cut: one transaction chooses entries and gives them their file. Write: the text follows from these rows alone; it is put
down hidden, noted as prepared, and let appear by one rename, so that an entry is in one file and a file appears once.
Read: what a file says is booked in one transaction with its digest. Settle: what was sent and did not come back.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec
import structlog
from prometheus_client import Counter

from bursar.infra import observe
from bursar.infra.db import Database, LiveTx
from bursar.infra.vault import Vault
from bursar.kit import ids
from bursar.kit.clock import Clock
from bursar.providers.bank import store
from bursar.providers.bank.folder import Folder, digest_of
from bursar.providers.bank.model import (
    Entry,
    Kind,
    Notice,
    OutgoingFile,
    Queued,
    Scheme,
    Status,
    UnreadableError,
    UnwritableError,
    Window,
    today,
)
from bursar.providers.port import AccountCorrection, BankAccount, BankNews

log = structlog.get_logger()

NEWS_MAX: Final = 500
OPENED_AT_ONCE: Final = 500

FILES_OUT: Final = Counter("bursar_bank_files_written", "Files written for banks", ["rail"], registry=observe.REGISTRY)
FILES_IN: Final = Counter(
    "bursar_bank_files_read",
    "Files that came from banks: READ, KNOWN, REFUSED",
    ["rail", "result"],
    registry=observe.REGISTRY,
)
NOTICES: Final = Counter(
    "bursar_bank_notices",
    "What banks said of entries: APPLIED, LATE, or UNMATCHED with any entry to which it can apply",
    ["rail", "result"],
    registry=observe.REGISTRY,
)


class Courier:
    """See the module. directory: has `outgoing` and `incoming`."""

    def __init__(self, scheme: Scheme, *, database: Database, vault: Vault, clock: Clock, directory: Path) -> None:
        self.folder = Folder(directory, scheme.suffix)
        self._scheme = scheme
        self._database = database
        self._vault = vault
        self._clock = clock

    async def exchange(self) -> list[BankNews]:
        """See BankRail. While another process is at it, nothing is done and nothing told."""
        async with store.alone(self._database, self._scheme.rail) as is_alone:
            if not is_alone:
                return []
            await asyncio.to_thread(self.folder.make)
            await self._cut()
            await self._write()
            await self._read()
            now = self._clock.now()
            await store.settle_due(self._database, self._scheme.rail, today(self._scheme, now), now)
            return await self._news()

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """See BankRail; corrections are gone for good then."""
        async with self._database.transaction(now=self._clock.now()) as tx:
            for record_id in await store.tell(tx, news_ids):
                self._vault.destroy(tx, record_id)

    async def _cut(self) -> None:
        now, scheme = self._clock.now(), self._scheme
        window = scheme.window(now)
        async with self._database.transaction(now=now) as tx:
            if await store.is_cut(tx, scheme.rail, window):
                return
            part = 0
            while rows := await store.lock_queued(tx, scheme.rail, before=window.closes_at, limit=scheme.entries_max):
                part += 1
                await self._cut_part(tx, window, part, _together(rows, scheme.total_max))

    async def _cut_part(self, tx: LiveTx, window: Window, part: int, rows: list[Queued]) -> None:
        scheme = self._scheme
        effective_on = scheme.effective_on(window, tx.now)
        file_id = ids.new(tx.now)
        midnight = datetime.combine(today(scheme, tx.now), time(), scheme.zone)
        file = OutgoingFile(
            id=file_id,
            rail=scheme.rail,
            name=f"{scheme.rail.lower()}-{window.on:%Y%m%d}-{part}-{file_id[-12:]}",
            window_on=window.on,
            part=part,
            modifier=await store.next_modifier(tx, scheme.rail, since=midnight),
            status="WRITING",
            effective_on=effective_on,
            entry_count=len(rows),
            total_debit=sum(row.amount for row in rows if row.kind is Kind.DEBIT),
            total_credit=sum(row.amount for row in rows if row.kind is not Kind.DEBIT),
            created_at=tx.now,
            updated_at=tx.now,
        )
        await store.cut(
            tx,
            file,
            [row.id for row in rows],
            settles_on=scheme.settles_on(effective_on),
            trace_prefix=scheme.trace_prefix,
        )
        log.info("bank.file_cut", rail=scheme.rail, name=file.name, entries=len(rows))

    async def _write(self) -> None:
        for file in await store.open_files(self._database, self._scheme.rail):
            try:
                await self._write_one(file)
            except UnwritableError:  # the others go out; nothing of this one counts as sent or paid meanwhile
                log.critical("bank.file_unwritable", rail=file.rail, name=file.name, exc_info=True)

    async def _write_one(self, file: OutgoingFile) -> None:
        if file.status == "WRITING":
            content = await self._render(file)
            async with self._database.transaction(now=self._clock.now()) as tx:
                if await store.lock_unprepared(tx, file.id):
                    digest = await asyncio.to_thread(self.folder.prepare, file.name, content)
                    await store.mark_prepared(tx, file.id, digest)
        await asyncio.to_thread(self.folder.release, file.name)
        now, scheme = self._clock.now(), self._scheme
        effective_on = max(file.effective_on, scheme.effective_on(Window(today(scheme, now), now), now))
        async with self._database.transaction(now=now) as tx:
            await store.mark_written(tx, file.id, settles_on=scheme.settles_on(effective_on))
        FILES_OUT.labels(scheme.rail).inc()
        log.info("bank.file_written", rail=file.rail, name=file.name)

    async def _render(self, file: OutgoingFile) -> bytes:
        entries = await store.of_file(self._database, file.id)
        accounts: list[BankAccount] = []
        for start in range(0, len(entries), OPENED_AT_ONCE):
            some = entries[start : start + OPENED_AT_ONCE]
            for entry, account in zip(some, await asyncio.gather(*map(self._account, some)), strict=True):
                if account is None:
                    raise UnwritableError(f"the vault has no account for {entry.id}")
                accounts.append(account)
        return await asyncio.to_thread(self._scheme.render, file, list(zip(entries, accounts, strict=True)))

    async def _account(self, entry: Entry) -> BankAccount | None:
        document = None if entry.vault_record_id is None else await self._vault.open(entry.vault_record_id)
        return None if document is None else msgspec.json.decode(document, type=BankAccount)

    async def _read(self) -> None:
        for path in await asyncio.to_thread(self.folder.waiting):
            await self._read_one(path)

    async def _read_one(self, path: Path) -> None:
        rail = self._scheme.rail
        content = await asyncio.to_thread(path.read_bytes)
        try:
            notices = await asyncio.to_thread(self._scheme.read, content)
        except UnreadableError as error:
            target = await asyncio.to_thread(self.folder.refuse, path, str(error))
            log.error("bank.file_refused", rail=rail, name=target.name, reason=str(error))
            FILES_IN.labels(rail, "REFUSED").inc()
            return
        found = [(notice, await store.find_named(self._database, rail, notice)) for notice in notices]
        accounts = {
            entry.vault_record_id: await self._account(entry)
            for notice, entries in found
            for entry in entries
            if notice.correction is not None
        }
        digest, name = digest_of(content), path.name.encode(errors="replace").decode()
        async with self._database.transaction(now=self._clock.now()) as tx:
            is_new = await store.begin_reading(tx, rail, digest=digest, name=name, notices=len(notices))
            for notice, entries in found if is_new else ():
                if not entries:
                    await self._book(tx, digest, notice, None, accounts)
                for entry in entries:
                    await self._book(tx, digest, notice, await store.lock(tx, entry.id), accounts)
        await asyncio.to_thread(self.folder.put_away, path)
        FILES_IN.labels(rail, "READ" if is_new else "KNOWN").inc()

    async def _book(
        self,
        tx: LiveTx,
        digest: str,
        notice: Notice,
        entry: Entry | None,
        accounts: dict[str | None, BankAccount | None],
    ) -> None:
        """Apply what a bank said of an entry, and keep it. accounts: as the file found them, by their records; those
        that it corrects are put in their place.
        """
        if entry is not None and not _can_apply(notice, entry):
            entry = None
        is_late = entry is not None and notice.decline_code is not None and entry.status is Status.SETTLED
        correction_id = None
        if entry is None:
            log.error("bank.notice_unmatched", rail=self._scheme.rail, about=notice.about, code=notice.code)
        elif notice.decline_code is not None:
            await store.mark_returned(
                tx, entry.id, code=notice.code, decline_code=notice.decline_code, reason=notice.meaning
            )
        elif notice.is_settled:
            await store.mark_settled(tx, entry.id)
        elif notice.correction is not None and await self._correct(tx, entry, notice.correction, accounts):
            correction_id = self._vault.seal(tx, notice.correction) if entry.instrument_id else None
        if is_late:
            log.error("bank.returned_late", rail=self._scheme.rail, key=getattr(entry, "key", ""), code=notice.code)
        is_failure = entry is not None and entry.kind is Kind.MICRO_DEPOSIT and notice.decline_code is not None
        NOTICES.labels(self._scheme.rail, "UNMATCHED" if entry is None else "LATE" if is_late else "APPLIED").inc()
        await store.note(
            tx,
            notice,
            notice_id=ids.new(tx.now),
            rail=self._scheme.rail,
            digest=digest,
            entry_id=None if entry is None else entry.id,
            is_late=is_late,
            is_untold=is_failure or is_late or correction_id is not None,
            correction_record_id=correction_id,
        )

    async def _correct(
        self, tx: LiveTx, entry: Entry, correction: AccountCorrection, accounts: dict[str | None, BankAccount | None]
    ) -> bool:
        """What goes to this account from now on goes to the corrected one, refunds of what was taken before too. False
        where nothing could be sent there: one such entry would hold up the file of all.
        """
        account = accounts.get(entry.vault_record_id)
        if account is None:
            return True
        told = {name: value for name, value in msgspec.structs.asdict(correction).items() if value is not None}
        corrected = msgspec.structs.replace(account, **told)
        if refusal := self._scheme.refusal(entry, corrected):
            log.error("bank.correction_unusable", rail=self._scheme.rail, key=entry.key, reason=refusal.reason)
            return False
        record_id = self._vault.seal(tx, corrected)
        accounts[record_id] = corrected
        for old_id in await store.reseal(tx, entry, record_id):
            self._vault.destroy(tx, old_id)
        return True

    async def _news(self) -> list[BankNews]:
        rows = await store.untold(self._database, self._scheme.rail, limit=NEWS_MAX)
        news = []
        for row in rows:
            document = None if row.correction_record_id is None else await self._vault.open(row.correction_record_id)
            is_verification = row.kind is Kind.MICRO_DEPOSIT
            news.append(
                BankNews(
                    id=row.id,
                    method_id=row.instrument_id,
                    key=row.key.rpartition(":")[0] if is_verification else row.key,
                    code=row.code,
                    failure_code=row.decline_code,
                    correction=None if document is None else msgspec.json.decode(document, type=AccountCorrection),
                    is_late=row.is_late,
                    is_verification=is_verification,
                )
            )
        return news


def _together(rows: list[Queued], total_max: int) -> list[Queued]:
    """The first of these that one file can carry; one alone it always can."""
    totals = accumulate(row.amount for row in rows)
    return [row for row, total in zip(rows, totals, strict=True) if total <= total_max]


def _can_apply(notice: Notice, entry: Entry) -> bool:
    """Whether an entry is in a state, and of an amount, that what the bank says can be about it."""
    if notice.amount not in (None, entry.amount):
        return False
    if notice.decline_code is not None or notice.is_settled:
        return entry.status in (Status.SENT, Status.SETTLED)
    return True
