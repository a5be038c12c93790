"""Answers requests with entries: one transaction each, once for each key, and no network at all."""

import asyncpg
import msgspec
import structlog

from bursar.infra.db import UNREACHABLE, Database, LiveTx
from bursar.infra.vault import Vault
from bursar.kit import ids
from bursar.kit.clock import Clock
from bursar.kit.errors import Problem, RowBusy
from bursar.providers.bank import model, store
from bursar.providers.bank.model import Entry, Family, Kind, Refusal, Scheme
from bursar.providers.port import Outcome, Request, Unavailable, Unknown

log = structlog.get_logger()

ENTRIES_MAX = 2
"""Of one request."""

BROKEN = (*UNREACHABLE, asyncpg.PostgresError, Problem, TimeoutError)


class Clerk:
    """Takes requests for a rail. authorization_days: how long an authorization is said to hold."""

    def __init__(
        self, scheme: Scheme, *, database: Database, vault: Vault, clock: Clock, authorization_days: int
    ) -> None:
        self._scheme = scheme
        self._database = database
        self._vault = vault
        self._clock = clock
        self._authorization_days = authorization_days

    async def execute(self, request: Request) -> Outcome:
        """Write down what is asked for; what stands against it is a decline, kept like everything else."""
        drafts = self._drafts(request)
        try:
            async with self._database.transaction(now=drafts[0].created_at) as tx:
                return await self._once(tx, request, drafts)
        except RowBusy:  # the transaction was given up before it changed anything
            return Unavailable("another step on this payment takes long")
        except BROKEN as error:
            log.warning("bank.entry_not_known", rail=self._scheme.rail, key=request.key, error=repr(error))
            return Unknown("the database did not say whether it was written")

    async def inquire(self, request: Request) -> Outcome:
        """What became of a key; one that was never written is dead from now on."""
        drafts = self._drafts(request)
        try:
            async with self._database.transaction(now=drafts[0].created_at) as tx:
                kept = await store.by_keys(tx, model.keys_of(request))
                if not kept:
                    dead = tuple(model.refused(draft, None) for draft in drafts)
                    kept = list(dead) if await _insert(tx, dead) else await store.by_keys(tx, model.keys_of(request))
                return self._repeated(drafts, kept)
        except BROKEN as error:
            log.warning("bank.entry_not_known", rail=self._scheme.rail, key=request.key, error=repr(error))
            return Unknown("the database could not be asked")

    def _drafts(self, request: Request) -> tuple[Entry, ...]:
        now = self._clock.now()
        return model.drafts(self._scheme.rail, request, [ids.new(now) for _ in range(ENTRIES_MAX)], now)

    async def _once(self, tx: LiveTx, request: Request, drafts: tuple[Entry, ...]) -> Outcome:
        keys = model.keys_of(request)
        kept = await store.by_keys(tx, keys)
        if kept:
            return self._repeated(drafts, kept)
        if model.instrument_of(request) is None:
            family = await store.lock_family(tx, self._scheme.rail, drafts[0].reference)
            kept = await store.by_keys(tx, keys)  # somebody may have come with it while the payment was locked
            if kept:
                return self._repeated(drafts, kept)
            entries = await self._decided(tx, drafts[0], family)
        else:
            entries = self._sealed(tx, request, drafts)
        if not await _insert(tx, entries):
            tx.discard()
            return self._repeated(drafts, await store.by_keys(tx, keys))
        return self._outcome(entries)

    async def _decided(self, tx: LiveTx, draft: Entry, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """A step on a payment, decided while all its entries are locked."""
        head = next((entry for entry in entries if entry.key == draft.reference.partition("_")[2]), None)
        if head is None or head.vault_record_id is None:
            return (model.refused(draft, Refusal("processing_error", f"there is no payment {draft.reference}")),)
        family = Family(head, entries)
        refusal = model.refusal_of(family, draft, self._scheme)
        if refusal is not None:
            return (model.refused(draft, refusal),)
        if draft.kind is Kind.VOID:
            await store.cancel(tx, [entry.id for entry in family.cancellable])
            return (draft,)
        return (self._scheme.dressed(_with(draft, head), entries),)

    def _sealed(self, tx: LiveTx, request: Request, drafts: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """A request that brings its account: checked, and the account put into the vault."""
        instrument = model.instrument_of(request)
        account = None if instrument is None else instrument.bank_account
        refusal = next(filter(None, (self._scheme.refusal(draft, account) for draft in drafts)), None)
        if refusal is not None:
            return tuple(model.refused(draft, refusal) for draft in drafts)
        record_id = self._vault.seal(tx, account)
        return tuple(
            self._scheme.dressed(msgspec.structs.replace(draft, vault_record_id=record_id), ()) for draft in drafts
        )

    def _repeated(self, drafts: tuple[Entry, ...], kept: list[Entry]) -> Outcome:
        is_same = len(kept) == len(drafts) and all(map(model.is_same, kept, drafts))
        if not is_same:
            log.critical("bank.key_reused", rail=self._scheme.rail, key=drafts[0].key)
            return Unknown("this key came with another request before")
        return self._outcome(kept)

    def _outcome(self, entries: tuple[Entry, ...] | list[Entry]) -> Outcome:
        return model.outcome_of(entries, authorization_days=self._authorization_days)


def _with(draft: Entry, head: Entry) -> Entry:
    """A later step's entry goes to the account of the first one."""
    replace = msgspec.structs.replace
    return replace(draft, vault_record_id=head.vault_record_id, instrument_id=head.instrument_id)


async def _insert(tx: LiveTx, entries: tuple[Entry, ...]) -> bool:
    """Write the entries of one request; False where its key is there already. The first one decides: who has written
    it writes the others too.
    """
    if not await store.insert(tx, entries[0]):
        return False
    for entry in entries[1:]:
        is_new = await store.insert(tx, entry)
        assert is_new, f"{entry.key} is there without {entries[0].key}"
    return True
