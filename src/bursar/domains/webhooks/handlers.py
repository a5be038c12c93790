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
from bursar.domains.kyc import service as kyc
from bursar.domains.payment_methods import service as payment_methods
from bursar.domains.payments import service as payments
from bursar.domains.payments.model import Named, Says
from bursar.domains.webhooks.model import Webhook
from bursar.infra.db import Origin
from bursar.infra.jobs import NotYet
from bursar.kit import ids
from bursar.providers import port
from bursar.providers.kyc.port import InProgress, Rejected, Verified


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


async def _notice(app: App, webhook: Webhook, *, says: Says) -> Done:
    noticed = await payments.on_provider_notice(
        app, origin_of(webhook), provider=webhook.provider, says=says, named=_named(webhook)
    )
    if noticed is None:
        raise NotYet("it names no payment that is known here")
    return Done(noticed.did, noticed.payment_id)


async def _preview_notice(app: App, webhook: Webhook, *, says: Says) -> Done:
    noticed = await payments.preview_notice(app, provider=webhook.provider, says=says, named=_named(webhook))
    if noticed is None:
        raise NotYet("it names no payment that is known here")
    return Done(noticed.did, noticed.payment_id)


def _named(webhook: Webhook) -> Named:
    named = webhook.named
    return Named(named.get("reference"), named.get("key"), named.get("payment"))


async def _ask_about_method(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the provider say what it knows of its token now."""
    token = webhook.named.get("token")
    provider = app.providers.get(webhook.provider)
    if token is None:
        return Nothing("it names no payment method")
    if provider is None or port.Description not in provider.requests:
        return Nothing("the provider is not configured here, or tells nothing of payment methods")
    now = app.clock.now()
    outcome = await provider.execute(port.Description(ids.new(now), token, now))
    match outcome:
        case port.Approved():
            details: port.MethodDetails | None = outcome.details or port.MethodDetails()
        case port.Declined():
            details = None
        case _:
            raise NotYet("the provider did not say what it knows of the payment method")
    count = await payment_methods.on_provider_change(app, webhook.provider, token, details)
    if not count and details is not None:
        raise NotYet("it names no payment method that is known here")
    return Done(f"{count} payment method(s) {'refreshed' if details is not None else 'found to be good no more'}")


async def _preview_method(app: App, webhook: Webhook) -> Done:
    return Done("the provider would be asked what it knows of the payment method")


async def _ask_about_check(app: App, webhook: Webhook) -> Done | Nothing:
    """Have the KYC service say how the check stands."""
    reference, check_key = webhook.named.get("reference"), webhook.named.get("check")
    if app.kyc is None or app.kyc.name != webhook.provider:
        return Nothing("this KYC service is not configured here")
    if reference is None or check_key is None:
        return Nothing("it names no check")
    report = await app.kyc.status(reference)
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


def _of_methods(provider: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, _ask_about_method, _preview_method) for pattern in patterns)


def _ignored(provider: str, reason: str, *patterns: str) -> tuple[Handler, ...]:
    return tuple(Handler(provider, pattern, ignored_because=reason) for pattern in patterns)


REFUNDS: Final = "refunds are not processed here yet"
DISPUTES: Final = "disputes are not processed here yet"
PAYOUTS: Final = "payouts are not processed here yet"
NO_NEWS: Final = "it says nothing that is not asked for, or told later"

HANDLERS: Final[tuple[Handler, ...]] = (
    # the first that matches counts
    *_of_payments("stripe", Says.AUTHORIZED, "payment_intent.amount_capturable_updated", "charge.succeeded"),
    *_of_payments("stripe", Says.CAPTURED, "payment_intent.succeeded", "charge.captured"),
    *_of_payments("stripe", Says.ENDED, "payment_intent.canceled", "payment_intent.payment_failed"),
    *_of_payments("stripe", Says.ENDED, "charge.expired", "charge.failed"),
    *_ignored("stripe", NO_NEWS, "payment_intent.*", "charge.pending", "charge.updated", "setup_intent.*"),
    *_ignored("stripe", REFUNDS, "charge.refunded", "charge.refund.*", "refund.*"),
    *_ignored("stripe", DISPUTES, "charge.dispute.*"),
    *_ignored("stripe", PAYOUTS, "payout.*", "transfer.*"),
    *_of_methods("stripe", "payment_method.updated", "payment_method.automatically_updated"),
    *_of_methods("stripe", "payment_method.detached", "mandate.updated"),
    *_ignored("stripe", NO_NEWS, "payment_method.*", "customer.*"),
    *_of_payments("paypal", Says.AUTHORIZED, "CHECKOUT.ORDER.APPROVED", "PAYMENT.AUTHORIZATION.CREATED"),
    *_of_payments("paypal", Says.CAPTURED, "PAYMENT.CAPTURE.COMPLETED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.AUTHORIZATION.VOIDED", "PAYMENT.AUTHORIZATION.EXPIRED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.AUTHORIZATION.DENIED", "CHECKOUT.ORDER.VOIDED"),
    *_of_payments("paypal", Says.ENDED, "PAYMENT.CAPTURE.DECLINED", "PAYMENT.CAPTURE.DENIED"),
    *_ignored("paypal", REFUNDS, "PAYMENT.CAPTURE.REFUNDED", "PAYMENT.REFUND.*"),
    *_ignored("paypal", DISPUTES, "PAYMENT.CAPTURE.REVERSED", "CUSTOMER.DISPUTE.*"),
    *_ignored("paypal", NO_NEWS, "PAYMENT.CAPTURE.*", "PAYMENT.AUTHORIZATION.*", "CHECKOUT.ORDER.*"),
    *_ignored("paypal", PAYOUTS, "PAYMENT.PAYOUTS*"),
    *_of_methods("paypal", "VAULT.PAYMENT-TOKEN.DELETED"),
    *_ignored("paypal", NO_NEWS, "VAULT.*"),
    Handler("kyc", "check.*", _ask_about_check, _preview_check),
)
