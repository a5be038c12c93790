"""Who sent this, and did he: the schemes, the secrets and PayPal's certificates together."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from bursar.domains.webhooks.reading import NoEvent, read
from bursar.domains.webhooks.signatures import generic, paypal, standard, stripe
from bursar.domains.webhooks.signatures.certificates import Certificates, NotTrusted
from bursar.domains.webhooks.signatures.secrets import SecretFile
from bursar.infra.verdict import Refused, Unreadable, Verified

STRIPE, PAYPAL = "stripe", "paypal"

HEADERS: Final = (*stripe.HEADERS, *paypal.HEADERS, *standard.HEADERS, *generic.HEADERS)
"""All that is read of a request's headers, in lower case."""


class SchemeVerifier:
    """See infra.verdict.Verifier."""

    def __init__(self, secrets: SecretFile, certificates: Certificates, *, tolerance_seconds: int) -> None:
        self._secrets = secrets
        self._certificates = certificates
        self._tolerance_seconds = tolerance_seconds

    async def verify(
        self, provider: str | None, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Verified | Refused | Unreadable:
        """See infra.verdict.Verifier."""
        given = {name: headers[name] for name in HEADERS if name in headers}
        provider = provider or self._provider_of(given)
        if provider is None:
            return Refused("the headers do not say which provider this is; name it: ?provider=")
        secrets = self._secrets.of(provider, now)
        if not secrets:
            return Refused("there is no secret for this provider", provider)
        fault = await self._fault(provider, given, body, secrets, now)
        if fault is not None:
            return Refused(fault, provider)
        try:
            signing = _signing(provider, given)
            event = read(provider, signing, body)
        except NoEvent as error:
            return Unreadable(str(error), provider)
        return Verified(provider, event.id, event.type, event.occurred_at, event.named, signing)

    def _provider_of(self, headers: Mapping[str, str]) -> str | None:
        """The provider whose scheme this is; of the other schemes, the only one that has secrets."""
        if stripe.HEADER in headers:
            return STRIPE
        if paypal.SIGNATURE in headers:
            return PAYPAL
        others = [name for name in self._secrets.providers() if name not in (STRIPE, PAYPAL)]
        is_signed = standard.SIGNATURE in headers or generic.HEADER in headers
        return others[0] if is_signed and len(others) == 1 else None

    async def _fault(
        self, provider: str, headers: Mapping[str, str], body: bytes, secrets: list[str], now: datetime
    ) -> str | None:
        tolerance = self._tolerance_seconds
        if provider == STRIPE:
            return stripe.refusal(headers, body, secrets, now=now.timestamp(), tolerance_seconds=tolerance)
        if provider == PAYPAL:
            fault = paypal.doubt(headers, now=now, tolerance_seconds=tolerance)
            if fault is not None:
                return fault
            try:
                key = await self._certificates.key_of(headers[paypal.CERTIFICATE], now)
            except NotTrusted as error:
                return str(error)
            return paypal.refusal(headers, body, secrets, key=key)
        if standard.SIGNATURE in headers:
            return standard.refusal(headers, body, secrets, now=now.timestamp(), tolerance_seconds=tolerance)
        return generic.refusal(headers, body, secrets)


def _signing(provider: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the headers that belong to the scheme by which this was verified: what others say, nobody signed."""
    others = standard.HEADERS if standard.SIGNATURE in headers else generic.HEADERS
    scheme = {STRIPE: stripe.HEADERS, PAYPAL: paypal.HEADERS}.get(provider, others)
    return {name: headers[name] for name in scheme if name in headers}
