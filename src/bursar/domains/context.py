"""What use cases get from the outside: put together once in `bursar.app`, passed down as `app`."""

from dataclasses import dataclass

from bursar.infra.batch import Batcher
from bursar.infra.db import Database
from bursar.infra.personal import KeyEncryptionKeys
from bursar.infra.reads import Reader
from bursar.kit.clock import Clock
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
    provider: PaymentProvider
    personal_keys: KeyEncryptionKeys
