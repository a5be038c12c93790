"""Settings: the environment read once into one frozen object. The only reader of os.environ."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints

import msgspec

PREFIX = "BURSAR_"


class SettingsError(Exception):
    """The one clear line about a setting that cannot be used."""


URL: Final = "^(https?://[^ ]+)?$"
DAYS_MAX: Final = 3_650
SECONDS_MAX: Final = 86_400


def _says(text: str, *, least: float | None = None, most: float | None = None, form: str | None = None) -> Any:
    """What a setting means, and what it may be: a number between two bounds, a text of some form."""
    if form is not None:
        return msgspec.Meta(description=text, pattern=form)
    return msgspec.Meta(description=text, ge=least, le=most)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, with its default. docs/settings.md is made from this class."""

    data_dir: Annotated[str, _says("Where the embedded database, the keys and the sandbox's books lie", form=".")] = (
        "var"
    )
    database_url: Annotated[str, _says("A PostgreSQL 15–18 to use instead of the embedded one; its user migrates")] = ""
    database_role: Annotated[
        str, _says("The role as which the service runs; it cannot alter tables; empty: the URL's user")
    ] = "bursar_app"
    database_pool_size: Annotated[
        int, _says("Connections beside the two lanes of each process", least=4, most=1_000)
    ] = 8
    host: Annotated[str, _says("Address that the API listens on")] = "127.0.0.1"
    port: Annotated[int, _says("Port that the API listens on", least=1, most=65_535)] = 8000
    log_level: Annotated[str, _says("DEBUG, INFO, WARNING or ERROR", form="^(DEBUG|INFO|WARNING|ERROR|CRITICAL)$")] = (
        "WARNING"
    )
    body_size_max: Annotated[
        int, _says("Bytes of a request's body that are read at the most", least=1_024, most=2**30)
    ] = 262_144
    rate_limit_per_second: Annotated[
        int, _says("Requests a second for each service or staff caller; 0: no limit", least=0)
    ] = 20_000
    rate_limit_customer_per_second: Annotated[
        int, _says("Requests a second for each customer or vendor; 0: no limit", least=0)
    ] = 100
    jwt_key: Annotated[
        str, _says("One verification key: a PEM or JWK file, or an HS256 secret of 32 bytes or more")
    ] = ""
    jwks: Annotated[str, _says("A JWKS file or URL with the verification keys")] = ""
    jwt_algorithms: Annotated[
        str,
        _says(
            "Signature algorithms that are accepted, comma-separated",
            form="^(EdDSA|ES256|RS256|HS256)(,(EdDSA|ES256|RS256|HS256))*$",
        ),
    ] = "EdDSA,ES256,RS256,HS256"
    jwt_issuer: Annotated[str, _says("The `iss` that tokens have to carry")] = "bursar"
    jwt_audience: Annotated[str, _says("The `aud` that tokens have to carry")] = "bursar"
    providers: Annotated[
        str,
        _says(
            "Who serves payments, in the order that counts without routing rules: sandbox, stripe, paypal, ach, sepa"
        ),
    ] = "sandbox"
    provider_timeout_seconds: Annotated[
        float, _says("How long a provider may take before its outcome counts as unknown", least=0.1, most=600)
    ] = 20.0
    provider_concurrency_max: Annotated[int, _says("Calls to one provider that are under way at once", least=1)] = 64
    provider_waiting_max: Annotated[int, _says("Calls to one provider that wait for one of those places", least=0)] = (
        256
    )
    provider_breaker_failures: Annotated[
        int, _says("Failures of one provider in a row after which no call goes out for a while; 0: never", least=0)
    ] = 10
    provider_breaker_open_seconds: Annotated[
        float, _says("How long no call goes out then", least=0, most=SECONDS_MAX)
    ] = 10.0
    provider_retries_max: Annotated[
        int, _says("How often a call that certainly did nothing is tried again", least=0, most=10)
    ] = 2
    action_return_url: Annotated[str, _says("Where providers send customers back to after an action")] = ""
    stripe_api_key: Annotated[str, _says("Stripe's secret key")] = ""
    stripe_api_base: Annotated[str, _says("Where Stripe's API is, where it is a stand-in; empty: Stripe")] = ""
    stripe_multicapture: Annotated[bool, _says("Whether Stripe allows this account several captures")] = False
    paypal_client_id: Annotated[str, _says("PayPal's client id")] = ""
    paypal_client_secret: Annotated[str, _says("PayPal's client secret")] = ""
    paypal_base_url: Annotated[str, _says("Where PayPal's API is")] = "https://api-m.paypal.com"
    ach_directory: Annotated[
        str, _says("Directory with `outgoing` and `incoming` NACHA files; empty: in the data directory")
    ] = ""
    ach_origin: Annotated[str, _says("Immediate origin of NACHA files: the bank's number for us, 10 digits")] = ""
    ach_origin_name: Annotated[str, _says("Our name in NACHA files")] = ""
    ach_destination: Annotated[str, _says("Routing number of the bank that takes NACHA files, 9 digits")] = ""
    ach_destination_name: Annotated[str, _says("Name of the bank that takes NACHA files")] = ""
    ach_company_id: Annotated[str, _says("Company identification in NACHA batches, 10 characters")] = ""
    ach_cutoff: Annotated[str, _says("Time in New York until which entries go out the same day")] = "16:00"
    ach_settle_days: Annotated[
        int, _says("Banking days after an entry's date without a return, after which it counts as paid")
    ] = 3
    sepa_directory: Annotated[
        str, _says("Directory with `outgoing` and `incoming` SEPA files; empty: in the data directory")
    ] = ""
    sepa_iban: Annotated[str, _says("The account from which SEPA credit transfers are paid")] = ""
    sepa_bic: Annotated[str, _says("Its bank's BIC")] = ""
    sepa_name: Annotated[str, _says("Its holder, as SEPA files name it")] = ""
    vault: Annotated[
        str,
        _says(
            "`own`: card and account numbers are kept encrypted; `provider`: only provider tokens come in",
            form="^(own|provider)$",
        ),
    ] = "own"
    vault_role: Annotated[str, _says("The one role that may read the vault; empty: the URL's user")] = "bursar_vault"
    vault_keys: Annotated[
        str, _says("File of the keys that wrap the vault's data keys; empty: in the data directory")
    ] = ""
    payment_methods_max: Annotated[int, _says("Payment methods that a customer may have at once", least=1)] = 50
    micro_deposits: Annotated[
        str,
        _says(
            "The two amounts of micro-deposits in cents, for trials: `32,45`; empty: random ones",
            form=r"^(\d\d?,\d\d?)?$",
        ),
    ] = ""
    kyc_url: Annotated[str, _says("Where the KYC service is; empty: people decide", form=URL)] = ""
    kyc_api_key: Annotated[str, _says("The bearer token for the KYC service")] = ""
    kyc_required_types: Annotated[
        str,
        _says(
            "Types of payment methods whose customer has to be verified first, comma-separated",
            form="^( *(CARD|BANK_ACCOUNT|DIGITAL_WALLET) *(,|$))*$",
        ),
    ] = ""
    sandbox_books: Annotated[
        str, _says("File of the sandbox provider's books; empty: in the data directory; `memory`: none")
    ] = ""
    sandbox_slow_seconds: Annotated[
        float, _says("How long the sandbox's slow test methods take", least=0, most=SECONDS_MAX)
    ] = 2.0
    authorization_days: Annotated[
        int, _says("Days until an authorization that was not captured expires", least=1, most=DAYS_MAX)
    ] = 7
    inquiry_after_seconds: Annotated[
        float, _says("Age at which a step whose outcome nobody settled is asked for again", least=0, most=SECONDS_MAX)
    ] = 30.0
    inquiry_on_read_after_seconds: Annotated[
        float, _says("Age at which reading a payment in PROCESSING asks the provider first", least=0, most=SECONDS_MAX)
    ] = 5.0
    idempotency_hours: Annotated[
        int, _says("Hours for which the answer to an idempotency key is kept, at least 24", least=0, most=24 * DAYS_MAX)
    ] = 24
    refund_policy: Annotated[
        str, _says("JSON file of the rules by which refunds need no, one or two approvals; empty: docs/operating.md")
    ] = ""
    refund_keeps_commission: Annotated[
        str, _says("Reasons of refunds for which the platform keeps its commission, comma-separated")
    ] = ""
    dispute_notice_days: Annotated[
        int, _says("Days before a dispute's deadline at which it is told of", least=0, most=DAYS_MAX)
    ] = 3
    provider_fees: Annotated[
        str,
        _says('What providers charge, as JSON: {"stripe": {"USD": {"rate": "0.029", "fixed": 30}}}; empty: unknown'),
    ] = ""
    settlement_file_size_max: Annotated[
        int, _says("Bytes of a provider's settlement file that are read at the most", least=1_024, most=2**30)
    ] = 20 * 1024 * 1024
    reconciliation_late_days: Annotated[
        int, _says("Days after which a movement in a provider's report counts as late", least=0, most=DAYS_MAX)
    ] = 3
    fraud_review_amount: Annotated[
        int, _says("Hundredths of a currency's main unit from which a payment goes to review", least=0)
    ] = 5_000_000
    fraud_decline_amount: Annotated[
        int, _says("Hundredths of a currency's main unit from which a payment is declined", least=0)
    ] = 100_000_000
    fraud_review_count: Annotated[
        int, _says("Payments of one customer within an hour from which the next goes to review", least=0)
    ] = 500
    fraud_decline_count: Annotated[
        int, _says("Payments of one customer within an hour from which the next is declined", least=0)
    ] = 2_000
    worker_metrics_port: Annotated[
        int, _says("Port on which a worker shows its metrics; 0: none", least=0, most=65_535)
    ] = 0
    webhook_secrets: Annotated[
        str, _says("File of the secrets that providers sign webhooks with, by provider; empty: in the data directory")
    ] = ""
    webhook_tolerance_seconds: Annotated[
        int, _says("How far a webhook's time may be from ours, before and after", least=1, most=SECONDS_MAX)
    ] = 300
    webhook_certificate_origins: Annotated[
        str, _says("Further places whose certificates count as PayPal's, for stand-ins, comma-separated")
    ] = ""
    webhook_certificate_authorities: Annotated[
        str, _says("A PEM file trusted for PayPal's certificates; empty: the machine's authorities")
    ] = ""
    webhook_attempts_max: Annotated[
        int, _says("How often a webhook is processed before it is a dead letter", least=1, most=1_000)
    ] = 12
    webhook_fetch_minutes: Annotated[
        int,
        _says(
            "Minutes between two looks into a provider's own log for events that did not arrive; 0: none",
            least=0,
            most=SECONDS_MAX,
        ),
    ] = 10
    webhook_body_days: Annotated[
        int, _says("Days for which webhooks' bodies are kept, which may hold personal data", least=1, most=DAYS_MAX)
    ] = 30
    delivery_timeout_seconds: Annotated[
        float, _says("How long a webhook endpoint may take to answer", least=0.1, most=600)
    ] = 15.0
    delivery_private_networks: Annotated[
        bool, _says("Whether webhook endpoints may be in private networks; for trials only")
    ] = False
    nats_url: Annotated[str, _says("A NATS server to which every event is published; empty: none")] = ""
    nats_stream: Annotated[str, _says("The JetStream stream of our events")] = "BURSAR"
    events_sink_url: Annotated[
        str, _says("Where every event is posted to as CloudEvents; empty: nowhere", form=URL)
    ] = ""
    seal_every_seconds: Annotated[
        float, _says("How often new journals and audit lines are sealed", least=0.1, most=SECONDS_MAX)
    ] = 5.0
    key_encryption_keys: Annotated[
        str, _says("File of the keys that wrap personal data's keys; empty: in the data directory")
    ] = ""

    @property
    def address(self) -> str:
        """Where the API is asked."""
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).absolute()

    @property
    def keys_path(self) -> Path:
        return self.data_path / "keys"


def from_environment(environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings; `overrides`, where not None, win over the environment. Raises SettingsError: what cannot be
    used shows at the start, never at the first payment.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = {
        name: environ[PREFIX + name.upper()] for name in Settings.__struct_fields__ if PREFIX + name.upper() in environ
    }
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"a {PREFIX}… setting cannot be read: {error}") from error


def inherited(settings: Settings) -> dict[str, str]:
    """The environment for a process that we start: ours, with every setting as it is here."""
    ours = {PREFIX + name.upper(): str(getattr(settings, name)) for name in Settings.__struct_fields__}
    return {**os.environ, **ours}


def hand_down(settings: Settings) -> None:
    """Put `inherited` into our own environment, for all the processes that we start."""
    os.environ.update(inherited(settings))


def described() -> list[tuple[str, str, str, str]]:
    """Variable, type, default and meaning of every setting, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    rows = []
    for name in Settings.__struct_fields__:
        kind, meta = get_args(hints[name])
        rows.append((PREFIX + name.upper(), kind.__name__, str(getattr(defaults, name)), str(meta.description)))
    return rows
