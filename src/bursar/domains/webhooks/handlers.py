"""What is done about an event, by provider and type: the whole list on one page.

A handler has the provider asked, and books what it says; it takes nothing from the event but names. It returns the
payment that the event was about, if any, and raises NotYet where it has to be tried again.
"""

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Final

import msgspec

from bursar.domains.context import App
from bursar.domains.disputes import service as disputes
from bursar.domains.kyc import service as kyc
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Named, Says
from bursar.domains.refunds import service as refunds
from bursar.domains.refunds.model import RefundNamed
from bursar.domains.webhooks.model import Webhook
from bursar.infra.db import Origin
from bursar.infra.jobs import NotYet
from bursar.kit import ids
from bursar.providers import port
from bursar.providers.kyc.port import InProgress, Rejected, Verified

UNKNOWN: Final = "it names no payment that is known here"
UNKNOWN_METHOD: Final = "it names no payment method that is known here"
STRANGER: Final = "it names no payment of ours: somebody else uses this account too"


class Done(msgspec.Struct, frozen=True):
    """did: in a few words, what was done, or would be. payment_id: of what it is about."""

    did: str
    payment_id: str | None = None


class Nothing(msgspec.Struct, frozen=True):
    """The event is of no interest to anybody here."""

    reason: str


Handle = Callable[[App, Webhook], Awaitable[Done | Nothing]]


class Handler(msgspec.Struct, frozen=True):
    """What is done about events of `provider` whose type matches `pattern`. preview: what `handle` would do, told
    without doing it. ignored_because: instead of both.
    """

    provider: str
    pattern: str
    handle: Handle | None = None
    preview: Handle | None = None
    ignored_because: str = ""


def find(provider: str, event_type: str) -> Handler:
    """The first handler that matches; of an unknown type, one that ignores it."""
    return _find(provider, event_type) or Handler(provider, event_type, ignored_because="a type that is not known here")


@cache
def _by_provider(provider: str) -> tuple[Handler, ...]:
    return tuple(handler for handler in HANDLERS if handler.provider == provider)


def _find(provider: str, event_type: str) -> Handler | None:
    return next((each for each in _by_provider(provider) if fnmatchcase(event_type, each.pattern)), None)


def origin_of(webhook: Webhook) -> Origin:
    """Who changes what is changed because of a webhook."""
    return Origin(f"webhook:{webhook.provider}", webhook.id)


async def _notice(app: App, webhook: Webhook, *, says: Says) -> Done | Nothing:
    noticed = await payments.on_provider_notice(
        app, origin_of(webhook), provider=webhook.provider, says=says, named=_named(webhook)
    )
    return _of_unknown_payment(webhook) if noticed is None else Done(noticed.did, noticed.payment_id)


async def _preview_notice(app: App, webhook: Webhook, *, says: Says) -> Done | Nothing:
    noticed = await payments.preview_notice(app, provider=webhook.provider, says=says, named=_named(webhook))
    return _of_unknown_payment(webhook) if noticed is None else Done(noticed.did, noticed.payment_id)


def _of_unknown_payment(webhook: Webhook) -> Nothing:
    """Ours, which is known before any provider hears of it, bears our id of it. Raises NotYet for one that does."""
    if "payment" in webhook.named:
        raise NotYet(UNKNOWN)
    return Nothing(STRANGER)


def _named(webhook: Webhook) -> Named:
    named = webhook.named
    return Named(named.get("reference"), named.get("key"), named.get("payment"))


def _refund_named(webhook: Webhook) -> RefundNamed:
    named = webhook.named
    return RefundNamed(named.get("refund"), named.get("key"), named.get("payment"))


async def _refund_notice(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the provider asked about a refund of ours, or learn one that somebody made at the provider itself."""
    provider, origin = webhook.provider, origin_of(webhook)
    known = await refunds.on_provider_notice(app, origin, provider=provider, named=_refund_named(webhook))
    if known is not None:
        return Done(known.did, known.payment_id)
    state = await _strange_refund(app, webhook)
    if isinstance(state, Nothing):
        return state
    learnt = await refunds.on_foreign_refund(app, origin, provider=provider, state=state)
    if learnt is None:
        raise NotYet(UNKNOWN)
    return Done(learnt.did, learnt.payment_id)


async def _preview_refund_notice(app: App, webhook: Webhook) -> Done | Nothing:
    known = await refunds.preview_notice(app, provider=webhook.provider, named=_refund_named(webhook))
    if known is not None:
        return Done(known.did, known.payment_id)
    state = await _strange_refund(app, webhook)
    if isinstance(state, Nothing):
        return state
    learnt = await refunds.preview_foreign_refund(app, provider=webhook.provider, state=state)
    if learnt is None:
        raise NotYet(UNKNOWN)
    return Done(learnt.did, learnt.payment_id)


async def _strange_refund(app: App, webhook: Webhook) -> port.RefundState | Nothing:
    """A refund that is not known here, as its provider tells it. Raises NotYet where it is one of ours after all."""
    reference, provider = webhook.named.get("refund"), app.providers.get(webhook.provider)
    if reference is None:
        return Nothing("it names no refund; another event does")
    if provider is None or port.RefundInspection not in provider.requests:
        return Nothing("the provider is not configured here, or tells nothing of refunds")
    now = app.clock.now()
    outcome = await provider.execute(port.RefundInspection(ids.new(now), reference, now))
    if not isinstance(outcome, port.Approved) or outcome.refund is None:
        raise NotYet("the provider did not say how the refund stands")
    if outcome.refund.made_by is not None:
        raise NotYet("it names a refund that was asked for here, and is not known yet")
    return outcome.refund


async def _dispute_notice(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the provider asked how a dispute stands."""
    reference = webhook.named.get("dispute")
    if reference is None:
        return Nothing("it names no dispute")
    noticed = await disputes.on_provider_notice(app, origin_of(webhook), provider=webhook.provider, reference=reference)
    if noticed is None:
        raise NotYet(UNKNOWN)
    return Done(noticed.did, noticed.payment_id)


async def _preview_dispute_notice(app: App, webhook: Webhook) -> Done | Nothing:
    reference = webhook.named.get("dispute")
    if reference is None:
        return Nothing("it names no dispute")
    noticed = await disputes.preview_notice(app, provider=webhook.provider, reference=reference)
    if noticed is None:
        raise NotYet(UNKNOWN)
    return Done(noticed.did, noticed.payment_id)


async def _verification_notice(app: App, webhook: Webhook) -> Done | Nothing:
    """Have a payment method that waits for its customer asked for again."""
    reference = webhook.named.get("verification")
    if reference is None:
        return Nothing("it names no verification")
    count = await payment_methods.on_verification_notice(
        app, origin_of(webhook), provider=webhook.provider, reference=reference
    )
    return Done(f"{count} payment method(s) asked for again") if count else Nothing("no payment method waits for it")


async def _preview_verification(app: App, webhook: Webhook) -> Done:
    return Done("a payment method that waits for it would be asked for again")


async def _ask_about_method(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the provider say what it knows of its token now."""
    token = webhook.named.get("token")
    provider = app.providers.get(webhook.provider)
    if token is None:
        return Nothing("it names no payment method")
    if provider is None or port.Description not in provider.requests:
        return Nothing("the provider is not configured here, or tells nothing of payment methods")
    now = app.clock.now()
    methods = await payment_methods.of_token(app, webhook.provider, token)
    outcome = await provider.execute(port.Description(ids.new(now), token, now))
    match outcome:
        case port.Approved():
            details: port.MethodDetails | None = outcome.details or port.MethodDetails()
        case port.Declined():
            details = None
        case _:
            raise NotYet("the provider did not say what it knows of the payment method")
    await payment_methods.on_provider_change(app, methods, details)
    if not methods and details is not None:
        if webhook.attempts + 1 < app.settings.webhook_attempts_max:
            raise NotYet(UNKNOWN_METHOD)
        return Nothing(UNKNOWN_METHOD)
    return Done(
        f"{len(methods)} payment method(s) {'refreshed' if details is not None else 'found to be good no more'}"
    )


async def _preview_method(app: App, webhook: Webhook) -> Done:
    return Done("the provider would be asked what it knows of the payment method")


async def _ask_about_check(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the KYC service say how the check stands."""
    check_key = webhook.named.get("check")
    if app.kyc is None or app.kyc.name != webhook.provider:
        return Nothing("this KYC service is not configured here")
    if check_key is None:
        return Nothing("it names no check")
    report = await app.kyc.find(check_key)
    if not isinstance(report, Verified | Rejected | InProgress):
        raise NotYet("the KYC service did not say how the check stands")
    subject = await kyc.on_report(
        app, Origin(f"kyc:{webhook.provider}", webhook.id), check_key=check_key, report=report
    )
    if subject is None:
        raise NotYet("it names no check that is known here")
    return Done(f"the check is {subject.status}")


async def _preview_check(app: App, webhook: Webhook) -> Done:
    return Done("the KYC service would be asked how the check stands")


def _of_payments(provider: str, says: Says, *patterns: str) -> tuple[Handler, ...]:
    handle, preview = partial(_notice, says=says), partial(_preview_notice, says=says)
    return tuple(Handler(provider, pattern, handle, preview) for pattern in patterns)


def _of_refunds(provider: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, _refund_notice, _preview_refund_notice) for pattern in patterns)


def _of_disputes(provider: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, _dispute_notice, _preview_dispute_notice) for pattern in patterns)


def _of_verifications(provider: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, _verification_notice, _preview_verification) for pattern in patterns)


def _of_methods(provider: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, _ask_about_method, _preview_method) for pattern in patterns)


def _ignored(provider: str, reason: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, ignored_because=reason) for pattern in patterns)


PAYOUTS: Final = "payouts are not processed here yet"
REVERSED: Final = "the dispute that took the money tells it"
NO_NEWS: Final = "it says nothing that is not asked for, or told later"

HANDLERS: Final[tuple[Handler, ...]] = (
    # the first that matches counts
    *_of_payments("stripe", Says.AUTHORIZED, "payment_intent.amount_capturable_updated", "charge.succeeded"),
    *_of_payments("stripe", Says.CAPTURED, "payment_intent.succeeded", "charge.captured"),
    *_of_payments("stripe", Says.ENDED, "payment_intent.canceled", "payment_intent.payment_failed"),
    *_of_payments("stripe", Says.ENDED, "charge.expired", "charge.failed"),
    *_ignored("stripe", NO_NEWS, "payment_intent.*", "charge.pending", "charge.updated"),
    *_of_refunds("stripe", "refund.*", "charge.refunded", "charge.refund.*"),
    *_of_disputes("stripe", "charge.dispute.*", "radar.early_fraud_warning.*"),
    *_of_verifications("stripe", "setup_intent.succeeded", "setup_intent.setup_failed", "setup_intent.canceled"),
    *_ignored("stripe", NO_NEWS, "setup_intent.*"),
    *_ignored("stripe", PAYOUTS, "payout.*", "transfer.*"),
    *_of_methods("stripe", "payment_method.updated", "payment_method.automatically_updated"),
    *_of_methods("stripe", "payment_method.detached"),
    *_ignored("stripe", NO_NEWS, "payment_method.*", "customer.*", "mandate.*"),
    *_of_payments("paypal", Says.AUTHORIZED, "CHECKOUT.ORDER.APPROVED", "PAYMENT.AUTHORIZATION.CREATED"),
    *_of_payments("paypal", Says.CAPTURED, "PAYMENT.CAPTURE.COMPLETED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.AUTHORIZATION.VOIDED", "PAYMENT.AUTHORIZATION.EXPIRED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.AUTHORIZATION.DENIED", "CHECKOUT.ORDER.VOIDED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.DENIED"),
    *_of_refunds("paypal", "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.*"),
    *_of_disputes("paypal", "CUSTOMER.DISPUTE.*"),
    *_ignored("paypal", REVERSED, "PAYMENT.CAPTURE.REVERSED"),
    *_ignored("paypal", NO_NEWS, "PAYMENT.CAPTURE.*", "PAYMENT.AUTHORIZATION.*", "CHECKOUT.ORDER.*"),
    *_ignored("paypal", PAYOUTS, "PAYMENT.PAYOUTS*"),
    *_of_methods("paypal", "VAULT.PAYMENT-TOKEN.DELETED"),
    *_ignored("paypal", NO_NEWS, "VAULT.*"),
    *_of_refunds("sandbox", "refund.*"),
    *_of_disputes("sandbox", "dispute.*"),
    Handler("kyc", "check.*", _ask_about_check, _preview_check),
)
