"""What the settings name: the adapters, each behind its guard, and the files of secrets and rules."""

import re
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Final

from stdnum.us import rtn

from bursar.domains.context import App
from bursar.domains.reconciliations import fees
from bursar.domains.refunds import policy
from bursar.domains.refunds.policy import Policy
from bursar.domains.webhooks.signatures.certificates import Certificates
from bursar.domains.webhooks.signatures.secrets import SecretFile
from bursar.domains.webhooks.signatures.verifier import SchemeVerifier
from bursar.infra import keyfiles
from bursar.infra.db import Database
from bursar.infra.vault import Vault
from bursar.infra.verdict import Verifier
from bursar.kit.clock import Clock
from bursar.providers.ach.adapter import Ach
from bursar.providers.ach.build import Originator as AchOriginator
from bursar.providers.guard import Limits, guarded
from bursar.providers.kyc.guard import GuardedKyc
from bursar.providers.kyc.http import HttpKyc
from bursar.providers.kyc.port import KycProvider
from bursar.providers.paypal.adapter import PayPal
from bursar.providers.port import PaymentProvider
from bursar.providers.sandbox.adapter import Sandbox
from bursar.providers.sandbox.methods import METHODS
from bursar.providers.sepa.adapter import Sepa
from bursar.providers.sepa.pain import Originator as SepaOriginator
from bursar.providers.sepa.pain import bic_fault, iban_fault
from bursar.providers.stripe.adapter import Stripe
from bursar.settings import Settings, SettingsError

CALLS_OF_A_STEP: Final = 2
"""A step makes up to three calls, rarely more than two slow ones: each may take its share of the step's time."""

ACH_SETTLE_DAYS_MAX: Final = 60

Make = Callable[[Settings, Clock, Database, Vault], PaymentProvider]


def payment_providers(settings: Settings, clock: Clock, database: Database, vault: Vault) -> dict[str, PaymentProvider]:
    """The providers by name, in the order of the setting. Raises SettingsError."""
    made: dict[str, PaymentProvider] = {}
    for name in _names(settings):
        if name not in MAKERS:
            raise SettingsError(f"BURSAR_PROVIDERS names {name!r}; there is: {', '.join(MAKERS)}")
        made[name] = guarded(MAKERS[name](settings, clock, database, vault), _limits(settings, name))
    return made


def test_methods(settings: Settings) -> frozenset[str]:
    """The ids of the sandbox's test methods, where it is configured."""
    return frozenset(METHODS) if "sandbox" in _names(settings) else frozenset()


def _names(settings: Settings) -> list[str]:
    return settings.providers.replace(" ", "").split(",")


def kyc_provider(settings: Settings, clock: Clock) -> KycProvider | None:
    """The KYC service, where one is configured."""
    if not settings.kyc_url:
        return None
    adapter = HttpKyc(
        url=settings.kyc_url,
        api_key=settings.kyc_api_key,
        timeout_seconds=settings.provider_timeout_seconds,
        clock=clock,
    )
    return GuardedKyc(adapter, _limits(settings, "kyc"))


def webhook_verifier(settings: Settings) -> Verifier:
    """What verifies the signatures of webhooks, by the secrets of a file."""
    path = Path(settings.webhook_secrets or settings.keys_path / keyfiles.WEBHOOK_SECRETS)
    origins = tuple(origin for origin in settings.webhook_certificate_origins.split(",") if origin)
    certificates = Certificates(origins=origins, authorities=settings.webhook_certificate_authorities)
    return SchemeVerifier(SecretFile(path), certificates, tolerance_seconds=settings.webhook_tolerance_seconds)


def refund_policy(settings: Settings) -> Policy:
    """Who has to approve a refund, by the rules of a file. Raises SettingsError."""
    try:
        text = Path(settings.refund_policy).read_text() if settings.refund_policy else ""
        return policy.load(text, settings.refund_keeps_commission)
    except (OSError, ValueError) as error:
        raise SettingsError(f"BURSAR_REFUND_POLICY, BURSAR_REFUND_KEEPS_COMMISSION: {error}") from error


def check_fees(settings: Settings) -> None:
    """Read what providers charge, so that a fault shows at the start. Raises SettingsError."""
    try:
        fees.load(settings.provider_fees)
    except fees.FeesUnreadable as error:
        raise SettingsError(f"BURSAR_PROVIDER_FEES: {error}") from error


async def close(app: App) -> None:
    """Close the connections of every adapter."""
    for provider in app.providers.values():
        await provider.close()
    if app.kyc is not None:
        await app.kyc.close()


def _limits(settings: Settings, name: str) -> Limits:
    is_sandbox = name == "sandbox"  # its faults are those of a test method, not of the provider
    return Limits(
        timeout_seconds=settings.provider_timeout_seconds,
        concurrency_max=settings.provider_concurrency_max,
        waiting_max=settings.provider_waiting_max,
        breaker_failures=0 if is_sandbox else settings.provider_breaker_failures,
        breaker_open_seconds=settings.provider_breaker_open_seconds,
        retries_max=0 if is_sandbox else settings.provider_retries_max,
    )


def _sandbox(settings: Settings, clock: Clock, database: Database, vault: Vault) -> PaymentProvider:
    books = None
    if settings.sandbox_books != "memory":
        books = Path(settings.sandbox_books or settings.data_path / "sandbox-books.jsonl")
        books.parent.mkdir(parents=True, exist_ok=True)
    return Sandbox(
        books=books,
        clock=clock,
        slow_seconds=settings.sandbox_slow_seconds,
        authorization_days=settings.authorization_days,
    )


def _stripe(settings: Settings, clock: Clock, database: Database, vault: Vault) -> PaymentProvider:
    if not settings.stripe_api_key:
        raise SettingsError("BURSAR_PROVIDERS names stripe, which needs BURSAR_STRIPE_API_KEY")
    return Stripe(
        api_key=settings.stripe_api_key,
        api_base=settings.stripe_api_base or None,
        clock=clock,
        timeout_seconds=settings.provider_timeout_seconds / CALLS_OF_A_STEP,
        authorization_days=settings.authorization_days,
        return_url=settings.action_return_url or None,
        multicapture=settings.stripe_multicapture,
    )


def _paypal(settings: Settings, clock: Clock, database: Database, vault: Vault) -> PaymentProvider:
    if not (settings.paypal_client_id and settings.paypal_client_secret):
        raise SettingsError(
            "BURSAR_PROVIDERS names paypal, which needs BURSAR_PAYPAL_CLIENT_ID and BURSAR_PAYPAL_CLIENT_SECRET"
        )
    return PayPal(
        client_id=settings.paypal_client_id,
        client_secret=settings.paypal_client_secret,
        base_url=settings.paypal_base_url,
        return_url=settings.action_return_url,
        cancel_url=settings.action_return_url,
        clock=clock,
        timeout_seconds=settings.provider_timeout_seconds / CALLS_OF_A_STEP,
        authorization_days=settings.authorization_days,
    )


def _ach(settings: Settings, clock: Clock, database: Database, vault: Vault) -> PaymentProvider:
    _refuse_gaps(settings, "ach", "origin", "origin_name", "destination", "destination_name", "company_id")
    if not rtn.is_valid(settings.ach_destination):
        raise SettingsError("BURSAR_ACH_DESTINATION is no routing number: nine digits, the last one a check digit")
    if not re.fullmatch(r"\d{9,10}", settings.ach_origin):
        raise SettingsError("BURSAR_ACH_ORIGIN has nine or ten digits")
    if not re.fullmatch(r"[ -~]{1,10}", settings.ach_company_id):
        raise SettingsError("BURSAR_ACH_COMPANY_ID has ten plain characters at the most")
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", settings.ach_cutoff):
        raise SettingsError(f"BURSAR_ACH_CUTOFF is a time such as 16:00, not {settings.ach_cutoff!r}")
    if not 1 <= settings.ach_settle_days <= ACH_SETTLE_DAYS_MAX:
        raise SettingsError(f"BURSAR_ACH_SETTLE_DAYS lies between 1 and {ACH_SETTLE_DAYS_MAX}")
    originator = AchOriginator(
        immediate_destination=settings.ach_destination,
        immediate_origin=settings.ach_origin,
        destination_name=settings.ach_destination_name,
        origin_name=settings.ach_origin_name,
        company_name=settings.ach_origin_name,
        company_id=settings.ach_company_id,
        odfi_routing=settings.ach_destination[:8],
        entry_description="",
    )
    return Ach(
        database=database,
        vault=vault,
        clock=clock,
        originator=originator,
        directory=Path(settings.ach_directory or settings.data_path / "ach"),
        cutoff=time.fromisoformat(settings.ach_cutoff),
        settle_days=settings.ach_settle_days,
        authorization_days=settings.authorization_days,
    )


def _sepa(settings: Settings, clock: Clock, database: Database, vault: Vault) -> PaymentProvider:
    _refuse_gaps(settings, "sepa", "iban", "bic", "name")
    for name, fault in (("IBAN", iban_fault(settings.sepa_iban)), ("BIC", bic_fault(settings.sepa_bic))):
        if fault:
            raise SettingsError(f"BURSAR_SEPA_{name} cannot be used: {fault}")
    return Sepa(
        database=database,
        vault=vault,
        clock=clock,
        originator=SepaOriginator(settings.sepa_name, settings.sepa_iban, settings.sepa_bic),
        directory=Path(settings.sepa_directory or settings.data_path / "sepa"),
    )


def _refuse_gaps(settings: Settings, provider: str, *names: str) -> None:
    missing = [f"BURSAR_{provider}_{name}".upper() for name in names if not getattr(settings, f"{provider}_{name}")]
    if missing:
        raise SettingsError(f"BURSAR_PROVIDERS names {provider}, which needs {', '.join(missing)}")


MAKERS: Final[dict[str, Make]] = {
    "sandbox": _sandbox,
    "stripe": _stripe,
    "paypal": _paypal,
    "ach": _ach,
    "sepa": _sepa,
}
