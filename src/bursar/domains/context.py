"""What use cases get from the outside: put together once in `bursar.app`, passed down as `app`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bursar.infra.batch import Batcher
from bursar.infra.db import Database
from bursar.infra.entrykeys import EntryKeys
from bursar.infra.hot import IndexedRows, Rows
from bursar.infra.personal import KeyEncryptionKeys
from bursar.infra.reads import Reader
from bursar.infra.vault import Vault
from bursar.infra.verdict import Verifier
from bursar.kit.clock import Clock
from bursar.providers.kyc.port import KycProvider
from bursar.providers.port import PaymentProvider
from bursar.settings import Settings


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
    kyc: KycProvider | None
    personal_keys: KeyEncryptionKeys
    vault: Vault
    entry_keys: EntryKeys
    webhook_verifier: Verifier
    digest_key: bytes
    """Of the digests by which an idempotency key knows its request."""
