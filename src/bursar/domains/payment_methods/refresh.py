"""Asking a provider what it knows of its token now."""

from bursar.domains.context import App
from bursar.domains.payment_methods import service
from bursar.domains.payment_methods.model import PaymentMethod, VerificationNotOffered, refuse_removed
from bursar.domains.payment_methods.schemas import render
from bursar.infra import idempotency
from bursar.infra.answer import Answer, accepted
from bursar.infra.db import SYSTEM, Origin
from bursar.infra.idempotency import Claim
from bursar.kit import ids
from bursar.kit.machine import match_version
from bursar.providers import port


async def refresh(
    app: App,
    method: PaymentMethod,
    origin: Origin = SYSTEM,
    claim: Claim | None = None,
    *,
    expected_version: int | None = None,
) -> Answer:
    """Take over what the method's provider says: a new expiry, a new number behind its token, or that it is good no
    more. Emits payment_method.updated, .renewed or .verification_failed. Raises VerificationNotOffered,
    PaymentMethodUnusable, RowBusy.
    """
    await idempotency.refuse_known_already(app.reader, claim)
    match_version(method.version, expected_version)
    refuse_removed(method)
    for name, token in method.provider_tokens.items():
        provider = app.providers.get(name)
        if provider is None or port.Description not in provider.requests:
            continue
        now = app.clock.now()
        outcome = await provider.execute(port.Description(ids.new(now), token, now))
        if isinstance(outcome, port.Approved):
            return await service.apply_details(app, origin, claim, method, outcome.details or port.MethodDetails())
        if isinstance(outcome, port.Declined):
            return await service.apply_details(app, origin, claim, method, None)
        return accepted(render(method), version=method.version)
    raise VerificationNotOffered("no provider keeps this method")
