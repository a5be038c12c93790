"""Verifying a payment method: a zero-amount authorization for cards and wallets, two small amounts for US accounts."""

import secrets
from typing import Any, Final

import msgspec

from bursar.domains.context import App
from bursar.domains.payment_methods import change, service, store
from bursar.domains.payment_methods.add import VERIFICATION_CURRENCY, can_verify, declined
from bursar.domains.payment_methods.model import (
    MICRO_DEPOSIT_TRIES,
    AmountsWrong,
    MicroDepositsNotSent,
    MicroDepositsUnderWay,
    PaymentMethod,
    Status,
    Verification,
    VerificationNotOffered,
    VerificationStatus,
    refuse_removed,
    with_details,
)
from bursar.domains.payment_methods.schemas import VerifyPaymentMethod, render
from bursar.domains.payment_methods.serial import serially
from bursar.infra import idempotency, jobs
from bursar.infra.answer import Answer, accepted, ok, refusal
from bursar.infra.db import SYSTEM, Origin, Tx
from bursar.infra.idempotency import Claim
from bursar.infra.jobs import NotYet
from bursar.kit import ids
from bursar.kit.errors import RowBusy
from bursar.kit.machine import match_version
from bursar.providers import port
from bursar.providers.port import Approved, Declined, Instrument, MethodType, Outcome

SEND_MICRO_DEPOSITS: Final = "payment_method.send_micro_deposits"
"""The job that has the two amounts sent."""

CENTS_MAX: Final = 99
HTTP_ACCEPTED: Final = 202


async def verify(
    app: App,
    origin: Origin,
    claim: Claim | None,
    method: PaymentMethod,
    request: VerifyPaymentMethod,
    *,
    expected_version: int | None,
) -> Answer:
    """Find out whether a method is good, and its owner's. Emits the event of the verification's table.

    Raises VerificationNotOffered, MicroDepositsUnderWay, MicroDepositsNotSent, AmountsWrong, PaymentMethodDeclined,
    RowBusy.
    """
    await idempotency.refuse_known_already(app.reader, claim)
    refuse_removed(method)
    match_version(method.version, expected_version)
    if method.type is not MethodType.BANK_ACCOUNT:
        return await _ask_provider(app, origin, claim, method, request)
    if method.bank_account is None or method.bank_account.country != "US":
        raise VerificationNotOffered("accounts outside the US are verified by your staff")
    if request.amounts is None:
        return await _send_amounts(app, origin, claim, method, expected_version)
    return await _compare_amounts(app, origin, claim, method, tuple(sorted(request.amounts)), expected_version)


async def go_on(app: App, method_id: str) -> None:
    """Ask for a verification again whose customer has been at his bank. Safe to repeat. Raises NotYet.

    Emits the event of the verification's table.
    """
    method = await service.get(app, method_id)
    if method.verification is None or method.verification.reference is None or method.status is Status.REMOVED:
        return
    answer = await _ask_provider(app, SYSTEM, None, method, VerifyPaymentMethod())
    if answer.status == HTTP_ACCEPTED:
        raise NotYet("the provider did not say what became of the verification")


async def _ask_provider(
    app: App, origin: Origin, claim: Claim | None, method: PaymentMethod, request: VerifyPaymentMethod
) -> Answer:
    under_way = method.verification
    names = [under_way.provider] if under_way is not None else [*method.provider_tokens, *app.providers]
    able = [name for name in names if name in app.providers and can_verify(app.providers[name], method.type)]
    instrument = await _to_be_verified(app, method, able, cvc=request.cvc)
    now = app.clock.now()
    outcome = await app.providers[able[0]].execute(
        port.Verification(
            key=ids.new(now),
            instrument=instrument,
            currency=VERIFICATION_CURRENCY,
            asked_at=now,
            reference=None if under_way is None else under_way.reference,
        )
    )

    async def decide(tx: Tx) -> Answer:
        return await _book(tx, method, able[0], outcome)

    return await serially(app, "payment_method.verify", method.customer_id, decide, origin, claim)


async def _to_be_verified(app: App, method: PaymentMethod, able: list[str], *, cvc: str | None) -> Instrument:
    """The method as the first of `able` is asked about it; with a code by its number, as the vault keeps it."""
    if not able:
        raise VerificationNotOffered("no provider can verify it")
    if cvc is None:
        instrument: Instrument | None = await service.instrument(app, method.id, able[0])
    else:
        instrument = None if method.vault_record_id is None else await service.opened(app, method)
    if instrument is None or instrument.is_gone or (cvc is not None and instrument.card is None):
        raise VerificationNotOffered("its number is not here, so its provider takes no code" if cvc else "it is gone")
    if instrument.card is None or cvc is None:
        return instrument
    return msgspec.structs.replace(instrument, card=msgspec.structs.replace(instrument.card, cvc=cvc))


async def _book(tx: Tx, method: PaymentMethod, provider: str, outcome: Outcome) -> Answer:
    """Book what the provider says of `method`, as it was before it was asked: what somebody decided since counts more.
    Raises RowBusy.
    """
    before = await store.lock(tx, method.id)
    refuse_removed(before)
    if before.verification_status is not method.verification_status:
        raise RowBusy("its verification was decided a moment ago", retry_after=1)
    match outcome:
        case Approved(reference=token, details=details):
            changes: dict[str, Any] = {"provider_tokens": {**before.provider_tokens, provider: token}}
            if before.card is not None and before.vault_record_id is None and details is not None:
                changes["card"] = with_details(before.card, details)
            after = _advance(tx, before, VerificationStatus.VERIFIED, **changes)
        case port.ActionRequired(reference=reference, next_action=action):
            under_way = Verification(provider, reference=reference)
            after = change.verify(
                tx, before, VerificationStatus.REQUIRES_ACTION, next_action=action, verification=under_way
            )
        case Declined():
            _advance(tx, before, VerificationStatus.FAILED, failure_code=outcome.decline_code)
            return refusal(declined(outcome), request_id=tx.origin.request_id, instance=tx.origin.instance)
        case _:  # nothing is known: it can be asked again at any time, no money is in it
            return accepted(render(before), version=before.version)
    return ok(render(after), version=after.version)


def _advance(tx: Tx, method: PaymentMethod, to: VerificationStatus, **changes: Any) -> PaymentMethod:
    """Advance the verification, or stay where it is there already."""
    changes = {"failure_code": None, **changes, "next_action": None, "verification": None}
    if method.verification_status is to:
        return change.update(tx, method, change.EVENT_UPDATED, **changes)
    return change.verify(tx, method, to, **changes)


async def _send_amounts(
    app: App, origin: Origin, claim: Claim | None, method: PaymentMethod, expected_version: int | None
) -> Answer:
    able = [name for name, provider in app.providers.items() if port.MicroDeposits in provider.requests]
    if not able:
        raise VerificationNotOffered("no provider here sends micro-deposits")

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        refuse_removed(before)
        if before.verification is not None or before.verification_status is VerificationStatus.VERIFIED:
            raise MicroDepositsUnderWay
        if before.verification_status is not VerificationStatus.PENDING:
            raise VerificationNotOffered("it failed; your staff may have it begin again")
        under_way = Verification(able[0], key=ids.new(tx.now), amounts=_amounts(app))
        after = change.update(tx, before, change.EVENT_MICRO_DEPOSITS, verification=under_way)
        jobs.defer(tx, SEND_MICRO_DEPOSITS, {"paymentMethodId": before.id, "key": under_way.key}, key=under_way.key)
        return accepted(render(after), version=after.version)

    return await serially(app, "payment_method.send_amounts", method.customer_id, decide, origin, claim)


def _amounts(app: App) -> tuple[int, int]:
    """Two amounts in cents that nobody can guess, unless the settings name them."""
    if app.settings.micro_deposits:
        first, second = (int(part) for part in app.settings.micro_deposits.split(","))
        return first, second
    return secrets.randbelow(CENTS_MAX) + 1, secrets.randbelow(CENTS_MAX) + 1


async def send_micro_deposits(app: App, method_id: str, key: str) -> None:
    """Have the two amounts sent. Safe to repeat: the key is the verification's. Raises NotYet."""
    method = await service.get(app, method_id)
    under_way = method.verification
    if under_way is None or under_way.key != key or under_way.amounts is None or method.vault_record_id is None:
        return
    instrument = await service.opened(app, method)
    if instrument is None:
        return
    request = port.MicroDeposits(key, under_way.amounts, instrument, app.clock.now())
    outcome = await app.providers[under_way.provider].execute(request)
    if isinstance(outcome, port.Unavailable | port.Unknown):
        raise NotYet(outcome.reason)
    if isinstance(outcome, Declined):
        await fail_micro_deposits(app, method, outcome.decline_code)


async def fail_micro_deposits(app: App, method: PaymentMethod, code: str) -> None:
    """The amounts that were under way for `method` did not arrive. Emits payment_method.verification_failed."""

    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        is_same = _key_of(before) == _key_of(method) and before.status is not Status.REMOVED
        if is_same and before.verification_status is not VerificationStatus.FAILED:
            before = change.verify(tx, before, VerificationStatus.FAILED, failure_code=code, verification=None)
        return ok(render(before))

    await serially(app, "payment_method.verify", method.customer_id, decide, SYSTEM)


def _key_of(method: PaymentMethod) -> str | None:
    return None if method.verification is None else method.verification.key


async def _compare_amounts(
    app: App,
    origin: Origin,
    claim: Claim | None,
    method: PaymentMethod,
    said: tuple[int, ...],
    expected_version: int | None,
) -> Answer:
    async def decide(tx: Tx) -> Answer:
        before = await store.lock(tx, method.id)
        match_version(before.version, expected_version)
        under_way = before.verification
        if under_way is None or under_way.amounts is None:
            raise MicroDepositsNotSent
        if tuple(sorted(under_way.amounts)) == said:
            after = change.verify(tx, before, VerificationStatus.VERIFIED, verification=None, failure_code=None)
            return ok(render(after), version=after.version)
        tries = under_way.tries + 1
        left = MICRO_DEPOSIT_TRIES - tries
        if left:
            counted = msgspec.structs.replace(under_way, tries=tries)
            change.update(tx, before, change.EVENT_AMOUNTS_WRONG, verification=counted)
        else:
            failed = VerificationStatus.FAILED
            change.verify(tx, before, failed, verification=None, failure_code="micro_deposits_wrong")
        problem = AmountsWrong(f"{left} tries are left", triesLeft=left)
        return refusal(problem, request_id=tx.origin.request_id, instance=tx.origin.instance)

    return await serially(app, "payment_method.verify", method.customer_id, decide, origin, claim)
