"""What payment methods do without being asked: expire, be refreshed before they do, be forgotten by their provider."""

from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from bursar.domains.context import App
from bursar.domains.payment_methods import bank_news, default, manage, refresh, service, store, verification
from bursar.domains.payment_methods.model import PaymentMethod, PaymentMethodUnusable, VerificationNotOffered
from bursar.infra.jobs import JobType, NotYet, Schedule
from bursar.kit.errors import RowBusy
from bursar.providers import port

SWEEP_SIZE: Final = 500
MENDED_MINUTES: Final = 10
"""How long after a change a customer without a default is looked for."""

REFRESH_DAYS: Final = 14
"""How long before a card's expiry its provider is asked for a new one; and how long after."""


async def forget(app: App, args: dict[str, Any]) -> None:
    """Have a provider give its token up."""
    provider = app.providers.get(args["provider"])
    if provider is None or port.Forgetting not in provider.requests:
        return
    outcome = await provider.execute(port.Forgetting(args["key"], args["token"], app.clock.now()))
    if isinstance(outcome, port.Unavailable | port.Unknown):
        raise NotYet(outcome.reason)


async def send_micro_deposits(app: App, args: dict[str, Any]) -> None:
    """Send the two amounts."""
    await verification.send_micro_deposits(app, args["paymentMethodId"], args["key"])


async def verify(app: App, args: dict[str, Any]) -> None:
    """Ask for the verification again that a customer's action was for."""
    await verification.go_on(app, args["paymentMethodId"])


async def expire(app: App) -> None:
    """Mark the cards whose month has passed."""
    while methods := await store.expired(app.database, app.clock.now().date(), limit=SWEEP_SIZE):
        for method in methods:
            await manage.expire(app, method)


async def mend_defaults(app: App) -> None:
    """Give a default to customers whom a race between two processes left without one."""
    since = app.clock.now() - timedelta(minutes=MENDED_MINUTES)
    for customer_id in await store.customers_without_default(app.database, since, limit=SWEEP_SIZE):
        await default.mend(app, customer_id)


async def refresh_expiring(app: App) -> None:
    """Ask providers for the new expiry of cards that expire soon or have just done so."""
    today = app.clock.now().date()
    first, last = today - timedelta(days=REFRESH_DAYS), today + timedelta(days=REFRESH_DAYS)
    last_seen: PaymentMethod | None = None
    while methods := await store.expiring(app.database, first, last, after=last_seen, limit=SWEEP_SIZE):
        for method in methods:
            # nobody can tell; removed meanwhile; changed by somebody else just now
            with suppress(VerificationNotOffered, PaymentMethodUnusable, RowBusy):
                await refresh.refresh(app, method)
        last_seen = methods[-1]


TYPES: Final = (
    JobType(manage.FORGET, forget, attempts_max=50),
    JobType(verification.SEND_MICRO_DEPOSITS, send_micro_deposits, attempts_max=50),
    JobType(service.VERIFY, verify, attempts_max=50),
)
SCHEDULES: Final = (
    Schedule("payment_methods.expire", 60, expire),
    Schedule("payment_methods.mend_defaults", 60, mend_defaults),
    Schedule("payment_methods.refresh", 86_400, refresh_expiring),
    Schedule("payment_methods.bank_files", 30, bank_news.exchange),
)
