"""The vault: payment tokens for wallets and cards, made, described and given up."""

import base64
import hashlib
from datetime import timedelta
from typing import Any, Final

from bursar.providers.declines import declined
from bursar.providers.paypal.client import Client, Lost, Refused, part
from bursar.providers.paypal.documents import Source, Vaulted, VaultedList
from bursar.providers.paypal.orders import Terms, card
from bursar.providers.port import (
    ActionRequired,
    Approved,
    Declined,
    Description,
    Forgetting,
    Instrument,
    MethodDetails,
    MethodType,
    Outcome,
    Unavailable,
    Verification,
)

SETUP_TOKENS: Final = "/v3/vault/setup-tokens"
PAYMENT_TOKENS: Final = "/v3/vault/payment-tokens"
VAULT_MEMORY: Final = timedelta(hours=2)
"""PayPal remembers keys of the vault for 3 hours."""


async def verify(client: Client, request: Verification, terms: Terms) -> Outcome:
    """Have a token made of a card or an approved wallet, or look whether one is still good.

    request.reference: a setup token that the customer was sent to approve.
    """
    instrument = request.instrument
    token = request.reference or instrument.token or (instrument.wallet.token if instrument.wallet else None)
    if token is not None:
        return await _verify_token(client, request, token)
    source = _source(instrument, terms)
    if isinstance(source, Declined):
        return source
    body = {"payment_source": source, "customer": {"id": customer_id(instrument)}}
    setup = await client.post(SETUP_TOKENS, Vaulted, key=f"{request.key}-setup", body=body)
    return await _exchange(client, request, setup)


async def inquire_verification(client: Client, request: Verification, terms: Terms) -> Outcome:
    """What became of `verify`: repeated while PayPal remembers the key, then looked up among the customer's tokens."""
    if client.clock.now() - request.asked_at < VAULT_MEMORY:
        return await verify(client, request, terms)
    if request.instrument.token is not None:
        return await describe(client, Description(request.key, request.instrument.token, request.asked_at))
    found = await client.get(PAYMENT_TOKENS, VaultedList, params={"customer_id": customer_id(request.instrument)})
    if not found.payment_tokens:
        return Unavailable("PayPal has no token for this payment method")
    return _approved(found.payment_tokens[0])


async def describe(client: Client, request: Description) -> Outcome:
    """What a payment token stands for."""
    try:
        return _approved(await client.get(f"{PAYMENT_TOKENS}/{part(request.token)}", Vaulted))
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return declined("method_revoked", "PayPal knows no such token")


async def forget(client: Client, request: Forgetting) -> Outcome:
    """Have a payment token removed. One that is not there is removed already."""
    try:
        await client.delete(f"{PAYMENT_TOKENS}/{part(request.token)}")
    except Refused as refusal:
        if refusal.status != 404:
            raise
    return Approved(request.token)


def customer_id(instrument: Instrument) -> str:
    """PayPal's customer for a payment method, made of our id, by which its token is found again: 22 characters."""
    digest = hashlib.sha256(instrument.id.encode()).digest()[:16]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def _verify_token(client: Client, request: Verification, token: str) -> Outcome:
    try:
        return _approved(await client.get(f"{PAYMENT_TOKENS}/{part(token)}", Vaulted))
    except Refused as refusal:
        if refusal.status != 404:
            raise
    try:
        setup = await client.get(f"{SETUP_TOKENS}/{part(token)}", Vaulted)
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return declined("method_revoked", "PayPal knows no such token")
    return await _exchange(client, request, setup)


async def _exchange(client: Client, request: Verification, setup: Vaulted) -> Outcome:
    """A payment token for a setup token; what the customer has to do first, where it is not approved."""
    links = [link.href for link in setup.links if link.rel in ("approve", "payer-action")]
    if setup.status in ("CREATED", "PAYER_ACTION_REQUIRED"):
        if not links:
            raise Lost(f"a setup token that is {setup.status} and says nothing of what to do")
        return ActionRequired(setup.id, {"type": "REDIRECT_TO_URL", "url": links[0]})
    body = {
        "payment_source": {"token": {"id": setup.id, "type": "SETUP_TOKEN"}},
        "customer": {"id": customer_id(request.instrument)},
    }
    return _approved(await client.post(PAYMENT_TOKENS, Vaulted, key=request.key, body=body))


def _source(instrument: Instrument, terms: Terms) -> dict[str, Any] | Declined:
    urls = {"return_url": terms.return_url, "cancel_url": terms.cancel_url}
    context = {name: url for name, url in urls.items() if url}
    extra = {"experience_context": context} if context else {}
    if instrument.type is MethodType.DIGITAL_WALLET:
        return {"paypal": {"usage_type": "MERCHANT", **extra}}
    if instrument.type is MethodType.CARD and instrument.card is not None:
        return {"card": {**card(instrument.card), "verification_method": "SCA_WHEN_REQUIRED", **extra}}
    return declined("card_not_supported", f"PayPal does not keep {instrument.type}")


def _approved(token: Vaulted) -> Approved:
    return Approved(token.id, details=_details(token.payment_source))


def _details(source: Source) -> MethodDetails:
    if source.card is not None:
        year, _, month = (source.card.expiry or "").partition("-")
        return MethodDetails(
            brand=source.card.brand,
            last4=source.card.last_digits,
            exp_month=int(month) if month.isdecimal() else None,
            exp_year=int(year) if year.isdecimal() else None,
        )
    return MethodDetails(brand="PAYPAL", email=source.paypal.email_address if source.paypal else None)
