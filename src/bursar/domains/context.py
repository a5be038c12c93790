"""What use cases get from the outside: put together once in `bursar.app`, passed down as `app`."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bursar.infra.batch import Batcher
from bursar.infra.db import Database, Origin, Tx
from bursar.infra.entrykeys import EntryKeys
from bursar.infra.hot import IndexedRows, Rows
from bursar.infra.personal import KeyEncryptionKeys
from bursar.infra.reads import Reader
from bursar.infra.vault import Vault
from bursar.infra.verdict import Verifier
from bursar.kit.clock import Clock
from bursar.providers.kyc.port import KycProvider
from bursar.providers.port import BankNews, PaymentProvider
from bursar.settings import Settings

OnCaptured = Callable[[Tx, "App", Any, int, str], Coroutine[Any, Any, int]]
"""What follows from a capture in its own transaction: takes the payment before it, the captured minor units and the
capture's own key; returns how much of it was allocated to vendors.
"""

VendorVolume = Callable[["App", str, str, datetime, datetime], Awaitable[int]]
"""What a vendor sold in a currency, minor units, from one moment (included) to another (not included)."""


OnBankReturn = Callable[["App", Origin, BankNews], Awaitable[object]]
"""What follows when a bank takes a debit back that had counted as paid."""


@dataclass(frozen=True)
class App:
    """A function that takes one may open transactions and call the outside."""

    settings: Settings
    clock: Clock
    database: Database
    batcher: Batcher
    reader: Reader
    providers: Mapping[str, PaymentProvider]
    """By name, in the order that counts where no routing rule matches."""
    test_methods: frozenset[str]
    """Ids that name a test method of the sandbox and belong to nobody."""
    routing_rules: Rows[Any]
    commission_rules: IndexedRows[Any, Any]
    refund_policy: Any
    """Who has to approve a refund."""
    on_captured: OnCaptured
    vendor_volume: VendorVolume
    on_bank_return: OnBankReturn
    kyc: KycProvider | None
    personal_keys: KeyEncryptionKeys
    vault: Vault
    entry_keys: EntryKeys
    webhook_verifier: Verifier
    digest_key: bytes
    """Of the digests by which an idempotency key knows its request."""
