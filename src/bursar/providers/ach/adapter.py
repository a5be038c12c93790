"""The ACH adapter. Nothing is asked while somebody waits: a request becomes an entry, `exchange` sends it in the next
file, and an inquiry tells what came of it days later.
"""

from collections.abc import Sequence
from datetime import time
from pathlib import Path

from bursar.infra.db import Database
from bursar.infra.vault import Vault
from bursar.kit.clock import Clock
from bursar.providers.ach.build import Originator
from bursar.providers.ach.scheme import AchScheme
from bursar.providers.bank.clerk import Clerk
from bursar.providers.bank.courier import Courier
from bursar.providers.port import (
    Authorization,
    BankNews,
    Capture,
    MethodType,
    MicroDeposits,
    Outcome,
    Payout,
    Refund,
    Request,
    Void,
)


class Ach:
    """An authorization reserves nothing: it is approved once the account looks right, and a capture debits it. Debits,
    refunds, payouts and micro-deposits are Pending until `settle_days` banking days have passed without a return.

    directory: has `outgoing` and `incoming`. cutoff: New York's time at which the day's file is cut.
    """

    name = "ach"
    method_types = frozenset({MethodType.BANK_ACCOUNT})
    requests: frozenset[type[Request]] = frozenset({Authorization, Capture, Void, Refund, Payout, MicroDeposits})

    def __init__(
        self,
        *,
        database: Database,
        vault: Vault,
        clock: Clock,
        originator: Originator,
        directory: Path,
        cutoff: time,
        settle_days: int,
        authorization_days: int,
    ) -> None:
        scheme = AchScheme(originator, cutoff=cutoff, settle_days=settle_days)
        self.courier = Courier(scheme, database=database, vault=vault, clock=clock, directory=directory)
        self._clerk = Clerk(scheme, database=database, vault=vault, clock=clock, authorization_days=authorization_days)

    def accepts(self, currency: str) -> bool:
        """US dollars."""
        return currency == "USD"

    async def execute(self, request: Request) -> Outcome:
        """Queue what is asked for, once for each key."""
        return await self._clerk.execute(request)

    async def inquire(self, request: Request) -> Outcome:
        """What became of a key; one that is not known is dead from now on."""
        return await self._clerk.inquire(request)

    async def exchange(self) -> list[BankNews]:
        """Send the file that is due, read what the bank sent, settle what did not come back."""
        return await self.courier.exchange()

    async def acknowledge(self, news_ids: Sequence[str]) -> None:
        """These news have been applied."""
        await self.courier.acknowledge(news_ids)

    async def close(self) -> None:
        """It holds no connection of its own."""
