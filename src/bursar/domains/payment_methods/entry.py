"""What came in, read and checked: a number becomes an instrument for the vault and the provider, a summary that may be
shown, and a fingerprint. Pure but for the keys that it is handed.
"""

from collections.abc import Callable
from datetime import date
from typing import Any, Final

import msgspec
from pydantic import ValidationError
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException
from stdnum.us import rtn

from bursar.domains.payment_methods.model import (
    BankSummary,
    CardSummary,
    EncryptedCardUnreadable,
    EncryptionKeyUnknown,
    RawNumbersRefused,
    WalletSummary,
    first_of_next_month,
)
from bursar.domains.payment_methods.schemas import BankAccountRequest, CardRequest, ClearCard, CreatePaymentMethod
from bursar.infra.entrykeys import EntryKeys, Unopened
from bursar.kit import cardnumber
from bursar.kit.errors import Fault, Invalid
from bursar.providers.port import BankAccount, Card, Instrument, MethodType, Wallet

FINGERPRINT_CARD: Final = "card"
FINGERPRINT_ACCOUNT: Final = "bank_account"
FINGERPRINT_TOKEN: Final = "provider_token"  # noqa: S105  a label

Fingerprint = Callable[..., str]


class Entry(msgspec.Struct, frozen=True):
    """A payment method that is being added. instrument: with its secrets; kept: what of them the vault keeps, None
    where a provider keeps it all. provider: the one whose token it is. personal: for the personal data.
    """

    instrument: Instrument
    fingerprint: str
    personal: dict[str, Any]
    kept: Card | BankAccount | None = None
    provider: str | None = None
    card: CardSummary | None = None
    bank_account: BankSummary | None = None
    wallet: WalletSummary | None = None
    expires_on: date | None = None


def read(
    request: CreatePaymentMethod, *, keys: EntryKeys, fingerprint: Fingerprint, today: date, takes_numbers: bool
) -> Entry:
    """Read what came in. Raises Invalid, RawNumbersRefused, EncryptedCardUnreadable, EncryptionKeyUnknown."""
    if request.provider_token is not None:
        return _of_provider(request, fingerprint)
    if request.wallet is not None:
        wallet = request.wallet
        return Entry(
            instrument=Instrument("", request.type, wallet=Wallet(wallet.wallet_provider, wallet.token)),
            fingerprint=fingerprint(FINGERPRINT_TOKEN, wallet.wallet_provider, wallet.token),
            personal={} if wallet.email is None else {"email": wallet.email},
            wallet=WalletSummary(wallet.wallet_provider),
        )
    if not takes_numbers:
        raise RawNumbersRefused("BURSAR_VAULT is `provider`: send providerToken")
    if request.card is not None:
        return _of_card(_in_clear(request.card, keys), fingerprint, today)
    assert request.bank_account is not None
    return _of_account(request.bank_account, fingerprint)


def _of_provider(request: CreatePaymentMethod, fingerprint: Fingerprint) -> Entry:
    assert request.provider_token is not None
    given = request.provider_token
    return Entry(
        instrument=Instrument("", request.type, token=given.token),
        fingerprint=fingerprint(FINGERPRINT_TOKEN, given.provider, given.token),
        personal={},
        provider=given.provider,
        card=CardSummary(None, None, None, None, None) if request.type is MethodType.CARD else None,
        wallet=WalletSummary(given.provider.upper()) if request.type is MethodType.DIGITAL_WALLET else None,
    )


def _in_clear(request: CardRequest, keys: EntryKeys) -> ClearCard:
    if request.jwe is None:
        return ClearCard.model_construct(**{name: getattr(request, name) for name in ClearCard.model_fields})
    try:
        return ClearCard.model_validate_json(keys.open(request.jwe))
    except Unopened as error:
        raise (EncryptionKeyUnknown if error.is_key_unknown else EncryptedCardUnreadable) from None
    except ValidationError as error:
        faults = [
            Fault(".".join(map(str, ("card", "jwe", *item["loc"]))), item["type"], item["msg"])
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise Invalid(f"{len(faults)} fault(s)", errors=tuple(faults)) from None


def _of_card(card: ClearCard, fingerprint: Fingerprint, today: date) -> Entry:
    number = card.number.replace(" ", "")
    brand = cardnumber.brand_of(number)
    expires_on = first_of_next_month(card.exp_month, card.exp_year)
    faults = []
    if brand is None or len(number) not in brand.lengths or not cardnumber.has_valid_check_digit(number):
        faults.append(Fault("card.number", "invalid_card_number", "no card has this number"))
    if expires_on <= today:
        faults.append(Fault("card.expYear", "card_expired", "the card has expired"))
    if brand is not None and card.cvc is not None and len(card.cvc) != brand.cvc:
        faults.append(Fault("card.cvc", "invalid_cvc", f"{brand.name} has {brand.cvc} digits"))
    if faults:
        raise Invalid(f"{len(faults)} fault(s)", errors=tuple(faults))
    assert brand is not None
    whole = Card(number, card.exp_month, card.exp_year, card.holder_name, card.cvc)
    return Entry(
        instrument=Instrument("", MethodType.CARD, card=whole),
        fingerprint=fingerprint(FINGERPRINT_CARD, number),
        personal={} if card.holder_name is None else {"holderName": card.holder_name},
        kept=Card(number, card.exp_month, card.exp_year, card.holder_name),
        card=CardSummary(brand.name, number[-4:], card.exp_month, card.exp_year, number[:6]),
        expires_on=expires_on,
    )


def _of_account(account: BankAccountRequest, fingerprint: Fingerprint) -> Entry:
    if account.iban is not None:
        number, bank_name, bic = _checked_iban(account)
        whole = BankAccount(
            account.country, account.holder_name, iban=number, bic=bic, account_type=account.account_type
        )
        key = (FINGERPRINT_ACCOUNT, number)
    else:
        routing, number, bank_name = account.routing_number or "", account.account_number or "", None
        faults = []
        if account.country != "US":
            faults.append(Fault("bankAccount.country", "invalid_country", "routing numbers are of US banks"))
        if not rtn.is_valid(routing):
            faults.append(Fault("bankAccount.routingNumber", "invalid_routing_number", "no bank has this number"))
        if faults:
            raise Invalid(f"{len(faults)} fault(s)", errors=tuple(faults))
        whole = BankAccount(
            "US", account.holder_name, routing_number=routing, account_number=number, account_type=account.account_type
        )
        key = (FINGERPRINT_ACCOUNT, routing + number)
    return Entry(
        instrument=Instrument("", MethodType.BANK_ACCOUNT, bank_account=whole),
        fingerprint=fingerprint(*key),
        personal={"holderName": account.holder_name},
        kept=whole,
        bank_account=BankSummary(account.country, number[-4:], account.account_type, bank_name),
    )


def _checked_iban(account: BankAccountRequest) -> tuple[str, str | None, str | None]:
    assert account.iban is not None
    try:
        iban = IBAN(account.iban.upper(), validate_bban=True)
    except (SchwiftyException, ValueError) as error:
        fault = Fault("bankAccount.iban", "invalid_iban", "no account has this IBAN")
        raise Invalid("1 fault(s)", errors=(fault,)) from error
    if iban.country_code != account.country:
        fault = Fault("bankAccount.country", "invalid_country", "the IBAN is of another country")
        raise Invalid("1 fault(s)", errors=(fault,))
    return iban.compact, iban.bank_name or None, None if iban.bic is None else str(iban.bic)
