"""The use cases of the ordinary stack. Each keeps its answer under the caller's idempotency key, in its transaction."""

import hashlib
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from bursar.kit import ids
from tests.bench.peers.orm_schemas import CreatePayment, PaymentView
from tests.bench.peers.orm_tables import (
    Account,
    FraudCheck,
    Journal,
    Payment,
    Posting,
)
from tests.bench.peers.orm_work import Answer, Refusal, Work

PROVIDER = "sandbox"
METHODS = frozenset({"pm_sandbox_visa", "pm_sandbox_mastercard"})
AUTHORIZATION_DAYS = 7
RECENT_MAX = 10_000
REVIEW_AMOUNT, REVIEW_COUNT = 5_000_000, 500
CHART = {"provider:sandbox:clearing": ("ASSET", True), "unallocated": ("LIABILITY", False)}


async def create(work: Work, request: CreatePayment) -> Answer:
    """Create a payment, scored for fraud."""
    now, payment_id = work.now, ids.new(work.now)
    check = await _check_fraud(work, payment_id, request)
    payment = Payment(
        id=payment_id,
        version=1,
        payment_number=ids.number("PAY", now),
        order_id=request.order_id,
        customer_id=request.customer_id,
        amount=request.amount,
        currency=request.currency,
        capture_method=request.capture_method,
        status="PENDING" if check.decision == "APPROVE" else "IN_REVIEW",
        payment_method_id=request.payment_method_id,
        description=request.description,
        labels=request.metadata,
        amount_authorized=0,
        amount_capturing=0,
        amount_captured=0,
        amount_refunded=0,
        is_capture_final=False,
        fraud_check_id=check.id,
        fraud_check=check,
        risk_level=check.risk_level,
        provider=PROVIDER,
        attempts=[],
        created_at=now,
        updated_at=now,
    )
    work.session.add(payment)
    work.emit(stream=payment.id, version=1, event_type="payment.created", about=payment.id, data=_full(payment))
    answer = _answer(payment, 201, Location=f"/api/v1/payments/core/{payment.id}")
    work.take_key(answer)
    work.audit("payment.create", f"{work.caller.subject} {work.key}")
    await work.session.commit()
    return answer


async def _check_fraud(work: Work, payment_id: str, request: CreatePayment) -> FraudCheck:
    recent = (
        select(FraudCheck.id)
        .where(FraudCheck.customer_id == request.customer_id, FraudCheck.created_at > work.now - timedelta(hours=1))
        .limit(RECENT_MAX)
        .subquery()
    )
    count = await work.session.scalar(select(func.count()).select_from(recent)) or 0
    is_risky = request.amount >= REVIEW_AMOUNT or count >= REVIEW_COUNT
    check = FraudCheck(
        id=ids.new(work.now),
        version=1,
        payment_id=payment_id,
        customer_id=request.customer_id,
        amount=request.amount,
        currency=request.currency,
        risk_score=60 if is_risky else 5,
        risk_level="MEDIUM" if is_risky else "LOW",
        decision="REVIEW" if is_risky else "APPROVE",
        status="PENDING_REVIEW" if is_risky else "COMPLETED",
        reasons=[],
        rules_version="amount-velocity-1",
        latency_micros=0,
        created_at=work.now,
        updated_at=work.now,
    )
    work.session.add(check)
    work.emit(stream=check.id, version=1, event_type="fraud_check.completed", about=payment_id, data=_full(check))
    return check


async def authorize(work: Work, payment_id: str, *, method_id: str | None) -> Answer:
    """Reserve the amount: intend, ask the provider, settle."""
    payment = await _locked(work, payment_id)
    method_id = method_id or payment.payment_method_id
    if payment.status != "PENDING" or method_id not in METHODS:
        raise Refusal(409, f"authorize is not allowed in status {payment.status}")
    attempt = _attempt(work, payment, "AUTHORIZE", payment.amount, methodId=method_id)
    _change(
        work,
        payment,
        "payment.authorization_requested",
        status="AUTHORIZING",
        attempts=[attempt],
        next_action=None,
        payment_method_id=method_id,
    )
    await _intended(work, "payment.authorize", payment)

    reference = await _ask_provider(attempt)

    payment = await _locked(work, payment_id)
    _change(
        work,
        payment,
        "payment.authorized",
        status="AUTHORIZED",
        attempts=[],
        amount_authorized=attempt["amount"],
        provider_transaction_id=reference,
        authorized_at=work.now,
        authorization_expires_at=work.now + timedelta(days=AUTHORIZATION_DAYS),
    )
    return await _settled(work, payment)


async def capture(work: Work, payment_id: str, *, amount: int | None, is_final: bool) -> Answer:
    """Take `amount` minor units of what was authorized: intend, ask the provider, settle."""
    payment = await _locked(work, payment_id)
    if payment.status != "AUTHORIZED":
        raise Refusal(409, f"capture is not allowed in status {payment.status}")
    amount = payment.amount_authorized if amount is None else amount
    if amount != payment.amount_authorized:
        raise Refusal(409, "the authorization does not cover this capture")
    attempt = _attempt(work, payment, "CAPTURE", amount, isFinal=is_final)
    _change(
        work,
        payment,
        "payment.capture_requested",
        status="CAPTURING",
        attempts=[attempt],
        amount_capturing=amount,
        is_capture_final=is_final,
    )
    await _intended(work, "payment.capture", payment)

    await _ask_provider(attempt)

    payment = await _locked(work, payment_id)
    _change(
        work,
        payment,
        "payment.captured",
        status="CAPTURED",
        attempts=[],
        amount_captured=amount,
        amount_capturing=0,
        captured_at=work.now,
    )
    answer = await _settle(work, payment)
    await _post(work, payment, attempt)
    await work.session.commit()
    _known_currencies.add(payment.currency)
    return answer


async def complete(work: Work, payment_id: str) -> Answer:
    """Finish a captured payment."""
    payment = await _locked(work, payment_id)
    if payment.status != "CAPTURED":
        raise Refusal(409, f"complete is not allowed in status {payment.status}")
    _change(work, payment, "payment.completed", status="COMPLETED", completed_at=work.now)
    answer = _answer(payment, 200)
    work.take_key(answer)
    work.audit("payment.complete", payment.id)
    await work.session.commit()
    return answer


async def _intended(work: Work, action: str, payment: Payment) -> None:
    work.take_key()
    work.audit(action, payment.id)
    await work.session.commit()


async def _settled(work: Work, payment: Payment) -> Answer:
    answer = await _settle(work, payment)
    await work.session.commit()
    return answer


async def _settle(work: Work, payment: Payment) -> Answer:
    answer = _answer(payment, 200)
    work.audit("payment.settle", payment.id)
    await work.close_key(answer)
    return answer


async def _post(work: Work, payment: Payment, attempt: dict[str, Any]) -> None:
    """Post the capture; the accounts, which everybody wants, are changed last."""
    await _ensure_accounts(work, payment.currency)
    amount: int = attempt["amount"]
    journal_id, reference = ids.new(work.now), f"capture:{attempt['id']}"
    lines = [
        (number, account, payment.currency, signed, payment.id)
        for number, (account, signed) in enumerate(zip(CHART, (amount, -amount), strict=True), 1)
    ]
    text = f"{journal_id}|payment.captured|{reference}"
    for line in lines:
        text += "\n" + "|".join(map(str, line))
    work.session.add(
        Journal(
            id=journal_id,
            type="payment.captured",
            reference=reference,
            line_count=len(lines),
            digest=hashlib.sha256(text.encode()).hexdigest(),
            occurred_at=work.now,
        )
    )
    columns = ("line", "account", "currency", "amount", "about")
    postings = [{"journal_id": journal_id, **dict(zip(columns, line, strict=True))} for line in lines]
    await work.session.execute(
        insert(Posting).values(postings)
    )  # in one statement: the trigger looks at whole journals
    for _, account, currency, signed, _ in lines:
        await work.session.execute(
            update(Account)
            .where(Account.name == account, Account.currency == currency)
            .values(balance=Account.balance + signed)
            .execution_options(synchronize_session=False)
        )


_known_currencies: set[str] = set()
"""Whose accounts are there, committed."""


async def _ensure_accounts(work: Work, currency: str) -> None:
    """Open the accounts of a currency when it is first seen."""
    if currency in _known_currencies:
        return
    rows = [
        {"name": name, "currency": currency, "kind": kind, "can_overdraw": can_overdraw, "balance": 0}
        for name, (kind, can_overdraw) in sorted(CHART.items())
    ]
    await work.session.execute(insert(Account).values(rows).on_conflict_do_nothing())


async def _ask_provider(attempt: dict[str, Any]) -> str:
    """The provider, in process: it approves at once."""
    return f"sbx_{attempt['id']}"


async def _locked(work: Work, payment_id: str) -> Payment:
    payment = await work.session.get(Payment, payment_id, with_for_update=True)
    if payment is None:
        raise Refusal(404, "no such payment")
    return payment


def _attempt(work: Work, payment: Payment, kind: str, amount: int, **rest: Any) -> dict[str, Any]:
    return {
        "id": ids.new(work.now),
        "kind": kind,
        "amount": amount,
        "askedAt": work.now.isoformat(),
        "backTo": payment.status,
        "claim": {"scope": work.caller.subject, "key": work.key, "digest": work.digest},
        "requestId": work.request_id,
        "instance": work.path,
        **rest,
    }


def _change(work: Work, payment: Payment, event_type: str, **changes: Any) -> None:
    """Change the payment, one version on, and tell of it."""
    for name, value in changes.items():
        setattr(payment, name, value)
    payment.version += 1
    payment.updated_at = work.now
    data = {_camel(name): _plain(value) for name, value in changes.items()}
    work.emit(stream=payment.id, version=payment.version, event_type=event_type, about=payment.id, data=data)


def _answer(payment: Payment, status: int, **headers: str) -> Answer:
    body = PaymentView.model_validate(payment).model_dump_json(by_alias=True)
    return status, body, {**headers, "ETag": f'"{payment.version}"'}


def _full(row: FraudCheck | Payment) -> dict[str, Any]:
    """All that a row says, in camelCase."""
    columns = row.__mapper__.column_attrs
    values = {attribute.columns[0].name: getattr(row, attribute.key) for attribute in columns}
    return {_camel(name): _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
