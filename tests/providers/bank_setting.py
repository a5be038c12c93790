"""A bank rail on a database of its own, with a clock that stands, for tests of what goes out and comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bursar.infra import keyfiles
from bursar.infra.db import Database, make_pool
from bursar.infra.reads import Reader
from bursar.infra.vault import Keys, Vault
from bursar.kit.clock import ManualClock
from bursar.providers.ach import build
from bursar.providers.ach.adapter import Ach
from bursar.providers.ach.nacha import Batch, File, read, write
from bursar.providers.ach.nacha.addenda import ChangeAddenda, ReturnAddenda
from bursar.providers.ach.nacha.model import Entry
from bursar.providers.port import (
    Authorization,
    BankAccount,
    BankNews,
    BankRail,
    Capture,
    Instrument,
    MethodType,
    MicroDeposits,
    Outcome,
    Payout,
    Refund,
    Request,
    Void,
)
from bursar.providers.sepa import pain
from bursar.providers.sepa.adapter import Sepa
from tests.support.database import ROLE, VAULT_ROLE

MONDAY: Final = datetime(2026, 11, 30, 14, 0, tzinfo=UTC)
"""Nine o'clock in New York; no holiday in that week or the next."""

ROUTING: Final = "231380104"
NUMBER: Final = "12345678"
ORIGINATOR: Final = build.Originator(
    immediate_destination="121042882",
    immediate_origin="1234567890",
    destination_name="Test Bank",
    origin_name="Bursar Test",
    company_name="Bursar Test",
    company_id="1234567890",
    odfi_routing="12104288",
    entry_description="",
)
PAYER: Final = pain.Originator("Bursar Test GmbH", "DE89370400440532013000", "COBADEFFXXX")


class Bank:
    """The rail under test, and a hand on its files."""

    def __init__(self, provider: Any, database: Database, vault: Vault, clock: ManualClock, directory: Path) -> None:
        self.provider = provider
        self.database = database
        self.vault = vault
        self.clock = clock
        self.directory = directory

    async def do(self, request: Request) -> Outcome:
        outcome: Outcome = await self.provider.execute(request)
        return outcome

    async def ask(self, request: Request) -> Outcome:
        outcome: Outcome = await self.provider.inquire(request)
        return outcome

    async def exchange(self) -> list[BankNews]:
        rail: BankRail = self.provider
        return await rail.exchange()

    async def pass_days(self, days: int) -> list[BankNews]:
        """Exchange on so many days, past every cut-off; it is the next morning then."""
        news: list[BankNews] = []
        for _ in range(days):
            self.clock.at = datetime.combine(self.clock.at.date(), time(21, 30), UTC)
            news = await self.exchange()
            self.clock.at = datetime.combine(self.clock.at.date() + timedelta(days=1), time(14), UTC)
        return news

    async def send(self) -> bytes:
        """Let days pass until the next file goes out."""
        before = len(self.outgoing())
        for _ in range(7):
            await self.pass_days(1)
            if len(self.outgoing()) > before:
                return self.outgoing()[-1]
        raise AssertionError("no file in a week")

    def outgoing(self) -> list[bytes]:
        """The files that the bank can take, oldest first."""
        return [path.read_bytes() for path in sorted((self.directory / "outgoing").glob("[!.]*"))]

    def bring(self, name: str, content: str | bytes) -> None:
        """A file appears among those that came."""
        incoming = self.directory / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        (incoming / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    async def rows(self, sql: str, *args: Any) -> list[Any]:
        return await self.database.fetch(sql, *args)


def entries_of(*contents: bytes) -> list[Entry]:
    """The entries of NACHA files, with those of one file in its order."""
    return [
        entry
        for content in contents
        for batch in read(content).batches
        for entry in batch.entries
        if isinstance(entry, Entry)
    ]


def answer(content: bytes, addenda: ReturnAddenda | ChangeAddenda, sent: Entry) -> str:
    """A bank's file with one entry back: the sent one, returned or with a notification of change."""
    file = read(content)
    is_change = isinstance(addenda, ChangeAddenda)
    code = sent.transaction_code // 10 * 10 + (1 if sent.transaction_code % 10 <= 4 else 6)
    back = Entry(
        transaction_code=code,
        routing_number=ORIGINATOR.immediate_destination,
        account_number=sent.account_number,
        amount=0 if is_change else sent.amount,
        identification=sent.identification,
        name=sent.name,
        discretionary=sent.discretionary,
        trace_number=f"{ROUTING[:8]}0000001",
        addenda=(addenda,),
    )
    batch = next(batch for batch in file.batches if sent in batch.entries)
    sec_code = "COR" if is_change else batch.header.sec_code
    header = type(batch.header)(
        service_class=200,
        company_name="Bursar Test",
        company_id="1234567890",
        sec_code=sec_code,
        entry_description="RETURN",
        effective_date=batch.header.effective_date,
        odfi_routing=ROUTING[:8],
        batch_number=1,
    )
    return write(File(file.header, (Batch(header, (back,)),)))


def returned(content: bytes, sent: Entry, code: str) -> str:
    addenda = ReturnAddenda(code, sent.trace_number, "", sent.routing_number[:8], "", f"{ROUTING[:8]}0000001")
    return answer(content, addenda, sent)


def changed(content: bytes, sent: Entry, code: str, data: str) -> str:
    rdfi = sent.routing_number[:8]
    addenda = ChangeAddenda(code, sent.trace_number, "", rdfi, data, "", f"{ROUTING[:8]}0000001")
    return answer(content, addenda, sent)


def account(number: str = NUMBER, **changes: Any) -> Instrument:
    """A US account as our payment method."""
    whole = BankAccount("US", "Jane Doe", **{"routing_number": ROUTING, "account_number": number, **changes})
    return Instrument(str(uuid4()), MethodType.BANK_ACCOUNT, bank_account=whole)


def euro_account(iban: str = "FR1420041010050500013M02606") -> Instrument:
    return Instrument(
        str(uuid4()), MethodType.BANK_ACCOUNT, bank_account=BankAccount(iban[:2], "Jeanne Dupont", iban=iban)
    )


def authorization(
    amount: int = 5000, *, capture: bool = False, instrument: Instrument | None = None, **changes: Any
) -> Authorization:
    values = {"currency": "USD", "asked_at": MONDAY, "key": str(uuid4()), **changes}
    return Authorization(
        payment_id=str(uuid4()), amount=amount, instrument=instrument or account(), capture=capture, **values
    )


def capture(reference: str, amount: int, *, is_final: bool = True) -> Capture:
    return Capture(str(uuid4()), reference, amount, "USD", is_final, MONDAY)


def void(reference: str) -> Void:
    return Void(str(uuid4()), reference, MONDAY)


def refund(reference: str, amount: int) -> Refund:
    return Refund(str(uuid4()), reference, amount, "USD", MONDAY)


def payout(amount: int = 5000, *, instrument: Instrument | None = None, currency: str = "USD") -> Payout:
    return Payout(str(uuid4()), amount, currency, instrument or account(), "PAYOUT 4711", MONDAY)


def micro_deposits(*, instrument: Instrument | None = None) -> MicroDeposits:
    return MicroDeposits(str(uuid4()), (32, 45), instrument or account(), MONDAY)


@asynccontextmanager
async def opened(url: str, directory: Path, rail: str = "ach") -> AsyncIterator[Bank]:
    """A rail on the database at `url`, whose keys and files lie in the directory; twice is two processes on one."""
    clock = ManualClock(MONDAY)
    keys = directory / "keys"
    keyfiles.key_encryption_keys(keys / keyfiles.VAULT_KEYS)
    database = Database(await make_pool(url, role=ROLE, size=4))
    reader = Reader(url, VAULT_ROLE, clock)
    vault = Vault(Keys(keys / keyfiles.VAULT_KEYS), keyfiles.secret(keys, "fingerprint.key"), reader)
    shared: dict[str, Any] = {"database": database, "vault": vault, "clock": clock, "directory": directory / rail}
    provider: Ach | Sepa
    if rail == "ach":
        provider = Ach(**shared, originator=ORIGINATOR, cutoff=time(16), settle_days=3, authorization_days=7)
    else:
        provider = Sepa(**shared, originator=PAYER)
    try:
        yield Bank(provider, database, vault, clock, directory / rail)
    finally:
        await provider.close()
        await reader.stop()
        await database.pool.close()
