"""What banks say of accounts days after an entry was sent: corrections, and micro-deposits that did not arrive."""

from typing import Any

import msgspec
import structlog

from bursar.domains.context import App
from bursar.domains.payment_methods import change, store, verification
from bursar.domains.payment_methods.entry import FINGERPRINT_ACCOUNT
from bursar.domains.payment_methods.model import PaymentMethod, Status
from bursar.domains.payment_methods.schemas import render
from bursar.domains.payment_methods.serial import serially
from bursar.infra.answer import Answer, ok
from bursar.infra.db import SYSTEM, Tx
from bursar.kit import ids
from bursar.kit.errors import Problem, RowBusy
from bursar.providers.port import AccountCorrection, BankAccount, BankNews, BankRail, MethodType

log = structlog.get_logger()


async def exchange(app: App) -> None:
    """Have every bank rail exchange its files, and apply what it tells. What could not be applied is told again."""
    for provider in app.providers.values():
        if isinstance(provider, BankRail):
            for news in await provider.exchange():
                try:
                    await apply(app, news)
                    if news.is_late and not news.is_verification:
                        await app.on_bank_return(app, SYSTEM, news)
                except Problem as problem:
                    log.warning("payment_method.bank_news_waits", news_id=news.id, code=problem.code)
                else:
                    await provider.acknowledge([news.id])


async def apply(app: App, news: BankNews) -> None:
    """Correct a method's account, or have its verification fail. Safe to repeat. News of a method that is gone, or of a
    verification that is over, change nothing.

    Emits payment_method.updated or .verification_failed. Raises RowBusy.
    """
    method = await app.reader.get(store.TABLE, news.method_id) if ids.is_uuid(news.method_id) else None
    if method is None or method.type is not MethodType.BANK_ACCOUNT or method.status is Status.REMOVED:
        return
    if news.correction is not None:
        await _correct(app, method, news.correction)
    under_way = method.verification
    if news.is_verification and news.failure_code and under_way is not None and under_way.key == news.key:
        await verification.fail_micro_deposits(app, method, news.failure_code)


async def _correct(app: App, method: PaymentMethod, correction: AccountCorrection) -> None:
    """The new numbers into the vault and the old ones out of it, with the summary and the fingerprint, at once."""
    assert method.vault_record_id is not None
    document = await app.vault.open(method.vault_record_id)
    if document is None:
        return
    old = msgspec.json.decode(document, type=BankAccount)
    told = {name: value for name, value in msgspec.structs.asdict(correction).items() if value is not None}
    new = msgspec.structs.replace(old, **told)
    if new == old:
        return

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        if before.status is Status.REMOVED:
            return ok(render(before), version=before.version)
        if before.vault_record_id is None or before.vault_record_id != method.vault_record_id:
            raise RowBusy("its account was changed a moment ago", retry_after=1)
        app.vault.destroy(tx, before.vault_record_id)
        changes = await _changes(tx, app, before, new)
        after = change.update(tx, before, change.EVENT_UPDATED, vault_record_id=app.vault.seal(tx, new), **changes)
        return ok(render(after), version=after.version)

    await serially(app, "payment_method.correct", method.customer_id, decide, SYSTEM)


async def _changes(tx: Tx, app: App, before: PaymentMethod, account: BankAccount) -> dict[str, Any]:
    """What is shown of the corrected account. Should the customer have added it as another method meanwhile, this one
    keeps its fingerprint, by which no two of a customer's methods are the same.
    """
    assert before.bank_account is not None
    number = account.account_number or account.iban or ""
    summary = msgspec.structs.replace(before.bank_account, last4=number[-4:], account_type=account.account_type)
    fingerprint = app.vault.fingerprint(FINGERPRINT_ACCOUNT, (account.routing_number or "") + number)
    others = await store.of_customer(tx, before.customer_id)
    is_taken = any(other.fingerprint == fingerprint and other.id != before.id for other in others)
    return {"bank_account": summary} if is_taken else {"bank_account": summary, "fingerprint": fingerprint}
